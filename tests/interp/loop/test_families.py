"""Every analysis on every family of looped models: it works, or says which member it needs; as the page has it."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

import interp
from interp import LoopedError
from models import as_loop
from models.compiled import compile_model, make
from tests.models.adapters.test_adapters import (
    IDS,
    albert,
    hrm_text,
    looped_decoder,
    open_mythos,
    tied_layers,
)

STEPS = 3


def compiled(name: str) -> Callable[[], tuple[Any, Any]]:
    return lambda: (loop := make(name), loop.sample(1, seed=0))


def graph_model() -> tuple[Any, Any]:
    return as_loop(compile_model(("ADD",), modulus=5, n_variables=8)), "2 = a; 3 = b; a + b = c"


FAMILIES: dict[str, Callable[[], tuple[Any, Any]]] = {
    "graph models": graph_model,
    "compiled graphs": compiled("graphs"),
    "parity": compiled("parity"),
    "reachability": compiled("reachability"),
    "shortest paths": compiled("shortest-paths"),
    "machine": compiled("machine"),
    "ALBERT": lambda: (as_loop(albert()), IDS),
    "HRM-Text": lambda: (as_loop(hrm_text()), IDS),
    "x-transformers looped": lambda: (looped_decoder()[1], IDS),
    "x-transformers tied": lambda: (tied_layers()[1], IDS),
    "OpenMythos": lambda: (open_mythos()[1], IDS),
}
"""A loop and inputs of it."""


def metric(read: Any) -> torch.Tensor:
    return sum(logits.float().flatten(1).mean(1) for logits in read.values())  # type: ignore[return-value]


def site(loop: Any) -> list[str]:
    return [next(name for name in loop.sites if not name.endswith("pattern"))]


LABELS = pd.DataFrame({"row": [0, 0], "pos": [0, 1]})

ANALYSES: dict[str, Callable[[Any, Any], Any]] = {
    'run_loop(..., "halted")': lambda loop, inputs: interp.run_loop(loop, inputs, "halted", most=STEPS),
    "patch_sweep": lambda loop, inputs: interp.patch_sweep(loop, inputs, inputs, site(loop), metric, STEPS),
    "cross_step_matrix": lambda loop, inputs: interp.cross_step_matrix(
        loop, inputs, inputs, site(loop)[0], metric, STEPS
    ),
    "attribution_sweep": lambda loop, inputs: interp.attribution_sweep(
        loop, inputs, inputs, site(loop), metric, STEPS
    ),
    "ablate": lambda loop, inputs: interp.ablate(loop, inputs, site(loop), n_steps=STEPS),
    "dynamics": lambda loop, inputs: interp.dynamics(loop, inputs, STEPS),
    "step_attention": lambda loop, inputs: interp.step_attention(loop, inputs, STEPS),
    "step_lens": lambda loop, inputs: interp.step_lens(loop, inputs, STEPS, factor=a_factor(loop, inputs)),
    "code_usage": lambda loop, inputs: interp.code_usage(loop, inputs, STEPS),
    "collect": lambda loop, inputs: interp.collect(loop, inputs, LABELS, n_steps=STEPS),
}


@torch.no_grad()
def a_factor(loop: Any, inputs: Any) -> str:
    return next(iter(loop.read(*loop.begin(inputs))))


@cache
def made(family: str) -> tuple[Any, Any]:
    return FAMILIES[family]()


def cell(family: str, analysis: str) -> str:
    """What a cell of the table says: nothing where it works, else the member that is needed."""
    try:
        ANALYSES[analysis](*made(family))
    except LoopedError as error:
        (needed,) = re.findall(r"needs (`[^`]+`)", str(error))
        return needed
    return ""


@pytest.fixture(scope="module")
def table(root: Path) -> dict[str, list[str]]:
    lines = (root / "analyses" / "docs" / "loops.md").read_text().splitlines()
    rows = [[part.strip() for part in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    first = next(index for index, row in enumerate(rows) if row[0] == "family")
    return {row[0]: row[1:] for row in rows[first : first + len(FAMILIES) + 2]}


@pytest.mark.parametrize("family", FAMILIES)
def test_the_table_is_true(family: str, table: dict[str, list[str]]) -> None:
    shown = [name.strip("`") for name in table["family"]]
    assert shown == list(ANALYSES)
    assert table[family] == [cell(family, analysis) or "yes" for analysis in shown]


if __name__ == "__main__":
    torch.set_num_threads(1)
    print("| family | " + " | ".join(f"`{name}`" for name in ANALYSES) + " |")
    print("|---" * (len(ANALYSES) + 1) + "|")
    for name in FAMILIES:
        print(
            f"| {name} | " + " | ".join(cell(name, analysis) or "yes" for analysis in ANALYSES) + " |",
            flush=True,
        )
