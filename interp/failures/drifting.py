"""How a continuous model drifts: its hidden state beside the embedding of the state a perfect run would be in.

    distance    ||h_t - e_t|| / ||e_t||, h_t being what enters step t at one token and e_t the embedding of the right
                discrete state there (:mod:`interp.failures.schedule`)
    own         the same against the embedding of the state that h_t itself is read as: large where h has left all
                embeddings, small where it stands near one that may be wrong
    another     the yardstick: ||e - e'|| / ||e|| of the right embeddings of two right-hand sides of a graph that show
                different values or names

Means over tokens, right-hand sides (where values have to be computed) and the rest of the text (which has only to be
copied) apart. Beside it, of every factor the share of tokens that are read right: syntax, variable and operation
everywhere and the given numbers of the leaves are copied; values at right-hand sides are computed, and count as right
where they are the perfect run's, EMPTY before they are due.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
import torch
from numpy.typing import NDArray
from torch import Tensor

from interp.failures.schedule import by_size, right_state
from interp.statistics.counted import percent
from interp.statistics.shares import Share
from models.graph import ComputationGraph
from models.one_line import one_line
from models.recurrent import RecurrentTransformer
from models.vocabulary import SYNTAX, EncodedGraphs

if TYPE_CHECKING:
    import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]

Floats = NDArray[np.float64]
COPIED: Final = ("syntax", "variable", "operation", "given")
MEASURES: Final = (
    *("rhs_distance", "text_distance", "rhs_own", "text_own"),
    *(f"{name}_right" for name in (*COPIED, "value")),
)
Between = Callable[[int, Tensor, Tensor], Tensor]
"""(step, hidden state that the step left [batch, pos, d], symbols it is read as [batch, pos, factor]) -> what enters
the next step."""


@one_line
@dataclass(frozen=True, eq=False)
class Drifting:
    """Means over all tokens of a kind of all graphs of a size.

    Attributes:
        measures: nodes of the graphs -> float [state, measure], measures as :data:`MEASURES`; state t enters step t,
            state 0 is the embedding of the text itself. tokens: the same, int, of how many tokens it is the mean.
        another: nodes of the graphs -> the yardstick.
        needed: nodes of the graphs -> the largest number of steps that one of them needs, depth + 1.
        n_graphs: nodes of the graphs -> how many.
    """

    measures: dict[int, Floats]
    tokens: dict[int, NDArray[np.int64]]
    another: dict[int, float]
    needed: dict[int, int]
    n_graphs: dict[int, int]

    def of(self, measure: str, size: int) -> Floats:
        """[state] of one measure.

        Raises:
            ValueError: an unknown measure.
        """
        if measure not in MEASURES:
            raise ValueError(f"measure is {measure!r}; allowed: {', '.join(MEASURES)}")
        return self.measures[size][:, MEASURES.index(measure)]

    def share(self, factor: str, size: int, state: int) -> Share:
        """Tokens whose factor is read right as a step is entered.

        Raises:
            ValueError: an unknown factor.
        """
        total = int(self.tokens[size][state, MEASURES.index(f"{factor}_right")])
        return Share(round(float(self.of(f"{factor}_right", size)[state]) * total), total)

    def to_frame(self) -> pd.DataFrame:
        """A row per size and state: nodes, state, needed, another, and the measures."""
        parts: list[pd.DataFrame] = []
        for size, values in self.measures.items():
            part: Any = pd.DataFrame(values, columns=list(MEASURES))
            part.insert(0, "state", np.arange(len(values)))
            part.insert(0, "nodes", size)
            parts.append(part.assign(needed=self.needed[size], another=self.another[size]))
        return pd.concat(parts, ignore_index=True)

    def figure(self) -> go.Figure:
        """:func:`interp.failures.failing_runs_figure.drifting_figure`."""
        from interp.failures.failing_runs_figure import drifting_figure

        return drifting_figure(self)

    def verdict(self) -> str:
        """How far it is when it should be done and at the end, of the largest size, and what is lost first."""
        size = max(self.measures)
        done, end = self.needed[size], len(self.measures[size]) - 1
        distance, own, values = (self.of(name, size) for name in ("rhs_distance", "rhs_own", "value_right"))
        copied = np.min([self.of(f"{name}_right", size) for name in COPIED], axis=0)
        worst = COPIED[int(np.argmin([self.of(f"{name}_right", size)[end] for name in COPIED]))]
        return (
            f"at {size} nodes the hidden state at right-hand sides is {distance[done]:.2f} lengths of an embedding "
            f"away from the embedding of the right symbols after {done} steps and {distance[end]:.2f} after {end}; "
            f"from that of the symbols it is read as, {own[done]:.2f} and {own[end]:.2f}. Two different nodes are "
            f"{self.another[size]:.2f} apart. Values are read right in {percent(values[done])} and "
            f"{percent(values[end])} of nodes; of the factors that are only copied the worst, {worst}, in "
            f"{percent(copied[done])} and {percent(copied[end])} of tokens"
        )


def need_hidden(model: RecurrentTransformer) -> None:
    """Raises ValueError for a model that does not pass on a hidden state until nothing changes."""
    if model.cfg.writes_text or model.cfg.default_steps is not None:
        raise ValueError(
            f"a model of method {model.cfg.method!r} is not trained to show the algorithm's state after every step, so "
            "there is no right state by step; allowed: models that step until nothing changes"
        )


@torch.no_grad()
def hidden_steps(
    model: RecurrentTransformer, encoded: EncodedGraphs, n_steps: int, between: Between | None = None
) -> Iterator[tuple[Tensor, Tensor]]:
    """Of every state of a run what enters the next step, float [batch, pos, d_model], and the symbols it shows, int
    [batch, pos, factor]: the text first, then what each step made, ``n_steps`` + 1 in all.

    between: what enters the next step (default: the hidden state of a continuous model, the embedding of the symbols
    of a discrete one, which makes the run that of ``model.run``).
    """
    device = model.W_E.device
    initial, padding = encoded.factors.to(device), ~encoded.mask.to(device)
    entering, state = model.embed_state(initial), initial
    passed = _passed_on(model) if between is None else between
    yield entering, state
    key_mask = ~padding if model.cfg.attention_dir == "bidirectional" else None
    for step in range(n_steps):
        hidden = model.step(entering, 0, key_mask)
        state = torch.where(padding[..., None], initial, model.discretise(model.unembed(hidden)))
        entering = passed(step, hidden, state)
        yield entering, state


def _passed_on(model: RecurrentTransformer) -> Between:
    if model.cfg.bottleneck == "continuous":
        return lambda step, hidden, state: hidden
    return lambda step, hidden, state: model.embed_state(state)


@torch.no_grad()
def drifting(
    model: RecurrentTransformer, graphs: Sequence[ComputationGraph], longest: int = 3, seed: int = 0
) -> Drifting:
    """Run the graphs ``longest`` times as many steps as the deepest of their size needs, and measure every state.

    seed: of the pairs of right-hand sides behind the yardstick.

    Raises:
        ValueError: longest below 1, no graphs, or a model without states by step. VocabularyError: a graph the model
            cannot read.
    """
    need_hidden(model)
    if longest < 1:
        raise ValueError(f"longest is {longest}; allowed: 1 or more")
    needed: dict[int, int] = {}
    for graph in graphs:
        needed[len(graph)] = max(needed.get(len(graph), 0), max(graph.depths_by_node) + 1)
    sums: dict[int, Floats] = {}
    counts: dict[int, Floats] = {}
    far: dict[int, list[Tensor]] = {}
    n_graphs: dict[int, int] = {}
    rng = torch.Generator().manual_seed(seed)
    for size, indices, encoded in by_size(model, graphs):
        n_steps = longest * needed[size]
        total = sums.setdefault(size, np.zeros((n_steps + 1, len(MEASURES))))
        count = counts.setdefault(size, np.zeros((n_steps + 1, len(MEASURES))))
        kinds = _Kinds(encoded)
        for t, (hidden, state) in enumerate(hidden_steps(model, encoded, n_steps)):
            right = right_state(encoded, t, model.vocabulary.empty)
            parts = kinds.measured(model, hidden.cpu(), state.cpu(), right)
            total[t] += [float(part.double().sum()) for part in parts]
            count[t] += [part.numel() for part in parts]
        n_graphs[size] = n_graphs.get(size, 0) + len(indices)
        far.setdefault(size, []).append(_between_nodes(model, encoded, rng))
    with np.errstate(invalid="ignore"):
        means = {size: sums[size] / counts[size] for size in sums}
    tokens = {size: count.astype(np.int64) for size, count in counts.items()}
    another = {size: float(torch.cat(parts).mean()) for size, parts in far.items()}
    return Drifting(means, tokens, another, needed, n_graphs)


class _Kinds:
    """Which tokens are what."""

    def __init__(self, encoded: EncodedGraphs) -> None:
        self.rhs = torch.zeros_like(encoded.mask)
        row, node = (encoded.rhs >= 0).nonzero(as_tuple=True)
        self.rhs[row, encoded.rhs[row, node]] = True
        self.text = encoded.mask & ~self.rhs
        self.real = encoded.mask
        self.leaf = encoded.mask & (encoded.factors[..., 0] == SYNTAX.index("value"))

    def measured(
        self, model: RecurrentTransformer, hidden: Tensor, state: Tensor, right: Tensor
    ) -> list[Tensor]:
        """Of every measure the values at its tokens."""
        device = model.W_E.device
        to_right = _relative(hidden, model.embed_state(right.to(device)).cpu())
        to_own = _relative(hidden, model.embed_state(state.to(device)).cpu())
        same = state == right
        copied = [same[..., factor][self.real] for factor in range(3)]
        return [
            *(distance[at] for distance in (to_right, to_own) for at in (self.rhs, self.text)),
            *copied,
            same[..., 3][self.leaf],
            same[..., 3][self.rhs],
        ]


def _relative(hidden: Tensor, embedded: Tensor) -> Tensor:
    return length(hidden - embedded) / length(embedded).clamp_min(1e-12)


def length(vectors: Tensor) -> Tensor:
    """Euclidean, over the last axis."""
    return vectors.square().sum(-1).sqrt()


def _between_nodes(model: RecurrentTransformer, encoded: EncodedGraphs, rng: torch.Generator) -> Tensor:
    """Distances of the right final embeddings of every node and one drawn of the same graph, [pair]; without pairs of
    one and the same.
    """
    last = int(encoded.depths.max()) + 1
    embedded = model.embed_state(
        right_state(encoded, last, model.vocabulary.empty).to(model.W_E.device)
    ).cpu()
    found: list[Tensor] = []
    for row, graph in enumerate(encoded.graphs):
        at = encoded.rhs[row, : len(graph)]
        other = at[torch.randint(len(graph), (len(graph),), generator=rng)]
        kept = at != other
        found.append(_relative(embedded[row, other[kept]], embedded[row, at[kept]]))
    return torch.cat(found)
