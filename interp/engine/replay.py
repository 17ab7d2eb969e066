"""The replay engine: many interventions on one run, exactly, without running everything anew.

A discrete state holds all that enters a step, so a run that has been changed is followed only where it differs:

    resume   a step is computed only if something is written in it or a state that differs enters it; within a
             causal step from the first position and the first layer on that differ, with the base run's keys and
             values before them, and in the last layer at the written position alone
    batch    rows of one step run together, as many as fit ``tokens``
    merge    a state that was seen (the base run's, a source's, another row's) is not computed again
    halt     a fixed point is a state that was seen: it costs nothing to stay there

:func:`run_plainly` is the same without all that, one full run for each intervention; the two agree exactly in states
and up to rounding in logits. A model without a bottleneck, where hidden states enter the steps, is run in full,
in batches; a symbol that is set there moves the hidden state (:class:`interp.engine.interventions.SetCode`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from interp.engine.following import BaseRun, Item, Result
from interp.engine.interventions import (
    Intervention,
    Recording,
    SetFrom,
    edits_of,
    record,
    sources_of,
    steps_of,
)
from interp.engine.loop_edits import run_edits
from interp.engine.rows import AS_BASE, After, Followed, Row, key_of
from interp.engine.sites import SiteError
from interp.engine.sparse.step import PointResult, SparseSteps
from interp.engine.sparse.tally import Exactness, Tally, check_exactness
from interp.engine.writing import write_hooks
from interp.loop.either import also_for_loops
from interp.progress import told
from models.graph import ComputationGraph
from models.one_line import one_line
from models.recurrent import RecurrentTransformer
from models.stepper import Memory, run_steps
from models.trajectory import Trajectory

BLOCK = 1024
"""Interventions that are followed at once."""

Given = Intervention | Sequence[Intervention]
Progress = Callable[[int, int], None]


@one_line
@dataclass(frozen=True, eq=False)
class Replay:
    """What became of a run with one intervention (or several at once).

    Attributes:
        index: which of the interventions given.
        base: the run without.
        n_steps: how many steps were run.
        differing: state index -> packed state int [pos], where it is not the base run's.
        logits: float [position, d_vocab] of the last step at the positions asked for, or None.
    """

    index: int
    base: Trajectory
    n_steps: int
    differing: Mapping[int, Tensor]
    logits: Tensor | None

    def value_logits(self) -> Tensor:
        """Float [position, value]: the values' part of `logits`.

        Raises:
            ValueError: no logits were kept.
        """
        if self.logits is None:
            raise ValueError("this run kept no logits; allowed is one that was asked for some with logits_at")
        return self.logits[:, self.base.vocabulary.slice("value")]

    @property
    def states(self) -> Tensor:
        """Int [n_steps + 1, pos, factor]: the whole trajectory."""
        states = self.base.states[: self.n_steps + 1, 0].clone()
        for index, packed in self.differing.items():
            states[index] = self.base.vocabulary.unpack(packed)
        return states

    @property
    def final(self) -> Tensor:
        """Int [pos, factor]: the last state."""
        packed = self.differing.get(self.n_steps)
        return self.base.states[self.n_steps, 0] if packed is None else self.base.vocabulary.unpack(packed)

    @property
    def values(self) -> Tensor:
        """Int [n_steps + 1, node]: value symbols at the nodes' right-hand sides."""
        return self.states[:, self.base.encoded.rhs[0], 3]

    @property
    def changed(self) -> Tensor:
        """Bool [n_steps + 1, node]: where a node shows another value than in the base run."""
        changed = torch.zeros(self.n_steps + 1, self.base.encoded.rhs.shape[1], dtype=torch.bool)
        rhs = self.base.encoded.rhs[0]
        for index, packed in self.differing.items():
            values = self.base.vocabulary.unpack(packed)[rhs, 3]
            changed[index] = values != self.base.states[index, 0, rhs, 3]
        return changed


