"""Datasets on disk: the same as in memory, whole or not at all, with clear errors."""

from __future__ import annotations

import resource
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from interp import ActivationDataset, DatasetError, collect
from interp.data.growing import InFile, InMemory
from models import RecurrentTransformer
from models.compiled import compile_model
from tests.collecting import GRAPHS, SIZES, same


@pytest.fixture(scope="module")
def compiled() -> RecurrentTransformer:
    return compile_model(("ADD", "SUB"), **SIZES)


@pytest.mark.parametrize("n_steps", [None, 15])
def test_folder_holds_the_same(n_steps: int | None, compiled: RecurrentTransformer, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "data"
    streamed = collect(
        compiled, GRAPHS, ["resid_post", "z"], n_steps=n_steps, folder=folder, batch_tokens=100
    )
    whole = collect(compiled, GRAPHS, ["resid_post", "z"], n_steps=n_steps, batch_tokens=100)
    assert same(streamed, whole) and same(ActivationDataset.load(folder), whole)
    assert all(isinstance(array, np.memmap) for array in streamed.activations.values())
    with pytest.raises(ValueError, match="read-only"):
        streamed.activations["blocks.0.hook_resid_post"][0, 0, 0] = 1.0
    assert [path.name for path in folder.parent.iterdir()] == ["data"]
    assert same(ActivationDataset.load(whole.save(tmp_path / "saved")), whole)
    size = (tmp_path / "saved/activations/blocks.0.hook_resid_post.npy").stat().st_size
    assert (folder / "activations/blocks.0.hook_resid_post.npy").stat().st_size == size


def test_a_folder_is_replaced_whole_or_not_at_all(compiled: RecurrentTransformer, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    first = collect(compiled, GRAPHS[:2], "resid_post", folder=folder)
    copies: list[Path] = []

    def killed(done: int, total: int) -> None:
        """What a process that dies here leaves behind is what is there now."""
        (partial,) = tmp_path.glob("data.partial-*")
        copies.append(shutil.copytree(partial, tmp_path / f"copy{done}"))
        if done == total:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        collect(compiled, GRAPHS, "resid_post", folder=folder, batch_tokens=100, progress=killed)
    assert len(copies) > 1 and not compiled.is_watched()
    for copy in copies:
        assert (copy / "activations/blocks.0.hook_resid_post.npy").is_file()
        with pytest.raises(DatasetError, match="is no dataset of activations: it has no meta.json"):
            ActivationDataset.load(copy)
    assert not list(tmp_path.glob("data.partial-*"))
    assert same(ActivationDataset.load(folder), first)
    second = collect(compiled, GRAPHS, "embed", folder=folder)
    assert same(ActivationDataset.load(folder), second)
    assert sorted(path.name for path in (folder / "activations").iterdir()) == ["hook_embed.npy"]
    assert first.activations["blocks.0.hook_resid_post"].any(), "the old map stays readable"


def test_folders_that_cannot_be_used(compiled: RecurrentTransformer, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "notes.txt").write_text("mine")
    with pytest.raises(
        DatasetError, match="is no dataset; allowed are a new folder, an empty one, a dataset"
    ):
        collect(compiled, GRAPHS, "embed", folder=other)
    assert [path.name for path in other.iterdir()] == ["notes.txt"]
    with pytest.raises(DatasetError, match="cannot write a dataset of activations"):
        collect(compiled, GRAPHS, "embed", folder=other / "notes.txt" / "data")
    (tmp_path / "empty").mkdir()
    assert collect(compiled, GRAPHS, "embed", folder=tmp_path / "empty").n_steps > 1


def test_full_disk(compiled: RecurrentTransformer, tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(DatasetError, match="cannot write a dataset of activations .*too large"):
            collect(compiled, GRAPHS, "resid_post", folder=tmp_path / "data")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list(tmp_path.iterdir()) and not compiled.is_watched()


def test_damaged_folders(compiled: RecurrentTransformer, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    collect(compiled, GRAPHS, "embed", folder=folder)
    meta, array = folder / "meta.json", folder / "activations" / "hook_embed.npy"
    text, data = meta.read_text(), array.read_bytes()
    for path, content in (
        (meta, "{"),
        (meta, text.replace("activations.1", "activations.9")),
        (meta, text.replace('"hook_embed"', '"hook_other"')),
        (meta, text.replace('"n_steps": ', '"n_steps": 1')),
        (array, data[:-4]),
        (folder / "labels.parquet", "no table"),
    ):
        whole = path.read_bytes()
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        with pytest.raises(DatasetError, match=r"damaged|format|shape"):
            ActivationDataset.load(folder)
        path.write_bytes(whole)
    assert same(ActivationDataset.load(folder), collect(compiled, GRAPHS, "embed"))


def test_growing_arrays_keep_what_was_written(tmp_path: Path) -> None:
    arrays = InMemory((5, 2), np.dtype(np.float32)), InFile(tmp_path / "a.npy", (5, 2), np.dtype(np.float32))
    rng = np.random.default_rng(0)
    expected = np.zeros((12, 5, 2), np.float32)
    for step, first, n in [(0, 1, 3), (2, 0, 5), (0, 0, 1), (11, 4, 1), (5, 2, 2)]:
        values = rng.random((n, 2), np.float32)
        expected[step, first : first + n] = values
        for array in arrays:
            array.write(step, first, values)
            read = array.read(step, first, n)
            array.write(11, 0, expected[11, :1])
            assert np.array_equal(read, values)
    for array in arrays:
        assert np.array_equal(array.finish(12), expected)


# Of any model --------------------------------------------------------------------------------------------------


def test_arrays_of_another_model(tmp_path: Path) -> None:
    hidden = np.arange(24.0).reshape(2, 4, 3)
    labels = {"graph": [0, 0, 1, 1], "value": [3, 1, 2, 2]}
    data = ActivationDataset.from_arrays(
        {"core/1": hidden}, labels, {"seen": np.zeros((2, 4), int)}, model="mine", modulus=4
    )
    hidden[:] = 0
    assert data.activations["core/1"][1, 3].tolist() == [21.0, 22.0, 23.0]
    assert (data.n_steps, len(data), data.sites) == (2, 4, ("core/1",))
    assert same(ActivationDataset.load(data.save(tmp_path / "d")), data)
    chosen = data.select(value=[1, 3])
    assert chosen.activations["core/1"][0].tolist() == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
    assert list(chosen.frame(1).columns) == ["graph", "value", "seen"]
    with pytest.raises(DatasetError, match="no label 'depth'; there are graph, value"):
        data.select(depth=1)
    with pytest.raises(DatasetError, match=r"no row has value=9; the labels' values are .*\[1, 2, 3\]"):
        data.select(value=9)
    with pytest.raises(DatasetError, match="step is 2; collected are 0 to 1"):
        data.frame(2)
    for arrays, table, steps, message in [
        ({}, labels, None, "no activations"),
        ({"a": hidden}, {"value": [1, 2, 3, 4]}, None, "'graph' is needed"),
        ({"a": hidden[:, :3]}, labels, None, r"shape \(2, 3, 3\); allowed is \[2 steps, 4 rows, d\]"),
        ({"a": hidden[0]}, labels, None, "allowed is"),
        ({"a": hidden}, labels, {"s": np.zeros((1, 4))}, r"step labels 's' .* \[2 steps, 4 rows\]"),
    ]:
        with pytest.raises(DatasetError, match=message):
            ActivationDataset.from_arrays(arrays, table, steps)
    with pytest.raises(DatasetError, match="shape"):
        replace(data, n_steps=3)
