"""A looped model by its name: what its function gives, made into a loop and a task.

The function takes nothing and returns a loop, or a model that `models.as_loop` knows; or two things, the second a task
(`interp.Task`, or what there is of one) or a tokenizer:

    def make():
        model = AlbertForMaskedLM.from_pretrained(NAME, attn_implementation="eager")
        return model, AutoTokenizer.from_pretrained(NAME)

The model is put into evaluation mode. What its state begins with at random is drawn anew from the same seed in every
run, so that two runs on one input are the same.
"""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, cast

from analyses.inputs import InputError, load_model
from analyses.loops.names import installed, is_file, is_loop, names
from analyses.own_function import importing_beside, own_function
from models.compiled_names import LOOPS
from models.graph_errors import clip

_SOURCES: Final = tuple(
    str(Path(__file__).resolve().parents[2] / name) for name in ("models", "interp", "analyses")
)


@dataclass(frozen=True, eq=False)
class Opened:
    """A looped model, ready to be run.

    Attributes:
        name: as it was given.
        loop: an `interp.Loop`.
        task: an `interp.Task`, or what there is of one; None for none.
        lock: held while an analysis runs (:meth:`whole`).
    """

    name: str
    loop: Any
    task: Any = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def title(self) -> str:
        """Its name without folders."""
        return Path(self.name).name

    @contextmanager
    def whole(self) -> Iterator[None]:
        """While one analysis has it to itself: hooks of two at a time would see each other."""
        with self.lock, _own_code(clip(self.title)):
            yield

    @contextmanager
    def running(self, what: str) -> Iterator[None]:
        """Where it is run: whatever its code raises becomes an InputError that says where."""
        with _own_code(f"{clip(self.title)}, {what}"):
            yield


def open_loop(name: str, seed: int = 0) -> Opened:
    """The looped model of a name, or a model of graphs as a loop.

    seed: of states that begin at random.

    Raises:
        InputError: a file or function that is not there or fails, or gives no loop.
    """
    if not is_loop(name):
        return _of_graphs(name)
    if name in LOOPS:
        from models.compiled import CompiledTask, make

        made = make(name)
        return Opened(name, made, CompiledTask(made))
    function = own_function(name, "a looped model")[1] if is_file(name) else _entry(name)
    with importing_beside(name), _own_code(f"making {clip(name)}"):
        given = function()
    loop, task = given if isinstance(given, tuple) and len(given) == 2 else (given, None)
    return Opened(name, _seeded(_as_loop(name, loop), seed), _as_task(name, loop, task))


def _of_graphs(name: str) -> Opened:
    from interp.loop.task import GraphTask
    from models import as_loop

    try:
        model = load_model(name)
        return Opened(name, as_loop(model), GraphTask(model.vocabulary))
    except InputError as error:
        raise InputError(f"{error} Looped models are {', '.join(names())}, and FILE.py:FUNCTION.") from error
    except ValueError as error:
        raise InputError(f"{name}: {error}.") from error


def _entry(name: str) -> Callable[[], Any]:
    with _own_code(f"importing {clip(name)}"):
        return installed()[name].load()


def _as_loop(name: str, given: Any) -> Any:
    from models import as_loop

    try:
        loop = as_loop(given)
    except TypeError as error:
        raise InputError(f"{clip(name)} gives no looped model: {error}.") from error
    except ValueError as error:
        raise InputError(f"{clip(name)}: {error}.") from error
    module: Any = getattr(loop, "module", None)
    if not hasattr(module, "named_modules"):
        raise InputError(
            f"{clip(name)} gives a loop whose `module` is {type(module).__name__}: it must be a torch.nn.Module."
        )
    module.eval()
    return loop


def _as_task(name: str, loop: Any, task: Any) -> Any:
    from interp.loop.text_task import TextTask
    from models.compiled import CompiledTask
    from models.compiled.form import LoopForm

    if task is None:
        return CompiledTask(cast(Any, loop)) if isinstance(loop, LoopForm) else None
    if callable(task) and hasattr(task, "convert_ids_to_tokens"):
        return TextTask(task)
    if not any(hasattr(task, member) for member in ("sample", "parse", "tokens", "labels")):
        raise InputError(
            f"{clip(name)} gives {type(task).__name__} as its task: it must have sample, parse, tokens or labels, or "
            "be a tokenizer."
        )
    return task


def _seeded(loop: Any, seed: int) -> Any:
    """The loop, beginning alike in every run; a copy of it, by its own `begin`."""
    # Of a class with slots it stays as it is: there is nowhere to put another.
    if hasattr(loop, "__dict__"):
        object.__setattr__(loop, "begin", partial(_begun, loop.begin, seed))
    return loop


def _begun(begin: Callable[[Any], Any], seed: int, inputs: Any) -> Any:
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return begin(inputs)


@contextmanager
def _own_code(doing: str) -> Iterator[None]:
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # what another's code raises is of any kind
        frames = traceback.extract_tb(error.__traceback__)
        ours = [frame for frame in frames if frame.filename.startswith(_SOURCES)]
        if isinstance(error, ValueError) and frames[-1].filename.startswith(_SOURCES):
            raise InputError(_sentence(str(error))) from error
        own = [
            frame
            for frame in frames
            if not frame.filename.startswith((*_SOURCES, "<")) and "site-packages" not in frame.filename
        ]
        at = (own or ours or list(frames))[-1]
        text = " ".join(str(error).split())[:300]
        raise InputError(
            f"{doing}: {type(error).__name__}: {text} ({Path(at.filename).name}, line {at.lineno}, in {at.name})."
        ) from error


def _sentence(text: str) -> str:
    return text if text.endswith(".") else f"{text}."
