"""Attribution patching: what a patch at each site would do, for all sites at once, from one gradient.

    score(site) = (activation_source - activation_base) . d metric / d activation_base

summed over what the site takes in (Nanda 2023; Syed et al. 2023). Denoising runs the corrupt graph and takes values
from the clean run; noising exchanges the two. The score estimates the change of the metric that
:func:`interp.causal.patching.patch_sweep` measures. For the ``state``, whose symbols have no derivative, activations
are the embeddings of the symbols.

Across steps a discrete model has no gradient: the snap to symbols is constant almost everywhere. So there are two
estimators, and they answer different questions.

    straight_through   the snap counts as ``softmax(logits / temperature)`` in the backward pass (Bengio et al. 2013;
                       ``model.forward(estimator="straight_through")``), at every step. Sites at any step. A sure
                       symbol has a softmax that hardly moves, so these scores are small where the model is sure,
                       although a patch that turns the symbol over has its full effect: a heuristic, to be compared.
    none               the exact derivative, which reaches no farther back than the last step: sites must be in the
                       last step of the run (``n_steps`` chooses which step that is), whose logits the metric reads.

A model without a bottleneck needs no estimator; there ``none`` is exact at all steps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
import torch
from numpy.typing import NDArray
from torch import Tensor

from interp.causal.agreement import Agreement, frame_of
from interp.causal.loop_attribution import loop_attribution
from interp.causal.normalising import Direction, base_and_source, normalised
from interp.causal.patching import PatchSweep, patch_sweep, record_pair
from interp.causal.value_metric import ValueMetric
from interp.engine.interventions import Recording, at
from interp.engine.sites import Place, Site, SiteError, resolve
from interp.loop.either import also_for_loops
from models.graph import ComputationGraph
from models.hooks import StepHookPoint
from models.one_line import one_line
from models.recurrent import RecurrentTransformer

Estimator = Literal["straight_through", "none"]


@one_line
@dataclass(frozen=True, eq=False)
class AttributionSweep:
    """Estimated effects of patching each site alone.

    Attributes:
        sites: one for each score.
        scores: float [site]; estimated change of the metric.
        clean, corrupt: the metric of the two runs.
        metric: what is read at the last step, and of which nodes.
        direction: ``denoise`` (base run corrupt) or ``noise`` (base run clean).
        estimator: how gradients cross the bottleneck.
        base, source: the run that would be patched, and the one values would come from.
    """

    sites: tuple[Site, ...]
    scores: NDArray[np.float64]
    clean: float
    corrupt: float
    metric: ValueMetric
    direction: Direction
    estimator: Estimator
    base: Recording
    source: Recording

    @property
    def n_steps(self) -> int:
        """Length of the runs."""
        return self.base.n_steps

    @property
    def raw(self) -> NDArray[np.float64]:
        """Estimated metric of each patched run, float [site]."""
        return (self.corrupt if self.direction == "denoise" else self.clean) + self.scores

    @property
    def normalised(self) -> NDArray[np.float64]:
        """:attr:`raw` on the scale where 0 is the corrupt run and 1 the clean one; nan where these are equal."""
        return normalised(self.raw, self.clean, self.corrupt)

    def to_frame(self) -> pd.DataFrame:
        """One row per site: its text and parts, ``score``, ``raw``, ``normalised``."""
        return frame_of(self.sites, score=self.scores, raw=self.raw, normalised=self.normalised)

    def exact(self, progress: Callable[[int, int], None] | None = None) -> PatchSweep:
        """The same sites patched, metric and all else being equal."""
        denoise = self.direction == "denoise"
        clean, corrupt = (self.source, self.base) if denoise else (self.base, self.source)
        return patch_sweep(
            self.base.model,
            clean.graph,
            corrupt.graph,
            self.sites,
            metric=self.metric.name,
            direction=self.direction,
            nodes=self.metric.nodes,
            n_steps=self.n_steps,
            progress=progress,
        )

    def compare(self, exact: PatchSweep | None = None) -> Agreement:
        """Scores beside the effects of patching; ``exact`` is :meth:`exact` where that has been computed already.

        Raises:
            ValueError: a sweep of something else.
        """
        exact = self.exact() if exact is None else exact
        own = (self.sites, self.metric.name, self.metric.nodes, self.direction, self.n_steps)
        if own != (exact.sites, exact.metric, exact.nodes, exact.direction, exact.n_steps):
            raise ValueError(
                "the sweep was made with other sites, metric, nodes, direction or n_steps; allowed: the same"
            )
        effects = exact.raw - (exact.corrupt if self.direction == "denoise" else exact.clean)
        return Agreement(f"attribution ({self.estimator})", self.sites, self.scores, effects)


@also_for_loops(loop_attribution)
def attribution_sweep(
    model: RecurrentTransformer,
    clean: ComputationGraph,
    corrupt: ComputationGraph,
    sites: Sequence[Site],
    metric: str = "logit_diff",
    direction: Direction = "denoise",
    nodes: Sequence[int | str] | None = None,
    n_steps: int | None = None,
    estimator: Estimator = "straight_through",
) -> AttributionSweep:
    """Score every site by its gradient; two runs and one backward pass for all of them.

    Of another looped model arguments and result are those of :func:`interp.loop_attribution`.

    Args:
        clean, corrupt: graphs with texts of the same length.
        sites: where; a site with step "all" is the sum over the steps.
        metric: ``logit_diff`` or ``prob``, read at the last step's logits.
        direction: ``denoise`` or ``noise``.
        nodes: which the metric reads, as indices or names; default: those at which the two runs end differently.
        n_steps: length of both runs; default: the longer of the two.
        estimator: ``straight_through``, or ``none`` for sites of the last step.

    Raises:
        ValueError: an argument outside what is allowed; no site; texts of different length; a model in training mode.
        SiteError: a site that does not exist, or that no gradient reaches with estimator "none".

    Examples:
        >>> from interp import Site, attribution_sweep
        >>> from models import ComputationGraph, load
        >>> model = load("compiled")
        >>> clean = ComputationGraph.parse("20 = a; 2 = b; a + b = c")
        >>> corrupt = ComputationGraph.parse("7 = a; 2 = b; a + b = c")
        >>> sites = [Site("resid_post", step=1, layer=2, pos=f"rhs:{name}") for name in "abc"]
        >>> found = attribution_sweep(model, clean, corrupt, sites, n_steps=2)
        >>> found.to_frame().shape[0]
        3
    """
    for name, given, allowed in (
        ("direction", direction, get_args(Direction)),
        ("estimator", estimator, get_args(Estimator)),
    ):
        if given not in allowed:
            raise ValueError(f"{name} is {given!r}; allowed are {', '.join(allowed)}")
    if not sites:
        raise ValueError("there are no sites; allowed is at least one")
    if model.training:
        raise ValueError(
            "the model is in training mode, where two runs may differ by chance; call model.eval()"
        )
    runs = record_pair(model, clean, corrupt, n_steps)
    smooth, steps = ValueMetric.of(runs, metric, nodes), runs[0].n_steps
    base, source = base_and_source(*runs, direction)
    placed = [_placed(site, model, base, steps, estimator) for site in sites]
    wanted = list(dict.fromkeys((place.hook_name, step) for place, at_steps in placed for step in at_steps))
    effects = _effects(model, base, source, wanted, smooth, estimator)
    scores: list[float] = []
    for place, at_steps in placed:
        parts = [at(effects[place.hook_name, step], place, model.vocabulary) for step in at_steps]
        scores.append(sum(float(part.sum()) for part in parts))
    measured = [float(smooth(run.activation("hook_logits", steps - 1)[None])[0]) for run in runs]
    return AttributionSweep(
        sites=tuple(sites),
        scores=np.array(scores),
        clean=measured[0],
        corrupt=measured[1],
        metric=smooth,
        direction=direction,
        estimator=estimator,
        base=base,
        source=source,
    )


def _placed(
    site: Site, model: RecurrentTransformer, base: Recording, n_steps: int, estimator: Estimator
) -> tuple[Place, list[int]]:
    """A site looked up, and the steps it is at."""
    steps = list(range(n_steps)) if site.step == "all" else [site.step]
    if steps[-1] >= n_steps:
        raise SiteError(f"{site}: step {steps[-1]} is beyond the run, which has steps 0..{n_steps - 1}")
    discrete = model.cfg.bottleneck == "discrete"
    if discrete and estimator == "none" and steps != [n_steps - 1]:
        raise SiteError(
            f"{site}: without an estimator only step {n_steps - 1}, whose logits the metric reads, has a gradient; "
            "choose it by n_steps, or estimator='straight_through'"
        )
    if not discrete and site.name == "state" and steps[-1] > 0:
        raise SiteError(f"{site}: this model passes on a hidden state, so its symbols enter at step 0 only")
    return resolve(site, model, base.encoded), steps


def _effects(
    model: RecurrentTransformer,
    base: Recording,
    source: Recording,
    wanted: Sequence[tuple[str, int]],
    metric: ValueMetric,
    estimator: Estimator,
) -> dict[tuple[str, int], Tensor]:
    """Difference times gradient at each (hook name, step), in the shape of the activation without batch."""
    read = {(name, step): ("hook_embed" if name == "hook_state" else name, step) for name, step in wanted}
    for run in (base, source):
        run.keep(wanted)
    gradients = _gradients(model, base, set(read.values()), metric, estimator)
    effects: dict[tuple[str, int], Tensor] = {}
    for key in wanted:
        ends = [run.activation(*key) for run in (base, source)]
        gradient = gradients[read[key]]
        if key[0] == "hook_state":
            by_factor = [_embedded(model, end) for end in ends]
            effects[key] = ((by_factor[1] - by_factor[0]) * gradient[:, None]).sum(-1)
        else:
            # Masked scores are -inf in both runs; what is the same has no effect.
            difference = torch.where(ends[0] == ends[1], 0.0, ends[1] - ends[0])
            effects[key] = difference * gradient
    return effects


def _embedded(model: RecurrentTransformer, state: Tensor) -> Tensor:
    """The embedding of each factor's symbol, [pos, factor, d_model]."""
    return model.W_E.detach()[state + torch.tensor(model.vocabulary.offsets, device=state.device)]


def _gradients(
    model: RecurrentTransformer,
    base: Recording,
    wanted: set[tuple[str, int]],
    metric: ValueMetric,
    estimator: Estimator,
) -> dict[tuple[str, int], Tensor]:
    """Gradient of the metric at each (hook name, step) of the base run; zeros where the metric does not depend on
    it. No parameter is given one.
    """
    live: dict[tuple[str, int], Tensor] = {}

    def enter(embed: Tensor, hook: StepHookPoint) -> Tensor:
        return embed.detach().requires_grad_()

    def keep(activation: Tensor, hook: StepHookPoint) -> None:
        live[hook.plain_name, hook.step] = activation

    hooks: list[tuple[str, Callable[..., Any]]] = [("steps.0.hook_embed", enter)]
    hooks += [(f"steps.{step}.{name}", keep) for name, step in wanted]
    with torch.enable_grad(), model.hooks(fwd_hooks=hooks):
        logits = model.forward(base.encoded, n_steps=base.n_steps, estimator=estimator)
        measured = metric(logits[-1])[0]
        found = torch.autograd.grad(measured, list(live.values()), allow_unused=True, materialize_grads=True)
    return {key: gradient[0] for key, gradient in zip(live, found, strict=True)}
