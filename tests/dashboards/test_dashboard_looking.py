"""Where heads look, as the browser is told."""

from __future__ import annotations

from dashboards.looking.component import looks_of
from interp import rhs_pattern
from models import ComputationGraph, load

GRAPH = ComputationGraph.parse("20 = a; 2 = b; a + b = c")


def test_planted_heads_look_at_the_operands_of_the_node():
    model = load("compiled")
    pattern = rhs_pattern(model, model.run(GRAPH), 1)
    looks = looks_of(pattern, 2, [0, 1])
    of_c = [look for look in looks if look[1] == 2]
    assert of_c[0][0] == 0 and pattern.tokens[of_c[0][2]] == "b" and of_c[0][3] > 0.9
    assert all(share >= 0.1 for *_, share in looks)
    assert [look[1] for look in looks] == sorted(look[1] for look in looks)
    assert {look[0] for look in looks_of(pattern, 2, [1])} == {0}, "places in what is asked for"
