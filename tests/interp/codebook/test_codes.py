"""Codebook usage, transitions, margins and code interventions: the planted answers on `compiled`, and by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from interp.codebook.code_edits import CodeEdit
from interp.codebook.code_interventions import code_interventions, score_edits
from interp.codebook.codes import CodeUsage, code_usage, code_usage_of
from interp.codebook.codes_figure import commit_figure, information_figure, transition_figure
from interp.codebook.margins import STATUSES, SnapMargins, snap_margins
from interp.codebook.transitions import transitions_of
from interp.data.labels import ROLES
from interp.oracle_step import oracle_steps
from models import ComputationGraph, RecurrentConfig, RecurrentTransformer
from models.compiled import compile_model
from models.vocabulary import FACTORS
from tests.small_models import TINY

OPS = ("ADD", "SUB")
MODULUS = 5
EMPTY = MODULUS + 1


def sample(seed: int, n_nodes: int = 10) -> ComputationGraph:
    return ComputationGraph.sample(n_nodes, ops=OPS, n_leaves=3, modulus=MODULUS, n_variables=16, seed=seed)


@pytest.fixture(scope="module")
def model():
    return compile_model(OPS, modulus=MODULUS, n_variables=16)


@pytest.fixture(scope="module")
def run(model):
    return model.run([sample(seed, 6 + seed) for seed in range(8)])


@pytest.fixture(scope="module")
def usage(model, run) -> CodeUsage:
    return code_usage(model, run)


@pytest.fixture(scope="module")
def margins(model, run) -> SnapMargins:
    return snap_margins(model, run, tokens=64)


def small(**options) -> RecurrentTransformer:
    cfg = RecurrentConfig(n_layers=1, ops=OPS, modulus=MODULUS, n_variables=16, **TINY, **options)
    return RecurrentTransformer(cfg).eval()


# Planted answers --------------------------------------------------------------------------------------------


def test_no_transition_of_compiled_is_illegal_and_every_value_commits_at_its_depth(usage, run):
    for factor in FACTORS:
        assert usage.transitions(factor).n_illegal == 0
    values = usage.select(role="rhs").transitions("value")
    assert values.on_time() == 1
    table = values.commits()
    assert (table["commit"] == table["depth"]).all()
    assert table["code"].tolist() == table["value"].astype(str).tolist()
    assert len(table) == int((run.encoded.rhs >= 0).sum())
    assert values.reversions.sum() == 0
    texts = usage.transitions("variable")
    assert (texts.idempotence() == 1).all() and (texts.commit == -1).all()


def test_counts_are_of_tokens(usage, run):
    n_tokens = int(run.encoded.mask.sum())
    for factor in FACTORS:
        assert (usage.histogram(factor).sum(1) == n_tokens).all()
        assert (usage.transitions(factor).counts.sum((1, 2)) == n_tokens).all()
    rhs = usage.select(role="rhs")
    known = [(run.encoded.depths[run.encoded.rhs >= 0] < state).sum() for state in range(usage.n_states)]
    assert (len(rhs) - rhs.histogram("value")[:, EMPTY]).tolist() == [int(count) for count in known]
    assert rhs.dead("value").all(0).tolist() == [False] * MODULUS + [True, False]
    assert set(usage.tokens["role"]) == set(ROLES)


def test_codes_of_a_solved_run_say_everything_about_the_truth(usage):
    rhs = usage.select(role="rhs")
    known = rhs.mutual_information("value")
    counts = np.bincount(rhs.variables["value"])
    shares = counts[counts > 0] / counts.sum()
    assert known[0] == 0
    assert known[-1] == pytest.approx(-(shares * np.log2(shares)).sum())
    assert (np.diff(known) > -1e-9).all()
    assert rhs.purity("value")[-1] == 1
    shown = rhs.purity("value", "shown")
    assert (shown == 1).all()
    detectors = rhs.detectors("value").query("state == state.max()")
    assert (detectors["truth"] == detectors["code"]).all() and (detectors["f1"] == 1).all()
    assert detectors["n"].sum() == len(rhs)
    assert rhs.divergence("value")[0, -1] == pytest.approx(1)
    frame = usage.to_frame()
    assert len(frame) == 4 * usage.n_states
    last = frame.query("factor == 'variable'").iloc[-1]
    assert last["information"] == pytest.approx(last["entropy"])
    assert last["information"] > last["information_shuffled"] + 5 * last["information_shuffled_sd"]


def test_code_interventions_on_compiled_agree_with_the_oracle(model, run):
    result = code_interventions(model, run, per_kind=6, tokens=256, seed=3)
    assert len(result) == 8 * 4 * 6
    assert result.exact == 1
    assert result.affected_agreement == 1
    table = result.by_kind().set_index("kind")
    assert list(table.index) == ["value", "leaf", "operand", "operation"]
    assert (table["affected"] > 10).all()
    assert (table["ignored"] < 0.8).all()
    assert (result.frame["before"] != result.frame["after"]).all()
    again = code_interventions(model, run, per_kind=6, tokens=10**6, seed=3)
    assert again.frame.equals(result.frame)


def test_compiled_snaps_with_the_margin_it_was_built_with(margins, model, run):
    at_rhs = margins.at_rhs("margin")
    assert at_rhs.shape == (run.n_steps, int((run.encoded.rhs >= 0).sum()))
    assert at_rhs.min() == pytest.approx(15, abs=1e-3)  # READOUT * 0.5, when EMPTY is written
    assert margins.legal.all()
    frame = margins.token_frame("value")
    expected = np.sign(frame["step"] - frame["depth"]).map({-1: "waiting", 0: "computing", 1: "done"})
    assert (frame["status"] == expected).all()
    assert margins.to_frame()["n"].sum() == 4 * run.n_steps * int(run.encoded.mask.sum())
    assert set(margins.to_frame()["status"]) == set(STATUSES)


# Independent computations -----------------------------------------------------------------------------------


@pytest.mark.parametrize("bottleneck", ["discrete", "continuous"])
@pytest.mark.parametrize("attention_dir", ["causal", "bidirectional"])
def test_margins_are_those_of_the_models_own_logits(bottleneck, attention_dir):
    model = small(bottleneck=bottleneck, attention_dir=attention_dir)
    run = model.run([sample(1, 9), sample(2, 5)], n_steps=3)
    margins = snap_margins(model, run)
    with torch.no_grad():
        last = f"blocks.{model.cfg.n_layers - 1}.hook_resid_post"
        logits, cache = model.run_with_cache(run.encoded, n_steps=3, names=[last])
        hidden = model.ln_final(cache[last])
    mask = run.encoded.mask
    for index, factor in enumerate(FACTORS):
        part = logits[..., model.vocabulary.slice(factor)]
        top = part.topk(2, -1).values
        expected = (top[..., 0] - top[..., 1])[:, mask]
        np.testing.assert_allclose(margins.margin[..., index], expected, atol=1e-5)
        assert np.array_equal(margins.written[..., index], run.states[1:, mask, index])
        # Brute force: on the way to each boundary, straight along its normal, the logits change hands.
        w = model.W_U[:, model.vocabulary.slice(factor)].detach()
        states, tokens = hidden[:, mask], part[:, mask]
        written = tokens.argmax(-1)
        ways = w.T[written].unsqueeze(-2) - w.T
        gaps = tokens.max(-1, keepdim=True).values - tokens
        lengths = gaps / ways.norm(dim=-1)
        lengths = torch.where(torch.arange(w.shape[1]) == written[..., None], torch.inf, lengths)
        nearest = lengths.min(-1)
        np.testing.assert_allclose(
            margins.boundary[..., index], nearest.values / states.norm(dim=-1), rtol=1e-4, atol=1e-6
        )
        way = ways.gather(-2, nearest.indices[..., None, None].expand(-1, -1, 1, w.shape[0])).squeeze(-2)
        moved = states - way / way.norm(dim=-1, keepdim=True) * nearest.values[..., None] * 1.001
        read = (moved @ w + model.b_U[model.vocabulary.slice(factor)]).argmax(-1)
        changed = nearest.values > 1e-3
        assert (read[changed] == nearest.indices[changed]).float().mean() > 0.99
    entered = model.embed_state(run.states[1]).detach()
    distance = ((hidden[0] - entered).norm(dim=-1) / hidden[0].norm(dim=-1))[mask]
    np.testing.assert_allclose(margins.embedding[0], distance, rtol=1e-4)


def test_an_untrained_model_is_mostly_illegal_and_edits_do_not_lead_where_they_should():
    model = small()
    run = model.run([sample(seed) for seed in range(3)], n_steps=3)
    usage = code_usage(model, run)
    values = usage.select(role="rhs").transitions("value")
    written = run.states[1:, run.encoded.mask]
    expected = oracle_steps(run.states, run.encoded, model.vocabulary)[:, run.encoded.mask]
    for index, factor in enumerate(FACTORS):
        wrong = int((written != expected)[..., index].sum())
        assert usage.transitions(factor).n_illegal == wrong > 0
    assert (values.illegal_share() > 0.5).any()
    result = code_interventions(model, run, per_kind=3)
    assert result.exact == 0
    assert result.affected_agreement < 0.6
    assert not result.frame["exact_without"].any()


def test_one_edit_is_what_a_resumed_run_makes_of_it(model, run):
    node, step, row = 5, 2, 3
    pos = int(run.encoded.rhs[row, node])
    before = int(run.states[step, row, pos, 3])
    after = (before + 1) % MODULUS
    edit = CodeEdit(row, step, "value", node, pos, "value", before, after)
    (found,) = score_edits(model, run, [edit]).to_dict("records")
    state = run.states[step].clone()
    state[row, pos, 3] = after
    resumed = model.run(run.encoded, 1, initial_state=state).states[1, row]
    differing = (resumed != run.states[step + 1, row]).any(-1)
    assert found["affected"] == found["affected_right"] == int(differing.sum())
    assert found["before"] == run.vocabulary.symbols("value")[before]


def test_transitions_by_hand():
    # Three tokens over five states: never changes; commits at step 2 after going back; changes in the last step.
    codes = np.array([[0, 0, 1], [0, 1, 1], [0, 0, 1], [0, 2, 1], [0, 2, 0]])
    expected = np.array([[0, 1, 1], [0, 2, 1], [0, 2, 1], [1, 2, 1]])
    tokens = {"role": np.array(["rhs"] * 3), "depth": np.array([0, 2, 3])}
    found = transitions_of(codes, ("a", "b", "c"), "letter", tokens, expected)
    assert found.commit.tolist() == [-1, 2, 3]
    assert found.settled.tolist() == [True, True, False]
    assert found.on_time() == pytest.approx(1 / 3)
    assert found.reversions.tolist() == [0, 1, 0, 0]
    assert found.reversion_rate()[1] == 1
    np.testing.assert_allclose(found.idempotence(), [2 / 3, 2 / 3, 2 / 3, 2 / 3])
    assert found.illegal is not None
    assert found.illegal.sum((1, 2)).tolist() == [0, 1, 0, 2]
    pooled = found.probabilities()
    np.testing.assert_allclose(pooled[0], [4 / 6, 1 / 6, 1 / 6])
    np.testing.assert_allclose(found.probabilities(1)[1], [0.5, 0.5, 0])
    assert np.isnan(found.probabilities(0)[2]).all()
    frame = found.to_frame()
    assert frame["count"].sum() == 12 and frame["illegal"].sum() == 3


def test_the_codes_of_any_model():
    states = np.array([[[[0], [1]]], [[[1], [1]]], [[[1], [0]]]])
    usage = code_usage_of(states, {"letter": "ab"}, variables={"letter": np.array([1, 0])})
    assert usage.histogram("letter").tolist() == [[1, 1], [0, 2], [1, 1]]
    assert usage.mutual_information("letter").tolist() == pytest.approx([1, 0, 1])
    assert usage.tokens["pos"].tolist() == [0, 1]
    transitions = usage.transitions("letter")
    assert transitions.counts[0].tolist() == [[0, 1], [0, 1]]
    with pytest.raises(ValueError, match="known from the oracle"):
        transitions.illegal_share()
    with pytest.raises(ValueError, match="role and depth are needed"):
        transitions.on_time()
    assert "legality unknown".capitalize() in str(transition_figure(transitions).layout.title.subtitle.text)


# Storage and figures ----------------------------------------------------------------------------------------


def test_what_is_saved_is_what_is_loaded(usage, margins, tmp_path: Path):
    again = CodeUsage.load(usage.save(tmp_path / "usage"))
    assert again.to_frame().equals(usage.to_frame())
    assert again.symbols == usage.symbols
    for factor in FACTORS:
        assert np.array_equal(again.transitions(factor).illegal, usage.transitions(factor).illegal)
    measured = SnapMargins.load(margins.save(tmp_path / "margins.npz"))
    assert measured.to_frame().equals(margins.to_frame())
    assert measured.token_frame("value").equals(margins.token_frame("value"))


def test_the_usage_figure_shows_the_histogram(usage):
    rhs = usage.select(role="rhs")
    bars = {bar.name: bar for bar in rhs.figure("value").data}
    assert set(bars) == {*map(str, range(MODULUS)), "EMPTY"}
    assert bars["EMPTY"].y[0] == 1 and bars["EMPTY"].y[-1] == 0
    assert np.sum([bar.y for bar in bars.values()], axis=0) == pytest.approx(1)
    assert len({bar.marker.color for bar in bars.values()}) == MODULUS + 1
    for bar in bars.values():
        told = [(text, share) for text, share in zip(bar.text, bar.y, strict=True) if text]
        assert all(text == bar.name and share > 0.02 for text, share in told)
    assert any(any(bar.text) for bar in bars.values())
    assert "N/A" in rhs.figure("value").layout.title.subtitle.text
    assert (
        not any(bar.showlegend for bar in usage.figure("variable").data)
        or len(usage.symbols["variable"]) < 31
    )


def test_the_other_figures_show_their_numbers(usage, margins, model, run):
    rhs = usage.select(role="rhs")
    heatmap, frames = transition_figure(rhs.transitions("value")).data
    assert len(frames.x) == 0 and np.nanmax(heatmap.z) == 1
    lines = [line for line in information_figure(usage).data if line.name == "plug-in"]
    assert list(lines[0].y) == pytest.approx(rhs.entropy("value").tolist())
    assert list(lines[2].y) == pytest.approx(rhs.mutual_information("value").tolist())
    commits = commit_figure(rhs.transitions("value"))
    assert f"{len(rhs)} of {len(rhs)}" in commits.layout.title.subtitle.text
    boxes = margins.figure().data
    done = next(box for box in boxes if box.name == "done")
    of_done = margins.token_frame("value").query("status == 'done' and step == 1")["boundary"]
    assert done.x[0] == 1 and done.median[0] == pytest.approx(of_done.median(), rel=1e-5)
    bars = code_interventions(model, run, per_kind=2).figure().data
    assert list(bars[0].y) == [1, 1, 1, 1]


# Bad input --------------------------------------------------------------------------------------------------


def test_unknown_names_are_said(usage, margins):
    for call in (
        lambda: usage.histogram("colour"),
        lambda: usage.transitions("colour"),
        lambda: margins.token_frame("colour"),
    ):
        with pytest.raises(
            ValueError, match="no factor 'colour'; there are syntax, variable, operation, value"
        ):
            call()
    with pytest.raises(ValueError, match="no variable 'mood' to hold codes against; there are: value, shown"):
        usage.purity("value", "mood")
    with pytest.raises(ValueError, match="no token has role='king'"):
        usage.select(role="king")
    with pytest.raises(ValueError, match="tokens have no 'colour'; they have graph, node"):
        usage.select(colour=1)
    with pytest.raises(ValueError, match="no measure 'width'"):
        margins.at_rhs("width")
    with pytest.raises(ValueError, match="threshold is -1"):
        margins.near(threshold=-1)


def test_no_graphs_and_no_discrete_state(model, run):
    for call in (code_usage, snap_margins, code_interventions):
        with pytest.raises(ValueError, match="no graph to encode"):
            call(model, [])
    continuous = small(bottleneck="continuous", method="continuous")
    with pytest.raises(ValueError, match="'continuous'.*hidden state, not codes"):
        code_interventions(continuous, run)
    writing = small(method="chain-of-thought", default_steps=1)
    for call in (code_usage, snap_margins, code_interventions):
        with pytest.raises(ValueError, match="chain-of-thought model writes its solution as text"):
            call(writing, sample(0))
    with pytest.raises(ValueError, match="kinds are \\['colour'\\]; allowed is at least one of value, leaf"):
        code_interventions(model, run, kinds=["colour"])
    with pytest.raises(ValueError, match="per_kind is 0"):
        code_interventions(model, run, per_kind=0)
    with pytest.raises(ValueError, match="no steps"):
        snap_margins(model, model.run(sample(0), n_steps=0))
    watching = model.hooks(fwd_hooks=[(lambda name: True, lambda value, hook: value)])
    with watching, pytest.raises(ValueError, match="hooks attached"):
        code_interventions(model, run)


@pytest.mark.parametrize(
    ("states", "options", "message"),
    [
        (np.zeros((2, 3, 4), int), {}, r"shape \(2, 3, 4\); allowed is \[state, batch, pos, factor\]"),
        (np.full((2, 1, 1, 1), 2), {}, "codes of 'letter' are 2..2; allowed are 0..1"),
        (
            np.zeros((2, 1, 3, 1), int),
            {"variables": {"mood": np.array([1])}},
            "there are 3 tokens, and mood has 1",
        ),
        (np.zeros((2, 1, 3, 1), int), {"mask": np.zeros((1, 3), bool)}, "at least one is needed"),
    ],
)
def test_arrays_that_do_not_fit(states, options, message):
    with pytest.raises(ValueError, match=message):
        code_usage_of(states, {"letter": "ab"}, **options)
