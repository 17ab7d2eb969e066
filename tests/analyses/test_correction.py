"""Error correction, on a model that is known to compute every value from its operands' current values."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from analyses.cli import app
from analyses.correction import corrupt_values, measure_correction
from models import ComputationGraph, RecurrentTransformer, load


@pytest.fixture(scope="module")
def compiled() -> RecurrentTransformer:
    return load("compiled")


GRAPHS = [ComputationGraph.sample(12, n_leaves=4, seed=seed) for seed in range(6)]


def test_what_is_corrupted(compiled: RecurrentTransformer) -> None:
    run = compiled.run(GRAPHS)
    state, encoded = run.states[2], run.encoded
    changed, chosen = corrupt_values(state, encoded, 0.5, 23, torch.Generator().manual_seed(0))
    rows = torch.arange(len(GRAPHS))[:, None]
    before, after = state[rows, encoded.rhs, 3], changed[rows, encoded.rhs, 3]
    known = before < 23
    assert torch.equal(chosen.sum(-1).float(), (0.5 * known.sum(-1)).round())
    assert torch.equal(before != after, chosen), "a corrupted value differs, all others stay"
    assert int(after[chosen].max()) < 23, "and is never EMPTY"
    assert torch.equal(changed[..., :3], state[..., :3])


def test_one_step_repairs_a_node_whose_operands_are_right(compiled: RecurrentTransformer) -> None:
    (size,) = measure_correction(compiled, GRAPHS, 0.25, seed=1).sizes
    assert (size.graphs, size.corrupted) == (6, 18)
    assert size.right_after_clean[0] == 1.0
    assert size.collateral == 0.0
    assert size.fully_solved == size.fully_solved_before == 1.0
    assert size.right_after[0] >= size.clean_operands / size.corrupted


def test_a_model_that_copies_its_state_corrects_nothing(compiled: RecurrentTransformer) -> None:
    """Guard: with the MLP that writes values switched off, nothing heals, and the measure says so."""
    graphs = GRAPHS[:2]
    final = compiled.run(graphs).states[-1]

    class Frozen(RecurrentTransformer):
        def run(self, graphs, n_steps=None, initial_state=None):  # type: ignore[no-untyped-def]
            return compiled.run(graphs, 0, final if initial_state is None else initial_state)

    frozen = Frozen(compiled.cfg)
    (size,) = measure_correction(frozen, graphs, 0.25, seed=0).sizes
    assert size.fully_solved_before == 1.0
    assert size.fully_solved == 0.0
    assert size.right_after == (0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("fraction", "at_step", "message"),
    [
        (0.0, None, "share to corrupt is 0.0"),
        (1.5, None, "at most 1"),
        (0.1, 0, "nothing is known before step 0"),
    ],
)
def test_bad_arguments(
    compiled: RecurrentTransformer, fraction: float, at_step: int | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        measure_correction(compiled, GRAPHS, fraction, at_step)
    with pytest.raises(ValueError, match="nothing to corrupt"):
        measure_correction(compiled, [], 0.1)


def test_rows_and_table_are_plain(compiled: RecurrentTransformer) -> None:
    result = measure_correction(compiled, [ComputationGraph.parse("4 = a")], 1.0, name="compiled")
    (row,) = result.to_dict()["sizes"]
    assert row["right_after"] == [1.0, 1.0, 1.0]
    assert row["collateral"] is None, "nobody stood by"
    assert json.loads(json.dumps(result.to_dict(), allow_nan=False)) == {
        "model": "compiled",
        "corrupt": 1.0,
        "at_step": None,
        "sizes": [{**row, "right_after": [1.0] * 3, "right_after_clean": [1.0] * 3}],
    }
    assert result.table().row_count == 1
    assert "1 of 1 graphs" in result.verdict()


def test_the_command(tmp_path: Path) -> None:
    graphs, json_file = tmp_path / "graphs.jsonl", tmp_path / "correction.json"
    graphs.write_text(GRAPHS[0].to_json() + "\n")
    arguments = ["evaluate", "--graphs-file", graphs, "--corrupt", 0.5, "--at-step", 2, "--json", json_file]
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    (size,) = json.loads(json_file.read_text())["sizes"]
    assert size["fully_solved"] == 1.0
    assert (
        result.output.splitlines()[-1]
        == f"{size['corrupted']} values corrupted; 1 of 1 graphs fully solved in the end."
    )
