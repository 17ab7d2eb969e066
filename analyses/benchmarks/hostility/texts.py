"""Hostile texts: equations with mutated grammar, random characters, and a few huge ones."""

from __future__ import annotations

import json
import random
from pathlib import Path

from analyses.benchmarks.hostility.judge import ACCEPTED, REFUSED, Case, WrongAnswerError
from analyses.benchmarks.hostility.strings import CHARACTERS, NUMBERS, damaged, hostile_word
from models.graph import ComputationGraph, GraphError
from models.printable import printable

LONGEST_MESSAGE = 1000
_TOKENS = (
    *(
        "ADD",
        "plus",
        "SUB",
        "minus",
        "MUL",
        "times",
        "+",
        "-",
        "*",
        "×",
        "x",
        "X",
        "=",
        "->",
        "→",
        "=>",
        ";",
        ",",
        "\n",
    ),
    *(
        "[sep]",
        "[ SEP ]",
        "[sep",
        "[pad]",
        "(",
        ")",
        ".",
        "x_0",
        "x_007",
        "x_127",
        "x_128",
        "x_-1",
        "a",
        "b",
        "add_2",
        "2a",
    ),
    *(" ", "\t", "\u2003", "<unk>", "==", "<-", "-1", "22", "23", "1.5", "EMPTY", "N/A"),
)
_HOSTILE = _TOKENS + CHARACTERS + NUMBERS[:24]


def hostile_text(draw: random.Random, folder: Path) -> Case:
    """A text for `ComputationGraph.parse`, or the same inside JSON for `from_json`."""
    text = _text(draw)
    if draw.random() < 0.2:
        text = _in_json(draw, text)
        return Case(text, lambda: _read_json(text))
    return Case(text, lambda: _read(text))


def _text(draw: random.Random) -> str:
    kind = draw.random()
    if kind < 0.001:
        return draw.choice(_HOSTILE) * draw.choice((30_000, 100_000, 500_000))
    if kind < 0.002:
        n = draw.choice((500, 3_000, 9_999, 10_001))
        shape = draw.choice(("1 = n{0}", "n{0} = n{1}", "n{1} = n{0}", "n{0} + n{1} = m{0}"))
        return draw.choice((";", "\n", " [sep] ")).join(shape.format(i, (i + 1) % n) for i in range(n))
    if kind < 0.1:
        return "".join(draw.choice(_HOSTILE) for _ in range(draw.randint(0, 40)))
    if kind < 0.15:
        return hostile_word(draw)
    return "".join(damaged(draw, _equations(draw), _HOSTILE))


def _equations(draw: random.Random) -> list[str]:
    """The tokens of a right graph, spaces and separators among them."""
    names = [draw.choice((f"x_{i}", f"n{i}", "abcdefgh"[i])) for i in range(draw.randint(1, 8))]
    tokens: list[str] = []
    for place, name in enumerate(names):
        if place < 2:
            body = [str(draw.randrange(23))]
        else:
            chosen = draw.sample(names[:place], k=draw.randint(1, min(3, place)))
            body = [chosen[0]]
            for operand in chosen[1:]:
                body += [" ", draw.choice(_TOKENS[:10]), " ", operand]
        sides = [body, [name]]
        if draw.random() < 0.2 and len(body) != 1:
            sides.reverse()
        tokens += [
            *sides[0],
            " ",
            draw.choice(("=", "->", "→")),
            " ",
            *sides[1],
            draw.choice(("; ", "\n", ", ")),
        ]
    return tokens


def _in_json(draw: random.Random, text: str) -> str:
    values: list[object] = [
        text,
        text.split(";"),
        [text, 5],
        {"a": text},
        None,
        3,
        True,
        1e308,
        [[[]]],
        -1,
        10**30,
    ]
    record = {"equations": text.split(";") if draw.random() < 0.8 else draw.choice(values)}
    for key in (
        "modulus",
        "n_variables",
        "max_operands",
        "values",
        "variables",
        "ops",
        "depths",
        "n_nodes",
        "note",
    ):
        if draw.random() < 0.2:
            record[key] = draw.choice((*values, 23, 128, 7, 2))
    line = json.dumps(record)
    kind = draw.random()
    if kind < 0.02:
        return draw.choice(("[", '{"equations":', "-", "9")) * draw.choice((2_000, 100_000)) + line
    return (
        line
        if kind < 0.8
        else "".join(damaged(draw, list(line), (*'{}[]:,"\\0123456789eE+-.', "null", "NaN")))
    )


def _read(text: str) -> str:
    try:
        graph = ComputationGraph.parse(text)
    except GraphError as error:
        return _checked(error)
    if (
        ComputationGraph.parse(graph.to_text()) != graph
        or ComputationGraph.from_json(graph.to_json()) != graph
    ):
        raise WrongAnswerError("what was read is not what is written out and read again")
    return ACCEPTED


def _read_json(text: str) -> str:
    try:
        graph = ComputationGraph.from_json(text)
    except GraphError as error:
        return _checked(error)
    if ComputationGraph.from_json(graph.to_json()) != graph:
        raise WrongAnswerError("what was read is not what is written out and read again")
    return ACCEPTED


def _checked(error: GraphError) -> str:
    message = str(error)
    printable(message).encode()
    if not message or len(message) > LONGEST_MESSAGE:
        raise WrongAnswerError(f"a message of {len(message)} characters: {message[:200]}")
    return REFUSED
