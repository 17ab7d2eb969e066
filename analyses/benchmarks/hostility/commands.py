"""Hostile values of every option of every command, and combinations of two.

The options are those that Typer has; each case runs the real command, in this process, with cheap settings, a small
model and one value that is hostile. Only the web server of `dashboard` is left out.
"""

from __future__ import annotations

import os
import random
import shutil
import time
from collections.abc import Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import typer
from typer.testing import CliRunner

import models
from analyses import cli
from analyses.benchmarks.hostility.judge import ACCEPTED, REFUSED, Case, WrongAnswerError
from analyses.benchmarks.hostility.strings import hostile_word
from analyses.benchmarks.hostility.texts import hostile_text
from analyses.benchmarks.hostility.tiny import NAME, TEXT, save_tiny

GRAPH = "GRAPH"
"""Stands for the positional argument among the options."""
_MODEL: dict[str, str | None] = {"--model": NAME}
_ON_TEXT: dict[str, str | None] = {GRAPH: TEXT, **_MODEL}
_TWO: dict[str, str | None] = {"--n-nodes": "3", "--graphs": "2", **_MODEL}
_ON_LOOP: dict[str, str | None] = {"--inputs": TEXT, "--steps": "1", **_MODEL}
CHEAP: dict[str, dict[str, str | None]] = {
    "solve": _ON_TEXT,
    "compare": {**_ON_TEXT, "--other-edit": "a@0=3"},
    "evaluate": {"--sizes": "3", "--graphs": "1", **_MODEL},
    "train": {
        "--method": "discrete", "--preset": "smoke", "--steps": "1", "--minutes": "0.001", "--out": "run",
        "--quiet": None,
    },
    "patch": {**_ON_TEXT, "--pos": "0", "--step": "0", "--layer": "0", "--read": "c"},
    "cross-step": {**_ON_TEXT, "--steps": "1", "--metric": "prob"},
    "attention": _ON_LOOP,
    "attribution": {**_ON_LOOP, "--sites": "resid_mid"},
    "circuit": {**_TWO, "--pairs": "2", "--method": "random", "--draws": "1"},
    "attribution-graph": {**_ON_TEXT, "--draws": "1", "--runs": "1", "--random-paths": "1"},
    "atlas": {**_ON_TEXT, "--edits": "2"},
    "certificate": {**_TWO, "--edits": "2"},
    "interchange": {**_MODEL, "--variables": "own", "--last-step": "1", "--pairs": "4", "--epochs": "1"},
    "benchmark-circuits": {
        "--methods": "random", "--models": "compiled", "--seeds": "1", "--n-pairs": "1", "--nodes": "6",
    },
    "ablate": {**_ON_TEXT, "--components": "mlp0", "--steps": "1"},
    "lens": {**_ON_TEXT, "--steps": "1", "--no-attribution": None},
    "codes": {**_ON_TEXT, "--steps": "1", "--edits": "0"},
    "dynamics": {**_ON_TEXT, "--steps": "2"},
    "failures": _ON_TEXT,
    "probe": {**_TWO, "--folds": "2", "--sites": "resid_post", "--status": "all", "--steps": "2"},
    "probe-reading": {
        **_ON_TEXT, "--fit-graphs": "2", "--fit-nodes": "3", "--sites": "resid_post", "--status": "all",
    },
    "mechanism": {**_ON_TEXT, "--part": "composition"},
    "story": {**_ON_TEXT, "--variations": "1", "--steps": "1"},
    "report": {
        "--sections": "trajectory", "--graphs": "4", "--quick": None, "--jobs": "1", "--out": "r.html", **_MODEL,
    },
    "training-dynamics": {"--n-nodes": "8", "--graphs": "1", **_MODEL},
    "neurons": {"--draws": "1", **_MODEL},
    "massive": _ON_TEXT,
    "subnetwork": {**_ON_TEXT, "--rounds": "2", "--draws": "1"},
    "degeneracy": {**_ON_TEXT, "--chains": "1", "--n-steps": "2", "--no-plateau": None, "--length": "0.05"},
    "addition": _ON_TEXT,
    "separation": _ON_TEXT,
    "modularity": {"--clusters": "2", "--shuffles": "1", **_MODEL},
    "dashboard": {},
}  # fmt: skip
"""Command -> the options that make it quick."""
SELDOM = {
    "degeneracy": 0.2,
    "training-dynamics": 0.03,
    "attribution-graph": 0.3,
    "interchange": 0.3,
    "probe": 0.4,
    "probe-reading": 0.4,
    "story": 0.5,
    "train": 0.5,
}
"""How often a command is drawn, relative to the others, where even the quick one takes long."""
COSTLY = {"--jobs", "--threads", "--backend", "--part"}
"""Options of which a value that is right starts other processes, or minutes of work: only wrong ones are drawn."""
_PATHS = (
    *(".", "missing", "missing/x", "run", "a" * 300, NAME + "/config.json"),
    *("/dev/full", "/dev/null", "/dev/null/x", "/dev/zero"),
)
FAILED_SECTION = 1