@also_for_loops(run_edits)
def run_interventions(
    model: RecurrentTransformer,
    base: ComputationGraph | Recording,
    interventions: Sequence[Given],
    n_steps: int | None = None,
    logits_at: Sequence[int] | Literal["rhs"] | None = "rhs",
    tokens: int = 4096,
    progress: Progress | None = None,
    exact: Exactness = "states",
    tally: Tally | None = None,
) -> Iterator[Replay]:
    """What each intervention does to the run of ``base``, in their order, as a stream.

    Of another looped model arguments and results are those of :func:`interp.run_edits`.

    Args:
        base: one graph, or a recorded run of it.
        interventions: each an intervention or a list of those that act together.
        n_steps: length of all runs (default: the base run's own).
        logits_at: positions whose logits of the last step are kept; "rhs" is every node's, None keeps none.
        tokens: positions in one forward pass, about, which bounds memory.
        progress: called with (done, total) as blocks are finished; closing the iterator cancels the rest.
        exact: "states" computes positions where a bound does not say that their codes stay, and all positions whose
            logits are kept (:mod:`interp.engine.sparse`); "dense" every position behind a change; "checked" is
            "states" with a smaller, empirical bound and an audit.
        tally: counts what was computed.

    Raises:
        SiteError: a site that does not exist, a step beyond the run, a value of the wrong shape.
        ValueError: hooks on the model, or randomness (training mode with dropout or noise).

    Examples:
        >>> from interp import Site, ZeroAblate, run_interventions
        >>> from models import ComputationGraph, load
        >>> model = load("compiled")
        >>> graph = ComputationGraph.parse("20 = a; 2 = b; a + b = c")
        >>> off = [ZeroAblate(Site("z", step=step, layer=2, head=0)) for step in range(2)]
        >>> for replay in run_interventions(model, graph, off, n_steps=2):
        ...     print(replay.index, replay.changed.any(1).tolist())
        0 [False, False, False]
        1 [False, False, True]
    """
    job = _Job.of(model, base, interventions, n_steps, logits_at, progress)
    if model.cfg.bottleneck != "discrete":
        check_exactness(exact)
        return job.stream(lambda rows: job.run_whole(rows, tokens))
    tally = Tally() if tally is None else tally
    tally.exact = check_exactness(exact)
    written = [] if exact == "dense" else job.places_of_patches()
    steps = SparseSteps(BaseRun.of(model, job.base, job.n_steps, written), tally.exact, tally)
    return job.stream(lambda rows: job.follow(rows, tokens, steps))


def run_plainly(
    model: RecurrentTransformer,
    base: ComputationGraph | Recording,
    interventions: Sequence[Given],
    n_steps: int | None = None,
    logits_at: Sequence[int] | Literal["rhs"] | None = "rhs",
    progress: Progress | None = None,
) -> Iterator[Replay]:
    """The reference for :func:`run_interventions`: one full run from step 0 for each.

    Examples:
        >>> from interp import Site, ZeroAblate, run_interventions, run_plainly
        >>> from models import ComputationGraph, load
        >>> model = load("compiled")
        >>> graph = ComputationGraph.parse("20 = a; 2 = b; a + b = c")
        >>> off = [ZeroAblate(Site("z", step=1, layer=2, head=0))]
        >>> (fast,) = run_interventions(model, graph, off, n_steps=3)
        >>> (plain,) = run_plainly(model, graph, off, n_steps=3)
        >>> fast.states.equal(plain.states)
        True
    """
    job = _Job.of(model, base, interventions, n_steps, logits_at, progress)
    return job.stream(lambda rows: job.run_whole(rows, tokens=1))


