"""The damage cone of the compiled model: one level per step, never a node that does not depend on the edit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interp.causal.cone import DamageCone, cone_table, damage_cones, graph_levels
from interp.causal.cone_figure import cone_figure
from interp.engine.interventions import SetCode, SetValue, ZeroAblate, record
from interp.engine.sites import Site, SiteError
from interp.synchronous import SymbolicState
from models import CompiledTransformer, ComputationGraph
from models.compiled import compile_model

SIZES: dict[str, Any] = {"modulus": 5, "n_variables": 16}
# c is one edge from a, e two by either way, f one and also three.
DIAMOND = ComputationGraph.parse(
    "1 = x_1; 2 = x_2; x_1 + x_2 = x_3; x_3 = x_4; x_4 + x_1 = x_5; x_2 = x_6", **SIZES
)


@pytest.fixture(scope="module")
def model() -> CompiledTransformer:
    return compile_model(("ADD",), **SIZES)


def test_levels_are_shortest_walks() -> None:
    assert graph_levels(DIAMOND, [0]) == (0, -1, 1, 2, 1, -1)
    assert graph_levels(DIAMOND, [1, 3]) == (-1, 0, 1, 0, 1, 1)


def test_the_front_moves_one_level_a_step(model: CompiledTransformer) -> None:
    (cone,) = damage_cones(model, DIAMOND, [SetCode(5, "rhs:x_1", "value", 4)])
    assert cone.edited == (0,) and cone.onset == 5
    expected = np.zeros_like(cone.changed)
    # A change is read once: after k steps it is where a walk of exactly k edges leads, x_5 twice.
    for since, node in ((0, 0), (1, 2), (1, 4), (2, 3), (3, 4)):
        expected[since, node] = True
    assert np.array_equal(cone.changed, expected)
    assert cone.first_changed.tolist() == [0, -1, 1, 2, 1, -1]
    assert (cone.reached, cone.false_spread, cone.too_early, cone.heal_step) == (1, 0, 0, 4)


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10**6), node=st.integers(0, 11), step=st.integers(0, 6), shift=st.integers(1, 4))
def test_it_is_what_the_synchronous_algorithm_does(
    model: CompiledTransformer, seed: int, node: int, step: int, shift: int
) -> None:
    graph = ComputationGraph.sample(12, n_leaves=3, seed=seed, **SIZES)
    run = record(model, graph, 18)
    before = symbols(run.trajectory.values[step, 0].tolist())
    value = ((before[node] or 0) + shift) % 5
    (cone,) = damage_cones(model, run, [SetCode(step, f"rhs:{node}", "value", value)], n_steps=18)
    plain = SymbolicState(graph.nodes, before, 5)
    edited = replace(plain, values=(*before[:node], value, *before[node + 1 :]))
    for since, changed in enumerate(cone.changed):
        assert changed.tolist() == [a != b for a, b in zip(plain.values, edited.values, strict=True)], since
        plain, edited = plain.after(), edited.after()
    assert cone.too_early == 0 and not cone.changed[:, cone.levels < 0].any()
    assert cone.heal_step is not None and cone.heal_step <= max(graph.depths_by_node) + 1


def symbols(values: list[int]) -> tuple[int | None, ...]:
    return tuple(value if value < 5 else None for value in values)


def test_a_site_of_the_last_layer_is_seen_in_the_state_it_writes(model: CompiledTransformer) -> None:
    out = Site("mlp_out", step=1, layer=2, pos="rhs:x_3")
    early = Site("resid_pre", step=1, layer=1, pos="rhs:x_3")
    cones = damage_cones(model, DIAMOND, [ZeroAblate(out), SetValue(early, 0.0)])
    assert [cone.onset for cone in cones] == [2, 1] and [cone.edited for cone in cones] == [(2,), (2,)]
    assert cones[0].changed[0].tolist() == [False, False, True, False, False, False]
    assert all(cone.too_early == 0 == cone.false_spread for cone in cones)


def test_spread_that_the_graph_forbids_is_counted() -> None:
    changed = np.zeros((4, 6), dtype=bool)
    changed[0, [0, 1]] = changed[1, 3] = changed[3, 0] = True
    cone = DamageCone(DIAMOND, (0,), 2, changed)
    assert cone.false_spread == 0.5, "x_2 changed, x_6 did not"
    assert cone.too_early == 0.25, "x_4 is two edges away and changed after one step"
    assert cone.reached == pytest.approx(1 / 3) and cone.heal_step is None
    counts, nodes = cone.counts()
    assert nodes.tolist() == [1, 2, 1, 2] and counts[0].tolist() == [1, 0, 0, 1]
    frame = cone.to_frame()
    assert frame[(frame.since == 1) & (frame.level == 2)][["changed", "allowed"]].values.tolist() == [
        [1, False]
    ]
    assert frame[frame.level == -1].allowed.sum() == 0


def test_nothing_changed(model: CompiledTransformer) -> None:
    (cone,) = damage_cones(model, DIAMOND, [SetCode(5, "rhs:x_1", "value", 1)])
    assert not cone.changed.any() and cone.heal_step == 0 and cone.reached == 0


def test_table_and_figure(model: CompiledTransformer) -> None:
    edits = [SetCode(5, f"rhs:{node}", "value", 0) for node in range(len(DIAMOND))]
    cones = damage_cones(model, DIAMOND, edits)
    table = cone_table(cones)
    assert list(table["edited"]) == [node.name for node in DIAMOND.nodes]
    assert (table["false_spread"].dropna() == 0).all() and (table["too_early"] == 0).all()
    figure = cone_figure(cones)
    heatmap, edge = (trace for trace in figure.data)
    assert heatmap.z[0][0] == 1 and set(heatmap.z[0][1:-1]) == {0}
    assert [line[-1] for line in heatmap.z] == [0] * len(heatmap.z), "nothing outside the cone"
    assert edge.x[:4] == (0.5, 0.5, 1.5, 1.5) and figure.layout.xaxis.title.text
    with pytest.raises(ValueError, match="no cone"):
        cone_figure([])


def test_bad_input(model: CompiledTransformer) -> None:
    edit = SetCode(5, "rhs:x_1", "value", 4)
    with pytest.raises(ValueError, match="given for 0 of 1"):
        damage_cones(model, DIAMOND, [edit], edited=[])
    with pytest.raises(SiteError, match="beyond the run"):
        damage_cones(model, DIAMOND, [edit], n_steps=3)
