"""Cross-step probes: what a planted change of the code does to A[i, j], and angles against two other computations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.linalg import subspace_angles

from interp.data.collecting import collect
from interp.data.datasets import ActivationDataset
from interp.probing.rows import ProbeError
from interp.probing.transfer import probe_transfer
from models import ComputationGraph
from models.compiled import compile_model

SIZES: dict[str, Any] = {"modulus": 5, "n_variables": 16}


def by_qr_and_svd(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """Principal angles of two column spaces (Bjorck & Golub 1973): cosines are singular values of Q1' Q2."""
    (q1, r1), (q2, r2) = np.linalg.qr(one), np.linalg.qr(other)
    assert np.abs(np.diag(r1)).min() > 1e-9 and np.abs(np.diag(r2)).min() > 1e-9
    return np.arccos(np.linalg.svd(q1.T @ q2, compute_uv=False).clip(-1, 1))[::-1]


def planted(noise: float = 0.0) -> ActivationDataset:
    """Three values in 8 dimensions: in dimensions 0-2 at steps 0 and 1, in 3-5 at step 2; nothing at step 3."""
    rng = np.random.default_rng(0)
    value = rng.integers(3, size=200)
    activations = noise * rng.normal(size=(4, 200, 8))
    for step, first in ((0, 0), (1, 0), (2, 3)):
        activations[step, :, first : first + 3] += np.eye(3)[value]
    return ActivationDataset.from_arrays(
        {"here": activations}, {"graph": np.repeat(np.arange(20), 10), "value": value}
    )


def test_a_probe_reads_the_steps_that_share_its_code() -> None:
    data = planted()
    result = probe_transfer(data, "here", untrained=data)
    same = [[1, 1, 0], [1, 1, 0], [0, 0, 1]]
    accuracy = result.accuracy[0, :3, :3]
    assert (accuracy[np.array(same) == 1] == 1).all()
    assert (accuracy[np.array(same) == 0] < 0.55).all()
    assert np.array_equal(result.accuracy[2], result.accuracy[0])
    assert (result.accuracy[1, :3, :3] < 0.6).all()
    degrees = np.degrees(result.angles[:3, :3])
    assert degrees[0, 1].max() < 1e-3
    assert np.allclose(degrees[[0, 1, 2, 2], [2, 2, 0, 1]], 90)
    value = data.labels["value"].to_numpy()
    assert np.allclose(result.majority[0], result.majority[0, 0]) and 0.2 < result.majority[0, 0] < 0.5
    assert result.n_rows.tolist() == [len(value)] * 4


def test_angles_against_qr_and_svd_and_against_scipy() -> None:
    result = probe_transfer(planted(noise=0.3), "here", steps=[0, 1, 2])
    for i, one in enumerate(result.weights):
        for j, other in enumerate(result.weights):
            assert one is not None and other is not None
            assert np.allclose(one.sum(0), 0) and np.linalg.matrix_rank(one) == 2
            ours = result.angles[i, j]
            # Three rows that add up to 0 span what the first two span.
            assert np.allclose(ours, by_qr_and_svd(one[:2].T, other[:2].T), atol=1e-6)
            assert np.allclose(ours, subspace_angles(one[:2].T, other[:2].T), atol=1e-6)
    assert np.allclose(result.angles, result.angles.transpose(1, 0, 2), atol=1e-6)
    assert (np.degrees(result.angles[[0, 1, 2], [0, 1, 2]]) < 1e-4).all()
    assert np.degrees(result.refit).min() > 0 and np.degrees(result.refit).max() < 45
    assert np.degrees(result.angles[0, 2]).min() > 45
    assert np.degrees(result.random).mean() == pytest.approx(60, abs=12)


def test_no_graph_is_fitted_at_one_step_and_tested_at_another() -> None:
    """Features that name the graph, labels that the graph decides: read at once, were a graph ever on both sides."""
    graph = np.repeat(np.arange(20), 6)
    labels = np.random.default_rng(0).permutation(np.repeat([0, 1], 10))[graph]
    named = np.stack([np.eye(20)[graph]] * 2)
    data = ActivationDataset.from_arrays({"here": named}, {"graph": graph, "value": labels})
    assert probe_transfer(data, "here").accuracy[0].max() <= 0.5


def test_compiled_keeps_its_code() -> None:
    """Right-hand sides show values in the same dimensions at every step: a probe of step 1 reads all others.

    At step 0 leaves alone have values, which a probe can also read from where layer 0 copies their numbers to.
    """
    model = compile_model(("ADD",), **SIZES)
    graphs = [ComputationGraph.sample(10, ops=("ADD",), n_leaves=4, seed=i, **SIZES) for i in range(30)]
    data = collect(model, graphs, ["blocks.2.hook_resid_post"], n_steps=3)
    result = probe_transfer(data, "resid_post", target="written", folds=3)
    assert (result.accuracy[0, 1:, 1:] > 0.98).all()
    assert (result.accuracy[1, 1:] < 0.5).all()
    assert result.mean_angle[1, 2] < result.random.mean() / 2
    frame = result.to_frame()
    assert len(frame) == 9 and frame["accuracy"].tolist() == result.accuracy[0].ravel().tolist()
    assert frame["mean_angle"][1] == pytest.approx(np.degrees(np.nanmean(result.angles[0, 1])))
    traces = {trace.name: np.array(trace.z) for trace in result.figure().select_traces({"type": "heatmap"})}
    assert np.allclose(traces["accuracy"], result.accuracy[0])
    assert np.allclose(traces["angle / 90 degrees"], np.degrees(result.mean_angle) / 90)


def test_what_cannot_be_compared_is_said() -> None:
    data = planted()
    two = ActivationDataset.from_arrays(
        {f"blocks.{layer}.hook_resid_post": data.activations["here"] for layer in (0, 1)}, data.labels
    )
    with pytest.raises(ProbeError, match="stands for blocks.0.hook_resid_post, blocks.1.hook_resid_post"):
        probe_transfer(two, "resid_post")
    with pytest.raises(ProbeError, match="there is no site 'there'"):
        probe_transfer(data, "there")
    with pytest.raises(ProbeError, match="folds is 40"):
        probe_transfer(data, "here", folds=40)
    with pytest.raises(ProbeError, match="kind is 'forest'"):
        probe_transfer(data, "here", kind="forest")
