"""The headline figure: the paper's numbers as they are, ours as they were measured, and the two apart."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from analyses.generalisation import evaluation_curve, our_curves, paper_curves, solved_by_step, to_frame
from interp.figures.generalisation import METHOD_COLOURS, generalisation_figure, solved_by_step_figure

EVALUATION = {
    "sizes": [
        {"n_nodes": 8, "fully_solved": 1.0, "fully_solved_low": 0.9, "fully_solved_high": 1.0},
        {"n_nodes": 128, "fully_solved": 0.5, "fully_solved_low": 0.4, "fully_solved_high": 0.6},
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
    assert list(own.error_y.array) == pytest.approx([0.0, 0.1])
    assert list(own.error_y.arrayminus) == pytest.approx([0.1, 0.1])
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
