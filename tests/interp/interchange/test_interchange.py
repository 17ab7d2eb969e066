"""Interchange on the known model, whose slots say where every variable is, and on models that lack it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from interp import (
    Alignment,
    InterchangeGrid,
    align,
    head_interchange,
    interchange_grid,
    slot_bases,
    subspace_overlap,
    symbol_spans,
)
from interp.interchange.pairs import draw_pairs
from interp.interchange.rows import StateRows, places_of
from interp.interchange.shapes import HELD_OUT, TRAINED, graph_of_shape
from interp.interchange.starts import turn_onto
from interp.interchange.variables import VARIABLES, NodeReading
from interp.statistics.chance import random_basis
from models import RecurrentTransformer
from models.compiled import compile_model
from tests.small_models import untrained

OPS, MODULUS = ("ADD", "SUB"), 5
CARRIED = {
    "name:first": (1, 2),
    "name:middle": (1, 2),
    "name:last": (1, 4),
    "value:first": (3, 3),
    "value:middle": (3, 3),
    "partial": (4, 5),
    "value:last": (5, 5),
    "own": (6, 6),
}
"""The places, by index, behind the writer of each variable and before what reads it last."""


@pytest.fixture(scope="module")
def model() -> RecurrentTransformer:
    return compile_model(OPS, modulus=MODULUS, n_variables=16)


@pytest.fixture(scope="module")
def grid(model) -> InterchangeGrid:
    return interchange_grid(model, slot_bases(model), steps=(1, 2), per_step=24)


def test_swapping_a_slot_swaps_the_variable_from_its_writer_to_its_reader(grid: InterchangeGrid):
    assert grid.places[0] == "blocks.0.hook_resid_pre" and len(grid.places) == 7
    assert set(grid.variables) == set(CARRIED)
    for variable in grid.variables:
        for index, place in enumerate(grid.places):
            share, (written, read) = grid.share(variable, place), CARRIED[variable]
            assert share.total > 10
            assert share.value == (written <= index <= read), (variable, place)


def test_a_variable_is_carried_by_the_head_that_was_built_for_it(model):
    found = head_interchange(model, (*CARRIED, "shown"), steps=(2,), per_step=32)
    for variable in CARRIED:
        layer, head, share = found.best(variable)
        if variable not in ("partial", "own"):
            planted = model.circuit.with_role(variable)
            assert (layer, head) == (planted.layer, planted.head)
            assert share.total > 5 and share.value == 1
    assert max(found.best(variable)[2].value for variable in ("partial", "shown")) < 0.5
    summary = found.summary().set_index("variable")
    assert summary.loc["value:last", "head"] == "2.0"


def test_cells_are_step_and_depth(grid: InterchangeGrid):
    frame = grid.to_frame()
    assert set(frame["step"]) == {1, 2}
    assert (frame["depth"] <= frame["step"]).all() and (frame["depth"] >= 1).all()
    assert frame["hits"].sum() == sum(
        grid.share(variable, place).count for variable in grid.variables for place in grid.places
    )


def test_rows_from_the_middle_of_a_step_are_whole_steps(model):
    pairs = draw_pairs(model.vocabulary, HELD_OUT, (1, 2), 4, seed=2)
    whole = model.transition(pairs.base)[:, pairs.pos, model.vocabulary.slice("value")]
    for layer in range(3):
        rows = StateRows.of(model, pairs.base, pairs.pos, layer)
        assert torch.allclose(rows.value_logits(1)(torch.arange(len(pairs))), whole, atol=1e-4)
    assert torch.equal(
        whole.argmax(-1),
        NodeReading.of(
            pairs.base,
            model.to_encoded(graph_of_shape(HELD_OUT, model.vocabulary, np.random.default_rng(0))),
            model.vocabulary,
        ).result(),
    )


def test_variables_by_hand(model):
    text = "1 = a; 2 = b; 3 = c; 4 = d; a + b - c = e"
    encoded = model.to_encoded(text)
    base = model.run(text, n_steps=2).states[1]
    source = base.clone()
    source[0, encoded.operands[0, 4], 1] = base[0, encoded.rhs[0, [3, 0, 1]], 1]  # d + a - b
    source[0, encoded.rhs[0, 0], 3] = 0
    source[0, encoded.rhs[0, 1], 3] = model.vocabulary.empty
    one, other = (NodeReading.of(state, encoded, model.vocabulary) for state in (base, source))
    assert one.result().item() == 0 and other.result().item() == model.vocabulary.empty
    expected = {
        "name:first": (4 + 2 - 3) % 5, "name:middle": (1 + 1 - 3) % 5, "name:last": (1 + 2 - 2) % 5,
        "value:first": (4 + 2 - 3) % 5, "value:middle": (1 + 0 - 3) % 5, "value:last": model.vocabulary.empty,
        "partial": (4 + 0 - 3) % 5, "status": model.vocabulary.empty, "own": model.vocabulary.empty,
        "shown": model.vocabulary.empty,
    }  # fmt: skip
    assert {name: one.swapped(name, other).item() for name in VARIABLES} == expected
    assert one.labels("partial").item() == 3 and one.labels("status").item() == 1


def test_pairs_are_asked_where_the_answer_says_something(model):
    pairs = draw_pairs(model.vocabulary, TRAINED, (1, 3), 30, seed=5)
    assert pairs.step.unique().tolist() == [1, 3] and (pairs.depth <= pairs.step).all()
    assert (pairs.labels["status"] == 1).all()
    own = pairs.labels["own"]
    for variable in VARIABLES:
        chosen = pairs.asked[variable]
        assert chosen.any() and (pairs.targets[variable] != own)[chosen].all()
    again = draw_pairs(model.vocabulary, TRAINED, (1, 3), 30, seed=5)
    assert torch.equal(again.base, pairs.base) and torch.equal(again.source, pairs.source)


@pytest.fixture(scope="module")
def alignment(model) -> Alignment:
    spans = symbol_spans(model)
    ranks = {name: span.shape[1] for name, span in spans.items()}
    return align(model, ("value:first",), (2,), 400, 100, ranks, epochs=100, seed=1)


def test_das_finds_the_slot_and_its_controls_do_not(model, alignment: Alignment):
    assert alignment.share("value:first").value >= 0.7  # of 63 pairs, after 400 pairs and 100 epochs
    assert alignment.verdict_of("value:first") == "used"
    for control in ("arbitrary", "untrained", "placebo", "random"):
        assert alignment.share("value:first", control).value <= alignment.share("value:first").value - 0.3
    overlap = subspace_overlap(alignment.bases["value:first"], symbol_spans(model)["value:first"])
    drawn = torch.as_tensor(random_basis(model.cfg.d_model, 5, np.random.default_rng(0))).float()
    assert overlap > 0.3 > subspace_overlap(drawn, symbol_spans(model)["value:first"])


def test_from_where_a_probe_reads_das_is_at_the_slot_and_its_controls_are_not(model):
    values = {"value:first": MODULUS - 1}  # dimensions that tell numbers apart
    found = align(model, ("value:first",), (2,), 100, 100, values, epochs=2, seed=1, start="probe")
    assert found.share("value:first").value == 1
    assert subspace_overlap(found.bases["value:first"], slot_bases(model)["value:first"]) > 0.95
    for control in ("arbitrary", "untrained", "placebo", "random"):
        assert found.share("value:first", control).value <= 0.7
    with pytest.raises(ValueError, match="start is 'zero'; allowed: random, probe"):
        align(model, ("value:first",), start="zero")


def test_a_turn_takes_one_subspace_to_the_other():
    one, other = (torch.linalg.qr(torch.randn(9, 3)).Q for _ in range(2))
    turn = turn_onto(one, other)
    assert torch.allclose(turn @ one, other, atol=1e-5)
    assert torch.allclose(turn @ turn.T, torch.eye(9), atol=1e-5)


def test_what_stands_at_the_node_is_read_and_not_used(model):
    found = align(model, ("shown",), (1, 2), 60, 60, {"shown": 5}, epochs=2)
    right, commonest = found.read("shown")
    assert right.value == 1 and commonest.value < 0.5
    assert found.share("shown").value < 0.3
    assert found.verdict_of("shown") == "read, not used"
    assert found.summary().loc[0, "verdict"] == "read, not used"
    assert "shown: read, not used" in found.figure().layout.title.subtitle.text.replace("<br>", " ")


def test_spans_tell_symbols_apart(model):
    spans, slots = symbol_spans(model), slot_bases(model)
    assert spans["name:last"].shape[1] == slots["name:last"].shape[1]
    assert spans["value:last"].shape[1] == MODULUS  # 5 values and EMPTY, less what they share
    for name, span in spans.items():
        assert subspace_overlap(span, slots[name]) == pytest.approx(1, abs=1e-5)


def test_what_cannot_be_asked_is_said(model):
    with pytest.raises(ValueError, match="allowed is at least one of name:first"):
        align(model, ("mood",))
    with pytest.raises(ValueError, match="steps are"):
        draw_pairs(model.vocabulary, TRAINED, (0,), 4, 0)
    with pytest.raises(ValueError, match="node of 2 operands"):
        draw_pairs(model.vocabulary, (0, 0, 0, 2), (1,), 4, 0)
    hidden = untrained(ops=OPS, modulus=MODULUS, n_variables=16, bottleneck="continuous")
    with pytest.raises(ValueError, match="not entered by discrete states"):
        interchange_grid(hidden, {"own": torch.eye(20)})
    with pytest.raises(ValueError, match="does not say where its variables are"):
        slot_bases(untrained(ops=OPS, modulus=MODULUS, n_variables=16))
    assert len(places_of(hidden)) == 5


def test_the_grids_figure_has_a_panel_for_every_variable(grid: InterchangeGrid):
    assert len(grid.figure().data) > len(grid.variables)
