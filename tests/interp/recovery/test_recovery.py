"""The recovery atlas on the known model, on damaged copies, and by hand."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from interp import SetCode, mending, outcome_of, recovery_atlas, returning, run_plainly, staying
from interp.codebook.code_edits import all_edits
from interp.recovery.predicted import predicted_paths
from interp.recovery.staying import solved_state
from models import ComputationGraph, RecurrentTransformer
from models.compiled import compile_model
from tests.small_models import TINY, untrained

OPS, MODULUS = ("ADD", "SUB"), 5
TEXT = "1 = a; 2 = b; 3 = c; a + b = d; d - c + a = e; e + d = f"


@pytest.fixture(scope="module")
def model() -> RecurrentTransformer:
    return compile_model(OPS, modulus=MODULUS, n_variables=16)


@pytest.fixture(scope="module")
def graph() -> ComputationGraph:
    return ComputationGraph.parse(TEXT, modulus=MODULUS, n_variables=16)


def forgets_a_number(model: RecurrentTransformer) -> RecurrentTransformer:
    """A copy whose second table writes EMPTY where 1 + 2 is due."""
    damaged = copy.deepcopy(model)
    mlp = damaged.layers[2].mlp
    reads = damaged.circuit.slots
    one, two = reads["partial"].start + 1, reads["value:last"].start + 2
    neuron = (
        (mlp.W_in[one] > 0) & (mlp.W_in[two] > 0) & (mlp.W_in[reads["operation:late"].start] > 0)
    ).nonzero()
    with torch.no_grad():
        mlp.W_out[neuron] = 0.0
    return damaged


# The known model ------------------------------------------------------------------------------------------------


def test_every_edit_of_the_known_model_ends_as_predicted(model, graph):
    atlas = recovery_atlas(model, graph)
    assert atlas.exhaustive and len(atlas) > 250
    assert atlas.as_predicted.value == atlas.same_path.value == 1
    assert len(atlas.exceptions()) == 0
    frame = atlas.to_frame()
    values = frame[frame["kind"] == "value"]
    assert (values["outcome"] == "recovers").all()
    # a value is overwritten at once, what was computed from it a step later each
    levels = max(graph.depths_by_node)
    assert (values["time"] <= 1 + levels - values["depth"]).all()
    assert (values[values["name"] == "f"]["time"] == 1).all()
    text = frame[frame["kind"] != "value"]
    assert set(text["kind"]) == {"leaf", "operand", "operation"}
    assert (text["period"][text["outcome"] == "elsewhere"] == 1).all()


def test_outcomes_are_those_of_plain_runs(model, graph):
    atlas = recovery_atlas(model, graph, most=12, seed=3)
    n_steps = 2 * atlas.steps[0] + 2
    base = model.run(graph, n_steps=n_steps)
    symbols = base.vocabulary.symbols
    for row in atlas.frame.to_dict("records"):
        edit = SetCode(row["step"], row["pos"], row["factor"], row["after"])
        (plain,) = run_plainly(model, graph, [edit], n_steps=n_steps)
        back = (plain.states[row["step"] :] == base.states[row["step"] :, 0]).flatten(1).all(1)
        if row["outcome"] == "recovers":
            assert back[row["time"] :].all() and not back[: row["time"]].any()
        else:
            assert not back[-1]
        assert (
            symbols(row["factor"])[
                int(
                    base.states[row["step"], 0, row["pos"]][
                        ["syntax", "variable", "operation", "value"].index(row["factor"])
                    ]
                )
            ]
            == row["before"]
        )


def test_a_sample_is_drawn_from_all_edits(model, graph):
    some = recovery_atlas(model, [graph, graph], most=30, seed=1)
    assert len(some) == 30 and not some.exhaustive
    assert set(some.frame["graph"]) == {0, 1}
    assert not some.frame.duplicated(["graph", "step", "pos", "factor", "after"]).any()
    assert recovery_atlas(model, [graph, graph], most=30, seed=1).frame.equals(some.frame)


# Models that lack it ----------------------------------------------------------------------------------------------


def test_a_damaged_model_has_exceptions_with_their_graphs(model, graph):
    atlas = recovery_atlas(forgets_a_number(model), graph, most=150)
    assert 0 < atlas.as_predicted.value < 1
    exceptions = atlas.exceptions()
    assert len(exceptions) == atlas.as_predicted.total - atlas.as_predicted.count
    assert (exceptions["text"] == graph.to_text()).all()


def test_untrained_models_recover_from_nothing(graph):
    for bottleneck in ("discrete", "continuous"):
        model = untrained(ops=OPS, modulus=MODULUS, n_variables=16, bottleneck=bottleneck)
        assert recovery_atlas(model, graph, most=20).as_predicted.value < 0.2
        assert staying(model, [graph], 3).stayed.count == 0


def test_solved_states_of_the_known_model_stay(model, graph):
    found = staying(model, [graph, ComputationGraph.parse("4 = a", modulus=MODULUS, n_variables=16)], 5)
    assert found.stayed.value == found.values_stayed.value == 1
    assert (found.to_frame()["left"] == -1).all()
    broken = staying(forgets_a_number(model), [graph], 5)
    assert broken.left.tolist() == [0] and broken.values_stayed.count == 0


def test_states_one_value_away_come_back_as_in_the_algorithm(model, graph):
    found = returning(model, graph)
    assert found.exhaustive and len(found) == len(graph) * MODULUS  # the other numbers, and EMPTY
    assert found.returned.value == found.in_time.value == 1 and found.kept.count == 0
    frame = found.to_frame()
    assert (frame["time"] <= 1 + max(graph.depths_by_node) - frame["depth"]).all()
    assert (frame[frame["name"] == "f"]["time"] == 1).all()  # nothing is computed from it
    assert (frame[frame["name"] == "a"]["time"] > 1).any()
    some = returning(model, [graph, graph], most=7, seed=2)
    assert len(some) == 7 and some.all_states == 2 * len(found)


def test_a_model_that_keeps_what_stands_there_comes_back_from_nothing(model, graph):
    keeps = copy.deepcopy(model)
    with torch.no_grad():  # what is written is what stands there: the embedding alone reaches the readout
        for layer in keeps.layers:
            layer.attn.W_O.zero_()
            layer.mlp.W_out.zero_()
    kept = returning(keeps, graph)
    assert kept.returned.count == kept.in_time.count == 0
    broken = returning(forgets_a_number(model), graph)  # EMPTY where 3 is due, so d never comes back
    assert broken.returned.count == 0 == broken.kept.total - len(broken)


@pytest.mark.parametrize("bottleneck", ["discrete", "continuous"])
def test_states_one_value_away_are_followed_as_in_plain_runs(graph, bottleneck):
    small = untrained(ops=OPS, modulus=MODULUS, n_variables=16, bottleneck=bottleneck)
    found = returning(small, graph, most=6)
    encoded = small.to_encoded(graph)
    solved = solved_state(encoded)
    values = small.vocabulary.symbols("value")
    for row in found.to_frame().to_dict("records"):
        state, at = solved.clone(), int(encoded.rhs[0, row["node"]])
        state[0, at, 3] = values.index(row["after"])
        begun = replace(encoded, factors=state, packed=small.vocabulary.pack(state))
        last = small.run(begun, n_steps=found.n_steps[0]).states[-1]
        assert row["kept"] == (last[0, at, 3] == state[0, at, 3])
        assert row["time"] == -1 and not torch.equal(last, solved)


def test_a_wrong_write_is_mended_by_the_edits_that_avoid_it(model, graph):
    assert mending(model, [graph]) == []
    (found,) = mending(forgets_a_number(model), [graph])
    assert graph.nodes[found.node].name == "d" and found.step == 1
    assert found.due == "3" and found.written == "EMPTY"
    assert not found.stays
    # of the edits that d can see, those mend after which it does not have to add 1 and 2
    assert set(found.frame["name"]) >= {"a", "b", "d"}
    assert 0 < found.mends.value < 1
    assert (found.frame["affected"].diff().dropna() >= 0).all()
    assert "where the algorithm writes 3" in found.sentence()


# By hand ------------------------------------------------------------------------------------------------------------


def test_outcomes_by_hand():
    without = np.array([[1], [2], [3], [3], [3], [3]])

    def told(*states: int) -> tuple[str, int, int]:
        found = outcome_of(np.array(states)[:, None], without)
        return found.kind, found.time, found.period

    assert told(9, 2, 3, 3, 3, 3) == ("recovers", 1, 0)
    assert told(9, 8, 7, 7, 7, 7) == ("elsewhere", 2, 1)
    assert told(9, 8, 7, 8, 7, 8) == ("cycle", 1, 2)
    assert told(9, 8, 7, 6, 5, 4) == ("unsettled", -1, 0)
    seen = outcome_of(np.array([[9], [8], [9], [7], [7], [7]]), without, determined=False)
    assert (seen.kind, seen.time) == ("elsewhere", 3)


def test_predicted_paths_are_runs_of_the_algorithm(model, graph):
    run = model.run(graph)
    paths = predicted_paths(run.states[0], run.encoded, run.vocabulary, run.n_steps)
    assert torch.equal(paths[:, 0], run.vocabulary.pack(run.states[:, 0]))


def test_edits_leave_graphs(model, graph):
    run = model.run(graph)
    edits = list(all_edits(run, 0, [1]))
    assert len({(edit.pos, edit.factor, edit.after) for edit in edits}) == len(edits)
    assert all(edit.before != edit.after for edit in edits)
    # 6 right-hand sides x 5 other symbols, 3 leaves x 4 numbers, 3 operators, and operands not named yet
    by_kind = {
        kind: sum(edit.kind == kind for edit in edits) for kind in ("value", "leaf", "operation", "operand")
    }
    assert by_kind == {"value": 30, "leaf": 12, "operation": 4, "operand": 2 * 1 + 3 * 1 + 2 * 3}


# Bad input ----------------------------------------------------------------------------------------------------------


def test_what_cannot_be_asked_is_said(model, graph):
    with pytest.raises(ValueError, match="most is 0; allowed is 1 edit or more"):
        recovery_atlas(model, graph, most=0)
    with pytest.raises(ValueError, match="no graph to run"):
        recovery_atlas(model, [])
    with pytest.raises(ValueError, match="n_steps is 0"):
        staying(model, [graph], 0)
    with pytest.raises(ValueError, match="there is no graph 1"):
        recovery_atlas(model, graph, most=5).map_figure(1)
    hidden = untrained(**TINY, ops=OPS, modulus=MODULUS, n_variables=16, bottleneck="continuous")
    with pytest.raises(ValueError, match="mending needs bottleneck='discrete'"):
        mending(hidden, [graph])


def test_figures_say_what_was_found(model, graph):
    atlas = recovery_atlas(model, graph, most=60)
    assert str(atlas.as_predicted) in atlas.figure().layout.title.subtitle.text.replace("<br>", " ")
    assert len(atlas.map_figure().data) >= 2
    drawn = atlas.map_figure()
    longest = np.nanmax([np.array(trace.z, float) for trace in drawn.select_traces({"type": "heatmap"})])
    assert (drawn.layout.coloraxis.cmin, drawn.layout.coloraxis.cmax) == (0, max(1, longest))


@pytest.mark.parametrize("seed", range(3))
def test_kinds_of_edits_are_drawn_in_one_order(model, graph, seed):
    atlas = recovery_atlas(model, graph, most=12, seed=seed)
    titles = [note.text for note in atlas.figure().layout.annotations]
    places = [
        next((place for place, title in enumerate(titles) if title.startswith(f"<b>{kind}")), None)
        for kind in ("value", "number", "operand", "operation")
    ]
    there = [place for place in places if place is not None]
    assert len(there) > 1 and there == sorted(there)
