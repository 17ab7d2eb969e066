"""What a command is given, made into graphs, a model and files to write; every mistake becomes one InputError.

Nothing heavy is imported before it is needed: `recurlens --help` must answer at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from analyses.loops.names import is_loop
from models.compiled_names import compiled_operations, fitting_name
from models.graph_errors import clip
from models.operations import OPERATIONS
from models.position_encodings import POSITIONS

if TYPE_CHECKING:
    from models.graph import ComputationGraph
    from models.network import Network
    from models.recurrent import RecurrentTransformer

MOST_SIZES = 10_000
"""Sizes of graphs in one evaluation."""
MOST_LINES = 1_000_000
"""Lines of a file of graphs."""
PAPER_LEAVES, PAPER_OPERANDS = 6, 3
"""Leaves of a sampled graph, and the most operands of one of its equations (Altabaa et al. 2025)."""


class InputError(ValueError):
    """What the user gave cannot be used; the message says what was given and what is allowed."""


@contextmanager
def bad_input(*others: type[Exception]) -> Iterator[None]:
    """Where what the user gave is used: a ValueError, or one of `others`, becomes an InputError with its message."""
    try:
        yield
    except (ValueError, *others) as error:
        raise InputError(str(error)) from error


@dataclass(frozen=True)
class GraphSource:
    """Where the graphs of a command come from: exactly one of `text`, `file` and `n_nodes` is set.

    text: the equations of one graph, or of several graphs one text each.
    """

    text: str | tuple[str, ...] | None = None
    file: Path | None = None
    n_nodes: int | None = None
    seed: int = 0
    ops: tuple[str, ...] = ("ADD",)

    def graphs(self, model: Network) -> list[ComputationGraph]:
        """The graphs, checked against the vocabulary of `model`.

        Raises InputError for a graph that cannot be read, sampled, or shown to this model.
        """
        if self.file is not None:
            return read_graphs_file(self.file, model)
        if self.n_nodes is not None:
            return [sample_graph(model, self.n_nodes, self.ops, self.seed)]
        texts = (self.text or "",) if isinstance(self.text, str | None) else self.text
        graphs: list[ComputationGraph] = []
        for number, text in enumerate(texts, start=1):
            try:
                graphs.append(_parse_graph(text, model))
            except InputError as error:
                where = f"Graph {number} of {len(texts)}: " if len(texts) > 1 else ""
                raise InputError(f"{where}{error}") from error
        return graphs

    def fitting(self, model: str) -> str:
        """The name of the model to give the graphs to: a compiled one knows the operations that they have.

        Where graphs cannot be read, and of other models, it is `model`; `graphs` says what is wrong.
        """
        if compiled_operations(model) is None:
            return model
        from models.graph import ComputationGraph

        if self.n_nodes is not None:
            return fitting_name(model, self.ops)
        try:
            if self.file is None:
                texts = (self.text,) if isinstance(self.text, str) else self.text or ()
                graphs = [ComputationGraph.parse(text) for text in texts]
            else:
                graphs = [
                    ComputationGraph.from_json(line) for _, line in _lines_of(self.file) if line.strip()
                ]
        except ValueError:  # of a graph, or an InputError
            return model
        return fitting_name(model, {name for graph in graphs for name in graph.ops})

    def many(self, model: Network, count: int) -> list[ComputationGraph]:
        """As `graphs`; where they are sampled, `count` of them, of seeds seed, seed + 1, ..."""
        if self.n_nodes is None:
            return self.graphs(model)
        return [sample_graph(model, self.n_nodes, self.ops, self.seed + index) for index in range(count)]


def _parse_graph(text: str, model: Network) -> ComputationGraph:
    """The graph of a text, in the vocabulary of `model`."""
    from models.graph import ComputationGraph

    known = model.vocabulary
    with bad_input():
        graph = ComputationGraph.parse(text, modulus=known.modulus, n_variables=known.n_variables)
    check_fits(graph, model)
    return graph


def parse_operations(text: str) -> tuple[str, ...]:
    """ "ADD,SUB" as ("ADD", "SUB"), in the canonical order; raises InputError for an unknown name."""
    names = [part.strip().upper() for part in text.split(",") if part.strip()]
    unknown = [name for name in names if name not in OPERATIONS]
    if unknown or not names:
        raise InputError(f"Unknown operations {text!r}: give a comma list of {', '.join(OPERATIONS)}.")
    return OPERATIONS.ordered(names)


def parse_sizes(text: str) -> tuple[int, ...]:
    """Graph sizes in nodes: "8:128:8" is 8, 16, ..., 128 (the stop included), "8,32,128" a list.

    Raises InputError for anything else, and for sizes below 1.
    """
    allowed = "neither START:STOP:STEP (8:128:8) nor a comma list (8,32,128) of numbers above 0"
    message = f"Sizes {clip(text)!r} are {allowed}."
    try:
        if ":" in text:
            start, stop, *rest = (int(part) for part in text.split(":"))
            step = rest[0] if rest else 1
            found = range(start, stop + 1, step) if len(rest) < 2 and step > 0 else range(0)
            sizes = tuple(found[: MOST_SIZES + 1])
        else:
            sizes = tuple(sorted({int(part) for part in text.split(",")}))
    except ValueError as error:
        raise InputError(message) from error
    if not sizes or min(sizes) < 1:
        raise InputError(message)
    if len(sizes) > MOST_SIZES:
        raise InputError(f"Sizes {clip(text)!r} are more than {MOST_SIZES}, which is the most allowed.")
    return sizes


def sample_graph(
    model: Network,
    n_nodes: int,
    ops: Sequence[str],
    seed: int,
    leaves: int = PAPER_LEAVES,
    max_operands: int = PAPER_OPERANDS,
) -> ComputationGraph:
    """One graph of `n_nodes` in the vocabulary of `model`, with `leaves` leaves (or all nodes, if fewer).

    `leaves`, `max_operands`: those of the paper, unless given.

    Raises InputError where none can be drawn.
    """
    from models.graph import ComputationGraph

    unknown = sorted(set(ops) - set(model.vocabulary.ops))
    if unknown:
        raise InputError(f"The model knows {', '.join(model.vocabulary.ops)}, not {', '.join(unknown)}.")
    with bad_input():
        graph = ComputationGraph.sample(
            n_nodes=n_nodes,
            ops=tuple(ops),
            n_leaves=min(leaves, n_nodes),
            max_operands=max_operands,
            modulus=model.vocabulary.modulus,
            n_variables=model.vocabulary.n_variables,
            seed=seed,
        )
    check_fits(graph, model)
    return graph


def check_fits(graph: ComputationGraph, model: Network) -> None:
    """Raises InputError when `model` cannot be given `graph`: its operations, modulus, variables or length."""
    vocabulary = model.vocabulary
    if graph.modulus != vocabulary.modulus or graph.n_variables > vocabulary.n_variables:
        raise InputError(
            f"The graph is modulo {graph.modulus} with {graph.n_variables} variables, and the model computes "
            f"modulo {vocabulary.modulus} with {vocabulary.n_variables}."
        )
    unknown = [name for name in graph.ops if name not in vocabulary.ops]
    if unknown:
        raise InputError(
            f"The graph uses {', '.join(unknown)}, and the model knows only {', '.join(vocabulary.ops)}."
        )
    if POSITIONS[model.cfg.positions].limited and n_tokens(graph) > model.cfg.n_ctx:
        raise InputError(
            f"The graph has {n_tokens(graph)} tokens, and the model has learned positions for {model.cfg.n_ctx}."
        )


def n_tokens(graph: ComputationGraph) -> int:
    """Length of a graph in tokens: 3 for a leaf, 2k + 1 for k operands, and a separator between equations."""
    return sum(2 * max(len(node.operands), 1) + 1 for node in graph.nodes) + len(graph) - 1


def read_graphs_file(path: Path, model: Network) -> list[ComputationGraph]:
    """The graphs of a JSON-lines file: an object per line with `equations`, and optionally `values` by name.

    `values` are compared with the symbolic oracle (`ComputationGraph.from_json`). Raises InputError with the file
    and the line.
    """
    graphs = []
    for number, line in _lines_of(path):
        if not line.strip():
            continue
        try:
            graphs.append(_graph_of_line(line, model))
        except InputError as error:
            raise InputError(f"{path}, line {number}: {error}") from error
    if not graphs:
        raise InputError(
            f"{path} holds no graphs: one JSON object with `equations` is expected on each line."
        )
    return graphs


def _lines_of(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a text file, counted from 1, one at a time; raises InputError for what is no such file of graphs."""
    from models.bounds import LARGEST_JSON

    try:
        with path.open(encoding="utf-8") as file:
            for number in range(1, MOST_LINES + 2):
                line = file.readline(LARGEST_JSON + 1)
                if not line:
                    return
                if len(line) > LARGEST_JSON:
                    raise InputError(
                        f"{path}, line {number}: it has more than {LARGEST_JSON} characters, which is the most allowed."
                    )
                if number > MOST_LINES:
                    raise InputError(f"{path} has more than {MOST_LINES} lines, which is the most allowed.")
                yield number, line
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"Cannot read the graphs file {path}: {_reason(error)}.") from error


