"""A certificate that composes: how sure one step is, and what follows for runs of T steps.

A discrete state is all that enters a step, so a run of T steps is T separate steps, and a claim about one step, made of
the states that runs pass through, is a claim about runs. Two kinds of states are asked, one step each, and the WHOLE
next state of the model has to be the algorithm's (:mod:`interp.oracle_step`):

    on trajectory    the algorithm's own states: of every graph the one that enters step t, for every t
    off trajectory   states of these with one code replaced (:mod:`interp.codebook.code_edits`), drawn by cells of
                     step x depth x factor: as many edits for every cell that has any; within it graph, token and code
                     are drawn uniformly

On trajectory there is one state a graph and step, so the states of a step are independent draws and Wilson's interval
applies. A run that is right until step t enters it in the algorithm's state; hence, whatever happens after a mistake,

    P(some state of the first T differs) <= sum over t < T of P(step t differs on trajectory)

and with 1 - (Wilson's lower bound) for each term the sum bounds it. It is set beside runs of OTHER graphs of the same
distribution, of which those are counted that have differed in any token by then. The bounds of single steps hold at
their confidence each; for all T of them together it is given for 1 - (1 - confidence) / T (Bonferroni).

The control is a model that ignores the edit: its answer to an edited state is its step from the state without the
edit. Of the values that the edit affects it has none right where its own step was right.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
import torch
from numpy.typing import NDArray
from torch import Tensor

from interp.codebook.code_edits import FACTOR_OF, KINDS, CodeEdit, codes_at, targets_of
from interp.codebook.code_interventions import layout_of, score_edits
from interp.oracle_step import oracle_step
from interp.statistics.shares import Share, wilson_interval
from models.graph import ComputationGraph
from models.one_line import one_line
from models.recurrent import RecurrentTransformer
from models.trajectory import Trajectory
from models.vocabulary import FACTORS, EncodedGraphs

if TYPE_CHECKING:
    import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]

CONFIDENCE = 0.95


@one_line
@dataclass(frozen=True, eq=False)
class Certificate:
    """How sure one step is, and what follows.

    Attributes:
        agrees: bool [step, graph], whether the model's step from the algorithm's state is the algorithm's.
        edits: a row per edit, as :class:`interp.codebook.code_interventions.CodeInterventions` has them.
        cells: how many cells of step x depth x factor the edits were drawn from.
        differed: int [other graph], the first state of a run that is not the algorithm's; -1 where none is.
        confidence: of the intervals.
    """

    agrees: NDArray[np.bool_]
    edits: pd.DataFrame
    cells: int
    differed: NDArray[np.int64]
    confidence: float

    @property
    def n_steps(self) -> int:
        """How many steps there is a bound for."""
        return len(self.agrees)

    @property
    def on(self) -> Share:
        """Steps on trajectory that are the algorithm's, all steps and graphs."""
        return Share.of(self.agrees)

    @property
    def off(self) -> Share:
        """Edits after which the whole next state is the algorithm's."""
        return Share.of(self._column("exact"))

    @property
    def affected(self) -> Share:
        """Values that the edits affect and that are written as the algorithm does."""
        return Share(int(self._column("affected_right").sum()), int(self._column("affected").sum()))

    @property
    def ignored(self) -> Share:
        """The same of a model that ignores the edits."""
        return Share(int(self._column("affected_ignored").sum()), int(self._column("affected").sum()))

    def steps(self) -> pd.DataFrame:
        """A row per step: step; on trajectory agree, states, low (Wilson's lower bound); off trajectory edits, exact,
        edits_low; for runs up to and with this step bound, bound_all (Bonferroni), differed, runs, observed,
        observed_low, observed_high.
        """
        n_states, total = self.agrees.shape[1], 0.0
        rows: list[dict[str, Any]] = []
        step_of, exact = self._column("step"), self._column("exact")
        for step, agree in enumerate(self.agrees.sum(1).tolist()):
            low = wilson_interval(agree, n_states, self.confidence)[0]
            total += 1 - low
            together = 1 - (1 - self.confidence) / (step + 1)
            joint = sum(
                1 - wilson_interval(int(count), n_states, together)[0]
                for count in self.agrees[: step + 1].sum(1)
            )
            made = exact[step_of == step]
            runs = Share.of((self.differed >= 0) & (self.differed <= step + 1))
            rows.append(
                {
                    "step": step,
                    "agree": agree,
                    "states": n_states,
                    "low": low,
                    "edits": len(made),
                    "exact": int(made.sum()),
                    "edits_low": Share.of(made).interval[0],
                    "bound": min(1.0, total),
                    "bound_all": min(1.0, joint),
                    "differed": runs.count,
                    "runs": runs.total,
                    "observed": runs.value,
                    "observed_low": runs.interval[0],
                    "observed_high": runs.interval[1],
                }
            )
        return pd.DataFrame(rows)

    def by(self, column: str) -> pd.DataFrame:
        """Edits by ``kind``, ``depth``, ``step`` or ``factor``: edits, exact, low, high (Wilson), affected,
        affected_right, affected_ignored.
        """
        frame: Any = self.edits
        rows: list[dict[str, Any]] = []
        for value, group in frame.groupby(column):
            share = Share.of(group["exact"].to_numpy())
            low, high = share.interval
            counts = {
                name: int(group[name].sum()) for name in ("affected", "affected_right", "affected_ignored")
            }
            rows.append(
                {column: value, "edits": share.total, "exact": share.count, "low": low, "high": high} | counts
            )
        return pd.DataFrame(rows)

    def to_frame(self) -> pd.DataFrame:
        """:meth:`steps`."""
        return self.steps()

    def figure(self, width: int = 1000) -> go.Figure:
        """:func:`interp.codebook.certificate_figure.certificate_figure`."""
        from interp.codebook.certificate_figure import certificate_figure

        return certificate_figure(self, width)

    def _column(self, name: str) -> NDArray[Any]:
        frame: Any = self.edits
        return frame[name].to_numpy()


