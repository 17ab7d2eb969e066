"""A probe of one's own, by file and function or as a record: fitted, scored and read like any other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.neighbors import NearestCentroid
from sklearn.svm import LinearSVC

from analyses.catalogue.probing import PROBING
from analyses.inputs import InputError
from analyses.own_probe import probe_name
from interp import ProbeError, collect, fit_probe_grid, probe_transfer, read_with_probes
from interp.probing.estimators import ESTIMATORS, Estimator, register
from models import ComputationGraph, load
from tests.cli.commands import recurlens

FILE = '''
from sklearn.neighbors import NearestCentroid
from sklearn.svm import LinearSVC


def margin():
    """Largest margin.

    More about it.
    """
    return LinearSVC()


def centroid():
    return NearestCentroid()
'''
GRAPHS = [ComputationGraph.sample(8, seed=seed) for seed in range(6)]


@pytest.fixture(autouse=True)
def known() -> Iterator[None]:
    copy = dict(ESTIMATORS)
    yield
    ESTIMATORS.clear()
    ESTIMATORS.update(copy)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(FILE)
    return path


def test_a_record_is_all_that_a_probe_is() -> None:
    """The same grid as of the estimator itself, in this process and in others, and a name in every result."""
    model = load("compiled")
    data = collect(model, GRAPHS, ["resid_post"], "rhs", 3)
    own = Estimator("margin", "largest margin", LinearSVC)
    options: dict[str, Any] = {"steps": [2], "folds": 3, "controls": False}
    given = fit_probe_grid(data, kind=own, **options)
    with pytest.raises(ProbeError, match="kind is 'margin'; allowed are logistic, ridge"):
        fit_probe_grid(data, kind="margin", **options)
    register(own)
    named = fit_probe_grid(data, kind="margin", jobs=2, **options)
    assert given.kind == named.kind == "margin"
    assert np.array_equal(given.accuracy, named.accuracy, equal_nan=True)
    assert not np.array_equal(
        given.accuracy, fit_probe_grid(data, kind="ridge", **options).accuracy, equal_nan=True
    )
    site = "blocks.2.hook_resid_post"
    assert probe_transfer(data, site, kind="margin", steps=[2], folds=3).kind == "margin"
    reading = read_with_probes(model, GRAPHS[:1], training=GRAPHS[1:], sites=["resid_post"], kind=own)
    assert reading.kind == "margin"
    with pytest.raises(
        ProbeError, match="needs probabilities, which kind 'margin' has not; allowed is 'logistic'"
    ):
        fit_probe_grid(data, kind="margin", mdl=True, **options)


def test_one_that_is_not_linear_is_refused() -> None:
    data = collect(load("compiled"), GRAPHS, ["resid_post"], "rhs", 3)
    with pytest.raises(
        ProbeError, match="'centroid' has no coef_ once it is fitted; allowed are linear ones"
    ):
        fit_probe_grid(
            data, kind=Estimator("centroid", "", NearestCentroid), steps=[2], folds=3, controls=False
        )


def test_a_name_is_taken_once() -> None:
    with pytest.raises(ValueError, match="there is a probe 'ridge' already; there are logistic, ridge"):
        register(Estimator("ridge", "another", LinearSVC))


def test_by_file_and_function(file: Path, tmp_path: Path) -> None:
    assert probe_name("ridge") == "ridge"
    assert probe_name(f"{file}:margin") == probe_name(f"{file}:margin") == "margin"
    assert (ESTIMATORS["margin"].label, ESTIMATORS["margin"].source) == ("Largest margin", f"{file}:margin")
    for text, message in (
        ("nothing", "kind is 'nothing'; allowed are logistic, ridge, margin, or FILE.py:FUNCTION."),
        (
            f"{file}:nothing",
            "has no function 'nothing'; it has NearestCentroid, LinearSVC, margin, centroid.",
        ),
        (f"{tmp_path / 'none.py'}:a", "There is no file"),
    ):
        with pytest.raises(InputError) as error:
            probe_name(text)
        assert message in str(error.value)


def test_the_command_and_its_replay(file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    line = ("probe", "--n-nodes", 8, "--graphs", 6, "--folds", 3, "--steps", 3, "--sites", "resid_post")
    said = recurlens(*line, "--status", "all", "--kind", f"{file}:margin", "--out", out).out
    assert "value read by margin probes" in said
    table = pd.read_csv(out / "probing.csv")
    ESTIMATORS.pop("margin")
    recurlens("probe", "--config", out / "config.yaml", "--out", tmp_path / "again")
    pd.testing.assert_frame_equal(table, pd.read_csv(tmp_path / "again" / "probing.csv"))


def test_the_page_offers_those_that_there_are() -> None:
    assert PROBING.page is not None
    (choice,) = [one for one in PROBING.page.choices if one.name == "kind"]
    assert choice.offers == {name: record.label for name, record in ESTIMATORS.items()}
