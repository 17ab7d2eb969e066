"""The recipes of CONTRIBUTING.md work as they stand: they are applied to a copy of the sources and tried there."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[3]
PATH = re.compile(r"# ([\w./]+\.py)")

TRY = """
import contextlib, io, json, shlex, sys
from typer.testing import CliRunner

from analyses.cli import app

printed = {}
for title, language, text in json.load(sys.stdin):
    if language == "sh":
        said = ""
        for line in text.splitlines():
            done = CliRunner().invoke(app, shlex.split(line)[1:])
            assert done.exit_code == 0, f"{line}: {done.output}"
            said += done.output
    else:
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            exec(compile(text, title, "exec"), {"__name__": title})
        said = said.getvalue()
    printed.setdefault(title, []).append(said)

from analyses.catalogue import find
from analyses.reporting.parts import QUICK, Job
from analyses.reporting.recorded import contents
from analyses.reporting.sections import SECTIONS
from dashboards import computing
from dashboards.analysis_page import snippet
from dashboards.graph_view import default_view
from dashboards.pages import analysis_pages
from models import load
from streamlit.testing.v1 import AppTest
from tests.pages import sentences


def draw() -> None:
    from dashboards.analysis_page import analysis_page
    from dashboards.pages import analysis_pages

    analysis_page(analysis_pages()["sizes"])


computing.PATIENCE = 120.0
opened = AppTest.from_function(draw, default_timeout=120)
opened.query_params["least"] = "3"
opened.run()
assert not opened.exception and not opened.error
printed["drawn"] = [sentences(opened), *(chart.proto.spec for chart in opened.get("plotly_chart"))]

page = analysis_pages()["sizes"]
view = default_view(page.settings, page.graphs).with_settings(least="3")
code = snippet(page, view, ["sizes"])
said = io.StringIO()
with contextlib.redirect_stdout(said):
    exec(code.replace(".show()", ".data"), {})
line = page.line(view)
done = CliRunner().invoke(app, [*shlex.split(line)[1:], "--quiet"])
printed["page"] = [line, code, said.getvalue().strip(), done.output.strip()]
found = contents(find("sizes"))(load("compiled"), Job("compiled", amounts=QUICK))
printed["section"] = [*found.sentences, *(drawn.name for drawn in found.drawings)]
assert "sizes" in [section.key for section in SECTIONS]
json.dump(printed, open("printed.json", "w"))
"""
"""Run inside the copy, in one process since torch is imported once: blocks without a path, and what a record makes."""


class Block(NamedTuple):
    """A block of code: the heading above it, its language, the file that it is for ("": none), and its text."""

    title: str
    language: str
    path: str
    text: str


def blocks(text: str) -> list[Block]:
    """The blocks of the recipes, in order."""
    found: list[Block] = []
    for section in re.split(r"^### ", text, flags=re.MULTILINE)[1:]:
        title = section.splitlines()[0]
        for language, code in re.findall(r"^```(\w+)\n(.*?)^```$", section, re.DOTALL | re.MULTILINE):
            named = PATH.match(code)
            code = code.split("\n", 1)[1] if named and language == "diff" else code
            found.append(Block(title, language, named[1] if named else "", code))
    return found


def applied(source: str, diff: str) -> str:
    """The source with a block's `+` and `-` lines; its other lines say where, and must stand there once."""
    lines = [line or " " for line in diff.splitlines()]
    before = "".join(f"{line[1:]}\n" for line in lines if line[0] != "+")
    after = "".join(f"{line[1:]}\n" for line in lines if line[0] != "-")
    assert source.count(before) == 1, f"{source.count(before)} places for:\n{before}"
    return source.replace(before, after)


