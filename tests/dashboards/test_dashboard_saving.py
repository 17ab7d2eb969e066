"""Files that the pages write, and what opens them again: sessions, runs, and a run that plays anywhere."""

from __future__ import annotations

import json

import pytest

from analyses.inputs import InputError
from analyses.json_object import LARGEST
from analyses.run_file import SavedRun, run_json
from dashboards.player.component import Place
from dashboards.player.standalone import standalone_page
from dashboards.saving.menu import css_class
from dashboards.saving.session_file import FORMAT, SavedSession
from interp.figures.drawn import drawn_frame
from interp.figures.scene import scene_of
from interp.figures.template import make_figure
from interp.figures.trajectory import trajectory_figure
from models import load

TEXT = "20 = a; 2 = b; a + b = total"
PATHS = ("trajectory", "patching")


@pytest.fixture(scope="module")
def run():
    return load("compiled").run(TEXT)


def session(**changes: object) -> str:
    given = {"format": FORMAT, "page": "trajectory", "pages": {"trajectory": {"model": "compiled"}}}
    return json.dumps(given | changes)


def test_a_session_is_its_file() -> None:
    visited = {
        "patching of a loop": {"model": "parity"},
        "trajectory": {"model": "compiled", "edit": "a@0=3"},
    }
    saved = SavedSession.of("trajectory", visited)
    assert set(saved.pages) == {"patching", "trajectory"}
    assert SavedSession.from_json(saved.to_json(), PATHS) == (saved, [])


def test_pages_that_are_not_there_are_left_out_and_told() -> None:
    text = session(page="gone", pages={"gone": {}, "patching": {"n": "9"}})
    saved, problems = SavedSession.from_json(text, PATHS)
    assert (saved.page, list(saved.pages)) == ("patching", ["patching"])
    assert problems == ["There is no page 'gone' here; it was left out."]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "it is no JSON"),
        ("[" * 100_000, "it is no JSON"),
        ("[1]", "has to be a JSON object"),
        (" " * (LARGEST + 1), "characters"),
        (session(format="recurlens.session.9"), "'recurlens.session.1' is expected"),
        (session(pages={"trajectory": {"n": 8}}), "`pages` has to be"),
        (session(pages=[]), "`pages` has to be"),
        (session(pages={"gone": {}}), "no page that is here"),
    ],
)
def test_a_file_that_is_no_session_is_refused(text, said) -> None:
    with pytest.raises(InputError, match=said):
        SavedSession.from_json(text, PATHS)


def test_a_run_opens_as_it_was(run) -> None:
    view = {"model": "compiled", "text": TEXT, "step": "1"}
    saved = SavedRun.from_json(run_json(run, "compiled", view))
    assert (saved.model, saved.view) == ("compiled", view)
    again = saved.graphs[0].trajectory
    assert again.values.equal(run.values)
    assert (again.fixed_point.tolist(), again.solved_at.tolist()) == (
        run.fixed_point.tolist(),
        run.solved_at.tolist(),
    )
    assert SavedRun.from_json(run.to_json()).model is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda data: data.update(format="other"), "'recurlens.trajectory.1' is expected"),
        (lambda data: data.update(graphs=[]), "at least one graph"),
        (lambda data: data["graphs"][0].pop("nodes"), "'nodes' is missing"),
        (lambda data: data["graphs"][0].update(text="a + b = c"), "graph 0: .*not defined"),
        (lambda data: data["graphs"][0]["nodes"].reverse(), "not those of its text"),
        (lambda data: data["graphs"][0]["nodes"][1]["values"].pop(), "a value for each state"),
        (lambda data: data["graphs"][0]["nodes"][1]["values"].__setitem__(0, "99"), "'99' is no value"),
    ],
)
def test_a_file_that_is_no_run_is_refused(run, change, said) -> None:
    data = json.loads(run_json(run, "compiled", {}))
    change(data)
    with pytest.raises(InputError, match=said):
        SavedRun.from_json(json.dumps(data))


def test_what_a_figure_draws_is_a_table(run) -> None:
    frame = drawn_frame(trajectory_figure(run))
    cells = frame[frame["trace"] == "values"]
    assert cells["z"].tolist() == run.values[:, 0].flatten().tolist()
    assert "<" not in "".join(cells["text"])
    lines = make_figure([{"type": "scatter", "x": [1, None, 2], "y": [3, None, 4], "name": "a<br>b"}], {})
    assert drawn_frame(lines)[["trace", "x", "y"]].values.tolist() == [["a; b", 1, 3], ["a; b", 2, 4]]


def test_a_page_that_plays_holds_no_end_of_its_script(run) -> None:
    scene = scene_of(run) | {"note": "</script><b>"}
    page = standalone_page("<b>", scene, Place(1, 0, "original"))
    assert page.count("</script>") == 1 and "<title>&lt;b&gt;" in page
    assert "function mount (component)" in page and "http://" not in page.replace(
        "http://www.w3.org/2000/svg", ""
    )


def test_a_key_is_the_class_that_the_page_gives_it() -> None:
    assert css_class("lens what writes_it") == "st-key-lens-what-writes_it"
