"""The miniature track: what is trained from what, what is left to do after a kill, and the order over seeds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from analyses.inputs import InputError
from analyses.mini_track import Run, Track, paper_at, read_track, train_track
from analyses.train import train
from interp.figures.generalisation import Curve
from models.training.mini import MINUTES
from models.training.presets import METHODS

PAPER = {"discrete-corrected": 1.0, "discrete": 0.9, "recurrent": 0.2}


def run(method: str, seed: int, *solved: float) -> Run:
    return Run(method, seed, 6.0, (8, 64), (0.0, 0.0), solved)


TRACK = Track(
    (
        *(run("discrete-corrected", seed, 1.0, 0.9 + seed / 100) for seed in range(3)),
        *(run("discrete", seed, 1.0, (0.1, 0.5, 0.6)[seed]) for seed in range(3)),
        *(run("recurrent", seed, 0.5, 0.55) for seed in range(3)),
    )
)


def train_little(out: Path, **changes: object) -> Path:
    return train_track(
        out, minutes=0.01, seeds=(1,), methods=("recurrent", "chain-of-thought"), sizes=(8,), graphs=4,
        quiet=True, **changes,
    )  # fmt: skip


def test_a_track_trains_evaluates_and_goes_on_with_what_is_missing(tmp_path: Path) -> None:
    out = train_little(tmp_path)
    starts = {
        folder.name: json.loads((folder / "training.json").read_text())["training"]["start"]
        for folder in out.iterdir()
    }
    assert starts == {
        "lookup-1": None,
        "aligned-1": str(out / "lookup-1"),
        "recurrent-1": str(out / "aligned-1"),
        "lookup-text-1": None,
        "chain-of-thought-1": str(out / "lookup-text-1"),
    }
    track = read_track(out)
    assert {(one.method, one.seed, one.n_nodes) for one in track.runs} == {
        ("recurrent", 1, (8,)),
        ("chain-of-thought", 1, (8,)),
    }
    assert all(one.minutes == pytest.approx(0.01) for one in track.runs)  # stages counted in

    evaluation = out / "recurrent-1" / "evaluation.json"
    before = {path: path.stat().st_mtime_ns for path in out.glob("*/evaluation.json")}
    evaluation.unlink()
    train_little(out, resume=True)
    after = {path: path.stat().st_mtime_ns for path in out.glob("*/evaluation.json")}
    assert after.keys() == before.keys()
    assert {path for path in after if after[path] != before[path]} == {evaluation}


def test_a_single_method_says_that_it_needs_a_first_stage(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match="continuous begins with the weights .*train 'aligned' and give its folder"
    ):
        train("continuous", "mini", out=tmp_path)


def test_no_finished_run_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no finished run: train with `recurlens train --preset mini"):
        read_track(tmp_path)


def test_the_order_is_that_of_all_seeds() -> None:
    assert TRACK.methods == ["discrete-corrected", "discrete", "recurrent"]
    verdicts = {(upper, lower): verdict for upper, lower, verdict in TRACK.order(64, PAPER)}
    assert verdicts == {
        ("discrete-corrected", "discrete"): "holds",
        ("discrete-corrected", "recurrent"): "holds",
        ("discrete", "recurrent"): "open",
    }
    sentence = TRACK.sentence(64, PAPER)
    assert sentence == (
        "64 nodes: 2 of 3 pairs that differ in the paper at 128 nodes hold for all seeds, 0 reversed, "
        "1 open (discrete over recurrent)."
    )
    assert "1 reversed (recurrent over discrete)" in TRACK.sentence(8, {"recurrent": 0.3, "discrete": 0.2})
    assert TRACK.order(8, {"recurrent": 0.0, "discrete": 0.0}) == []  # alike in the paper: no pair


def test_a_size_stands_beside_the_paper_s_at_twice_as_many_nodes() -> None:
    paper = [Curve("discrete", "d", (16, 128, 136), (1.0, 0.9, 0.8)), Curve("recurrent", "r", (16,), (0.5,))]
    assert paper_at(8, paper) == {"discrete": 1.0, "recurrent": 0.5}
    assert paper_at(64, paper) == {"discrete": 0.9}
    ours = [trace for trace in TRACK.figure(paper).data if trace.legendgroup == "ours"]
    beside = [trace for trace in TRACK.figure(paper).data if trace.legendgroup == "paper"]
    assert [list(trace.x) for trace in beside] == [[8, 64], [8]]  # 136 is beyond twice the largest
    assert list(ours[1].y) == [1.0, pytest.approx(0.4)]
    assert list(ours[1].error_y.array) == [0.0, pytest.approx(0.2)]  # up to the highest seed


def test_the_bundled_track_is_whole() -> None:
    track = read_track()
    assert {(run.method, run.seed) for run in track.runs} == {(m, s) for m in METHODS for s in (0, 1, 2)}
    assert all(run.minutes == pytest.approx(MINUTES) for run in track.runs)


def test_a_cell_is_the_mean_with_student_s_interval() -> None:
    (cell,) = [cell for cell in TRACK.cells() if (cell.method, cell.n_nodes) == ("discrete", 64)]
    assert (cell.mean, cell.lowest, cell.highest) == (pytest.approx(0.4), 0.1, 0.6)
    # The standard deviation of 0.1, 0.5, 0.6 is 0.2646; t(0.975, 2) is 4.3027.
    assert (cell.low, cell.high) == (0.0, 1.0)
    (narrow,) = [cell for cell in TRACK.cells() if (cell.method, cell.n_nodes) == ("discrete-corrected", 64)]
    assert narrow.low == pytest.approx(0.91 - 4.30265 * 0.01 / 3**0.5, abs=1e-5)
