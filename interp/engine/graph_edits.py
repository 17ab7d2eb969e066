"""Edits of a graph model as a loop, through the replay engine.

Where edits say what they write (:class:`interp.loop.edits.Put`, ``Fill``, zeros) the engine does what
:mod:`interp.loop.replaying` does, and leaves out positions and layers too:

    the model is discrete and has no hooks of one's own; the run is one graph's, from step 0, and no edited one;
    edits are of codes and of activations, in one step or in all of them

What it gives is equal in codes, and up to rounding in what is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from interp.engine.interventions import Recording, SetValue, shape_of
from interp.engine.replay import Replay, run_interventions
from interp.engine.sites import Site, SiteError, resolve
from interp.loop.edits import Fill, Put, StepEdit
from interp.loop.places import position_axis
from interp.loop.replaying import EditedRun
from interp.loop.result import LoopRun
from interp.loop.running import run_loop
from models.recurrent_loop import GraphContext, RecurrentLoop
from models.running import is_random
from models.vocabulary import FACTORS, FactoredVocabulary

_CODES = "state.codes"


def run_edits_by_engine(
    loop: RecurrentLoop, base: LoopRun, given: Sequence[tuple[StepEdit, ...]], tokens: int
) -> Iterator[EditedRun] | None:
    """:func:`interp.run_edits`; None where the engine does not have such runs or edits."""
    recording = _recorded(loop, base)
    written = None if recording is None else _interventions(loop, recording, given)
    if recording is None or written is None:
        return None
    return _streamed(loop, base, recording, given, written, tokens)


def _recorded(loop: RecurrentLoop, base: LoopRun) -> Recording | None:
    """The base run as the engine has it; None where it has no such run."""
    context: GraphContext = base.context
    graph, model = context.encoded, loop.model
    if not loop.discrete or base.first or graph is None or len(graph) != 1:
        return None
    if model.is_watched() or is_random(model):
        return None
    recording = Recording(model, model.run(graph, n_steps=base.n_steps))
    same = torch.equal(recording.trajectory.states, base.states[_CODES].cpu())
    shown = recording.activation("hook_logits", base.n_steps - 1)
    return recording if same and torch.allclose(_logits(loop, base), shown, atol=1e-4) else None


def _logits(loop: RecurrentLoop, run: LoopRun) -> Tensor:
    """What the last state shows, float [pos, d_vocab]."""
    read = run.last_read or loop.read(*_last(run))
    return torch.cat([read[factor] for factor in FACTORS], dim=-1)[0]


def _last(run: LoopRun) -> Any:
    _, state, context = run.at(run.first + run.n_steps)
    return state, context


def _interventions(
    loop: RecurrentLoop, recording: Recording, given: Sequence[tuple[StepEdit, ...]]
) -> list[list[SetValue]] | None:
    """The edits as the engine has them; None where one is none that it has."""
    written: list[list[SetValue]] = []
    for each in given:
        written.append([])
        for edit in each:
            one = _intervention(loop, edit)
            if one is None:
                return None
            try:
                place = resolve(one.site, loop.model, recording.encoded)
            except SiteError:
                return None
            shape = shape_of(place, loop.model, recording.encoded.factors.shape[1])
            if isinstance(edit.edit, Put) and torch.as_tensor(one.value).shape != shape:
                return None
            written[-1].append(one)
    return written


def _intervention(loop: RecurrentLoop, edit: StepEdit) -> SetValue | None:
    if callable(edit.step) or edit.call not in ("all", 0):
        return None
    name = "state" if edit.name == _CODES else loop.sites.get(edit.name, edit.name)
    if name != "state" and not name.startswith("blocks."):
        return None
    if edit.edit is torch.zeros_like:
        return SetValue(Site(name, edit.step), 0.0) if name != "state" else None
    if isinstance(edit.edit, Fill) and name != "state":
        return SetValue(Site(name, edit.step), edit.edit.value)
    if not isinstance(edit.edit, Put):
        return None
    value, at, axis = edit.edit.value, edit.edit.at, edit.edit.axis
    if axis != position_axis(name):
        return None
    part = value[0] if at is None else value.select(axis, at)[0]
    return SetValue(Site(name, edit.step, pos="all" if at is None else at), part)


def _streamed(
    loop: RecurrentLoop,
    base: LoopRun,
    recording: Recording,
    given: Sequence[tuple[StepEdit, ...]],
    written: Sequence[Sequence[SetValue]],
    tokens: int,
) -> Iterator[EditedRun]:
    model, count = loop.model, base.n_steps
    shown = recording.activation("hook_logits", count - 1)
    read = _by_factor(shown, model.vocabulary)
    replays = run_interventions(model, recording, written, count, range(len(shown)), tokens)
    for replay, edits in zip(replays, given, strict=True):
        logits = shown if replay.logits is None else replay.logits
        as_base = count not in replay.differing and torch.equal(logits, shown)
        found = read if as_base else _by_factor(logits, model.vocabulary)
        yield EditedRun(replay.index, _Ended(loop, base, replay, edits), found, torch.tensor([as_base]))


def _by_factor(logits: Tensor, vocabulary: FactoredVocabulary) -> dict[str, Tensor]:
    """Factor -> float [1, pos, size] of logits [pos, d_vocab]."""
    return {factor: logits[None, :, vocabulary.slice(factor)] for factor in FACTORS}


class _Ended(Mapping[str, Tensor]):
    """The state that an edited run ends in; its hidden part is computed when it is asked for, in one step."""

    def __init__(self, loop: RecurrentLoop, base: LoopRun, replay: Replay, edits: Sequence[StepEdit]) -> None:
        self._loop, self._base, self._replay, self._edits = loop, base, replay, edits
        self._hidden: Tensor | None = None

    def __iter__(self) -> Iterator[str]:
        yield from ("codes", "hidden")

    def __len__(self) -> int:
        return 2

    def __getitem__(self, name: str) -> Tensor:
        if name == "codes":
            return self._replay.final[None]
        if self._hidden is None:
            last, context = self._base.n_steps - 1, self._base.context
            codes = self._replay.states[last][None].to(context.initial.device)
            entering = {"codes": codes, "hidden": self._base["state.hidden"][last]}
            acting = [edit for edit in self._edits if edit.acts_in(last)]
            run = run_loop(
                self._loop, None, last + 1, edits=acting, start=(last, entering, context), read=False
            )
            self._hidden = run["state.hidden"][-1]
        return self._hidden
