"""Runs of a pair with edges cut, exactly and many at once: the loop that discovery is made of.

As in the replay engine (:mod:`interp.engine.replay`), a run is followed only where it differs from the whole model's:

    resume   a row in the whole model's state is computed from the first layer on that a cut edge is read in, and not at
             all where no cut edge carries another write than it would anyway
    batch    rows of one step run together, as many as fit ``tokens``
    merge    rows with the same state and the same cut edges in a step are one row; where nothing is cut, a state that
             was seen is not computed again

A reader's input with edges cut is the residual stream minus, for every cut edge, what its writer has written in this
run, plus what stands there instead. All else of a step is the model's own.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Bool
from numpy.typing import NDArray
from torch import Tensor

from interp.causal.value_metric import ValueMetric
from interp.causal.within_step import edge_hooks
from interp.circuits.replaced_writes import Writes
from interp.circuits.step_graph import StepGraph
from interp.engine.interventions import Recording
from interp.engine.rows import key_of
from interp.engine.writing import NamedHook, attached
from interp.progress import followed, told
from models.one_line import one_line
from models.recurrent import RecurrentTransformer
from models.stepper import Memory, run_steps

Cut = NDArray[np.bool_]
"""Bool [step, edge], or [edge] for all steps: which edges are cut."""


@dataclass(frozen=True, eq=False)
class _Row:
    """What enters a step: the packed state int [pos], None where it is the whole model's; and the edges cut in it,
    bool [edge], None for none.
    """

    packed: Tensor | None
    cut: Cut | None


@dataclass(frozen=True, eq=False)
class _After:
    """What a step leaves: the packed state, None for the whole model's; the metric of its logits."""

    packed: Tensor | None
    metric: float


@one_line
@dataclass(frozen=True, eq=False)
class CutRuns:
    """Runs of one pair.

    Attributes:
        model: which.
        graph: its edges.
        clean, corrupt: the two runs of the whole model, equally long.
        metrics: one per step, read at its logits; None where both runs show the same after it. That of the last step is
            m.
        clean_writes, instead: float [step, writer, pos, d_model]; what the clean run wrote, and what stands on cut
            edges.
        tokens: positions in one forward pass, about, which bounds memory.
    """

    model: RecurrentTransformer
    graph: StepGraph
    clean: Recording
    corrupt: Recording
    metrics: tuple[ValueMetric | None, ...]
    clean_writes: Writes
    instead: Writes
    tokens: int = 2048

    @property
    def n_steps(self) -> int:
        """Length of all runs."""
        return self.clean.n_steps

    @property
    def metric(self) -> ValueMetric:
        """That of the last step."""
        return cast(ValueMetric, self.metrics[-1])

    def measure(self, cuts: Sequence[Cut]) -> NDArray[np.float64]:
        """The metric at the end of the run with each of the cuts, float [cut].

        Raises:
            ValueError: a cut of another shape.
        """
        return self._measured(cuts, every=False)[-1]

    def measure_by_step(self, cuts: Sequence[Cut]) -> NDArray[np.float64]:
        """The metric of every step's logits, float [step, cut]; 0 where there is nothing to read. Raises as before."""
        return self._measured(cuts, every=True)

    @torch.no_grad()
    def _measured(self, cuts: Sequence[Cut], every: bool) -> NDArray[np.float64]:
        whole = (self.n_steps, len(self.graph.edges))
        shapes = {cut.shape for cut in cuts} - {whole, whole[1:]}
        if shapes:
            raise ValueError(f"a cut has shape {shapes.pop()}; allowed are {whole} and {whole[1:]}")
        rows = [np.broadcast_to(cut, whole) for cut in cuts]
        following = _Following.of(self, rows, every)
        memory = Memory(following, following.known())
        entering: list[_Row] = [_Row(None, None)] * len(rows)
        found = np.zeros((self.n_steps, len(rows)))
        with edge_hooks(self.model.at_step(0)):
            steps = run_steps(memory, entering, None, self.n_steps, 0, following.enter)
            for stepped in followed(steps, self.n_steps):
                found[stepped.number] = [cast(_Done, row).metric for row in stepped.state]
        return found

    def states(self, cut: Cut) -> Tensor:
        """The states int [step + 1, pos, factor] of the run with one cut."""
        following = _Following.of(self, [np.broadcast_to(cut, (self.n_steps, len(self.graph.edges)))], False)
        memory = Memory(following, following.known())
        states = [self.clean.trajectory.states[0, 0]]
        with torch.no_grad(), edge_hooks(self.model.at_step(0)):
            for stepped in run_steps(memory, [_Row(None, None)], None, self.n_steps, 0, following.enter):
                packed = stepped.state[0].packed
                number = stepped.number + 1
                whole = self.clean.trajectory.states[number, 0]
                states.append(whole if packed is None else self.model.vocabulary.unpack(packed))
        return torch.stack(states)