def _graph_of_line(line: str, model: Network) -> ComputationGraph:
    from models.graph import ComputationGraph

    with bad_input():
        graph = ComputationGraph.from_json(line, model.vocabulary.modulus, model.vocabulary.n_variables)
    check_fits(graph, model)
    return graph


@dataclass(frozen=True)
class _Kept:
    """Models of one command, by name, and whether they have hooks."""

    hooked: bool
    models: dict[str, RecurrentTransformer] = field(default_factory=dict)


_loaded: ContextVar[_Kept | None] = ContextVar("models that are kept", default=None)


@contextmanager
def loading_once(hooked: bool = True) -> Iterator[None]:
    """While one command runs in this thread, `load_model` gives the same model for the same name.

    hooked: False for a command that only runs it (`models.load_unhooked`), which is there in half of the time.
    """
    token = _loaded.set(_Kept(hooked))
    try:
        yield
    finally:
        _loaded.reset(token)


def load_for(name: str, graphs: Sequence[ComputationGraph]) -> RecurrentTransformer:
    """The model, which all of the graphs can be given to. Raises InputError where there are none or it cannot."""
    if not graphs:
        raise InputError("There are no graphs to run: give at least one.")
    model = load_model(name)
    for graph in graphs:
        check_fits(graph, model)
    return model


def load_model(name: str) -> RecurrentTransformer:
    """`models.load(name)`; raises InputError for a name or folder that holds no model."""
    if is_loop(name):
        raise InputError(f"{clip(name)} is a looped model, and here models that read graphs are needed.")
    kept = _loaded.get() or _Kept(hooked=True)
    if name not in kept.models:
        import models

        with _no_model(name):
            kept.models[name] = models.load(name) if kept.hooked else cast(Any, models.load_unhooked(name))
    return kept.models[name]


@contextmanager
def _no_model(name: str) -> Iterator[None]:
    try:
        yield
    except (ValueError, LookupError, OSError) as error:
        text = str(error.args[0]) if isinstance(error, LookupError) and error.args else str(error)
        raise InputError(text or f"No model {name!r}.") from error


def _reason(error: OSError | UnicodeDecodeError) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8 text"
    return (error.strerror or str(error)).lower()
