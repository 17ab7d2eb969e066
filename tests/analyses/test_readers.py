"""A few readers at once on one server: everybody sees the own graph; a short slice of the benchmark."""

from __future__ import annotations

import json

from analyses.benchmarks.readers import Reader, read_together, summary
from interp.figures.scene import scene_of


def test_readers_at_once_see_their_own_graphs():
    readers = read_together(3, 2)
    found = summary(readers)
    assert found["problems"] == []
    assert (found["readers"], found["moves"]) == (3, 6)
    assert len({(reader.model, reader.seed) for reader in readers}) == 3
    assert json.loads(json.dumps(found))["median_s"] > 0


def test_a_wrong_graph_is_a_problem():
    from models.graph import ComputationGraph
    from models.loading import load

    reader = Reader("compiled", 8, 0, 1)
    run = load("compiled").run(ComputationGraph.sample(n_nodes=8, seed=1))
    for played in (None, {"scene": {}, "step": 1}, {"scene": scene_of(run), "step": 2}):
        reader._compare(played, run, 1)
    assert reader.problems == ["compiled, seed 0: not the state of step 0"] * 3
    reader._compare({"scene": scene_of(run), "step": 1}, run, 1)
    assert len(reader.problems) == 3
