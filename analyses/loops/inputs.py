"""What a looped model is run on: texts as its task reads them, token ids, an array, or samples of a seed; and pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from analyses.inputs import InputError
from analyses.loops.opening import Opened
from models.graph_errors import clip

if TYPE_CHECKING:
    from interp.loop.result import LoopRun

TRIES: Final = 32
"""Samples of which one has to end otherwise once it is corrupted."""


@dataclass(frozen=True)
class Wanted:
    """What is asked for: `texts`, a row each, or else `samples` rows of `seed`; of a pair `clean` and `corrupt`."""

    texts: tuple[str, ...] = ()
    samples: int = 4
    seed: int = 0
    clean: str | None = None
    corrupt: str | None = None


@dataclass(frozen=True, eq=False)
class LoopPair:
    """Two inputs whose runs end otherwise.

    Attributes:
        runs: of both, with what they read.
        symbols: factor -> int [batch, pos], for each: what it shows at the end.
        differs: factor -> bool [batch, pos], where that is another; or, where nothing shows another symbol, the one
            position whose logits the corruption moves most, and `symbols` are those that it moves apart.
        shown: whether any symbol is another.
    """

    clean: Any
    corrupt: Any
    runs: tuple[LoopRun, LoopRun]
    symbols: tuple[dict[str, Any], dict[str, Any]]
    differs: dict[str, Any]
    shown: bool


def inputs_of(opened: Opened, wanted: Wanted) -> Any:
    """The inputs. Raises InputError for texts that the task cannot read, and where there is nothing to draw from."""
    if wanted.texts:
        return _read(opened, list(wanted.texts))
    sample = getattr(opened.task, "sample", None)
    if sample is None:
        raise InputError(
            f"{clip(opened.title)} needs --inputs: {_what(opened)} `sample`, which would draw some (sample(n, seed))."
        )
    with opened.running("sampling inputs"):
        return sample(wanted.samples, wanted.seed)


def pair_of(opened: Opened, wanted: Wanted, n_steps: int | None) -> LoopPair:
    """The clean and the corrupt input: the two texts, or one that is drawn, and what the task makes of it.

    Raises:
        InputError: one text alone; texts of different lengths; no `corrupt`, and no token ids that could be exchanged;
            runs that end alike.
    """
    if (wanted.clean is None) != (wanted.corrupt is None):
        raise InputError("--clean and --corrupt are the two inputs of a pair: give both.")
    if wanted.clean is not None and wanted.corrupt is not None:
        found = _pair(opened, _read(opened, [wanted.clean]), _read(opened, [wanted.corrupt]), n_steps)
        if found is None:
            raise InputError(
                "The clean and the corrupt input give the same logits everywhere: give others, or more --steps."
            )
        return found
    first: LoopPair | None = None
    tries = 1 if wanted.texts else TRIES
    for seed in range(wanted.seed, wanted.seed + tries):
        clean = inputs_of(opened, Wanted(wanted.texts, 1, seed))
        found = _pair(opened, clean, _corrupted(opened, clean, seed), n_steps)
        if found is not None and found.shown:
            return found
        first = first or found
    if first is None:
        raise InputError(
            f"No input of {tries} gives other logits once it is corrupted: give --clean and --corrupt, or more --steps."
        )
    return first


def tokens_of(opened: Opened, inputs: Any, shape: tuple[int, int]) -> list[list[str]]:
    """A text for every position, a list for every row, as loop or task has them; else ids, else numbers."""
    import torch

    for owner in (opened.loop, opened.task):
        tokens = getattr(owner, "tokens", None)
        if tokens is not None:
            with opened.running("tokens"):
                return [[str(text) for text in row] for row in tokens(inputs)]
    ids = _ids(inputs)
    if isinstance(ids, torch.Tensor) and tuple(ids.shape) == shape and not ids.is_floating_point():
        return [[str(int(index)) for index in row] for row in ids]
    return [[str(pos) for pos in range(shape[1])]] * shape[0]


def _read(opened: Opened, texts: list[str]) -> Any:
    if len(texts) == 1 and texts[0].endswith(".npy"):
        return _array(Path(texts[0]))
    for owner in (opened.task, opened.loop):
        parse = getattr(owner, "parse", None)
        if parse is not None:
            with opened.running("reading --inputs"):
                return parse(texts)
    import torch

    rows = [text.replace(",", " ").split() for text in texts]
    if not all(row and all(word.isdecimal() for word in row) for row in rows):
        wrong = next(
            text for text, row in zip(texts, rows, strict=True) if not row or not all(map(str.isdecimal, row))
        )
        raise InputError(
            f"--inputs {clip(wrong)!r} is no list of token ids, such as '5 9 2', and {_what(opened)} `parse`, which "
            "would read text (parse(texts))."
        )
    if len({len(row) for row in rows}) > 1:
        lengths = ", ".join(str(len(row)) for row in rows)
        raise InputError(
            f"--inputs have {lengths} token ids: without `parse` of a task they must be of one length."
        )
    return torch.tensor([[int(word) for word in row] for row in rows])


def _array(path: Path) -> Any:
    import numpy as np
    import torch

    try:
        found = np.load(path, allow_pickle=False)
        return torch.from_numpy(np.ascontiguousarray(found))
    except (OSError, ValueError, TypeError) as error:
        raise InputError(
            f"--inputs {clip(str(path))} cannot be read as an array: {' '.join(str(error).split())}."
        ) from error


def _pair(opened: Opened, clean: Any, corrupt: Any, n_steps: int | None) -> LoopPair | None:
    from interp.loop.protocol import steps_of
    from interp.loop.running import run_loop

    with opened.running("running both inputs"):
        count = steps_of(opened.loop, clean, n_steps, "patching")
        runs = tuple(run_loop(opened.loop, one, count, keep_logits=True) for one in (clean, corrupt))
    if not runs[0].logits:
        raise InputError(
            f"Patching compares what is read, and {type(opened.loop).__name__} reads nothing (`read` gives no logits): "
            "its model has no head."
        )
    shapes = [tuple(next(iter(run.states.values())).shape[1:3]) for run in runs]
    if shapes[0] != shapes[1]:
        raise InputError(
            f"The clean input is {_sized(shapes[0])} and the corrupt one {_sized(shapes[1])}: they are compared "
            "position by position."
        )
    kept = [factor for factor in runs[0].logits if factor in runs[0].codes]
    ends = [{factor: run.codes[factor][-1] for factor in kept} for run in runs]
    differs = {factor: ends[0][factor] != ends[1][factor] for factor in kept}
    if any(bool(at.any()) for at in differs.values()):
        return LoopPair(clean, corrupt, (runs[0], runs[1]), (ends[0], ends[1]), differs, shown=True)
    return _moved_most(clean, corrupt, (runs[0], runs[1]), kept)


def _moved_most(
    clean: Any, corrupt: Any, runs: tuple[LoopRun, LoopRun], factors: list[str]
) -> LoopPair | None:
    """The pair, measured at the one position of every row whose logits move apart most; None where none move."""
    import torch

    moved = {
        factor: runs[0].logits[factor][-1].float() - runs[1].logits[factor][-1].float() for factor in factors
    }
    spread = {factor: change.amax(-1) - change.amin(-1) for factor, change in moved.items()}
    factor = max(factors, key=lambda name: float(spread[name].max()))
    if float(spread[factor].flatten(1).amax(1).min()) <= 0:
        return None
    at = torch.zeros_like(spread[factor], dtype=torch.bool)
    at[torch.arange(len(at)), spread[factor].argmax(1)] = True
    change = moved[factor]
    symbols = {factor: change.argmax(-1)}, {factor: change.argmin(-1)}
    return LoopPair(clean, corrupt, runs, symbols, {factor: at}, shown=False)


def _corrupted(opened: Opened, clean: Any, seed: int) -> Any:
    corrupt = getattr(opened.task, "corrupt", None)
    if corrupt is not None:
        with opened.running("corrupting an input"):
            return corrupt(clean, seed)
    import torch

    ids = _ids(clean)
    if not isinstance(ids, torch.Tensor) or ids.is_floating_point() or ids.ndim != 2 or len(ids.unique()) < 2:
        raise InputError(
            f"{clip(opened.title)} needs --clean and --corrupt: {_what(opened)} `corrupt`, which would make a pair "
            "(corrupt(inputs, seed)), and these inputs are no token ids of which one could be exchanged."
        )
    generator = torch.Generator().manual_seed(seed)
    at = int(torch.randint(0, ids.shape[1], (), generator=generator))
    changed = ids.clone()
    for row in changed:
        others = ids.unique()[ids.unique() != row[at]]
        row[at] = others[int(torch.randint(0, len(others), (), generator=generator))]
    return changed if isinstance(clean, torch.Tensor) else {**clean, "input_ids": changed}


def _ids(inputs: Any) -> Any:
    """The token ids of what a tokenizer gives; whatever else is itself."""
    return inputs["input_ids"] if isinstance(inputs, Mapping) and "input_ids" in inputs else inputs


def _what(opened: Opened) -> str:
    return "it has no task with" if opened.task is None else f"its task, {type(opened.task).__name__}, has no"


def _sized(shape: Sequence[int]) -> str:
    return f"{shape[0]} x {shape[1]} (rows x positions)" if len(shape) > 1 else f"{shape[0]} rows"


def parse_texts(texts: Sequence[str] | None) -> tuple[str, ...]:
    """The texts of a repeated option. Raises InputError for an empty one."""
    found = tuple(texts or ())
    if any(not text.strip() for text in found):
        raise InputError("--inputs is empty: give a text, token ids ('5 9 2') or a file of an array (x.npy).")
    return found
