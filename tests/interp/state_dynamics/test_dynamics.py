"""How states move: array-level measures against numpy by hand; `compiled` moves one level per step and then rests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from interp import as_looped, dynamics, run_looped
from interp.state_dynamics.cycles import approximate_cycles, exact_cycles, lasting_cycles
from interp.state_dynamics.drift import drift_of
from interp.state_dynamics.dynamics import Dynamics, dynamics_of
from interp.state_dynamics.dynamics_figure import drift_figure, frontier_figure, motion_figure
from interp.state_dynamics.frontier import frontier_of
from interp.state_dynamics.pca import pca_trajectories
from interp.state_dynamics.trajectories_figure import pca_figure
from interp.state_dynamics.violations import violations_of
from interp.statistics.resampling import interval_over_graphs
from models import ComputationGraph, RecurrentConfig, RecurrentTransformer
from models.compiled import compile_model
from tests.small_models import RANDOM

# Motion ------------------------------------------------------------------------------------------------------


def test_motion_is_what_numpy_makes_of_the_formulas() -> None:
    h = np.random.default_rng(0).normal(size=(6, 2, 3, 4))
    motion = dynamics_of(torch.from_numpy(h))
    d = h[1:] - h[:-1]
    size = np.linalg.norm(d, axis=-1)
    np.testing.assert_allclose(motion.residual, size)
    np.testing.assert_allclose(motion.relative, size / np.linalg.norm(h[:-1], axis=-1))
    np.testing.assert_allclose(motion.acceleration[1:], np.linalg.norm(h[2:] - 2 * h[1:-1] + h[:-2], axis=-1))
    cosine = np.einsum("tbpd,tbpd->tbp", d[1:], d[:-1]) / size[1:] / size[:-1]
    np.testing.assert_allclose(motion.angle[1:], np.rad2deg(np.arccos(cosine)))
    np.testing.assert_allclose(motion.to_limit, np.linalg.norm(h - h[-1], axis=-1))
    assert np.isnan(motion.angle[0]).all() and np.isnan(motion.acceleration[0]).all()


def test_motion_of_a_turn_worked_out_by_hand() -> None:
    """Right by 3, up by 4, not at all, then back down by 4."""
    h = np.array([[1, 0], [4, 0], [4, 4], [4, 4], [4, 0]], dtype=np.float32)
    motion = dynamics_of(h)
    np.testing.assert_allclose(motion.residual, [3, 4, 0, 4])
    np.testing.assert_allclose(motion.angle, [np.nan, 90, np.nan, np.nan])
    np.testing.assert_allclose(motion.acceleration, [np.nan, 5, 4, 4])
    np.testing.assert_allclose(motion.to_limit, [3, 0, 4, 4, 0])
    np.testing.assert_allclose(dynamics_of(h, limit=np.array([1, 0])).to_limit, [0, 3, 5, 5, 3])


@pytest.mark.parametrize(
    ("hidden", "limit", "message"),
    [
        (np.zeros((2, 3, 4)), None, r"shape \(2, 3, 4\); allowed is .* with 2 steps or more"),
        (np.zeros(5), None, r"shape \(5,\)"),
        (np.zeros((4, 3, 2)), np.zeros(2), r"limit has shape \(2,\); allowed here is \(3, 2\)"),
    ],
)
def test_motion_of_too_little_is_refused(hidden: np.ndarray, limit: np.ndarray | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dynamics_of(hidden, limit)


# Looped maps that are known ----------------------------------------------------------------------------------


class LinearMap(nn.Module):
    """h -> A h + b in the plane; reads which coordinate is the larger."""

    def __init__(self, matrix: list[list[float]], offset: list[float]) -> None:
        super().__init__()
        self.matrix = torch.tensor(matrix, dtype=torch.float32)
        self.offset = torch.tensor(offset, dtype=torch.float32)

    @property
    def module(self) -> nn.Module:
        return self

    def begin(self, inputs: Tensor) -> Tensor:
        return inputs

    def step(self, hidden: Tensor, step: int) -> Tensor:
        return hidden @ self.matrix.T + self.offset

    def read(self, hidden: Tensor) -> dict[str, Tensor]:
        return {"larger": hidden}


STARTS = torch.tensor([[[3.0, 1.0], [-2.0, 5.0], [0.5, 0.25]]])


def test_the_distance_of_a_contraction_decays_by_its_factor() -> None:
    """h -> h / 2 + (1, 2) contracts to (2, 4) by 1/2 a step, always in one direction."""
    hidden = run_looped(LinearMap([[0.5, 0], [0, 0.5]], [1, 2]), STARTS, 60).hidden
    motion = dynamics_of(hidden, limit=torch.tensor([[[2.0, 4.0]]]).expand(1, 3, 2))
    np.testing.assert_allclose(motion.to_limit[1:12] / motion.to_limit[:11], 0.5, rtol=1e-4)
    np.testing.assert_allclose(dynamics_of(hidden).to_limit[:12], motion.to_limit[:12], rtol=1e-5)
    np.testing.assert_allclose(motion.residual[1:12] / motion.residual[:11], 0.5, rtol=1e-4)
    np.testing.assert_allclose(motion.angle[1:8], 0, atol=0.1)
    np.testing.assert_allclose(motion.acceleration[1:12], motion.residual[1:12], rtol=1e-4)
    settled = approximate_cycles(hidden.flatten(1, 2).numpy(), tolerance=1e-3)
    assert settled.period.tolist() == [1, 1, 1]
    size = hidden.norm(dim=-1)[:-1, 0].numpy()
    expected = (motion.residual[:, 0] <= 1e-3 * size).argmax(0)
    assert settled.start.tolist() == expected.tolist()


def test_a_two_cycle_is_found_and_is_no_fixed_point() -> None:
    """A swap of the coordinates has period 2, except where they are equal."""
    starts = torch.tensor([[[3.0, 1.0], [-2.0, 5.0], [4.0, 4.0]]])
    run = run_looped(LinearMap([[0, 1], [1, 0]], [0, 0]), starts, 9)
    found = approximate_cycles(run.hidden[:, 0].numpy(), tolerance=1e-6)
    assert found.period.tolist() == [2, 2, 1]
    assert found.start.tolist() == [0, 0, 0]
    for detect in (exact_cycles, lasting_cycles):
        codes = detect(run.codes["larger"][:, 0].numpy())
        assert codes.period.tolist() == [2, 2, 1]
        assert codes.settled_by.tolist() == [0, 0, 0]
    motion = dynamics_of(run.hidden[:, 0, :2])
    np.testing.assert_allclose(motion.angle[1:], 180, atol=1e-2)


def test_a_rotation_by_a_third_has_period_three_and_a_slow_one_none() -> None:
    def turn(degrees: float) -> list[list[float]]:
        c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        return [[c, -s], [s, c]]

    for degrees, period in ((120, 3), (7, 0)):
        hidden = run_looped(LinearMap(turn(degrees), [0, 0]), STARTS, 20).hidden[:, 0].numpy()
        assert approximate_cycles(hidden, 1e-4).period.tolist() == [period] * 3
        np.testing.assert_allclose(dynamics_of(hidden).angle[1:], degrees, rtol=1e-3)


def test_cycles_by_hand() -> None:
    rows = np.array([[5, 5, 5, 5, 5, 5], [1, 2, 3, 4, 3, 4], [1, 2, 3, 4, 5, 5], [1, 2, 3, 4, 5, 6]]).T
    exact = exact_cycles(rows)
    assert exact.start.tolist() == [0, 2, 4, -1]
    assert exact.period.tolist() == [1, 2, 1, 0]
    assert exact.settled_by.tolist() == [0, 1, 3, -1]
    back = np.array([[1, 1, 2, 2, 2, 2], [1, 2, 1, 2, 3, 4], [7, 1, 2, 1, 2, 1]]).T
    assert lasting_cycles(back).start.tolist() == [2, -1, 1]
    assert lasting_cycles(back).period.tolist() == [1, 0, 2]
    assert exact_cycles(back).start.tolist() == [0, 0, 1]
    with pytest.raises(ValueError, match="tolerance is -1"):
        approximate_cycles(np.zeros((3, 1, 2)), -1)
    with pytest.raises(ValueError, match=r"allowed is \[state, row, d\]"):
        approximate_cycles(np.zeros((3, 2)))


# Frontier and violations -------------------------------------------------------------------------------------


def test_frontier_by_hand() -> None:
    """Graph 0 (levels 0, 1, 1, 2) in time; graph 1 (levels 0, 1, 2) shows level 2 early and level 1 late."""
    depths = np.array([[0, 1, 1, 2], [0, 1, 2, -1]])
    right = np.zeros((5, 2, 4), dtype=bool)
    right[1:, 0, 0] = right[2:, 0, 1] = right[2:, 0, 2] = right[3:, 0, 3] = True
    right[1:, 1, 0] = right[2:, 1, 2] = right[4:, 1, 1] = True
    found = frontier_of(right, depths)
    assert found.levels.tolist() == [[1, 1], [2, 1], [3, 1], [3, 3]]
    assert found.completed_at.tolist() == [2, 3]
    assert found.needed.tolist() == [[True, True]] * 3 + [[False, False]]
    expected = stats.linregress([0, 1, 2, 0, 1, 2], [1, 2, 3, 1, 1, 1])
    speed = found.speed()
    assert speed.slope == pytest.approx(expected.slope)
    assert speed.intercept == pytest.approx(expected.intercept)
    assert 0 == speed.low <= speed.slope <= speed.high == 1
    fast = frontier_of(np.ones((4, 1, 4), dtype=bool), depths[:1])
    assert fast.completed_at.tolist() == [0] and np.isnan(fast.speed().slope)
    with pytest.raises(ValueError, match="allowed are"):
        frontier_of(right, depths[:1])


def in_time(depths: np.ndarray, n_steps: int, every: float = 1) -> np.ndarray:
    """What a run that solves level l after step ``every * l`` shows: bool [state, batch, node]."""
    state = np.arange(n_steps + 1)[:, None, None]
    return (state - 1 >= every * depths) & (depths >= 0)


def test_a_correct_run_moves_one_level_a_step_whichever_nodes_are_looked_at() -> None:
    """Whole graphs, only leaves, chains, gaps, graphs of different depth padded to one batch."""
    rng = np.random.default_rng(0)
    graphs = [
        *(ComputationGraph.sample(4 + seed % 20, n_leaves=1 + seed % 4, seed=seed) for seed in range(60)),
        ComputationGraph.parse("1 = a; 2 = b; 3 = c"),
        ComputationGraph.parse("1 = a; a = b; b = c; c = d; d = e; e = f"),
    ]
    whole = np.full((len(graphs), max(map(len, graphs))), -1)
    for row, one in enumerate(graphs):
        whole[row, : len(one)] = one.depths_by_node
    for depths in (
        whole,
        *(np.where(rng.random(whole.shape) < share, whole, -1) for share in (0.7, 0.3, 0.1)),
    ):
        depth = depths.max(-1)
        for n_steps in (int(whole.max()) + 3, 4, 2):
            found = frontier_of(in_time(depths, n_steps), depths)
            steps = np.arange(n_steps)[:, None]
            assert (found.levels == np.minimum(steps + 1, depth + 1)).all()
            assert (found.completed_at == np.where(depth < n_steps, depth, -1)).all()
            assert found.speed().slope == pytest.approx(1)
        slow = frontier_of(in_time(depths, 60, every=2), depths)
        fast = frontier_of(in_time(depths, 60, every=0.5), depths)
        deep = depth >= 2
        assert (slow.completed_at == 2 * depth)[deep].all() and (fast.completed_at < depth)[deep].all()
        assert slow.speed().slope < 1 < fast.speed().slope


def test_a_level_without_nodes_by_hand() -> None:
    """Levels 0 and 3: nothing is known of 1 and 2; a run that solves level 3 at step 1, in time, at 5, or breaks 0."""
    depths = np.array([[0, 3]] * 4)
    right = np.zeros((8, 4, 2), dtype=bool)
    right[1:, :, 0] = True
    right[2:, 0, 1] = right[4:, 1, 1] = right[6:, 2, 1] = right[4:, 3, 1] = True
    right[2, 3, 0] = False
    found = frontier_of(right, depths)
    assert found.levels.T.tolist() == [
        [1, 4, 4, 4, 4, 4, 4],
        [1, 2, 3, 4, 4, 4, 4],
        [1, 2, 3, 3, 3, 4, 4],
        [1, 0, 1, 4, 4, 4, 4],
    ]
    assert found.completed_at.tolist() == [1, 3, 5, 3]


def test_the_interval_is_that_of_resampled_graphs() -> None:
    numbers = np.random.default_rng(1).normal(size=40)
    terms = np.stack([numbers, np.ones(40)], axis=1)
    low, high = interval_over_graphs(terms, lambda sums: sums[..., 0] / sums[..., 1], n_resamples=4000)
    margin = 1.96 * numbers.std() / np.sqrt(40)
    assert low == pytest.approx(numbers.mean() - margin, abs=0.05)
    assert high == pytest.approx(numbers.mean() + margin, abs=0.05)
    assert all(np.isnan(interval_over_graphs(terms[:1], lambda sums: sums[..., 0])))
    boot = stats.bootstrap((numbers,), np.mean, method="percentile", rng=0).confidence_interval
    assert (low, high) == pytest.approx(tuple(boot), abs=0.03)


def test_violations_by_hand() -> None:
    """Node 0 never; node 1 lost at step 2 and back; node 2 guessed at step 0, lost at step 1; node 3 lost for good."""
    depths = np.array([[0, 0, 2, 1]])
    right = np.array([[0, 0, 0, 0], [1, 1, 1, 0], [1, 1, 0, 1], [1, 0, 1, 1], [1, 1, 1, 0]], dtype=bool)[
        :, None
    ]
    found = violations_of(right, depths)
    assert found.first.tolist() == [[-1, 2, -1, 3]]
    assert found.nodes.tolist() == [[False, True, False, True]]
    assert found.lasting.tolist() == [[False, False, False, True]]
    assert np.argwhere(found.early).tolist() == [[1, 0, 2]]
    assert found.graphs.tolist() == [True]


# Principal components ----------------------------------------------------------------------------------------


def test_one_basis_for_all_steps_is_the_singular_vectors_of_all_states() -> None:
    hidden = np.random.default_rng(2).normal(size=(5, 7, 6)) * [5, 3, 1, 1, 1, 1]
    found = pca_trajectories(hidden, 3)
    flat = hidden.reshape(-1, 6) - hidden.reshape(-1, 6).mean(0)
    _, singular, basis = np.linalg.svd(flat, full_matrices=False)
    np.testing.assert_allclose(found.explained, (singular**2 / (singular**2).sum())[:3])
    np.testing.assert_allclose(np.abs(found.components @ basis[:3].T), np.eye(3), atol=1e-10)
    np.testing.assert_allclose(found.project(hidden[3]), found.points[3])
    assert (found.components[np.arange(3), np.abs(found.components).argmax(1)] > 0).all()
    early = pca_trajectories(hidden, 2, fit=slice(0, 2))
    assert early.points.shape == (5, 7, 2)
    np.testing.assert_allclose(early.mean, hidden[:2].reshape(-1, 6).mean(0))
    with pytest.raises(ValueError, match=r"n_components is 7; allowed here are 1\.\.6"):
        pca_trajectories(hidden, 7)


# Models ------------------------------------------------------------------------------------------------------


def graphs(*n_nodes: int) -> list[ComputationGraph]:
    return [
        ComputationGraph.sample(n, n_leaves=3, modulus=5, n_variables=16, seed=seed)
        for seed, n in enumerate(n_nodes)
    ]


@pytest.fixture(scope="module")
def compiled() -> RecurrentTransformer:
    return compile_model(("ADD",), modulus=5, n_variables=16)


@pytest.fixture(scope="module")
def run(compiled: RecurrentTransformer) -> Dynamics:
    some = graphs(12, 9, 14, 5)
    deepest = max(max(graph.depths_by_node) for graph in some)
    return dynamics(compiled, some, 8 * (deepest + 1))


def random_model(bottleneck: str, seed: int = 3) -> RecurrentTransformer:
    cfg = RecurrentConfig.from_dict(RANDOM | {"bottleneck": bottleneck, "method": bottleneck, "seed": seed})
    return RecurrentTransformer(cfg).eval()


@pytest.fixture(scope="module")
def loose() -> RecurrentTransformer:
    return random_model("continuous")


def test_compiled_solves_one_level_a_step_and_keeps_it(run: Dynamics) -> None:
    steps = np.arange(run.n_steps)[:, None]
    assert (run.frontier.levels == np.minimum(steps + 1, run.needed)).all()
    speed = run.frontier.speed()
    assert (speed.slope, speed.low, speed.high, speed.intercept) == pytest.approx((1, 1, 1, 1))
    assert run.frontier.by_depth()["speed"].to_numpy() == pytest.approx(1)
    assert len(set(run.needed.tolist())) > 1
    assert not run.violations.lost.any() and run.violations.right_at_end[run.exists].all()
    assert run.settling.period.tolist() == [1] * 4
    assert run.settling.settled_by.tolist() == (run.needed - 1).tolist()
    assert run.hidden_settling(0.0).settled_by.tolist() == (run.needed - 1).tolist()
    nodes = run.node_settling(0.0)
    assert (nodes.settled_by == run.depths)[run.exists].all()


def test_compiled_moves_at_the_step_of_its_depth_alone(run: Dynamics) -> None:
    moves = run.motion.residual > 0
    steps = np.arange(run.n_steps)[:, None, None]
    assert (moves == (steps == run.depths))[:, run.exists].all()
    summary = run.summary()
    assert (summary["unmoved"] == (summary["status"] != "computing")).all()
    assert (summary["right"] == (summary["status"] != "waiting")).all()
    assert summary.groupby("step")["nodes"].sum().tolist() == [int(run.exists.sum())] * run.n_steps
    drift = drift_of(run)
    assert drift.accuracy.min() == drift.solved.min() == 1
    assert drift.distance.max() == drift.changed.max() == drift.lost.max() == 0


def test_the_states_and_settling_are_those_of_the_models_own_run(
    compiled: RecurrentTransformer, run: Dynamics
) -> None:
    own = compiled.run(list(run.graphs), n_steps=run.n_steps)
    assert (run.shown == own.values.numpy()).all()
    assert (run.settling.settled_by == own.fixed_point.numpy()).all()
    assert (run.settling.period == own.cycle.numpy()).all()
    assert (run.right == own.right.numpy()).all()
    _, cache = compiled.run_with_cache(list(run.graphs), names="hook_embed", positions="rhs", n_steps=6)
    assert np.array_equal(run.hidden[:6], cache["hook_embed"].numpy() * run.exists[..., None])


def test_cycles_of_an_untrained_discrete_model_are_those_of_its_own_run() -> None:
    model, some = random_model("discrete", seed=5), graphs(8, 8, 6, 10)
    own = model.run(some, n_steps=30)
    found = dynamics(model, some, 30)
    assert (found.settling.period == own.cycle.numpy()).all()
    assert max(found.settling.period) > 1 and min(found.settling.period) == 0
    for graph, (start, period) in enumerate(zip(found.settling.start, found.settling.period, strict=True)):
        if period:
            states = own.states[:, graph]
            assert torch.equal(states[start : -period or None], states[start + period :])


def test_a_continuous_model_is_followed_as_it_runs(loose: RecurrentTransformer) -> None:
    """Against the looped protocol, one graph at a time: other batches, other padding, another loop."""
    some = graphs(9, 6, *[7] * 16)
    run = dynamics(loose, some, 7)
    assert not run.discrete and run.hidden.shape[:2] == (8, 18)
    for index in (0, 1, 17):
        looped = run_looped(as_looped(loose), some[index], 7)
        places = loose.to_encoded(some[index]).rhs[0]
        n = len(some[index])
        np.testing.assert_allclose(run.hidden[:, index, :n], looped.hidden[:, 0, places], atol=1e-5)
        assert (run.shown[1:, index, :n] == looped.codes["value"][1:, 0, places].numpy()).all()
        assert not run.hidden[:, index, n:].any() and (run.shown[:, index, n:] == -1).all()
    assert np.isnan(run.motion.residual[:, ~run.exists]).all()
    assert (run.motion.residual[:, run.exists] > 0).all()
    assert not loose.is_watched()


def test_drift_of_a_run_by_hand(loose: RecurrentTransformer) -> None:
    some = graphs(9, 6)
    run = dynamics(loose, some, 4 * max(max(graph.depths_by_node) + 1 for graph in some))
    drift = drift_of(run, (1, 2, 4))
    for graph, one in enumerate(some):
        need = max(one.depths_by_node) + 1
        for index, multiple in enumerate((1, 2, 4)):
            shown, first = run.shown[multiple * need, graph, : len(one)], run.shown[need, graph, : len(one)]
            h, h1 = run.hidden[multiple * need, graph, : len(one)], run.hidden[need, graph, : len(one)]
            right, was = shown == one.values_by_node, first == one.values_by_node
            inner = np.array(one.depths_by_node) > 0
            assert drift.accuracy[index, graph] == right.mean()
            assert drift.computed[index, graph] == right[inner].mean()
            assert drift.changed[index, graph] == (shown != first).mean()
            expected = (np.linalg.norm(h - h1, axis=-1) / np.linalg.norm(h1, axis=-1)).mean()
            assert drift.distance[index, graph] == pytest.approx(expected, rel=1e-5)
            assert np.array_equal(
                [drift.lost[index, graph]], [(~right)[was].mean() if was.any() else np.nan], equal_nan=True
            )
    assert drift.distance[1:].min() > 0
    with pytest.raises(ValueError, match="allowed here are multiples up to 4"):
        drift_of(run)
    with pytest.raises(ValueError, match=r"multiples are \[2, 1\]"):
        drift_of(run, (2, 1))


def test_tables_and_files_say_the_same(run: Dynamics, tmp_path: Path) -> None:
    run.save(tmp_path / "run.npz")
    again = Dynamics.load(tmp_path / "run.npz")
    assert again.graphs == run.graphs and again.discrete == run.discrete
    for name in ("hidden", "shown", "values", "depths"):
        assert np.array_equal(getattr(again, name), getattr(run, name))
    assert (again.settling.start == run.settling.start).all()
    frame = run.to_frame()
    assert len(frame) == run.n_steps * run.exists.sum()
    row = frame[(frame["graph"] == 2) & (frame["node"] == 7) & (frame["step"] == 1)].iloc[0]
    assert row["residual"] == run.motion.residual[1, 2, 7]
    assert row["shown"] == run.shown[2, 2, 7] and row["depth"] == run.depths[2, 7]
    assert row["status"] == ("waiting", "computing", "done")[int(np.sign(1 - row["depth"])) + 1]


def test_figures_draw_the_numbers(run: Dynamics, loose: RecurrentTransformer) -> None:
    motion = motion_figure(run, 3)
    drawn = {trace.name: trace for trace in motion.data if trace.hovertext and trace.xaxis == "x"}
    summary = run.summary().query("status == 'computing' and step <= 3")
    assert drawn["computing"].x == tuple(summary["step"])
    np.testing.assert_allclose(drawn["computing"].y, summary["relative_median"])
    assert any("two steps running" in note.text for note in motion.layout.annotations)
    assert motion.layout.yaxis.ticktext[0] == "0"
    frontier = frontier_figure({"compiled": run.frontier})
    line = next(trace for trace in frontier.data if trace.name == "compiled")
    assert line.y == tuple(step + 1 for step in line.x)
    drift = drift_figure({"compiled": drift_of(run)})
    assert [trace.y for trace in drift.data] == [(1,) * 4, (0,) * 4, (0,) * 4, (0,) * 4]
    paths = pca_figure(dynamics(loose, graphs(9, 6), 6), 3)
    ends = [trace for trace in paths.data if trace.mode == "markers"]
    assert sum(len(trace.x) for trace in ends) == 15
    for draw in (lambda: motion_figure(run, run.n_steps), lambda: pca_figure(run, 0)):
        with pytest.raises(ValueError, match="allowed are 1.."):
            draw()
    for empty in (frontier_figure, drift_figure):
        with pytest.raises(ValueError, match="no run to draw"):
            empty({})


def test_what_cannot_be_followed_is_said(compiled: RecurrentTransformer, loose: RecurrentTransformer) -> None:
    with pytest.raises(ValueError, match="n_steps is 1; allowed are 2 or more"):
        dynamics(compiled, graphs(5), 1)
    cfg = RecurrentConfig.from_dict(loose.cfg.to_dict() | {"method": "chain-of-thought"})
    with pytest.raises(ValueError, match="chain-of-thought model writes its solution token by token"):
        dynamics(RecurrentTransformer(cfg), graphs(5))
