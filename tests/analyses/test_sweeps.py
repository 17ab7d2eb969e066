"""Sweeps that are cut short go on as if nothing had happened; workers that die are replaced, none is left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from distributed import LocalCluster

from analyses import kept, patching, sweeps
from analyses.ablation import study_ablation
from analyses.cross_step import study_cross_step
from analyses.framework.pairs import TextPair
from analyses.inputs import InputError
from analyses.patching import Where, patch
from analyses.sweeps import sweep_graphs
from interp.causal.pairs import sample_pairs
from models.compiled import compile_model
from tests.cli.commands import recurlens
from tests.small_models import save_compiled

WHERE = Where(positions="rhs")


class StopError(Exception):
    """Instead of a kill."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_compiled(tmp_path_factory.mktemp("model") / "small"))


@pytest.fixture(scope="module")
def pairs() -> list[TextPair]:
    sampled = sample_pairs(5, "leaf-value", 6, modulus=5, n_variables=16)
    return [(pair.clean, pair.corrupt) for pair in sampled]


@pytest.fixture
def interrupted(model: str, pairs: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two results of a sweep that stopped at the third."""
    original, calls = patching.sweep_pair, []

    def stopping(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            raise StopError
        return original(*args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(patching, "sweep_pair", stopping)
        with pytest.raises(StopError):
            patch(pairs, WHERE, model=model, out=tmp_path)
    return tmp_path


def parts(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "parts").iterdir())


def test_results_are_kept_as_they_come_and_not_computed_again(
    interrupted: Path, model: str, pairs: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert parts(interrupted) == ["000000.npz", "000001.npz", "about.json"]
    original, calls = patching.sweep_pair, []

    def counted(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        return original(*args, **kwargs)

    monkeypatch.setattr(patching, "sweep_pair", counted)
    resumed = patch(pairs, WHERE, model=model, out=interrupted, resume=True)
    assert len(calls) == 3 and len(parts(interrupted)) == 6
    whole = patch(pairs, WHERE, model=model)
    pd.testing.assert_frame_equal(resumed.frame, whole.frame, check_exact=True)
    assert resumed.to_dict() == whole.to_dict()
    kept.forget(interrupted)
    assert not (interrupted / "parts").exists()


def test_another_sweep_in_the_folder_is_refused(
    interrupted: Path, model: str, pairs: list[Any], tmp_path: Path
) -> None:
    again = partial(patch, out=interrupted, resume=True)
    for given, message in (
        (partial(again, pairs, WHERE, "prob", model=model), 'a sweep with metric "logit_diff", not "prob"'),
        (partial(again, pairs, Where(), model=model), 'with where {"names"'),
        (partial(again, pairs, WHERE, model=model, n_steps=3), "with n_steps null, not 3"),
        (partial(again, pairs[:4], WHERE, model=model), "a sweep with other graphs"),
        (partial(study_cross_step, pairs, "state", model, out=interrupted, resume=True), 'study "patching"'),
        (
            partial(patch, pairs, WHERE, model=model, out=interrupted),
            "2 results of a sweep .* go on with --resume",
        ),
    ):
        with pytest.raises(InputError, match=message):
            given()
    changed = compile_model(("ADD",), modulus=5, n_variables=16)
    with torch.no_grad():
        changed.embed.W_E += 1e-3
    changed.save_pretrained(model)
    try:
        with pytest.raises(InputError, match="a sweep with other weights"):
            again(pairs, WHERE, model=model)
    finally:
        save_compiled(Path(model))
    part = interrupted / "parts" / "000001.npz"
    part.write_bytes(part.read_bytes()[:-30])
    with pytest.raises(InputError, match="000001.npz is damaged: delete it and go on with --resume"):
        again(pairs, WHERE, model=model)


def test_the_command_resumes_and_tidies_up(interrupted: Path, model: str, tmp_path: Path) -> None:
    options = ["--model", model, "--n-nodes", 6, "--n-pairs", 3, "--pos", "rhs", "--quiet"]
    out = interrupted / "new"
    assert "--resume goes on with" in recurlens("patch", *options, "--resume", code=2).err
    recurlens("patch", *options, "--out", out, "--resume")
    assert not (out / "parts").exists() and (out / "patching.csv").is_file()
    error = recurlens("patch", *options, "--out", interrupted, "--resume", code=2).err
    assert "--resume needs the same options and model" in error


def test_what_a_killed_tidying_leaves_is_no_result(model: str, pairs: list[Any], tmp_path: Path) -> None:
    """Results without their `about.json`, of another sweep."""
    patch(pairs, WHERE, "prob", model=model, out=tmp_path)
    (tmp_path / "parts" / "about.json").unlink()
    whole = patch(pairs, WHERE, model=model)
    anew = patch(pairs, WHERE, model=model, out=tmp_path)
    pd.testing.assert_frame_equal(anew.frame, whole.frame, check_exact=True)
    (tmp_path / ".recurlens-0123456789abcdef.tmp").touch()
    again = patch(pairs, WHERE, model=model, out=tmp_path, resume=True)
    pd.testing.assert_frame_equal(again.frame, whole.frame, check_exact=True)
    assert [path.name for path in tmp_path.iterdir()] == ["parts"]


def test_other_studies_keep_and_resume_too(
    model: str, pairs: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graphs = [clean for clean, _ in pairs[:2]]
    studies = {
        "cross": partial(study_cross_step, pairs, "state", model, 3),
        "ablate": partial(study_ablation, graphs, None, "resample", model),
    }
    for name, study in studies.items():
        whole, out = study(), tmp_path / name
        with monkeypatch.context() as patched:
            original, calls = kept.Kept.add, []

            def add(self: Any, index: int, result: Any, original: Any = original, calls: Any = calls) -> None:
                original(self, index, result)
                calls.append(index)
                if len(calls) == 2:
                    raise StopError

            patched.setattr(kept.Kept, "add", add)
            with pytest.raises(StopError):
                study(out=out)
        resumed = study(out=out, resume=True)
        pd.testing.assert_frame_equal(resumed.to_frame(), whole.to_frame(), check_exact=True)
        assert resumed.to_dict() == whole.to_dict()


def test_results_are_read_back_without_loss(model: str, pairs: list[Any], tmp_path: Path) -> None:
    (cross,) = study_cross_step(pairs[:1], "state", model, 3).results
    loaded = type(cross).load(cross.save(tmp_path / "cross"))
    for field in ("raw", "predicted"):
        assert np.array_equal(getattr(loaded, field), getattr(cross, field))
    assert (loaded.sites, loaded.nodes, loaded.clean_graph) == (cross.sites, cross.nodes, cross.clean_graph)


def dies_once(model: Any, item: int, flag: str) -> int:
    """The square; the worker that is given 2 first is killed."""
    if item == 2 and not Path(flag).exists():
        Path(flag).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return item * item


def always_dies(model: Any, item: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return item


def test_a_worker_that_is_killed_is_replaced(model: str, tmp_path: Path) -> None:
    task = partial(dies_once, flag=str(tmp_path / "flag"))
    assert list(sweep_graphs(task, range(5), model, 2)) == [0, 1, 4, 9, 16]
    assert (tmp_path / "flag").exists()


def test_killed_runs_end_as_whole_ones_and_leave_no_worker(root: Path, tmp_path: Path) -> None:
    """A slice of the benchmark, in a process of its own, since it forks."""
    numbers = tmp_path / "kills.json"
    slice_of_it = ["--trainings", "4", "--sweeps", "2", "--with-workers", "1", "--json", str(numbers)]
    done = subprocess.run(
        [sys.executable, "-m", "analyses.benchmarks.kills", *slice_of_it],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    scores = json.loads(numbers.read_text())
    for kind, runs in (("training", 4), ("sweep", 2)):
        score = scores[kind]
        assert (score["killed"], score["equal"], score["left_behind"]) == (runs, runs, 0), kind
        assert score["operations"] > 50 and score["killed_twice"] > 0


def test_an_address_is_for_clusters(model: str) -> None:
    for backend in ("loky", "threading"):
        error = recurlens("patch", "--n-nodes", 6, "--backend", backend, "--address", "x:1", code=2).err
        assert f"--address x:1 is that of a running cluster, and --backend is {backend!r}" in error


@pytest.fixture(scope="module")
def dask_cluster() -> Any:
    """Of two workers, which import torch when they are first asked; the last test that uses them kills one."""
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        yield cluster


def test_the_workers_of_a_sweep_are_options_that_its_config_file_repeats(
    dask_cluster: Any, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("analyses.export.write_png", lambda figure, path: "there is no browser")
    address, asked = dask_cluster.scheduler_address, []
    original = sweeps._registered

    def registered(*given: Any) -> Any:
        asked.append(given)
        return original(*given)

    monkeypatch.setattr(sweeps, "_registered", registered)
    workers = ["--jobs", 2, "--backend", "dask", "--address", address]
    few = ["--model", model, "--n-nodes", 6, "--quiet"]
    sizes = {"patch": ["--n-pairs", 2], "cross-step": ["--n-pairs", 2], "ablate": ["--n-graphs", 2]}
    for command, size in sizes.items():
        first, again = tmp_path / command, tmp_path / f"{command} again"
        recurlens(command, *few, *size, *workers, "--out", first)
        config = yaml.safe_load((first / "config.yaml").read_text())
        assert (config["jobs"], config["backend"], config["address"]) == (2, "dask", address)
        recurlens(command, "--config", first / "config.yaml", "--out", again)
        (table,) = first.glob("*.csv")
        assert (again / table.name).read_text() == table.read_text()
    assert {backend for backend, _, _ in asked} == {"dask"} and {where for _, _, where in asked} == {address}
    assert len(asked) == 2 * len(sizes)


def test_a_running_dask_cluster_gives_the_same_table(
    dask_cluster: Any, model: str, pairs: list[Any], tmp_path: Path
) -> None:
    whole = patch(pairs, WHERE, model=model)
    address = dask_cluster.scheduler_address
    spread = patch(pairs, WHERE, model=model, backend="dask", address=address, out=tmp_path)
    pd.testing.assert_frame_equal(spread.frame, whole.frame, check_exact=True)
    assert len(parts(tmp_path)) == len(pairs) + 1
    task = partial(dies_once, flag=str(tmp_path / "flag"))
    assert list(sweep_graphs(task, range(5), model, 2, "dask", address)) == [0, 1, 4, 9, 16]
    assert (tmp_path / "flag").exists()


def test_a_dask_cluster_that_is_not_there(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("analyses.sweeps.CONNECT_SECONDS", 1)
    with pytest.raises(InputError, match="cannot reach the cluster at tcp://127.0.0.1:9"):
        list(sweep_graphs(always_dies, range(2), model, 1, "dask", "tcp://127.0.0.1:9"))


def test_a_running_ray_cluster_gives_the_same_table(model: str, pairs: list[Any], tmp_path: Path) -> None:
    ray = pytest.importorskip("ray", reason="ray is not installed")
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
    try:
        whole = patch(pairs, WHERE, model=model)
        spread = patch(
            pairs, WHERE, model=model, jobs=2, backend="ray", address=cluster.address, out=tmp_path
        )
        pd.testing.assert_frame_equal(spread.frame, whole.frame, check_exact=True)
        assert len(parts(tmp_path)) == len(pairs) + 1
        task = partial(dies_once, flag=str(tmp_path / "flag"))
        assert list(sweep_graphs(task, range(5), model, 2, "ray", cluster.address)) == [0, 1, 4, 9, 16]
        assert (tmp_path / "flag").exists()
    finally:
        ray.shutdown()
        cluster.shutdown()