def certify(
    model: RecurrentTransformer,
    graphs: Sequence[ComputationGraph],
    others: Sequence[ComputationGraph],
    edits: int = 3000,
    seed: int = 0,
    confidence: float = CONFIDENCE,
    tokens: int = 16384,
    progress: Callable[[int, int], None] | None = None,
) -> Certificate:
    """Ask single steps on and off trajectory, and run other graphs.

    Args:
        graphs: whose states are asked.
        others: of the same distribution, which are run.
        edits: how many, about: the same number for every cell.
        tokens: positions in one forward pass, about.
        progress: called with (edits done, edits in all).

    Raises:
        ValueError: a model without a discrete state, no graphs, fewer than one edit, a confidence that is none.

    Examples:
        >>> from interp import certify
        >>> from models import ComputationGraph, load
        >>> graphs = [ComputationGraph.sample(7, seed=seed) for seed in range(8)]
        >>> found = certify(load("compiled"), graphs[:4], graphs[4:], edits=40)
        >>> found.on.value, found.off.value, found.ignored.count
        (1.0, 1.0, 0)
    """
    _check(model, graphs, others, edits, confidence)
    algorithm = algorithm_run(model, graphs)
    drawn, cells = draw_by_cell(algorithm, edits, np.random.default_rng(seed))
    return Certificate(
        _agreement(model, algorithm, tokens),
        score_edits(model, algorithm, drawn, tokens, progress),
        cells,
        _first_difference(model, others, algorithm.n_steps),
        confidence,
    )


def algorithm_run(model: RecurrentTransformer, graphs: Sequence[ComputationGraph]) -> Trajectory:
    """The algorithm's own run, as many steps as the deepest graph needs and one that changes nothing."""
    encoded, vocabulary = model.to_encoded(list(graphs)), model.vocabulary
    states = [encoded.factors]
    for _ in range(int(encoded.depths.max()) + 2):
        states.append(oracle_step(states[-1], encoded, vocabulary))
    n = len(encoded)
    return Trajectory(
        states=torch.stack(states),
        confidence=torch.ones(len(states) - 1, *encoded.factors.shape),
        encoded=encoded,
        vocabulary=vocabulary,
        fixed_point=encoded.depths.max(1).values,
        cycle=torch.ones(n, dtype=torch.int64),
        hit_bound=torch.zeros(n, dtype=torch.bool),
        bound=len(states) - 1,
    )


