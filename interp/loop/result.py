"""What a run of a loop leaves behind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
import torch
from torch import Tensor

from interp.loop.protocol import STATE, LoopedError, State
from models.one_line import one_line


@one_line
@dataclass(frozen=True, eq=False)
class LoopRun:
    """A run of a loop; tensors are detached copies, unless it was run with ``grad=True``.

    State t enters step t, as edited; the last leaves the last step. Axes count from ``first``, the step at which the
    run was started: row i of a state is state ``first + i``.

    Attributes:
        first: the step at which the run was started.
        states: ``"state"`` or ``"state.H"`` -> [state, batch, ...].
        codes: factor -> int [state, batch, pos]; what the loop says its codes are, else the largest logit.
        logits: factor -> float [state, batch, pos, size]; empty unless they were asked for.
        activations: name -> [step, call, batch, ...], as edited; 0 where there was no call.
        calls: name -> bool [step, call] of all that was recorded or edited; whether there was one.
        halted_at: int [batch] or [batch, pos]: the state at which it first had halted, -1 where it had not; None for a
            loop without ``halted``.
        tokens: text at every position, a list for every row; None for a loop without ``tokens``.
        context: what :meth:`Loop.begin` gave beside the state.
        output: what the model's own forward gave (:func:`interp.watch` alone).
    """

    first: int
    states: Mapping[str, Tensor]
    codes: Mapping[str, Tensor]
    logits: Mapping[str, Tensor]
    activations: Mapping[str, Tensor]
    calls: Mapping[str, Tensor]
    halted_at: Tensor | None = None
    tokens: list[list[str]] | None = None
    context: Any = field(default=None, repr=False)
    output: Any = field(default=None, repr=False)

    @property
    def n_steps(self) -> int:
        """How many steps were run."""
        return len(next(iter(self.states.values()))) - 1

    @property
    def steps(self) -> range:
        """Which."""
        return range(self.first, self.first + self.n_steps)

    def __getitem__(self, name: str) -> Tensor:
        """A state [state, batch, ...] or an activation [step, call, batch, ...] by name.

        Raises:
            LoopedError: none of this name was kept.
        """
        found = self.states.get(name, self.activations.get(name))
        if found is None:
            kept = ", ".join([*self.states, *self.activations])
            raise LoopedError(f"{name!r} was not kept; there are {kept} (`record=[...]` keeps activations)")
        return found

    def once(self, name: str) -> Tensor:
        """The activation [step, batch, ...] of a module that every step calls once.

        Raises:
            LoopedError: a module that some step calls more often, or not at all.
        """
        activation, called = self[name], self.calls.get(name)
        if called is None or called.shape[1] != 1 or not bool(called.all()):
            often = (
                "no activation"
                if called is None
                else f"called {[int(n) for n in called.sum(1)]} times by step"
            )
            raise LoopedError(
                f"{name!r} is {often}; allowed are modules that every step calls once (`run[{name!r}]` has a call axis)"
            )
        return activation[:, 0]

    @property
    def last_read(self) -> dict[str, Tensor]:
        """Factor -> logits [batch, pos, size] of the last state, where logits were kept."""
        return {factor: logits[-1] for factor, logits in self.logits.items()}

    def places(self, name: str) -> list[tuple[int, int]]:
        """Step, counted from the first of this run, and call of every activation of a module; of a state call 0."""
        if name in self.states:
            return [(step, 0) for step in range(self.n_steps)]
        return [(int(step), int(call)) for step, call in self.calls[name].nonzero()]

    def of(self, name: str, step: int, call: int = 0) -> Tensor:
        """A state or an activation at one of its :meth:`places`, [batch, ...]."""
        return self[name][step] if name in self.states else self[name][step, call]

    def at(self, step: int) -> tuple[int, State, Any]:
        """What ``run_loop(..., start=...)`` resumes from: the step, the state that enters it, the context.

        Raises:
            LoopedError: a step that was not run, and that does not follow the last.
        """
        if step not in range(self.first, self.first + self.n_steps + 1):
            raise LoopedError(f"step is {step}; allowed are {self.first}..{self.first + self.n_steps}")
        row = step - self.first
        if STATE in self.states:
            return step, self.states[STATE][row], self.context
        parts = {name.removeprefix(f"{STATE}."): stack[row] for name, stack in self.states.items()}
        return step, parts, self.context

    def to_frame(self) -> pd.DataFrame:
        """A line per state, row, position and factor: ``state``, ``row``, ``pos``, ``token``, ``factor``, ``code``.

        ``token`` where the loop has tokens; ``pos`` is -1 where a factor has none.
        """
        frames: list[pd.DataFrame] = []
        for factor, codes in self.codes.items():
            shown = codes[..., None] if codes.ndim == 2 else codes
            state, row, pos = (
                axis.flatten() for axis in torch.meshgrid(*map(torch.arange, shown.shape), indexing="ij")
            )
            columns: dict[str, Any] = {"state": state + self.first, "row": row, "pos": pos}
            columns = {name: axis.numpy() for name, axis in columns.items()}
            if codes.ndim == 2:
                columns["pos"] = -1
            elif self.tokens is not None:
                texts = self.tokens
                at = zip(map(int, row), map(int, pos), strict=True)
                columns["token"] = [texts[r][p] if p < len(texts[r]) else "" for r, p in at]
            columns |= {"factor": factor, "code": shown.flatten().numpy(force=True)}
            frames.append(pd.DataFrame(columns))
        return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()