@dataclass(frozen=True)
class _Job:
    model: RecurrentTransformer
    base: Recording
    given: tuple[tuple[Intervention, ...], ...]
    n_steps: int
    positions: Tensor | None
    progress: Progress | None

    @classmethod
    def of(
        cls,
        model: RecurrentTransformer,
        base: ComputationGraph | Recording,
        interventions: Sequence[Given],
        n_steps: int | None,
        logits_at: Sequence[int] | Literal["rhs"] | None,
        progress: Progress | None,
    ) -> _Job:
        if model.is_watched():
            raise ValueError("the model has hooks attached; take them off first (model.reset_hooks())")
        if model.training and (model.cfg.dropout > 0 or model.cfg.attention_noise > 0):
            raise ValueError("the model is in training mode and draws noise; call model.eval() first")
        if n_steps is not None and n_steps < 1:
            raise ValueError(f"n_steps must be 1 or more, got {n_steps}")
        recording = base if isinstance(base, Recording) else record(model, base, n_steps)
        steps = max(recording.n_steps, 1) if n_steps is None else n_steps
        if steps > recording.n_steps:
            recording = record(model, recording.graph, steps)
        given = tuple(tuple(each) if isinstance(each, Sequence) else (each,) for each in interventions)
        positions = None
        if logits_at is not None:
            positions = recording.encoded.rhs[0] if logits_at == "rhs" else torch.tensor(list(logits_at))
        if positions is not None and len(positions) and int(positions.max()) >= recording.encoded.mask.sum():
            raise SiteError(
                f"logits_at has position {int(positions.max())}; the text has positions "
                f"0..{int(recording.encoded.mask.sum()) - 1}"
            )
        sources_of((one for each in given for one in each), steps)
        return cls(model, recording, given, steps, positions, progress)

    def places_of_patches(self) -> list[tuple[str, int]]:
        """Hook names and steps at which other runs' activations are written; the base run's are compared with them."""
        patches = {
            (one.site.hook_name, step)
            for each in self.given
            for one in each
            if isinstance(one, SetFrom) and one.site.name != "state"
            for step in steps_of(one, self.n_steps)
        }
        return sorted(patches)

    def stream(self, run: Callable[[list[Row]], None]) -> Iterator[Replay]:
        """Blocks of rows through ``run``."""
        # The first block's edits are looked up before anything is yielded, so that bad sites raise at the call.
        blocks = [range(i, min(i + BLOCK, len(self.given))) for i in range(0, len(self.given), BLOCK)]
        first = self.rows(blocks[0]) if blocks else []
        return self._stream(run, blocks, first)

    def _stream(
        self, run: Callable[[list[Row]], None], blocks: list[range], rows: list[Row]
    ) -> Iterator[Replay]:
        for number, block in enumerate(blocks):
            if number:
                rows = self.rows(block)
            with torch.no_grad():
                run(rows)
            told(block.stop, len(self.given))
            if self.progress is not None:
                self.progress(block.stop, len(self.given))
            for row in rows:
                yield Replay(row.index, self.base.trajectory, self.n_steps, row.differing, row.logits)

    def rows(self, indices: range) -> list[Row]:
        """The interventions as edits by step."""
        rows: list[Row] = []
        for index in indices:
            row = Row(index, {})
            for given in self.given[index]:
                for edit in edits_of(given, self.model, self.base.encoded, self.n_steps):
                    row.edits.setdefault(edit.step, []).append(edit)
            rows.append(row)
        return rows

    def follow(self, rows: list[Row], tokens: int, steps: SparseSteps) -> None:
        """Run the rows as the module says."""
        base, last = steps.base, self.n_steps - 1

        def evaluate(t: int, items: Sequence[Item]) -> Sequence[Result | PointResult]:
            return steps.evaluate(t, items, tokens, self.positions if t == last else None)

        followed = Followed(base, rows, evaluate, last, self.positions)
        memory = Memory(followed, {**followed.known(), **dict(self._known(base))})
        entering = [AS_BASE] * len(rows)
        touched = min((t for row in rows for t in row.edits), default=self.n_steps)
        for _ in run_steps(memory, entering, None, self.n_steps, min(touched, last), followed.enter):
            pass

    def _known(self, base: BaseRun) -> Iterator[tuple[bytes, After]]:
        """State -> next state of the base run and of the runs that values are taken from."""
        sources = {
            id(one.source): one.source for each in self.given for one in each if isinstance(one, SetFrom)
        }
        for source in [self.base, *sources.values()]:
            states = source.trajectory.states[:, 0]
            if states.shape[1:] == base.states.shape[1:]:
                packed = self.model.vocabulary.pack(states)
                yield from ((key_of(packed[t]), After(packed[t + 1])) for t in range(len(packed) - 1))

    def run_whole(self, rows: list[Row], tokens: int) -> None:
        """Run the rows from step 0 to the end, ``tokens`` at a time but at least one row."""
        vocabulary, initial = self.model.vocabulary, self.base.encoded.factors
        base_packed = vocabulary.pack(self.base.trajectory.states[: self.n_steps + 1, 0])
        per_batch = max(1, tokens // initial.shape[1])
        for start in range(0, len(rows), per_batch):
            batch = rows[start : start + per_batch]
            hooks: list[tuple[str, Callable[..., Any]]] = []
            for t in range(self.n_steps):
                hooks += [
                    (f"steps.{t}.{name}", hook)
                    for name, hook in write_hooks(vocabulary, [row.edits.get(t, ()) for row in batch])
                ]
            state = initial.expand(len(batch), -1, -1).to(self.model.W_E.device)
            with self.model.hooks(fwd_hooks=hooks):
                for t, (logits, snapped) in enumerate(self.model.iterate(state, self.n_steps)):
                    packed = vocabulary.pack(snapped.cpu())
                    for row, now in zip(batch, packed, strict=True):
                        if not torch.equal(now, base_packed[t + 1]):
                            row.differing[t + 1] = now
                    if t == self.n_steps - 1 and self.positions is not None:
                        for row, read in zip(batch, logits[:, self.positions].cpu(), strict=True):
                            row.logits = read
            for row in batch:
                self._note_written_states(row, base_packed)

    def _note_written_states(self, row: Row, base_packed: Tensor) -> None:
        """Count what was written into an entering state as part of the trajectory."""
        for t in row.edits:
            before = row.differing.get(t, base_packed[t])
            state = self.model.vocabulary.unpack(before)
            for edit in row.edits[t]:
                if edit.place.site.name == "state":
                    edit.write(state)
            packed = self.model.vocabulary.pack(state)
            row.differing.pop(t, None)
            if not torch.equal(packed, base_packed[t]):
                row.differing[t] = packed
