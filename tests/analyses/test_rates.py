"""Three rates a method: what is trained from what, what is left to do after a kill, and what rests on the choice."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from analyses.inputs import InputError
from analyses.mini_track import Run
from analyses.rates import Pilot, Rates, read_rates, train_rates
from models.training.mini import MINUTES
from models.training.presets import METHODS, training_config

PAPER = {"discrete-corrected": 1.0, "discrete": 0.9, "recurrent": 0.2}


def pilot(method: str, factor: float, solved: float) -> Pilot:
    return Pilot(factor, factor * 0.002, Run(method, 0, 6.0, (8, 64), (0.0, 0.0), (1.0, solved)))


RATES = Rates(
    (
        *(
            pilot("discrete-corrected", factor, solved)
            for factor, solved in ((2.0, 0.9), (0.5, 0.8), (1.0, 1.0))
        ),
        *(pilot("discrete", factor, solved) for factor, solved in ((0.5, 0.1), (1.0, 0.7))),
        *(pilot("recurrent", factor, solved) for factor, solved in ((0.5, 0.3), (1.0, 0.75))),
    )
)


def test_rates_are_trained_from_the_same_stage_and_gone_on_with(tmp_path: Path) -> None:
    def train(resume: bool) -> Path:
        return train_rates(
            tmp_path, minutes=0.01, resume=resume, quiet=True, methods=("discrete",), sizes=(8,), graphs=2
        )

    found = read_rates(train(resume=False))
    rate = training_config("discrete", "mini").learning_rate
    assert [one.learning_rate for one in found.of("discrete")] == [0.5 * rate, rate, 2 * rate]
    assert [one.factor for one in found.of("discrete")] == [0.5, 1.0, 2.0]
    assert all(one.run.minutes == pytest.approx(0.01) for one in found.pilots)  # the stage counted in
    starts = {
        json.loads(path.read_text())["training"]["start"]
        for path in tmp_path.glob("discrete-x*/training.json")
    }
    assert starts == {str(tmp_path / "lookup-0")}

    evaluation = tmp_path / "discrete-x2" / "evaluation.json"
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/evaluation.json")}
    evaluation.unlink()
    train(resume=True)
    after = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/evaluation.json")}
    assert {path for path in after if after[path] != before[path]} == {evaluation}


def test_a_pair_holds_where_its_worst_rate_beats_the_other_s_best() -> None:
    assert RATES.methods == ["discrete-corrected", "discrete", "recurrent"]
    assert {(upper, lower): verdict for upper, lower, verdict in RATES.order(64, PAPER)} == {
        ("discrete-corrected", "discrete"): "holds",
        ("discrete-corrected", "recurrent"): "holds",
        ("discrete", "recurrent"): "open",
    }
    assert RATES.sentence(64, PAPER) == (
        "64 nodes: 2 of 3 pairs hold at every choice of a rate for each (discrete over recurrent open)."
    )
    assert "(recurrent over discrete-corrected reversed)" in RATES.sentence(
        64, {"recurrent": 0.3, "discrete-corrected": 0.2}
    )


def test_the_table_has_a_row_for_each_run() -> None:
    assert RATES.best("discrete-corrected", 64).factor == 1.0
    assert RATES.best("discrete", 8).factor == 0.5  # of several the slowest
    assert RATES.choice(64) == (
        "Most graphs of 64 nodes are solved with: discrete-corrected 0.002 (x1), discrete 0.002 (x1), "
        "recurrent 0.002 (x1)."
    )
    rows = RATES.wide().to_dict("records")
    assert rows[0] == {
        "method": "discrete-corrected",
        "rate": "0.001",
        "8 nodes": "100.0%",
        "64 nodes": "80.0%",
    }
    assert len(rows) == 7 and len(RATES.to_frame()) == 14


def test_no_finished_run_is_said(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match="holds no finished run: train with `python -m analyses.rates --train"
    ):
        read_rates(tmp_path)


def test_the_bundled_rates_are_whole() -> None:
    rates = read_rates()
    assert [len(rates.of(method)) for method in METHODS] == [3] * len(METHODS)
    assert {one.factor for one in rates.pilots} == {0.5, 1.0, 2.0}
    assert all(one.run.minutes == pytest.approx(MINUTES) for one in rates.pilots)
