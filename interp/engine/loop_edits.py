"""Edited runs of any loop, by the fastest way there is: the replay engine for a graph model, else row by row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from interp.loop.edits import StepEdit
from interp.loop.protocol import Loop
from interp.loop.replaying import TOKENS, EditedRun, checked_edits
from interp.loop.replaying import run_edits as run_edits_by_rows
from interp.loop.result import LoopRun
from models.recurrent_loop import RecurrentLoop


def run_edits(
    loop: Loop,
    base: LoopRun,
    edits: Sequence[StepEdit | Sequence[StepEdit]],
    tokens: int = TOKENS,
) -> Iterator[EditedRun]:
    """What edits make of a run: one edited run for each, in their order, as a stream.

    Args:
        base: the run without; the others are as long.
        edits: each an edit, or several that act in the same run.
        tokens: positions that go through a step at once, about.

    Raises:
        LoopedError: as :func:`interp.run_loop`: a name the module does not have, an edit outside the run, one that
            never acts or gives another shape.

    Examples:
        >>> import torch
        >>> from interp import StepEdit, run_edits, run_loop
        >>> from models import as_loop, load
        >>> loop = as_loop(load("compiled"))
        >>> base = run_loop(loop, "20 = a; 2 = b; a + b = c", n_steps=4)
        >>> off = [StepEdit("2.z", step, torch.zeros_like) for step in (0, 1, 3)]
        >>> [run.as_base.tolist() for run in run_edits(loop, base, off)]  # all but the last is written again
        [[True], [True], [False]]
    """
    given = checked_edits(loop, base, edits)
    if isinstance(loop, RecurrentLoop):
        # Imported here: the engine needs TransformerLens, which takes longer to import than most runs take.
        from interp.engine.graph_edits import run_edits_by_engine

        found = run_edits_by_engine(loop, base, given, tokens)
        if found is not None:
            return found
    return run_edits_by_rows(loop, base, given, tokens)