def copy_sources(to: Path) -> None:
    """What the program needs, without checkpoints, reports and pictures."""
    left_out = shutil.ignore_patterns("zoo", "reports", "docs", "notebooks", "__pycache__")
    for package in ("models", "interp", "analyses", "dashboards"):
        shutil.copytree(ROOT / package, to / package, ignore=left_out)


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What every recipe printed when it was tried, by its title; also of the page and the section of the analysis."""
    here = tmp_path_factory.mktemp("recipes")
    copy_sources(here)
    recipes = blocks((ROOT / "CONTRIBUTING.md").read_text())
    for recipe in recipes:
        if recipe.path:
            file = here / recipe.path
            file.write_text(
                applied(file.read_text(), recipe.text) if recipe.language == "diff" else recipe.text
            )
    (here / "try_out.py").write_text(TRY)
    tried = [[one.title, one.language, one.text] for one in recipes if not one.path]
    done = subprocess.run(
        [sys.executable, "try_out.py"],
        cwd=here,
        input=json.dumps(tried),
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": f"{here}{os.pathsep}{ROOT}", "RECURLENS_CACHE": str(here / "cache")},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads((here / "printed.json").read_text())


def test_every_recipe_is_tried() -> None:
    recipes = blocks((ROOT / "CONTRIBUTING.md").read_text())
    titles = list(dict.fromkeys(one.title for one in recipes))
    assert titles == [
        *("An operation", "A metric", "A probe", "A hook point", "A position encoding", "A training method"),
        *("An analysis", "A looped model"),
    ]
    assert {one.title for one in recipes if not one.path} == set(titles)
    record = next(one for one in recipes if one.path.startswith("analyses/catalogue/") and "(" in one.text)
    assert len(record.text.splitlines()) <= 60


def test_an_operation_is_parsed_solved_and_compiled(printed: dict[str, list[str]]) -> None:
    (said,) = printed["An operation"]
    assert re.search(r"a DIST b\s*=\s*c", said)
    assert "Solved" in said or "solved" in said


def test_a_metric_is_one_by_function_and_by_name(printed: dict[str, list[str]]) -> None:
    by_function, by_file, by_name = printed["A metric"]
    assert by_function == "True\n"
    assert "denoise: shown is 0 in the clean run" in by_file
    assert "denoise: near is 1 in the clean run" in by_name


def test_a_probe_is_fitted(printed: dict[str, list[str]]) -> None:
    by_file, by_name = printed["A probe"]
    assert "value read by perceptron probes" in by_file
    assert by_name == "discriminant (1, 3)\n"


def test_a_hook_point_is_a_site(printed: dict[str, list[str]]) -> None:
    assert printed["A hook point"] == ["[False, False, True, False]\n"]


def test_a_position_encoding_is_a_configuration(printed: dict[str, list[str]]) -> None:
    assert printed["A position encoding"] == ["[-0.5, -0.25, -0.125, -0.0625] True\n"]


def test_a_training_method_is_trained(printed: dict[str, list[str]]) -> None:
    (said,) = printed["A training method"]
    assert "Trained model in calm" in said


def test_an_analysis_has_command_replay_page_and_section(printed: dict[str, list[str]]) -> None:
    (said,) = printed["An analysis"]
    verdict = re.findall(r"2 graphs; \d+% of nodes have at least 3 operands\.", said)
    assert len(verdict) == 2
    assert verdict[0] == verdict[1]
    text, chart = printed["drawn"]
    line, code, by_snippet, by_command = printed["page"]
    assert line.endswith("--model compiled --least 3")
    assert "from analyses.sizes import study_sizes" in code
    assert by_snippet == by_command
    assert by_command in text
    assert "A bar is a graph." in chart
    assert printed["section"][1:] == ["sizes_sizes"]


def test_a_looped_model_runs_step_by_step(printed: dict[str, list[str]]) -> None:
    assert printed["A looped model"] == ["torch.Size([3, 2, 5, 8]) True\n"]


def test_a_recipe_that_no_longer_fits_is_found() -> None:
    assert applied("a\nb\n", " a\n+c\n") == "a\nc\nb\n"
    assert applied("a\nb\n", "-b\n") == "a\n"
    with pytest.raises(AssertionError, match="0 places for"):
        applied("a\nb\n", " d\n+c\n")