@dataclass(frozen=True, eq=False)
class _Done(_Row):
    """What the last step left."""

    metric: float = float("nan")


@dataclass(frozen=True, eq=False)
class _Following:
    """A :class:`models.stepper.RowLoop` over :class:`_Row` s."""

    runs: CutRuns
    cuts: Sequence[Cut]
    packed: Tensor
    differs: NDArray[np.bool_]
    every: bool

    @classmethod
    def of(cls, runs: CutRuns, cuts: Sequence[Cut], every: bool) -> _Following:
        model, states = runs.model, runs.clean.trajectory.states[: runs.n_steps + 1, 0]
        runs.clean.keep(
            [
                *(
                    (f"blocks.{i}.hook_resid_pre", t)
                    for i in range(model.cfg.n_layers)
                    for t in range(runs.n_steps)
                ),
                *(("hook_logits", t) for t in range(runs.n_steps)),
            ]
        )
        moved = (runs.clean_writes != runs.instead).flatten(2).any(-1).numpy(force=True)
        return cls(runs, cuts, model.vocabulary.pack(states), moved[:, runs.graph.writer_of], every)

    def known(self) -> dict[Hashable, _After]:
        """The whole model's own steps, by number."""
        steps = range(self.runs.n_steps)
        logits = [self.runs.clean.activation("hook_logits", t)[None] for t in steps]
        return {t: _After(None, *self._read(logits[t], t)) for t in steps}

    def _read(self, logits: Tensor, step: int) -> list[float]:
        """The step's metric of every row, where it is asked for."""
        metric = self.runs.metrics[step] if self._reads(step) else None
        return [0.0] * len(logits) if metric is None else [float(one) for one in metric(logits)]

    def _reads(self, step: int) -> bool:
        return self.every or step == self.runs.n_steps - 1

    def enter(self, state: Sequence[_Row], step: int) -> list[_Row]:
        """The edges that are cut in the step; of a row in the whole model's state, those that change something."""
        rows: list[_Row] = []
        for row, cuts in zip(state, self.cuts, strict=True):
            cut = cuts[step] & self.differs[step] if row.packed is None else cuts[step]
            rows.append(_Row(row.packed, cut if cut.any() else None))
        return rows

    def keys(self, state: Sequence[_Row], step: int, context: None) -> list[Hashable | None]:
        """The step for a row that is as the whole model's; else its state and what is cut."""
        read = step if self._reads(step) else None
        keys: list[Hashable | None] = []
        for row in state:
            if row.cut is None:
                keys.append(step if row.packed is None else (key_of(row.packed), read))
            else:
                entering = b"" if row.packed is None else key_of(row.packed)
                keys.append((step, entering, np.packbits(row.cut).tobytes()))
        return keys

    def step_rows(self, state: Sequence[_Row], rows: Sequence[int], step: int, context: None) -> list[_After]:
        """One step of these rows: those that begin in the same layer together."""
        runs = self.runs
        starts = [self._start(state[row]) for row in rows]
        per_batch = max(1, runs.tokens // self.packed.shape[1])
        after: dict[int, _After] = {}
        for start in sorted(set(starts)):
            alike = [place for place, own in enumerate(starts) if own == start]
            for first in range(0, len(alike), per_batch):
                batch = alike[first : first + per_batch]
                outcomes = self._run([state[rows[place]] for place in batch], start, step)
                after.update(zip(batch, outcomes, strict=True))
                told(len(after), len(rows))
        return [after[place] for place in range(len(rows))]

    def join(self, rows: Sequence[_After], step: int, context: None) -> list[_Row]:
        """Rows that are in the whole model's state again are known as such."""
        whole = self.packed[step + 1]
        return [
            _Done(
                None if row.packed is None or torch.equal(row.packed, whole) else row.packed, None, row.metric
            )
            for row in rows
        ]

    def _start(self, row: _Row) -> int:
        """The layer that a row is computed from."""
        if row.packed is not None or row.cut is None or not self.runs.model.resumable:
            return 0
        return min(int(self.runs.graph.layers[row.cut].min()), self.runs.model.cfg.n_layers - 1)

    def _run(self, rows: Sequence[_Row], start: int, step: int) -> list[_After]:
        runs, model = self.runs, self.runs.model
        cut = np.stack(
            [np.zeros(len(runs.graph.edges), bool) if row.cut is None else row.cut for row in rows]
        )
        watch = _Cutting(runs, step, torch.as_tensor(cut).to(model.W_E), start)
        hooks = watch.hooks()
        with attached(model, step, hooks):
            if all(row.packed is None for row in rows) and model.resumable:
                resid = runs.clean.activation(f"blocks.{start}.hook_resid_pre", step)
                logits = model.resume(resid.expand(len(rows), -1, -1), self._nothing(start), start, step)
            else:
                entering = [self.packed[step] if row.packed is None else row.packed for row in rows]
                state = model.vocabulary.unpack(torch.stack(entering)).to(model.W_E.device)
                mask = runs.clean.encoded.mask.to(state.device)
                logits = model.transition(state, step, ~mask.expand(len(rows), -1))
        packed = model.vocabulary.pack(model.discretise(logits).cpu())
        return [_After(*after) for after in zip(packed, self._read(logits, step), strict=True)]

    def _nothing(self, start: int) -> list[tuple[Tensor, Tensor]]:
        """No keys and values before the first position, for every layer that is computed."""
        cfg = self.runs.model.cfg
        none = torch.empty(1, 0, cfg.n_heads, cfg.d_head, device=cfg.device, dtype=cfg.dtype)
        return [(none, none)] * (cfg.n_layers - start)


class _Cutting:
    """The hooks of one step that take from every reader what is cut from it."""

    def __init__(self, runs: CutRuns, step: int, cut: Bool[Tensor, "row edge"], start: int) -> None:
        self.runs, self.cut, self.start = runs, cut, start
        self.instead = runs.instead[step]
        layers = runs.graph
        first = layers.writers_before(("q", start, 0)) if start else 0
        gap = runs.clean_writes[step, :first] - self.instead[:first]
        self.gaps: list[Tensor] = [gap.expand(len(cut), -1, -1, -1)] if first else []
        self.n = first

    def hooks(self) -> list[NamedHook]:
        """Hook names within the step, and their functions."""
        n_layers = self.runs.graph.n_layers
        found: list[NamedHook] = [("hook_embed", self._wrote)] if self.start == 0 else []
        for layer in range(self.start, n_layers):
            block = f"blocks.{layer}"
            found += [
                (f"{block}.attn.hook_{kind}_input", self._reads(kind, layer)) for kind in ("q", "k", "v")
            ]
            found += [
                (f"{block}.attn.hook_result", self._wrote),
                (f"{block}.hook_mlp_in", self._reads("mlp", layer)),
                (f"{block}.hook_mlp_out", self._wrote),
            ]
        found.append((f"blocks.{n_layers - 1}.hook_resid_post", self._reads("logits", None)))
        return found

    def _wrote(self, write: Tensor, hook: Any) -> None:
        """Keep by how much what was written differs from what stands on cut edges, [row, writer, pos, d_model]."""
        by_writer = write.unsqueeze(1) if write.ndim == 3 else write.transpose(1, 2)
        count = by_writer.shape[1]
        self.gaps.append(by_writer - self.instead[self.n : self.n + count])
        self.n += count

    def _reads(self, kind: Any, layer: int | None) -> Callable[..., Tensor | None]:
        spans, heads = self.runs.graph.spans, self.runs.graph.n_heads
        by_head = kind in ("q", "k", "v")
        slices = (
            [spans[kind, layer, head] for head in range(heads)] if by_head else [spans[kind, layer, None]]
        )
        cut = torch.stack([self.cut[:, span] for span in slices], dim=1)  # [row, reader, writer]

        def read(stream: Tensor, hook: Any) -> Tensor | None:
            if not bool(cut.any()):
                return None
            gaps = torch.cat(self.gaps, dim=1)
            self.gaps = [gaps]
            taken = torch.bmm(cut, gaps.flatten(2)).view(len(cut), len(slices), *gaps.shape[2:])
            return stream - (taken.transpose(1, 2) if by_head else taken[:, 0])

        return read