def draw_by_cell(run: Trajectory, edits: int, rng: np.random.Generator) -> tuple[list[CodeEdit], int]:
    """About ``edits`` edits, as many for every cell of step x depth x kind that has one; and the number of cells.

    Within a cell graph and token are uniform among all tokens of all graphs that an edit of its kind can be made at,
    the code among all that may be put in. The steps are those before a graph's run has come to rest,
    and the first at rest.
    """
    depths = run.encoded.depths
    targets: dict[tuple[int, str], list[tuple[int, int, int]]] = {}
    for graph, kind in product(range(len(run.encoded)), KINDS):
        for node, pos in targets_of(run.encoded.graphs[graph], kind, run.vocabulary):
            targets.setdefault((int(depths[graph, node]), kind), []).append((graph, node, pos))
    deepest = depths.max(1).values
    cells: list[tuple[int, str, list[tuple[int, int, int]]]] = []
    for step in range(run.n_steps):
        for (_, kind), tokens in sorted(targets.items()):
            running = [token for token in tokens if step <= int(deepest[token[0]]) + 1]
            if running:
                cells.append((step, kind, running))
    drawn: list[CodeEdit] = []
    for step, kind, tokens in cells:
        for _ in range(-(-edits // len(cells))):
            graph, node, pos = tokens[rng.integers(len(tokens))]
            codes = codes_at(run, graph, step, kind, node, pos)
            if codes:
                before = int(run.states[step, graph, pos, FACTORS.index(FACTOR_OF[kind])])
                after = codes[rng.integers(len(codes))]
                drawn.append(CodeEdit(graph, step, kind, node, pos, FACTOR_OF[kind], before, after))
    return drawn, len(cells)


def _agreement(model: RecurrentTransformer, run: Trajectory, tokens: int) -> NDArray[np.bool_]:
    """Bool [step, graph]: whether the model's step from each state of a run is the run's own."""
    lengths = run.encoded.mask.sum(1)
    order = lengths.argsort()
    agrees = np.zeros((run.n_steps, len(run.encoded)), dtype=np.bool_)
    at_once = max(1, tokens // int(lengths.max()))
    for begin in range(0, len(order), at_once):
        rows = order[begin : begin + at_once]
        layout = layout_of(run.encoded, rows, int(lengths[rows].max()))
        n_pos = layout.mask.shape[1]
        for step in range(run.n_steps):
            written = _step(model, run.states[step, rows, :n_pos], layout)
            same = (written == run.states[step + 1, rows, :n_pos]).all(-1) | ~layout.mask
            agrees[step, rows.numpy()] = same.all(-1).numpy()
    return agrees


def _step(model: RecurrentTransformer, state: Tensor, layout: EncodedGraphs) -> Tensor:
    device = model.W_E.device
    with torch.no_grad():
        return model.discretise(model.transition(state.to(device), padding=~layout.mask.to(device))).cpu()


def _first_difference(
    model: RecurrentTransformer, graphs: Sequence[ComputationGraph], n_steps: int
) -> NDArray[np.int64]:
    """Int [graph]: the first state of the model's run that is not the algorithm's, -1 where none is."""
    run = model.run(list(graphs), n_steps=n_steps)
    state = run.encoded.factors
    first = np.full(len(run.encoded), -1)
    for step in range(n_steps):
        state = oracle_step(state, run.encoded, run.vocabulary)
        differs = ((state != run.states[step + 1]).any(-1) & run.encoded.mask).any(-1).numpy()
        first[differs & (first < 0)] = step + 1
    return first


def _check(
    model: RecurrentTransformer,
    graphs: Sequence[ComputationGraph],
    others: Sequence[ComputationGraph],
    edits: int,
    confidence: float,
) -> None:
    if model.cfg.bottleneck != "discrete" or model.cfg.writes_text:
        raise ValueError(
            f"this model (method {model.cfg.method!r}) does not step from discrete state to discrete state, so single "
            "steps do not compose into a certificate of runs; allowed are models with bottleneck='discrete'"
        )
    if not graphs or not others:
        raise ValueError(
            f"there are {len(graphs)} graphs to ask and {len(others)} to run; allowed: 1 or more of each"
        )
    if edits < 1:
        raise ValueError(f"edits is {edits}; allowed is 1 or more")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}; allowed: above 0 and below 1")
