"""Probes by step and site: what can be read out of an activation, and what the controls say of that.

One probe for every step and site, cross-validated over graphs, so that no graph is in training and test. With it come,
always, the same fit to shuffled labels, to an untrained model's activations and to a control task, and the majority
class (:mod:`interp.probing.controls`). A high accuracy says that the label can be read there, linearly; not that the
model reads it. Of a step that has fewer graphs with such rows than folds, or one class only, nothing is measured (nan).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from interp.data.collecting import collect
from interp.data.datasets import ActivationDataset
from interp.engine.sites import Site
from interp.loop.either import also_for_loops
from interp.probing.grid import ProbeGrid as ProbeGrid
from interp.probing.grid_fit import fit_probe_grid as fit_probe_grid
from interp.probing.loop_probes import fit_loop_probes
from models.graph import ComputationGraph
from models.recurrent import RecurrentTransformer

SITES = ("blocks.0.hook_resid_pre", "resid_mid", "resid_post")
"""Every state of the residual stream once: ``resid_pre`` of a later layer is ``resid_post`` of the one before."""


@also_for_loops(fit_loop_probes)
def fit_probes(
    model: RecurrentTransformer,
    graphs: Sequence[ComputationGraph],
    sites: Sequence[str | Site] = SITES,
    target: str = "value",
    positions: str = "rhs",
    n_steps: int | None = None,
    seed: int = 0,
    **options: Any,
) -> ProbeGrid:
    """:func:`fit_probe_grid` on what ``model`` and an untrained model of its shape hold on the same states.

    Of another looped model arguments are those of :func:`interp.fit_loop_probes`.

    Args:
        sites, positions, n_steps: as for :func:`interp.collect`.
        seed: of the untrained model too.
        options: as for :func:`fit_probe_grid`.

    Raises:
        ProbeError: as :func:`fit_probe_grid`. SiteError, ValueError: as :func:`interp.collect`.
    """
    data, untrained = collect_with_untrained(model, graphs, sites, positions, n_steps, seed)
    return fit_probe_grid(data, target, untrained, seed=seed, **options)


def collect_with_untrained(
    model: RecurrentTransformer,
    graphs: Sequence[ComputationGraph],
    sites: Sequence[str | Site] = SITES,
    positions: Any = "rhs",
    n_steps: int | None = None,
    seed: int = 0,
) -> tuple[ActivationDataset, ActivationDataset]:
    """Activations of ``model``, and of an untrained model of the same shape (initialised with ``seed``).

    Both enter every step with the same discrete state, that of ``model``'s run. A continuous model has no such state:
    the untrained one then runs by itself, as many steps.

    Raises:
        SiteError, ValueError: as :func:`interp.collect`.
    """
    data = collect(model, graphs, sites, positions, n_steps)
    control = model.untrained(seed).eval()
    if model.cfg.bottleneck == "continuous":
        return data, collect(control, graphs, sites, positions, data.n_steps)
    states = model.run(list(graphs), n_steps=data.n_steps).states[: data.n_steps]
    return data, collect(control, graphs, sites, positions, data.n_steps, states)
