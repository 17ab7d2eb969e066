"""What a command is given, made into graphs, a model and files to write; every mistake becomes one InputError.

Nothing heavy is imported before it is needed: `recurlens --help` must answer at once.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from models.graph import ComputationGraph
    from models.recurrent import RecurrentTransformer

OPERATIONS = ("ADD", "SUB", "MUL")


class InputError(ValueError):
    """What the user gave cannot be used; the message says what was given and what is allowed."""


@dataclass(frozen=True)
class GraphSource:
    """Where the graphs of a command come from: exactly one of `text`, `file` and `n_nodes` is set."""

    text: str | None = None
    file: Path | None = None
    n_nodes: int | None = None
    seed: int = 0
    ops: tuple[str, ...] = ("ADD",)

    def graphs(self, model: RecurrentTransformer) -> list[ComputationGraph]:
        """The graphs, checked against the vocabulary of `model`.

        Raises InputError for a graph that cannot be read, sampled, or shown to this model.
        """
        from models.graph import ComputationGraph, GraphError

        if self.file is not None:
            return read_graphs_file(self.file, model)
        if self.n_nodes is not None:
            return [sample_graph(model, self.n_nodes, self.ops, self.seed)]
        vocabulary = model.vocabulary
        try:
            graph = ComputationGraph.parse(
                self.text or "", modulus=vocabulary.modulus, n_variables=vocabulary.n_variables
            )
        except GraphError as error:
            raise InputError(str(error)) from error
        check_fits(graph, model)
        return [graph]

    def many(self, model: RecurrentTransformer, count: int) -> list[ComputationGraph]:
        """As `graphs`; where they are sampled, `count` of them, of seeds seed, seed + 1, ..."""
        if self.n_nodes is None:
            return self.graphs(model)
        return [sample_graph(model, self.n_nodes, self.ops, self.seed + index) for index in range(count)]


def parse_operations(text: str) -> tuple[str, ...]:
    """ "ADD,SUB" as ("ADD", "SUB"), in the order of OPERATIONS; raises InputError for an unknown name."""
    names = [part.strip().upper() for part in text.split(",") if part.strip()]
    unknown = [name for name in names if name not in OPERATIONS]
    if unknown or not names:
        raise InputError(f"Unknown operations {text!r}: give a comma list of {', '.join(OPERATIONS)}.")
    return tuple(name for name in OPERATIONS if name in names)


def parse_sizes(text: str) -> tuple[int, ...]:
    """Graph sizes in nodes: "8:128:8" is 8, 16, ..., 128 (the stop included), "8,32,128" a list.

    Raises InputError for anything else, and for sizes below 1.
    """
    message = f"Sizes {text!r} are neither START:STOP:STEP (8:128:8) nor a comma list (8,32,128) of numbers above 0."
    try:
        if ":" in text:
            start, stop, *rest = (int(part) for part in text.split(":"))
            step = rest[0] if rest else 1
            sizes = tuple(range(start, stop + 1, step)) if len(rest) < 2 and step > 0 else ()
        else:
            sizes = tuple(sorted({int(part) for part in text.split(",")}))
    except ValueError as error:
        raise InputError(message) from error
    if not sizes or min(sizes) < 1:
        raise InputError(message)
    return sizes


def sample_graph(
    model: RecurrentTransformer, n_nodes: int, ops: Sequence[str], seed: int
) -> ComputationGraph:
    """One graph of `n_nodes` in the vocabulary of `model`, with the 6 leaves of the paper (or all, if fewer).

    Raises InputError where none can be drawn.
    """
    from models.graph import ComputationGraph, GraphError

    unknown = sorted(set(ops) - set(model.vocabulary.ops))
    if unknown:
        raise InputError(f"The model knows {', '.join(model.vocabulary.ops)}, not {', '.join(unknown)}.")
    try:
        graph = ComputationGraph.sample(
            n_nodes=n_nodes,
            ops=tuple(ops),
            n_leaves=min(6, n_nodes),
            modulus=model.vocabulary.modulus,
            n_variables=model.vocabulary.n_variables,
            seed=seed,
        )
    except GraphError as error:
        raise InputError(str(error)) from error
    check_fits(graph, model)
    return graph


def check_fits(graph: ComputationGraph, model: RecurrentTransformer) -> None:
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
    if model.cfg.positions == "absolute" and n_tokens(graph) > model.cfg.n_ctx:
        raise InputError(
            f"The graph has {n_tokens(graph)} tokens, and the model has learned positions for {model.cfg.n_ctx}."
        )


def n_tokens(graph: ComputationGraph) -> int:
    """Length of a graph in tokens: 3 for a leaf, 2k + 1 for k operands, and a separator between equations."""
    return sum(2 * max(len(node.operands), 1) + 1 for node in graph.nodes) + len(graph) - 1


def read_graphs_file(path: Path, model: RecurrentTransformer) -> list[ComputationGraph]:
    """The graphs of a JSON-lines file: an object a line with `equations`, and optionally `values` by name.

    `values` are compared with the symbolic oracle (`ComputationGraph.from_json`). Raises InputError with the file
    and the line.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"Cannot read the graphs file {path}: {_reason(error)}.") from error
    graphs = []
    for number, line in enumerate(lines, start=1):
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


