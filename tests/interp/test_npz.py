"""Results in files: what is saved under a name is loaded under the same name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import interp
from interp.npz import npz_path, read_npz, write_npz
from models import ComputationGraph, RecurrentTransformer, load
from models.files import WriteError

TEXT = "20 = x; 2 = y; x + y = z"


@pytest.fixture(scope="module")
def compiled() -> RecurrentTransformer:
    return load("compiled")


def pair() -> tuple[ComputationGraph, ComputationGraph]:
    return ComputationGraph.parse(TEXT), ComputationGraph.parse(TEXT.replace("20", "7"))


MAKE: dict[str, Callable[[RecurrentTransformer, list[ComputationGraph]], Any]] = {
    "Ablation": lambda model, graphs: interp.ablate(model, graphs, [interp.Component(0, 1)]),
    "CodeUsage": interp.code_usage,
    "CrossStep": lambda model, graphs: interp.cross_step_matrix(
        model, *pair(), name="resid_pre", layer=0, pos=[0]
    ),
    "Dynamics": interp.dynamics,
    "PatchSweep": lambda model, graphs: interp.patch_sweep(
        model, *pair(), [interp.Site("resid_pre", 0, 0, 0)]
    ),
    "ProbeGrid": lambda model, graphs: interp.fit_probe_grid(
        interp.collect(model, graphs, ["blocks.0.hook_resid_post"]), "depth", steps=[1], folds=2
    ),
    "SnapMargins": interp.snap_margins,
    "StepLens": interp.step_lens,
}


@pytest.mark.parametrize("name", MAKE)
def test_one_name_saves_and_loads(name: str, compiled: RecurrentTransformer, tmp_path: Path) -> None:
    result = MAKE[name](compiled, [*pair()])
    assert type(result).__name__ == name
    for given in ("run", "at.0.5", "whole.npz"):
        written = result.save(tmp_path / given)
        assert written == npz_path(tmp_path / given) and written.is_file()
        again = type(result).load(tmp_path / given)
        assert repr(again) == repr(result)
        assert read_npz(again.save(tmp_path / "again")).keys() == read_npz(written).keys()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "again.npz",
        "at.0.5.npz",
        "run.npz",
        "whole.npz",
    ]


def test_every_result_with_save_and_load_is_tried():
    found = {
        name
        for name in interp.__all__
        if hasattr(getattr(interp, name), "save") and hasattr(getattr(interp, name), "load")
    }
    assert found - {"ActivationDataset"} == set(MAKE)  # a dataset is a folder


def test_two_names_that_differ_after_a_dot_are_two_files(tmp_path: Path):
    for number in (1, 2):
        write_npz(tmp_path / f"run.v{number}", {"n": np.array(number)})
    assert [int(read_npz(tmp_path / f"run.v{number}")["n"]) for number in (1, 2)] == [1, 2]


def test_a_file_that_was_renamed_is_read(tmp_path: Path):
    write_npz(tmp_path / "run", {"n": np.array(3)}).rename(tmp_path / "plain")
    assert int(read_npz(str(tmp_path / "plain"))["n"]) == 3


def test_a_name_without_a_file_says_which_was_looked_for(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"none\.npz"):
        read_npz(tmp_path / "none")


def test_a_file_that_cannot_be_written(tmp_path: Path):
    (tmp_path / "run.npz").mkdir()
    with pytest.raises(WriteError, match=r"run\.npz"):
        write_npz(tmp_path / "run", {"n": np.array(3)})
