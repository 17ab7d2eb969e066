"""The logit lens by step: every residual state of every layer of every step, read as if the step ended there.

A residual state goes through the final LN and the model's own readout of one factor (nostalgebraist 2020, "interpreting
GPT: the logit lens"): ``log_softmax((LN_final(h) W_U + b_U)[factor])``. Layer points are named as TransformerLens's
``ActivationCache.accumulated_resid`` names them: ``0_pre, 0_mid, 1_pre, ..., final_post``; at the last one the lens is
the step's own readout. (TransformerLens's ``logit_lens`` ranks over the whole of ``W_U``; the four factors are separate
softmaxes, so here everything is inside one factor's slice.)

rank     1 + symbols with a larger logit + half of those with the same: 1 is the best alone, and a readout that says
         nothing has the mean rank, not a good one.
content  the symbols that say something: all but N/A and EMPTY. A step has to write EMPTY while a node waits, so whether
         its value is readable all the same is asked among the content symbols.
status   of a node in the state entering a step, by its depth d and the synchronous schedule (`interp.data.labels`):
         waiting (step < d), computing (step = d: this step has to write the value), done (step > d).

An accuracy is not evidence on its own: beside the share of nodes whose true symbol is the best content symbol stands
``shuffled``, the same share with the truth of another row of the same step and status, exactly, over all such pairs.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
import torch
from numpy.typing import NDArray
from torch import Tensor

from interp.data.collecting import collect
from interp.data.labels import STATUSES, check_positions
from interp.lenses.loop_lens import loop_lens
from interp.lenses.readout import (
    best_alone,
    check_factor,
    content_symbols,
    layer_points,
    rank_of,
    read_factor,
    readings,
    shuffled_share,
    to_tensor,
    true_symbols,
)
from interp.loop.either import also_for_loops
from interp.npz import read_npz, write_npz
from models.graph import ComputationGraph
from models.one_line import one_line
from models.recurrent import RecurrentTransformer
from models.tokens import ModelInput

if TYPE_CHECKING:
    import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]

    from interp.data.datasets import ActivationDataset

SHARES: Final = ("best", "content_best", "written_best")
METRICS: Final = (*SHARES, "rank", "prob", "content_rank", "kl")
"""What :meth:`StepLens.summary` has a column for, beside ``shuffled``."""
Translate = Callable[[Tensor, int, int], Tensor]
"""(hidden float [row, d_model], step, layer point) -> hidden of the same shape that is read instead."""


@one_line
@dataclass(frozen=True, eq=False)
class StepLens:
    """What every residual state says about one factor.

    Attributes:
        factor: which readout; ``symbols`` are its symbols.
        points: names of the layer points.
        graphs: those that were run.
        labels: a line per row (token): ``graph``, ``node``, ``pos``, ``depth`` and the others of
            :mod:`interp.data.labels`.
        status: int [step, row]; index into :data:`interp.data.labels.STATUSES`.
        true: int [row]; the true symbol: of the value factor the value of the node that stands there, else what the
            text has there.
        rank, log_prob: float [step, point, row]; of the true symbol, in the factor's slice; natural logarithm.
        content_rank: float [step, point, row]; rank of the true symbol among the content symbols; nan where it is none.
        content_read: int [step, point, row]; the best content symbol, -1 where several share the place.
        written: int [step, row]; the symbol that the step writes.
        written_rank: float [step, point, row]; its rank.
        kl: float [step, point, row]; nats: KL(the step's own readout || what is read here), in the factor's slice.
    """

    factor: str
    symbols: tuple[str, ...]
    points: tuple[str, ...]
    graphs: tuple[ComputationGraph, ...]
    labels: pd.DataFrame
    status: NDArray[np.int64]
    true: NDArray[np.int64]
    rank: NDArray[np.float32]
    log_prob: NDArray[np.float32]
    content_rank: NDArray[np.float32]
    content_read: NDArray[np.int64]
    written: NDArray[np.int64]
    written_rank: NDArray[np.float32]
    kl: NDArray[np.float32]

    @property
    def n_steps(self) -> int:
        """How many steps were read."""
        return len(self.rank)

    @property
    def prob(self) -> NDArray[np.float32]:
        """Float [step, point, row]: probability of the true symbol in the factor's slice."""
        return np.exp(self.log_prob)

    def to_frame(self) -> pd.DataFrame:
        """A line per step, layer point and row: its graph, node, position, depth and status, and what is read."""
        step, point, row = (axis.ravel() for axis in np.indices(self.rank.shape))
        columns: dict[str, Any] = {"step": step, "point": np.array(self.points)[point]}
        columns |= {name: self._label(name)[row] for name in ("graph", "node", "pos", "depth")}
        columns |= {"status": np.array(STATUSES)[self.status[step, row]], "true": self.true[row]}
        for name in ("rank", "prob", "content_rank", "content_read", "written_rank", "kl"):
            columns[name] = getattr(self, name).ravel()
        return pd.DataFrame(columns)

    def summary(self, by_step: bool = False, by: str | None = None) -> pd.DataFrame:
        """Means over rows: a line per status and layer point; also by step, and by a label (``n_operands``), if asked.

        Columns: ``n`` rows (of all steps together, unless by step); mean ``rank``, ``prob`` and ``content_rank``;
        ``best`` and ``content_best``: the share of rows in which the true symbol is rank 1; ``shuffled``:
        ``content_best`` with the truth of another row of the same step (and status, and label), nan where there is one
        row only; ``written_best``: the share in which the symbol that the step writes is rank 1; mean ``kl``.

        Raises:
            ValueError: an unknown label.
        """
        if by is not None and by not in self.labels:
            raise ValueError(f"there is no label {by!r}; there are {', '.join(self.labels)}")
        label = np.zeros(len(self.true)) if by is None else self._label(by)
        records: list[dict[str, Any]] = []
        for status, name in enumerate(STATUSES):
            for value in np.unique(label):
                key = {"status": name} | ({} if by is None else {by: value})
                for step in range(self.n_steps):
                    chosen = (self.status[step] == status) & (label == value)
                    records += self._means(key | {"step": step}, step, chosen)
        frame = pd.DataFrame(records)
        return frame if by_step else _over_steps(frame, [*(["status", by] if by else ["status"]), "point"])

    def _means(self, key: dict[str, Any], step: int, chosen: NDArray[np.bool_]) -> Iterator[dict[str, Any]]:
        """A record a layer point, of the rows ``chosen``: bool [row]."""
        n, true = int(chosen.sum()), self.true[chosen]
        for index, point in enumerate(self.points if n else ()):
            rank, content = self.rank[step, index, chosen], self.content_rank[step, index, chosen]
            yield key | {
                "point": point,
                "n": n,
                "rank": float(rank.mean()),
                "prob": float(np.exp(self.log_prob[step, index, chosen]).mean()),
                "best": float((rank == 1).mean()),
                "content_rank": float(content.mean()),
                "content_best": float((content == 1).mean()),
                "shuffled": shuffled_share(self.content_read[step, index, chosen], true, len(self.symbols)),
                "written_best": float((self.written_rank[step, index, chosen] == 1).mean()),
                "kl": float(self.kl[step, index, chosen].mean()),
            }

    def appears_at(self, status: str = "computing", metric: str = "best", share: float = 0.9) -> str | None:
        """The first layer point from which on, to the last, ``metric`` of :meth:`summary` is at least ``share``.

        Raises:
            ValueError: an unknown status or metric.
        """
        if status not in STATUSES or metric not in SHARES:
            raise ValueError(
                f"status is {status!r} and metric {metric!r}; allowed are {', '.join(STATUSES)} and {', '.join(SHARES)}"
            )
        frame = cast(Any, self.summary())
        values: NDArray[np.float64] = frame.loc[frame["status"] == status, metric].to_numpy()
        reached = np.flatnonzero(np.minimum.accumulate(values[::-1])[::-1] >= share)
        return self.points[int(reached[0])] if len(reached) else None

    def select(self, chosen: NDArray[np.bool_]) -> StepLens:
        """The same for some rows; ``chosen``: bool [row]."""
        labels = cast(Any, self.labels)[chosen].reset_index(drop=True)
        return replace(
            self, labels=labels, **{name: array[..., chosen] for name, array in self._arrays().items()}
        )

    def _label(self, name: str) -> NDArray[Any]:
        return cast(Any, self.labels)[name].to_numpy()

    def _arrays(self) -> dict[str, NDArray[Any]]:
        return {name: value for name, value in vars(self).items() if isinstance(value, np.ndarray)}

    def figure(self, metric: str = "content_best", width: int = 1000) -> go.Figure:
        """:func:`interp.lenses.lens_figure.lens_figure`: averaged by status."""
        from interp.lenses.lens_figure import lens_figure

        return lens_figure(self, metric, width)

    def graph_figure(self, graph: int = 0, metric: str = "rank", width: int = 1000) -> go.Figure:
        """:func:`interp.lenses.lens_figure.lens_graph_figure`: the nodes of one graph."""
        from interp.lenses.lens_figure import lens_graph_figure

        return lens_graph_figure(self, graph, metric, width)

    def save(self, path: str | Path) -> Path:
        """Write ``path`` (``.npz`` is added where it is missing) with everything :meth:`load` needs; returns the file.

        Raises:
            models.files.WriteError: it cannot be written.
        """
        about = {
            "factor": self.factor,
            "symbols": self.symbols,
            "points": self.points,
            "graphs": [graph.to_json() for graph in self.graphs],
            "labels": json.loads(cast(Any, self.labels).to_json(orient="split")),
        }
        return write_npz(path, {"about": np.array(json.dumps(about)), **self._arrays()})

    @classmethod
    def load(cls, path: str | Path) -> StepLens:
        """The inverse of :meth:`save`: the same ``path`` names the same file."""
        arrays: dict[str, Any] = read_npz(path)
        about = json.loads(str(arrays.pop("about")))
        labels = about["labels"]
        return cls(
            factor=about["factor"],
            symbols=tuple(about["symbols"]),
            points=tuple(about["points"]),
            graphs=tuple(ComputationGraph.from_json(text) for text in about["graphs"]),
            labels=pd.DataFrame(labels["data"], columns=labels["columns"]),
            **arrays,
        )


@also_for_loops(loop_lens)
def step_lens(
    model: RecurrentTransformer,
    graphs: ModelInput,
    n_steps: int | None = None,
    factor: str = "value",
    positions: str = "rhs",
) -> StepLens:
    """Run graphs and read every residual state of every step.

    Of another looped model arguments and result are those of :func:`interp.loop_lens`.

    Activations lie in a temporary folder meanwhile, so that memory does not grow with them.

    Args:
        n_steps: default as for :func:`interp.collect`: until every run has settled.
        factor: one of ``models.vocabulary.FACTORS``.
        positions: ``rhs`` (a row per node), ``operands`` (a row per operand token), ``all`` (a row per token).

    Raises:
        ValueError: an unknown factor or positions, a chain-of-thought model, no step.

    Examples:
        >>> from interp import step_lens
        >>> from models import load
        >>> lens = step_lens(load("compiled"), "20 = a; 2 = b; a + b = c")
        >>> lens.points, lens.prob.shape
        (('0_pre', '0_mid', '1_pre', '1_mid', '2_pre', '2_mid', 'final_post'), (3, 7, 3))
    """
    check_factor(factor)
    with TemporaryDirectory() as folder:
        encoded, data = collect_residuals(model, graphs, folder, n_steps, positions)
        return lens_of(model, data, encoded, factor)


def collect_residuals(
    model: RecurrentTransformer,
    graphs: ModelInput,
    folder: str | Path,
    n_steps: int | None = None,
    positions: str = "rhs",
    more: Sequence[str] = (),
) -> tuple[tuple[ComputationGraph, ...], ActivationDataset]:
    """The graphs, and their residual states at :func:`layer_points` (and at ``more`` sites), streamed into ``folder``.

    Raises:
        ValueError: packed ids in place of graphs, and as :func:`interp.collect`.
    """
    if isinstance(graphs, Tensor):
        raise ValueError("packed ids do not say where the nodes are; allowed are graphs, or the text of one")
    known = model.to_encoded(graphs).graphs
    sites = [*layer_points(model).values(), *more]
    return known, collect(
        model, known, sites, check_positions(positions), n_steps, folder=Path(folder, "data")
    )


@torch.no_grad()
def lens_of(
    model: RecurrentTransformer,
    data: ActivationDataset,
    graphs: Sequence[ComputationGraph],
    factor: str = "value",
    translate: Translate | None = None,
) -> StepLens:
    """The lens on activations that were collected: those of :func:`layer_points`, of ``graphs``.

    translate: what is read in place of a residual state (a tuned lens).

    Raises:
        ValueError: an unknown factor. KeyError: a layer point that was not collected.
    """
    check_factor(factor)
    points = layer_points(model)
    stored = [data.activations[name] for name in points.values()]
    vocabulary = model.vocabulary
    true = to_tensor(true_symbols(vocabulary, data.labels, graphs, factor))
    content = to_tensor(content_symbols(vocabulary, factor))
    status = np.array(data.step_labels["status"], dtype=np.int64)
    shape = len(status), len(points), len(true)
    names = ("rank", "log_prob", "content_rank", "written_rank", "kl")
    found: dict[str, NDArray[Any]] = {name: np.empty(shape, dtype=np.float32) for name in names}
    found["content_read"] = np.empty(shape, dtype=np.int64)
    found["written"] = np.empty((shape[0], shape[2]), dtype=np.int64)
    for step in range(len(status)):
        final = read_factor(model, to_tensor(stored[-1][step]), factor)
        written = final.argmax(-1)
        found["written"][step] = written.numpy()
        for index, activations in enumerate(stored):
            hidden = to_tensor(activations[step])
            logits = read_factor(
                model, hidden if translate is None else translate(hidden, step, index), factor
            )
            content_logits = logits.masked_fill(~content, -torch.inf)
            read = readings(logits, true, final) | {
                "content_rank": rank_of(true, content_logits).where(content[true], torch.nan),
                "content_read": best_alone(content_logits),
                "written_rank": rank_of(written, logits),
            }
            for name, values in read.items():
                found[name][step, index] = values.numpy()
    return StepLens(
        factor=factor,
        symbols=vocabulary.symbols(factor),
        points=tuple(points),
        graphs=tuple(graphs),
        labels=data.labels,
        status=status,
        true=true.numpy(),
        **found,
    )


def _over_steps(frame: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Means over steps, weighted by rows; ``n`` added up; what is nan at a step is left out there."""
    means = [name for name in frame.columns if name not in (*keys, "step", "n")]
    lines: list[dict[str, Any]] = []
    for key, group in cast(Any, frame).groupby(keys, sort=False):
        weights = group["n"].to_numpy()
        line = dict(zip(keys, key, strict=True)) | {"n": int(weights.sum())}
        for name in means:
            values = group[name].to_numpy()
            known = ~np.isnan(values)
            line[name] = (
                float(np.average(values[known], weights=weights[known])) if known.any() else float("nan")
            )
        lines.append(line)
    return pd.DataFrame(lines)
