"""The toolkit: how a recurrent model's run is looked at and intervened on, step by step.

Names are imported on first use, so that ``import interp`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from interp.ablation import Ablation as Ablation
    from interp.ablation import Component as Component
    from interp.ablation import ablate as ablate
    from interp.agreement import Agreement as Agreement
    from interp.attribution import AttributionSweep as AttributionSweep
    from interp.attribution import attribution_sweep as attribution_sweep
    from interp.cone import DamageCone as DamageCone
    from interp.cone import damage_cones as damage_cones
    from interp.cross_step import CrossStep as CrossStep
    from interp.cross_step import cross_step_matrix as cross_step_matrix
    from interp.edges import Edge as Edge
    from interp.edges import EdgeScores as EdgeScores
    from interp.edges import edge_attribution as edge_attribution
    from interp.edges import exact_edges as exact_edges
    from interp.interventions import MeanAblate as MeanAblate
    from interp.interventions import Recording as Recording
    from interp.interventions import ResampleAblate as ResampleAblate
    from interp.interventions import SetCode as SetCode
    from interp.interventions import SetFrom as SetFrom
    from interp.interventions import SetValue as SetValue
    from interp.interventions import ZeroAblate as ZeroAblate
    from interp.interventions import record as record
    from interp.overwrite import Overwrite as Overwrite
    from interp.overwrite import OverwrittenRun as OverwrittenRun
    from interp.overwrite import overwrite_value as overwrite_value
    from interp.pairs import Pair as Pair
    from interp.pairs import PairError as PairError
    from interp.pairs import make_pair as make_pair
    from interp.pairs import sample_pairs as sample_pairs
    from interp.patching import PatchingError as PatchingError
    from interp.patching import PatchSweep as PatchSweep
    from interp.patching import patch_sweep as patch_sweep
    from interp.paths import DirectPaths as DirectPaths
    from interp.paths import Mediation as Mediation
    from interp.paths import Mediator as Mediator
    from interp.paths import direct_paths as direct_paths
    from interp.paths import mediate as mediate
    from interp.replay import Replay as Replay
    from interp.replay import run_interventions as run_interventions
    from interp.replay import run_plainly as run_plainly
    from interp.sites import Site as Site
    from interp.sites import SiteError as SiteError
    from interp.within_step import StepPair as StepPair
    from interp.within_step import step_pair as step_pair

_HOMES = {
    "Ablation": "ablation",
    "Agreement": "agreement",
    "AttributionSweep": "attribution",
    "Component": "ablation",
    "CrossStep": "cross_step",
    "DamageCone": "cone",
    "DirectPaths": "paths",
    "Edge": "edges",
    "EdgeScores": "edges",
    "MeanAblate": "interventions",
    "Mediation": "paths",
    "Mediator": "paths",
    "Overwrite": "overwrite",
    "OverwrittenRun": "overwrite",
    "Pair": "pairs",
    "PairError": "pairs",
    "PatchSweep": "patching",
    "PatchingError": "patching",
    "Recording": "interventions",
    "Replay": "replay",
    "ResampleAblate": "interventions",
    "SetCode": "interventions",
    "SetFrom": "interventions",
    "SetValue": "interventions",
    "Site": "sites",
    "SiteError": "sites",
    "StepPair": "within_step",
    "ZeroAblate": "interventions",
    "ablate": "ablation",
    "attribution_sweep": "attribution",
    "cross_step_matrix": "cross_step",
    "damage_cones": "cone",
    "direct_paths": "paths",
    "edge_attribution": "edges",
    "exact_edges": "edges",
    "make_pair": "pairs",
    "mediate": "paths",
    "overwrite_value": "overwrite",
    "patch_sweep": "patching",
    "record": "interventions",
    "run_interventions": "replay",
    "run_plainly": "replay",
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