@cache
def options() -> dict[str, tuple[str, ...]]:
    """Command -> the long names of its options, and GRAPH where it takes one."""
    group: Any = typer.main.get_command(cli.app)
    found: dict[str, tuple[str, ...]] = {}
    for name, command in group.commands.items():
        flags = [
            GRAPH if param.param_type_name == "argument" else flag
            for param in command.params
            for flag in (*param.opts, *param.secondary_opts)
            if (param.param_type_name == "argument" or flag.startswith("--")) and flag != "--help"
        ]
        found[name] = tuple(flags)
    return found


def hostile_option(draw: random.Random, folder: Path) -> Case:
    """One command with one hostile value (now and then two)."""
    prepare(folder)
    commands = list(options())
    command = draw.choices(commands, [SELDOM.get(name, 1.0) for name in commands])[0]
    given = dict(CHEAP[command])
    for _ in range(draw.choice((1, 1, 1, 2))):
        flag = draw.choice(options()[command])
        if flag in given and given[flag] is None:
            continue
        given.pop(GRAPH, None) if flag in ("--graph", "--graphs-file") else None
        given[flag] = _value(draw, flag)
    arguments = _arguments(command, given)
    return Case(" ".join(arguments), lambda: run_command(arguments), usual(command))


def _value(draw: random.Random, flag: str) -> str:
    kind = draw.random()
    if flag in (GRAPH, "--graph", "--clean", "--corrupt") and kind < 0.5:
        return hostile_text(draw, Path()).what[:100_000]
    if flag in COSTLY and kind < 0.8:
        return draw.choice(("0", "-1", "999999999", "9" * 40, "x", "", "1.5", "nan", "²", "\x1b"))
    if kind < 0.1:
        return draw.choice(_PATHS)
    word = hostile_word(draw)
    return "999" if flag in COSTLY and word.isdecimal() else word


def _arguments(command: str, given: dict[str, str | None]) -> list[str]:
    arguments = [command]
    for flag, value in given.items():
        if flag != GRAPH:
            arguments += [flag] if value is None else [f"{flag}={value}"]
    if GRAPH in given:
        arguments += ["--", str(given[GRAPH])]
    return arguments


def run_command(arguments: Sequence[str]) -> str:
    """Run a command; anything but exit code 0, or 2 with one printable message on stderr, is a wrong answer."""
    result = CliRunner().invoke(cli.app, list(arguments))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    if result.exit_code == 0 or (result.exit_code == FAILED_SECTION and arguments[0] == "report"):
        return ACCEPTED
    if result.exit_code != 2 or "Traceback" in result.stderr or result.stderr.count("Error") < 1:
        raise WrongAnswerError(f"exit code {result.exit_code}, stderr {result.stderr[-300:]!r}")
    if not all(line.isprintable() for line in result.stderr.split("\n")):
        raise WrongAnswerError(f"a message that is not printable: {result.stderr[-300:]!r}")
    return REFUSED


@cache
def usual(command: str) -> float:
    """Processor seconds of a command with its cheap settings and nothing hostile, the second time."""
    if command == "dashboard":
        return 0.0
    took = 0.0
    for _ in range(2):
        shutil.rmtree("run", ignore_errors=True)
        start = time.process_time()
        run_command(_arguments(command, CHEAP[command]))
        took = time.process_time() - start
    shutil.rmtree("run", ignore_errors=True)
    return took


def prepare(folder: Path) -> None:
    """Work in an empty folder below the one given, so that `..` stays inside; load models once; start no server."""
    here = folder / "work" / "here"
    shutil.rmtree(here, ignore_errors=True)
    here.mkdir(parents=True)
    os.chdir(here)
    if not Path(NAME).is_dir():
        save_tiny(Path(NAME), snapshots=2)
    _prepare_process()


@cache
def _prepare_process() -> None:
    os.environ["HF_HUB_OFFLINE"] = "1"
    models.load = lru_cache(maxsize=64)(models.load)
    patch(
        "typer.testing._get_command", cache(typer.main.get_command)
    ).start()  # built once, not for every case
    cli.run_streamlit = lambda arguments: None
    cli._warm_up = lambda: None
