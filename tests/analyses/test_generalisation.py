"""The headline figure: the paper's numbers as they are, ours as they were measured, and the two apart."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from analyses.equal_budget import CORRUPTION, Ablation, Score, equal_budget
from analyses.generalisation import evaluation_curve, our_curves, paper_curves, solved_by_step, to_frame
from interp.figures.generalisation import METHOD_COLOURS, generalisation_figure, solved_by_step_figure
from interp.statistics.shares import wilson_interval

EVALUATION = {
    "sizes": [
        {"n_nodes": 8, "graphs": 20, "fully_solved": 1.0, "fully_solved_low": 0.9, "fully_solved_high": 1.0},
        {
            "n_nodes": 128,
            "graphs": 20,
            "fully_solved": 0.5,
            "fully_solved_low": 0.4,
            "fully_solved_high": 0.6,
        },
    ]
}


def test_the_papers_six_curves() -> None:
    curves = {curve.method: curve for curve in paper_curves()}
    assert set(curves) == set(METHOD_COLOURS)
    assert all(list(curve.n_nodes) == list(range(8, 129, 8)) for curve in curves.values())
    ends = {method: curve.fully_solved[-1] for method, curve in curves.items()}
    assert ends["discrete-corrected"] == 1.0
    assert ends["discrete"] == pytest.approx(0.9482)
    assert ends["continuous"] == pytest.approx(0.5479)
    assert ends["chain-of-thought"] == ends["recurrent"] == ends["feedforward"] == 0.0


def test_our_curves_are_what_evaluate_wrote(tmp_path: Path) -> None:
    for name in ("discrete", "my-model"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "evaluation.json").write_text(json.dumps(EVALUATION))
    (tmp_path / "not-evaluated").mkdir()
    curves = our_curves(tmp_path)
    assert [curve.name for curve in curves] == ["discrete", "my-model"]
    assert (list(curves[0].n_nodes), list(curves[0].fully_solved)) == ([8, 128], [1.0, 0.5])


def test_figure_and_table_keep_the_two_apart() -> None:
    ours, paper = [evaluation_curve("discrete", EVALUATION)], paper_curves()
    figure = generalisation_figure(ours, paper)
    dashed = [trace for trace in figure.data if trace.line.dash == "dash"]
    assert len(dashed) == 6
    assert len(figure.data) == 7
    (own,) = [trace for trace in figure.data if trace.line.dash is None]
    low, high = wilson_interval(10, 20)
    assert list(own.error_y.array) == pytest.approx([0.0, high - 0.5])
    assert list(own.error_y.arrayminus) == pytest.approx([1 - wilson_interval(20, 20)[0], 0.5 - low])
    assert figure.layout.xaxis.title.text == "nodes in the graph"
    frame = to_frame(ours, paper)
    assert frame.groupby("source").size().to_dict() == {"ours": 2, "paper": 96}
    assert frame[frame.source == "paper"].low.isna().all()


def test_solved_by_step_has_a_line_per_size(tmp_path: Path) -> None:
    figure = solved_by_step_figure({32: [0.0, 0.5, 1.0], 8: [0.0, 1.0]})
    assert [(trace.name, list(trace.y)) for trace in figure.data] == [
        ("8 nodes", [0.0, 1.0]),
        ("32 nodes", [0.0, 0.5, 1.0]),
    ]
    assert solved_by_step("nobody", tmp_path) == {}


def test_our_curves_have_the_method_and_the_budget_of_their_training(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "twin", "discrete", 20.0, 0.5)
    write_checkpoint(tmp_path / "mixed", "discrete", 85.0, 0.5, ["ADD", "SUB"])
    mixed, twin = our_curves(tmp_path)
    assert (twin.method, twin.name, twin.minutes) == ("discrete", "twin", 20.0)
    assert (mixed.method, mixed.minutes) == ("mixed", 85.0), "another task is not a method of the paper"
    figure = generalisation_figure([mixed, twin], paper_curves())
    own = [trace.name for trace in figure.data if trace.line.dash is None]
    assert own == ["mixed, 85 min", "twin, 20 min"]


def test_first_stages_are_left_out(tmp_path: Path) -> None:
    for name in ("shared", "twin"):
        write_checkpoint(tmp_path / name, "lookup" if name == "shared" else "discrete", 10.0, 0.0)
    assert [curve.name for curve in our_curves(tmp_path)] == ["twin"]


def test_the_curve_is_that_of_the_best_step(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "drifts", "continuous", 20.0, 0.1, best=0.9)
    (curve,) = our_curves(tmp_path)
    assert set(curve.fully_solved) == {0.9}
    assert (curve.low[0], curve.high[0]) == pytest.approx(wilson_interval(90, 100))


def test_training_for_longer_than_all_others_is_left_out_and_more_minutes_are_said(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "endless", "discrete", 300.0, 1.0)
    write_checkpoint(tmp_path / "discrete", "discrete", 40.0, 0.99)
    write_checkpoint(tmp_path / "continuous", "continuous", 20.0, 0.0, best=0.96)
    ablation = equal_budget(paper_curves(), tmp_path)
    assert [score.minutes for score in ablation.at(128).values()] == [40.0, 20.0]
    (pair,) = ablation.comparisons(128)
    assert pair.longer


def write_checkpoint(
    folder: Path,
    method: str,
    minutes: float,
    solved: float,
    ops: list[str] | None = None,
    clock: str = "processor",
    start: str | None = None,
    best: float = 0.0,
    seed: int = 0,
    born: float = 5.0,
    before: float | None = None,
) -> None:
    """The two files about a checkpoint that hold what was measured; 100 graphs at every size."""
    folder.mkdir()
    training = {
        "method": method,
        "minutes": minutes,
        "ops": ops or ["ADD"],
        "clock": clock,
        "start": start,
        "seed": seed,
        "born_distances": born,
    }
    beside = {} if before is None else {"minutes_before": before}
    (folder / "training.json").write_text(json.dumps({"training": training, **beside}))
    size = {
        "graphs": 100,
        "fully_solved": solved,
        "fully_solved_low": max(0.0, solved - 0.1),
        "fully_solved_high": min(1.0, solved + 0.1),
        "node_accuracy": solved,
        "solved_best": max(solved, best),
    }
    sizes = [{"n_nodes": n_nodes, **size} for n_nodes in range(8, 129, 8)]
    (folder / "evaluation.json").write_text(json.dumps({"sizes": sizes}))


def test_the_ablation_has_the_longest_training_of_each_method_on_one_task(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "feedforward", "feedforward", 20.0, 0.0)
    write_checkpoint(tmp_path / "shorter", "discrete", 20.0, 0.1)
    write_checkpoint(tmp_path / "discrete", "discrete", 30.0, 0.6, start="first")
    write_checkpoint(tmp_path / "first", "lookup", 10.0, 0.0)
    write_checkpoint(tmp_path / "discrete-corrected", "discrete-corrected", 64.0, 1.0, clock="wall")
    write_checkpoint(tmp_path / "mixed", "discrete-corrected", 20.0, 1.0, ["ADD", "MUL"])
    write_checkpoint(tmp_path / "by-the-wall", "recurrent", 20.0, 0.5, clock="wall")
    (tmp_path / "not-evaluated").mkdir()
    ablation = equal_budget(paper_curves(), tmp_path)
    assert ablation.methods == ["discrete", "feedforward"]
    assert ablation.at(128)["discrete"].paper == pytest.approx(0.9482)
    wide = ablation.wide().set_index("method")
    assert wide.loc["discrete", "32 nodes"] == "60.0% (50.2 to 69.1)"
    assert wide.loc["discrete", "minutes"] == "40", "the first stage counts"
    assert wide.loc["feedforward", "paper, 32"] == "11.9%"
    assert list(ablation.to_frame().columns)[:4] == ["method", "minutes", "n_nodes", "graphs"]


def test_other_seeds_and_other_initialisations_are_no_rows_and_a_start_that_does_not_ship_counts(
    tmp_path: Path,
) -> None:
    write_checkpoint(tmp_path / "discrete", "discrete", 20.0, 0.9, start="STAGE", before=10.0)
    write_checkpoint(tmp_path / "seed1", "discrete", 50.0, 0.8, seed=1)
    write_checkpoint(tmp_path / "unplanted", "discrete", 50.0, 0.7, born=0.0)
    (score,) = equal_budget(paper_curves(), tmp_path).at(128).values()
    assert (score.minutes, score.solved) == (30.0, 0.9)


def test_methods_that_do_not_fit_are_named_and_not_compared(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "feedforward", "feedforward", 20.0, 0.0)
    write_checkpoint(tmp_path / "discrete", "discrete", 40.0, 0.96)
    write_checkpoint(tmp_path / "continuous", "continuous", 40.0, 0.0, best=0.97)
    ablation = equal_budget(paper_curves(), tmp_path)
    assert ablation.fitting == ["discrete", "continuous"]
    assert ablation.fit() == (
        "Of graphs of 8 nodes at least 95% are solved by discrete, continuous; did not fit, and are not compared: "
        "feedforward (0.0% after 20 minutes)."
    )
    assert ablation.sentence(128) == "128 nodes: the paper's order is not decided; 0 of 1 pairs hold, 1 open."
    assert (
        ablation.wide().set_index("method").loc["continuous", "8 nodes"]
        == "97.0% (91.5 to 99.0), settled 0.0%"
    )
    write_checkpoint(tmp_path / "longer", "discrete", 50.0, 0.5)
    assert (
        equal_budget(paper_curves(), tmp_path).sentence(128)
        == "128 nodes: no two methods that fit differ in the paper."
    )


def test_whether_the_order_holds_is_read_from_the_intervals() -> None:
    def score(method: str, low: float, high: float, paper: float) -> Score:
        return Score(method, 40.0, 8, 100, 1.0, low, high, (low + high) / 2, 0.5, paper)

    best, next_best = score("a", 0.8, 0.9, 1.0), score("b", 0.6, 0.79, 0.9)
    assert Ablation((best, next_best)).sentence(8) == (
        "8 nodes: the paper's order holds; 1 of 1 pairs hold (a over b)."
    )
    overlapping = score("c", 0.78, 0.85, 0.5)
    assert Ablation((best, next_best, overlapping)).sentence(8) == (
        "8 nodes: the paper's order is not decided; 1 of 3 pairs hold (a over b), 2 open."
    )
    better = score("d", 0.95, 1.0, 0.5)
    text = Ablation((best, overlapping, better)).sentence(8)
    assert text.startswith("8 nodes: the paper's order does not hold; 0 of 2 pairs hold")
    assert "1 reversed (a over d), 1 open" in text, (
        "c and d are equal in the paper, so there is nothing to hold"
    )


def draw_page() -> None:
    from dashboards.generalisation import generalisation_page

    generalisation_page()


def test_the_page_corrects_errors_live() -> None:
    app = AppTest.from_function(draw_page, default_timeout=60).run()
    assert not app.exception
    next(box for box in app.selectbox if box.label == "Model").set_value("compiled")
    app.number_input[0].set_value(8)
    app.number_input[1].set_value(3)
    app.button[0].click().run()
    assert not app.exception
    (text,) = [m.value for m in app.markdown if "corrupted in the last state of 3 graphs" in m.value]
    assert "Graphs fully solved in the end: **100.0%**" in text


def test_the_page_shows_the_ablation_and_offers_what_can_be_corrected() -> None:
    app = AppTest.from_function(draw_page, default_timeout=60).run()
    assert not app.exception
    assert any("128 nodes: the paper's order" in text.value for text in app.markdown)
    assert any("discrete-corrected" in list(frame.value.get("method", [])) for frame in app.dataframe)
    (models,) = [box.options for box in app.selectbox if box.label == "Model"]
    assert {"compiled", "discrete-corrected", "discrete"} <= set(models)
    assert not {"continuous", "recurrent", "feedforward", "chain-of-thought"} & set(models)


def test_the_papers_corruption_is_a_row_and_in_no_pair() -> None:
    table = equal_budget(paper_curves())
    assert table.methods[:3] == ["discrete-corrected", CORRUPTION, "discrete"]
    row, own = (table.at(128)[method] for method in (CORRUPTION, "discrete-corrected"))
    assert row.paper == own.paper == 1.0 and row.minutes == 60.0
    named = {name for pair in table.comparisons(128) for name in (pair.upper, pair.lower)}
    assert "discrete-corrected" in named and CORRUPTION not in named
