"""Running a batch of graphs step by step under a reader of hooks, without computing anything twice.

Without other hooks on it, a discrete model's step is a function of the state it enters with: a graph that enters a
step with a state it has had before is left out of the forward pass (:class:`models.stepper.Memory`), because everything
in that step is as in the earlier one.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from models.hooks import StepHookPoint, split_step
from models.recurrence import DiscreteRows, Written
from models.recurrent import RecurrentTransformer
from models.running import LENGTH_SPREAD
from models.stepper import Memory, run_steps

BATCH_TOKENS: Final = 8192


@dataclass(frozen=True)
class Step:
    """One step of a batch.

    number    which step
    source    int64 [batch]       the step that this one repeats exactly; itself where it was computed
    entering  int64 [batch, pos]  value symbols of the state before
    written   int64 [batch, pos]  value symbols of the state after
    """

    number: int
    source: Tensor
    entering: Tensor
    written: Tensor

    @property
    def computed(self) -> Tensor:
        """Bool [batch]: which graphs were in the forward pass, in its order."""
        return self.source == self.number


def batches(lengths: Sequence[int], batch_tokens: int = BATCH_TOKENS) -> Iterator[list[int]]:
    """Indices of texts of similar length that have at most so many tokens together, padding included, or are one."""
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda i: lengths[i]):
        full = (len(batch) + 1) * lengths[index] > batch_tokens
        if batch and (full or lengths[index] > LENGTH_SPREAD * lengths[batch[0]]):
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def may_repeat(model: RecurrentTransformer) -> bool:
    """Whether a step is a function of the discrete state it enters with: no hidden state, no hooks."""
    return model.cfg.bottleneck == "discrete" and not model.is_watched()


def walk(
    model: RecurrentTransformer,
    initial: Tensor,
    n_steps: int,
    given: Tensor | None = None,
    repeats: bool = True,
) -> Iterator[Step]:
    """Run a batch step by step; hooks see the graphs that are computed.

    Args:
        initial: int [batch, pos, factor], the state that enters step 0.
        given: int [step, batch, pos, factor], enters instead of the model's own states.
        repeats: leave out what is known (:func:`may_repeat`, asked before own hooks are attached).
    """
    state = initial.to(model.W_E.device)
    if model.cfg.bottleneck == "continuous":
        for step, (_, after) in enumerate(model.iterate(state, n_steps)):
            yield Step(step, torch.full((len(state),), step), state[..., 3].cpu(), after[..., 3].cpu())
            state = after
        return
    vocabulary = model.vocabulary
    memory = Memory(DiscreteRows(model, repeats=repeats))
    begin = Written(vocabulary.pack(initial.cpu()))

    def enter(state: Written, step: int) -> Written:
        return state if given is None else Written(vocabulary.pack(given[step].cpu()))

    for step in run_steps(memory, begin, model.is_padding(state), n_steps, enter=enter):
        entering, written = (vocabulary.unpack(some.packed)[..., 3] for some in (step.entering, step.state))
        yield Step(step.number, torch.tensor(memory.sources), entering, written)


@contextmanager
def recording(model: RecurrentTransformer, names: set[str]) -> Generator[dict[str, Tensor]]:
    """A dictionary of what the hook points saw last, by their names without step."""
    seen: dict[str, Tensor] = {}

    def keep(activation: Tensor, hook: StepHookPoint) -> None:
        seen[hook.plain_name] = activation

    with model.hooks(fwd_hooks=[(lambda name: split_step(name)[1] in names, keep)]):
        yield seen
