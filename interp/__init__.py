"""The toolkit: how a recurrent model's run is looked at and intervened on, step by step.

Names are imported on first use, so that ``import interp`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from interp.agreement import Agreement as Agreement
    from interp.attribution import AttributionSweep as AttributionSweep
    from interp.attribution import attribution_sweep as attribution_sweep
    from interp.edges import Edge as Edge
    from interp.edges import EdgeScores as EdgeScores
    from interp.edges import edge_attribution as edge_attribution
    from interp.edges import exact_edges as exact_edges
    from interp.overwrite import Overwrite as Overwrite
    from interp.overwrite import OverwrittenRun as OverwrittenRun
    from interp.overwrite import overwrite_value as overwrite_value
    from interp.pairs import Pair as Pair
    from interp.pairs import PairError as PairError
    from interp.pairs import make_pair as make_pair
    from interp.pairs import sample_pairs as sample_pairs
    from interp.paths import DirectPaths as DirectPaths
    from interp.paths import Mediation as Mediation
    from interp.paths import Mediator as Mediator
    from interp.paths import direct_paths as direct_paths
    from interp.paths import mediate as mediate
    from interp.within_step import StepPair as StepPair
    from interp.within_step import step_pair as step_pair

_HOMES = {
    "Agreement": "agreement",
    "AttributionSweep": "attribution",
    "DirectPaths": "paths",
    "Edge": "edges",
    "EdgeScores": "edges",
    "Mediation": "paths",
    "Mediator": "paths",
    "Overwrite": "overwrite",
    "OverwrittenRun": "overwrite",
    "Pair": "pairs",
    "PairError": "pairs",
    "StepPair": "within_step",
    "attribution_sweep": "attribution",
    "direct_paths": "paths",
    "edge_attribution": "edges",
    "exact_edges": "edges",
    "make_pair": "pairs",
    "mediate": "paths",
    "overwrite_value": "overwrite",
    "sample_pairs": "pairs",
    "step_pair": "within_step",
}

__all__ = sorted(_HOMES)  # noqa: PLE0605  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'interp' has no attribute {name!r}; it offers {', '.join(__all__)}")
    return getattr(import_module(f"interp.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return list(__all__)
