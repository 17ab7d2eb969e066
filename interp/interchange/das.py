"""Distributed alignment search over steps: does a linear subspace carry a variable, and the same one in all steps?

TransformerLens's ``fit_das`` learns an orthonormal basis whose interchange makes the model write what the algorithm
writes with the variable swapped (Geiger et al. 2024), on ``at_step``: one basis for every step, and a TIED one on the
pairs of all steps together. Both are asked about pairs of another shape of graph. Linear maps only: non-linear ones
reach 100 % on random networks (Sutter et al. 2025).

A number alone says little, so these stand beside the tied basis, of the same rank and on the same pairs:

    arbitrary     fitted to other answers: every symbol that is due is renamed by a fixed random map
    untrained     fitted on the model with its weights drawn anew
    placebo       a random subspace, moved along as far as the fitted basis moves
    random        a random subspace

A fit begins at random or, with them its controls, where a probe reads the variable (:mod:`interp.interchange.starts`).

A variable is READ where a linear probe tells it better than its commonest value, and USED where the tied basis moves
the model better than every control; a variable that is read and that no interchange moves is READ, NOT USED.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
import torch
from torch import Tensor
from transformer_lens.tools.analysis.interchange import (
    NormMatchedPlacebo,
    SubspaceInterchange,
    arbitrary_targets,
    collect_activations,
    fit_das,
    random_basis,
)

from interp.interchange.accuracy import (
    STEPS,
    check_interchangeable,
    interchange_hits,
    source_activations,
)
from interp.interchange.heads import swapped_heads
from interp.interchange.pairs import StatePairs, draw_pairs
from interp.interchange.reading import activations_at, read_variable
from interp.interchange.rows import StateRows, head_place, layer_of_place, places_of, width_of_place
from interp.interchange.shapes import HELD_OUT, TRAINED
from interp.interchange.starts import (
    PROBE_START,
    RANDOM_START,
    RATES,
    STARTS,
    TurnedView,
    probe_start,
    softened,
    turn_onto,
)
from interp.interchange.variables import FACTOR_OF, NAMES, VARIABLES
from interp.statistics.shares import Share
from models.compiled.graphs import CompiledTransformer
from models.one_line import one_line
from models.recurrent import RecurrentTransformer

if TYPE_CHECKING:
    import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]

PER_STEP, TIED, RANDOM = "per step", "tied", "random"
CONTROLS: Final = ("arbitrary", "untrained", "placebo", RANDOM)
METHODS: Final = (PER_STEP, TIED, *CONTROLS)
USED, READ, NEITHER = "used", "read, not used", "neither"
RANK: Final = 16
"""Dimensions of the subspaces, unless said otherwise."""
_BATCH: Final = 32


@one_line
@dataclass(frozen=True, eq=False)
class Alignment:
    """What DAS found.

    Attributes:
        frame: a row for every variable, method (:data:`METHODS`) and step: variable, factor, place, rank, method, step,
            hits, pairs; on held-out graphs.
        reading: a row for every variable and place: variable, place, right, commonest, total; of a ridge classifier on
            held-out graphs.
        bases: variable -> the tied basis, float [d_model, rank].
    """

    frame: pd.DataFrame
    reading: pd.DataFrame
    bases: Mapping[str, Tensor]

    @property
    def variables(self) -> tuple[str, ...]:
        """Those that were asked about."""
        return tuple(self.bases)

    def share(self, variable: str, method: str = TIED, step: int | None = None) -> Share:
        """IIA on held-out graphs, of all steps or one."""
        frame: Any = self.frame
        chosen = (frame["variable"] == variable) & (frame["method"] == method)
        if step is not None:
            chosen &= frame["step"] == step
        return Share(int(frame["hits"][chosen].sum()), int(frame["pairs"][chosen].sum()))

    def place(self, variable: str) -> str:
        """Where the variable was looked for."""
        frame: Any = self.frame
        return str(frame["place"][frame["variable"] == variable].iloc[0])

    def read(self, variable: str, place: str | None = None) -> tuple[Share, Share]:
        """What a probe gets right at the place (default: :meth:`place`), and what the commonest label does."""
        frame: Any = self.reading
        chosen = (frame["variable"] == variable) & (frame["place"] == (place or self.place(variable)))
        (row,) = frame[chosen].to_dict("records")
        return Share(row["right"], row["total"]), Share(row["commonest"], row["total"])

    def verdict_of(self, variable: str) -> str:
        """:data:`USED`, :data:`READ` or :data:`NEITHER`."""
        tied = self.share(variable)
        if all(tied.above(self.share(variable, control)) for control in CONTROLS):
            return USED
        right, commonest = self.read(variable)
        return READ if right.above(commonest) else NEITHER

    def summary(self) -> pd.DataFrame:
        """A row per variable: factor, place, rank, probe, commonest, IIA by method (``per_step``, ``tied`` and the
        controls) with the tied one's ``low`` and ``high``, pairs, verdict.
        """
        frame: Any = self.frame
        rows: list[dict[str, Any]] = []
        for variable in self.variables:
            right, commonest = self.read(variable)
            tied = self.share(variable)
            methods = {name.replace(" ", "_"): self.share(variable, name).value for name in METHODS}
            rows.append(
                {
                    "variable": variable,
                    "factor": FACTOR_OF[variable],
                    "place": self.place(variable),
                    "rank": int(frame["rank"][frame["variable"] == variable].iloc[0]),
                    "probe": right.value,
                    "commonest": commonest.value,
                    **methods,
                    "low": tied.interval[0],
                    "high": tied.interval[1],
                    "pairs": tied.total,
                    "verdict": self.verdict_of(variable),
                }
            )
        return pd.DataFrame(rows)

    def to_frame(self) -> pd.DataFrame:
        """:meth:`summary`."""
        return self.summary()

    def figure(self, width: int = 1000) -> go.Figure:
        """:func:`interp.interchange.interchange_figure.alignment_figure`."""
        from interp.interchange.interchange_figure import alignment_figure

        return alignment_figure(self, width)


def align(
    model: RecurrentTransformer,
    variables: Sequence[str] = VARIABLES,
    steps: Sequence[int] = STEPS,
    per_step: int = 256,
    held_out: int = 128,
    ranks: Mapping[str, int] | None = None,
    places: Mapping[str, str] | None = None,
    epochs: int = 60,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
    start: str = RANDOM_START,
) -> Alignment:
    """Fit a basis for every variable, per step and tied, with its controls, and ask about held-out graphs.

    Args:
        per_step, held_out: pairs of every step that are fitted to, and asked about.
        ranks: variable -> dimensions (default: :func:`default_rank`).
        places: variable -> hook name (default: :func:`default_places`).
        progress: called with (variables done, variables in all).
        start: where every fit begins, one of :data:`interp.interchange.starts.STARTS`.

    Raises:
        ValueError: an unknown variable or start, a model without a discrete state, one that cannot be resumed.
    """
    check_interchangeable(model, variables)
    if start not in STARTS:
        raise ValueError(f"start is {start!r}; allowed: {', '.join(STARTS)}")
    fit = draw_pairs(model.vocabulary, TRAINED, steps, per_step, seed)
    asked = draw_pairs(model.vocabulary, HELD_OUT, steps, held_out, seed + 1)
    where = default_places(model, variables, fit) | dict(places or {})
    width = {name: default_rank(model, where[name]) for name in variables} | dict(ranks or {})
    rows: list[dict[str, Any]] = []
    bases: dict[str, Tensor] = {}
    untrained = model.untrained(seed + 1)
    for done, variable in enumerate(variables):
        search = _Search(variable, where[variable], width[variable], steps, epochs, seed, fit, asked, start)
        found = search.on(model)
        bases[variable] = search.tied(found)
        rows += search.rows(found, untrained)
        if progress is not None:
            progress(done + 1, len(variables))
    return Alignment(pd.DataFrame(rows), _reading(model, variables, where, fit, asked), bases)


def default_places(
    model: RecurrentTransformer, variables: Sequence[str], pairs: StatePairs
) -> dict[str, str]:
    """Where each variable is looked for: behind its writer in a compiled graph solver; elsewhere in the head that moves
    at least half of the pairs when it is swapped as a whole; where there is none, names behind the first layer, values
    behind the last layer's attention. The own value at the end, what is shown at the beginning.
    """
    last = model.cfg.n_layers - 1
    first, fetched, end = (
        "blocks.0.hook_resid_post",
        f"blocks.{last}.hook_resid_mid",
        f"blocks.{last}.hook_resid_post",
    )
    found = dict.fromkeys(VARIABLES, fetched) | dict.fromkeys(NAMES, first)
    found |= {"own": end, "shown": "blocks.0.hook_resid_pre"}
    if isinstance(model, CompiledTransformer):
        found |= dict.fromkeys(("value:first", "value:middle"), "blocks.1.hook_resid_mid")
        found["partial"] = "blocks.1.hook_resid_post"
        return found
    rows = StateRows.of(model, torch.cat([pairs.base, pairs.source]), pairs.pos)
    heads = swapped_heads(rows, pairs, [name for name in variables if name not in ("own", "shown")])
    for variable in heads.variables:
        layer, head, share = heads.best(variable)
        if share.value >= 0.5:
            found[variable] = head_place(layer, head)
    return found


def default_rank(model: RecurrentTransformer, place: str) -> int:
    """:data:`RANK`, or half of the dimensions that the place has where these are fewer: a whole place is none."""
    return max(1, min(RANK, width_of_place(model, place) // 2))


def subspace_overlap(one: Tensor, other: Tensor) -> float:
    """Mean squared cosine of the principal angles of two subspaces, orthonormal columns [d_model, rank]: 1 where the
    smaller lies in the larger, 0 where they are orthogonal.
    """
    return float((one.T @ other).square().sum()) / min(one.shape[1], other.shape[1])


@dataclass(frozen=True, eq=False)
class _Fitted:
    """Rows of both sets of pairs in one model, and the bases by step; step -1 is the tied one."""

    fit: StateRows
    asked: StateRows
    bases: Mapping[int, Tensor]


@dataclass(frozen=True, eq=False)
class _Search:
    variable: str
    place: str
    rank: int
    steps: Sequence[int]
    epochs: int
    seed: int
    fit: StatePairs
    asked: StatePairs
    start: str

    def on(self, model: RecurrentTransformer, per_step: bool = True) -> _Fitted:
        """Bases of a model: the tied one, and one per step."""
        fit, asked = (
            StateRows.of(model, torch.cat([pairs.base, pairs.source]), pairs.pos, layer_of_place(self.place))
            for pairs in (self.fit, self.asked)
        )
        due = self.fit.targets[self.variable]
        bases = {-1: self._basis(fit, due)}
        if len(self.steps) == 1:
            bases[self.steps[0]] = bases[-1]
        elif per_step:
            bases |= {step: self._basis(fit, due, step) for step in self.steps}
        return _Fitted(fit, asked, bases)

    @staticmethod
    def tied(found: _Fitted) -> Tensor:
        return found.bases[-1]

    def rows(self, found: _Fitted, untrained: RecurrentTransformer) -> list[dict[str, Any]]:
        """The frame's rows of every method."""
        classes = untrained.vocabulary.modulus
        renamed = arbitrary_targets(list(range(classes + 2)), classes, self.seed)
        other = self._basis(found.fit, renamed[self.fit.targets[self.variable]])
        drawn = random_basis(len(other), self.rank, self.seed)
        tied = self.tied(found)
        anew = self.on(untrained, per_step=False)
        due = self.asked.targets[self.variable]
        hits = {
            PER_STEP: self._per_step(found),
            TIED: self._hits(found.asked, tied, due),
            "arbitrary": self._hits(found.asked, other, renamed[due]),
            "untrained": self._hits(anew.asked, self.tied(anew), due),
            "placebo": self._hits(found.asked, NormMatchedPlacebo(SubspaceInterchange(tied), drawn), due),
            RANDOM: self._hits(found.asked, drawn, due),
        }
        chosen = self.asked.asked[self.variable]
        return [
            {
                "variable": self.variable,
                "factor": FACTOR_OF[self.variable],
                "place": self.place,
                "rank": self.rank,
                "method": method,
                "step": step,
                "hits": int((hit & chosen & (self.asked.step == step)).sum()),
                "pairs": int((chosen & (self.asked.step == step)).sum()),
            }
            for method, hit in hits.items()
            for step in self.steps
        ]

    def _basis(self, rows: StateRows, due: Tensor, step: int | None = None) -> Tensor:
        drawn = torch.ones(len(self.fit), dtype=torch.bool) if step is None else self.fit.step == step
        index = (drawn & self.fit.asked[self.variable]).nonzero().flatten()
        at = torch.zeros(len(index), dtype=torch.int64)
        view, name = rows.view(step or 0, self.place)
        logits = rows.value_logits(step or 0)
        if self.start == PROBE_START:
            logits = softened(logits, index)

        def fitted(view: Any, epochs: int) -> Tensor:
            return fit_das(
                view, name, index, index + len(self.fit), due[index], logits, rank=self.rank, base_positions=at,
                source_positions=at, epochs=epochs, batch_size=_BATCH, lr=RATES[self.start], seed=self.seed,
            ).basis  # fmt: skip

        if self.start == RANDOM_START:
            return fitted(view, self.epochs)
        told = drawn.nonzero().flatten()  # a probe needs no answer, so that it is given every base
        bases = collect_activations(view, name, told, logits, positions=torch.zeros_like(told))
        first = probe_start(bases, self.fit.labels[self.variable][told], self.rank, self.seed)
        if first is None:
            return fitted(view, self.epochs)
        turn = turn_onto(fitted(view, 0), first)
        return turn @ fitted(TurnedView(view, turn), self.epochs)

    def _hits(self, rows: StateRows, basis: Any, due: Tensor) -> Tensor:
        sources = source_activations(rows, self.place, len(self.asked))
        return interchange_hits(rows, self.asked, self.place, basis, due, sources)

    def _per_step(self, found: _Fitted) -> Tensor:
        hits = torch.zeros(len(self.asked), dtype=torch.bool)
        due = self.asked.targets[self.variable]
        for step in self.steps:
            own = self.asked.step == step
            hits |= own & self._hits(found.asked, found.bases[step], due)
        return hits


def _reading(
    model: RecurrentTransformer,
    variables: Sequence[str],
    where: Mapping[str, str],
    fit: StatePairs,
    asked: StatePairs,
) -> pd.DataFrame:
    """A row for every variable and place."""
    places = tuple(dict.fromkeys([*places_of(model), *where.values()]))
    fitted = activations_at(model, fit.base, fit.pos, places)
    held = activations_at(model, asked.base, asked.pos, places)
    rows: list[dict[str, Any]] = []
    for variable in variables:
        for place in places:
            right, commonest = read_variable(
                fitted[place], fit.labels[variable], held[place], asked.labels[variable]
            )
            rows.append(
                {
                    "variable": variable,
                    "place": place,
                    "right": right.count,
                    "commonest": commonest.count,
                    "total": right.total,
                }
            )
    return pd.DataFrame(rows)
