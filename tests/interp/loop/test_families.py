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
from interp.loop.protocol import parts_of
from models import ComputationGraph, as_loop
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
    return lambda: (loop := make(name), loop.sample(2, seed=0))


def graph_model() -> tuple[Any, Any]:
    texts = ("2 = a; 3 = b; a + b = c", "1 = a; 3 = b; a + b = c")
    graphs = [ComputationGraph.parse(text, modulus=5, n_variables=8) for text in texts]
    return as_loop(compile_model(("ADD",), modulus=5, n_variables=8)), graphs


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


LABELS = pd.DataFrame({"row": [0, 0, 1, 1], "pos": [0, 1, 0, 1], "odd": [0, 1, 0, 1]})

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
    "ablate_heads": lambda loop, inputs: interp.ablate_heads(loop, inputs, metric, 1, pairs=False),
    "damage_cones": lambda loop, inputs: interp.damage_cones(
        loop, inputs, 0, 1, n_steps=2, state=state(loop, inputs)
    ),
    "edge_attribution": lambda loop, inputs: interp.edge_attribution(
        loop, inputs, inputs, site(loop), metric, 2
    ),
    "exact_edges": lambda loop, inputs: interp.exact_edges(loop, inputs, inputs, site(loop), metric, 1),
    "dynamics": lambda loop, inputs: interp.dynamics(loop, inputs, STEPS),
    "fixed_points": lambda loop, inputs: interp.fixed_points(loop, inputs, STEPS, window=1),
    "step_attention": lambda loop, inputs: interp.step_attention(loop, inputs, STEPS),
    "head_statistics": lambda loop, inputs: interp.head_statistics(loop, inputs, 1),
    "step_lens": lambda loop, inputs: interp.step_lens(loop, inputs, STEPS, factor=a_factor(loop, inputs)),
    "fit_tuned_lens": lambda loop, inputs: interp.fit_tuned_lens(
        loop, inputs, 1, factor=a_factor(loop, inputs)
    ),
    "code_usage": lambda loop, inputs: interp.code_usage(loop, inputs, STEPS),
    "collect": lambda loop, inputs: interp.collect(loop, inputs, LABELS, n_steps=STEPS),
    "fit_probes": lambda loop, inputs: interp.fit_probes(
        loop, inputs, LABELS, "odd", n_steps=1, folds=2, kind="ridge"
    ),
}


@torch.no_grad()
def a_factor(loop: Any, inputs: Any) -> str:
    return next(iter(loop.read(*loop.begin(inputs))))


@torch.no_grad()
def state(loop: Any, inputs: Any) -> str:
    return next(name for name, part in parts_of(loop.begin(inputs)[0]).items() if part.ndim > 2)


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
def table(root: Path) -> dict[str, dict[str, str]]:
    """Analysis -> family -> what the docs say."""
    lines = (root / "analyses" / "docs" / "loops.md").read_text().splitlines()
    rows = [[part.strip() for part in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    first = next(
        index for index, row in enumerate(rows) if row[: len(FAMILIES) + 1] == ["of a loop", *FAMILIES]
    )
    own = rows[first + 2 : first + 2 + len(ANALYSES)]
    return {row[0].strip("`"): dict(zip(FAMILIES, row[1:], strict=True)) for row in own}


@pytest.mark.parametrize("family", FAMILIES)
def test_the_table_is_true(family: str, table: dict[str, dict[str, str]]) -> None:
    assert list(table) == list(ANALYSES)
    found = {analysis: cell(family, analysis) or "yes" for analysis in ANALYSES}
    assert found == {analysis: said[family] for analysis, said in table.items()}


if __name__ == "__main__":
    torch.set_num_threads(1)
    print("| of a loop | " + " | ".join(FAMILIES) + " |")
    print("|---" * (len(FAMILIES) + 1) + "|")
    for name in ANALYSES:
        print(
            f"| `{name}` | " + " | ".join(cell(family, name) or "yes" for family in FAMILIES) + " |",
            flush=True,
        )
