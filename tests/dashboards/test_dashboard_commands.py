"""The command that a page prints gives the table that the page shows, for every page on which graphs can be typed."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import yaml

from dashboards.analysis_page import AnalysisPage
from dashboards.cached import shared
from dashboards.graph_view import AnalysisView, default_view
from dashboards.pages import analysis_pages
from dashboards.precomputed import Result
from dashboards.results import results
from tests.cli.commands import recurlens

ONE = "20 = a\n2 = b;\na + b = total; total + b = twice"
TWO = f"{ONE}\n\n7 = it_; 3 = y\n it_ + y = z, z + y = w\n\n 5 = x_1; x_1 = x_2"
CODES = analysis_pages()["codes"]
PAGES: dict[str, tuple[AnalysisPage, dict[str, str]]] = {
    "probing": (analysis_pages()["probing"], {"kind": "ridge"}),
    "codes": (CODES, {}),
    "lens": (analysis_pages()["lens"], {}),
    "dynamics": (analysis_pages()["dynamics"], {"against": "none"}),
    "failures": (analysis_pages()["failures"], {}),
    "mechanism heads": (analysis_pages()["mechanism"], {"part": "heads"}),
    "mechanism changes": (analysis_pages()["mechanism"], {"part": "changes"}),
    "story": (analysis_pages()["story"], {}),
}


@pytest.fixture(autouse=True)
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("RECURLENS_CACHE", str(tmp_path / "cache"))
    results.clear()


def typed(page: AnalysisPage, settings: dict[str, str], text: str) -> AnalysisView:
    view = replace(default_view(page.settings, page.graphs), model="compiled", text=text)
    return view.with_settings(**settings)


def shown(page: AnalysisPage, view: AnalysisView) -> Result:
    return page.result(view, view.drawn_graphs(shared(view.model).model))


def table_of(folder: Path) -> pd.DataFrame:
    (file,) = folder.glob("*.parquet")
    return pd.read_parquet(file)


@pytest.mark.parametrize("name", PAGES)
def test_the_command_of_typed_graphs_gives_the_table_of_the_page(name, tmp_path):
    page, settings = PAGES[name]
    text = ONE if page.graphs == 1 else TWO
    view = typed(page, settings, text)
    program, *arguments = shlex.split(page.line(view))
    assert program == "recurlens"
    first, second = tmp_path / "first", tmp_path / "second"
    recurlens(*arguments, "--out", first, "--quiet")
    expected = shown(page, view)
    pd.testing.assert_frame_equal(table_of(first), expected.frame, check_dtype=False)
    recurlens(arguments[0], "--config", first / "config.yaml", "--out", second, "--quiet")
    pd.testing.assert_frame_equal(table_of(second), expected.frame, check_dtype=False)


def test_the_command_can_be_run_in_a_shell(root, tmp_path):
    view = typed(CODES, {}, TWO)
    line = CODES.line(view)
    assert "\n" not in line
    assert line.count("--graph ") == 3
    start = f'recurlens() {{ {shlex.quote(sys.executable)} -m analyses.cli "$@"; }}; '
    done = subprocess.run(
        ["sh", "-c", f"{start}{line} --out {shlex.quote(str(tmp_path / 'out'))} --quiet"],
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=True,
    )
    expected = shown(CODES, view)
    assert done.stdout.strip() == expected.verdict
    pd.testing.assert_frame_equal(table_of(tmp_path / "out"), expected.frame, check_dtype=False)
    assert len(yaml.safe_load((tmp_path / "out" / "config.yaml").read_text())["graph"]) == 3


def test_several_graphs_of_which_one_cannot_be_read():
    said = recurlens("codes", "--graph", "1 = a", "--graph", "a + b = c", code=2).err
    assert "Graph 2 of 2: " in said
    assert "'a' is not defined" in said


def test_one_graph_is_written_into_the_config_as_its_text(tmp_path):
    recurlens("codes", "1 = a; a = b", "--out", tmp_path, "--quiet")
    assert yaml.safe_load((tmp_path / "config.yaml").read_text())["graph"] == "1 = a; a = b"
    given = recurlens("codes", "--graph", "1 = a", "1 = b", code=2).err
    assert "GRAPH and --graph were given together" in given
