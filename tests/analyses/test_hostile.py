"""A short slice of the benchmark of hostile input, as its own process, and that it finds what is wrong."""

import json
import random
import subprocess
import sys
import time
from pathlib import Path

from analyses.benchmarks.hostility.commands import CHEAP, options
from analyses.benchmarks.hostility.judge import ACCEPTED, REFUSED, Case, judge


def test_a_slice_of_each_kind_is_answered_as_documented(tmp_path: Path, root: Path) -> None:
    numbers = tmp_path / "numbers.json"
    counts = ["--texts", "1500", "--options", "40", "--files", "60", "--checkpoints", "40"]
    command = [
        sys.executable,
        "-m",
        "analyses.benchmarks.hostile",
        *counts,
        "--jobs",
        "1",
        "--json",
        str(numbers),
    ]
    result = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    found = json.loads(numbers.read_text())["hostile"]
    assert [tally["cases"] for tally in found.values()] == [1500, 40, 60, 40]
    assert {kind: tally["findings"] for kind, tally in found.items() if tally["wrong"]} == {}, result.stdout
    assert all(tally["refused"] for tally in found.values())


def test_every_command_has_cheap_settings_and_options() -> None:
    assert CHEAP.keys() == options().keys()
    assert all("--config" in flags for flags in options().values())
    assert {"GRAPH", "--graph", "--graphs-file", "--n-nodes", "--steps"} <= set(options()["solve"])


def test_wrong_exceptions_and_hangs_are_found(tmp_path: Path) -> None:
    def generator(draw: random.Random, folder: Path) -> Case:
        kind = next(kinds)

        def run() -> str:
            if kind == "hang":
                end = time.process_time() + 2.1
                while time.process_time() < end:
                    pass
                return ACCEPTED
            if kind == "wrong":
                raise TypeError("not documented")
            return REFUSED

        return Case(kind, run)

    kinds = iter(["hang", "wrong", "refused"])
    tally = judge("test", generator, 0, range(3), tmp_path)
    assert (tally.cases, tally.refused, tally.accepted, tally.wrong, tally.hangs) == (3, 1, 1, 1, 1)
    assert "test 0: hang took 2." in tally.findings[0]
    assert "TypeError in test_hostile.py" in tally.findings[1]


def test_cases_are_drawn_from_the_seed_and_their_number_alone(tmp_path: Path) -> None:
    from analyses.benchmarks.hostility.texts import hostile_text

    drawn = [
        [hostile_text(random.Random(f"{seed} {i}"), tmp_path).what for i in range(50)] for seed in (0, 0, 1)
    ]
    assert drawn[0] == drawn[1] != drawn[2]
