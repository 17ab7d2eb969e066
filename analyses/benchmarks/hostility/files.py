"""Hostile files: `--config` YAML, `--graphs-file` JSON lines, and a model's `config.json`."""

from __future__ import annotations

import json
import random
from contextlib import suppress
from pathlib import Path

import models
from analyses.benchmarks.hostility.commands import prepare, run_command, usual
from analyses.benchmarks.hostility.judge import ACCEPTED, REFUSED, Case, WrongAnswerError
from analyses.benchmarks.hostility.strings import (
    CHARACTERS,
    NUMBERS,
    WORDS,
    damaged,
    damaged_bytes,
    hostile_word,
)
from analyses.benchmarks.hostility.texts import hostile_text
from analyses.benchmarks.hostility.tiny import NAME, TEXT, save_tiny, tiny_config
from models.config import ConfigError, RecurrentConfig
from models.loading import load
from models.storage import CheckpointError

_YAML = (
    *(
        "!!int abc",
        "!!timestamp x",
        "!!python/object:os.system x",
        "!!binary x",
        "&a",
        "*a",
        "<<: *a",
        "{",
        "}",
        "[",
        "]",
    ),
    *(
        "- ",
        "? ",
        ": ",
        "|",
        ">",
        "---",
        "...",
        "%YAML 1.1",
        "#",
        "\n",
        "\t",
        "'",
        '"',
        "2020-13-45",
        "1:2:3",
        "~",
        ".nan",
    ),
)
_VALUES: tuple[object, ...] = (
    *(None, True, False, 0, -1, 1, 2, 10**6, 10**9, 10**30, 0.5, -0.5, 1e308, float("nan"), float("inf")),
    *(
        "",
        "x",
        "cuda",
        "meta",
        "float32",
        "int8",
        "nn",
        [],
        {},
        [[]],
        ["ADD"],
        ["ADD", "ADD"],
        ["DIV"],
        [1],
        {"a": 1},
    ),
)


def hostile_file(draw: random.Random, folder: Path) -> Case:
    """A file of one of the three kinds, and the command or function that reads it."""
    prepare(folder)
    make = draw.choices((_config_file, _graphs_file, _model_config), (2, 2, 1))[0]
    return make(draw)


def _write(draw: random.Random, name: str, text: str) -> Path:
    """The text as a file, now and then damaged as bytes."""
    content = text.encode("utf-8", "surrogatepass")
    path = Path(name)
    path.write_bytes(damaged_bytes(draw, content) if draw.random() < 0.2 else content)
    return path


def _config_file(draw: random.Random) -> Case:
    lines = {"steps": "2", "seed": "0", "ops": "[ADD]", "quiet": "true", "json": "x.json", "model": NAME}
    tokens = [part for key, value in lines.items() for part in (key, ": ", value, "\n")]
    text = "".join(damaged(draw, tokens, (*_YAML, *WORDS, *CHARACTERS, *NUMBERS[:24])))
    kind = draw.random()
    if kind < 0.02:
        text = "steps: " + draw.choice(("[", "{a: ", "- ", "&a ", "'")) * draw.choice((100, 5_000, 100_000))
    elif kind < 0.04:
        text = "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12))
    elif kind < 0.3:
        text += f"{draw.choice(list(lines))}: {json.dumps(hostile_word(draw))}\n"
    path = _write(draw, "c.yaml", text)
    arguments = ["solve", f"--config={path}", "--", TEXT]
    return Case(text, lambda: run_command(arguments), usual("solve"))


def _graphs_file(draw: random.Random) -> Case:
    lines: list[str] = []
    for _ in range(draw.randint(1, 4)):
        right = {"equations": ["1 = a", "2 = b", "a ADD b = c"], "values": {"a": 1, "b": 2, "c": 3}}
        wrong = {draw.choice(("modulus", "values", "ops", "note")): draw.choice(_VALUES)}
        record: dict[str, object] = right | (wrong if draw.random() < 0.3 else {})
        if draw.random() < 0.3:
            record["equations"] = hostile_text(draw, Path()).what.split("\n")
        line = json.dumps(record)
        if draw.random() < 0.3:
            line = "".join(damaged(draw, list(line), (*'{}[]:,"\\', "null", "\x00", "\ud800", "[" * 5_000)))
        lines.append(line)
    if draw.random() < 0.02:
        lines = [draw.choice(("[", "{", '{"a":', "1", "\n", " ")) * draw.choice((100_000, 1_000_000))]
    text = draw.choice(("\n", "\n", "\n", "\r\n", "\r", "\u2028")).join(lines)
    path = _write(draw, "g.jsonl", text)
    arguments = ["solve", f"--graphs-file={path}", f"--model={NAME}", "--quiet"]
    return Case(text, lambda: run_command(arguments), usual("solve"))


def _model_config(draw: random.Random) -> Case:
    values = tiny_config().to_dict()
    for _ in range(draw.randint(1, 3)):
        key = draw.choice([*values, "surplus"])
        values[key] = draw.choice(_VALUES) if draw.random() < 0.7 else hostile_word(draw)
    text = json.dumps(values)
    if draw.random() < 0.2:
        text = "".join(damaged(draw, list(text), (*'{}[]:,"\\0123456789', "null", "NaN", "[" * 5_000)))
    folder = save_tiny(Path("model"))
    _write(draw, "model/config.json", text)
    return Case(text, lambda: _load(text, folder))


def _load(text: str, folder: Path) -> str:
    with suppress(ConfigError):
        RecurrentConfig.from_json(text)
    try:
        model = load(folder)
    except CheckpointError as error:
        if not str(error):
            raise WrongAnswerError("a refusal without a reason") from error
        return REFUSED
    model.run(
        models.ComputationGraph.parse("1 = a; a = b", model.cfg.modulus, model.cfg.n_variables), n_steps=2
    )
    return ACCEPTED