def _graph_of_line(line: str, model: RecurrentTransformer) -> ComputationGraph:
    from models.graph import ComputationGraph, GraphError

    vocabulary = model.vocabulary
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        raise InputError(f"not valid JSON ({error}).") from error
    if isinstance(record, dict):
        line = json.dumps({"modulus": vocabulary.modulus, "n_variables": vocabulary.n_variables} | record)
    try:
        graph = ComputationGraph.from_json(line)
    except GraphError as error:
        raise InputError(str(error)) from error
    check_fits(graph, model)
    return graph


def load_model(name: str) -> RecurrentTransformer:
    """`models.load(name)`; raises InputError for a name or folder that holds no model."""
    import models

    try:
        return models.load(name)
    except (ValueError, LookupError, OSError) as error:
        text = str(error.args[0]) if isinstance(error, LookupError) and error.args else str(error)
        raise InputError(text or f"No model {name!r}.") from error


@dataclass(frozen=True)
class Outputs:
    """The files a command writes: a JSON file, and a folder that gets NAME.json and NAME.csv."""

    name: str
    json_file: Path | None = None
    folder: Path | None = None

    def check(self) -> None:
        """Raises InputError where nothing could be written; called before the work, not after it."""
        if self.folder is not None:
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise InputError(f"Cannot create the folder {self.folder}: {_reason(error)}.") from error
        if self.json_file is not None and self.json_file.is_dir():
            raise InputError(f"Cannot write {self.json_file}: it is a folder.")
        if self.json_file is not None and not self.json_file.parent.is_dir():
            raise InputError(f"Cannot write {self.json_file}: there is no folder {self.json_file.parent}.")

    def write(self, data: Mapping[str, Any], rows: Iterable[Mapping[str, Any]]) -> list[Path]:
        """Write `data` as JSON and `rows` (one tidy record each) as CSV; returns the paths written."""
        json_files = [] if self.json_file is None else [self.json_file]
        csv_files = []
        if self.folder is not None:
            json_files.append(self.folder / f"{self.name}.json")
            csv_files.append(self.folder / f"{self.name}.csv")
        path = None
        try:
            for path in json_files:
                path.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")
            for path in csv_files:
                records = list(rows)
                with path.open("w", newline="", encoding="utf-8") as handle:
                    writer = csv.DictWriter(handle, fieldnames=list(records[0]) if records else [])
                    writer.writeheader()
                    writer.writerows(records)
        except OSError as error:
            raise InputError(f"Cannot write {path}: {_reason(error)}.") from error
        return json_files + csv_files


def _reason(error: OSError | UnicodeDecodeError) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8 text"
    return (error.strerror or str(error)).lower()
