"""Results that ship are what the pages would compute, and only those that fit are used."""

from __future__ import annotations

import json
import shutil
import zipfile

import pandas as pd
import pytest

from dashboards import shipped
from dashboards.analysis_page import AnalysisPage, results
from dashboards.pages import analysis_pages
from dashboards.precomputed import Result, sources_digest

CHEAP = "codes"


@pytest.fixture(autouse=True)
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("RECURLENS_CACHE", str(tmp_path / "cache"))
    results.clear()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A copy of what ships, as if it had been made with the sources that are here."""
    copy = tmp_path / "results"
    copy.mkdir()
    for path in shipped.FOLDER.glob("*.zip"):
        rewrite(path, copy / path.name, lambda made: made | {"code": sources_digest(made["sources"])})
    monkeypatch.setattr(shipped, "FOLDER", copy)
    return copy


def rewrite(path, to, change):
    """A file that ships, with another account of how it was made."""
    shutil.copyfile(path, to)
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(to, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            content = old.read(name)
            new.writestr(name, json.dumps(change(json.loads(content))) if name == "made.json" else content)


def test_every_page_has_its_file_and_all_are_small():
    files = sorted(shipped.FOLDER.glob("*.zip"))
    assert [path.stem.rpartition("-")[0] for path in files] == sorted(shipped.PAGES)
    assert sum(path.stat().st_size for path in files) < 2_000_000


def test_what_ships_is_what_the_page_computes():
    page = analysis_pages()[CHEAP]
    (path,) = shipped.FOLDER.glob(f"{CHEAP}-*.zip")
    there = Result.from_bytes(path.read_bytes())
    computed = page.fresh(*page.bare())
    assert there.verdict == computed.verdict
    assert list(there.figures) == list(computed.figures)
    pd.testing.assert_frame_equal(there.summary, computed.summary)
    pd.testing.assert_frame_equal(there.frame, computed.frame, check_dtype=False, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", shipped.PAGES)
def test_a_bare_address_shows_what_ships(folder, monkeypatch, name):
    monkeypatch.setattr(AnalysisPage, "fresh", None)
    page = analysis_pages()[name]
    result = page.result(*page.bare())
    (path,) = folder.glob(f"{name}-*.zip")
    assert result.verdict == Result.from_bytes(path.read_bytes()).verdict


def test_what_does_not_fit_is_not_used(folder):
    page = analysis_pages()[CHEAP]
    view, graphs = page.bare()
    (path,) = folder.glob(f"{CHEAP}-*.zip")
    asked = page.asked(view, graphs)
    assert shipped.shipped(CHEAP, asked) is not None
    assert page.known(*page.bare("compiled")) is None, "another model"
    assert page.known(view, graphs[:1]) is None, "other graphs"
    results.clear()
    for change in (
        lambda made: made | {"code": "0" * 64},
        lambda made: made | {"sources": [*made["sources"], "interp/gone.py"]},
        lambda made: {"code": made["code"]},  # without its sources
    ):
        rewrite(path, folder / "changed", change)
        (folder / "changed").replace(path)
        assert page.known(view, graphs) is None
    path.write_bytes(path.read_bytes()[:300])
    assert page.known(view, graphs) is None, "a damaged file"
