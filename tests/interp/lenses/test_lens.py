"""Lenses: the readout of every residual state, ranks inside one factor, translators, and what writes the logits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import rel_entr, softmax
from scipy.stats import rankdata
from transformer_lens.tools.analysis import logit_lens

import models
from interp.data.collecting import collect
from interp.data.labels import STATUSES
from interp.lenses.direct_attribution import attribution_of, attribution_sites, direct_logit_attribution
from interp.lenses.direct_attribution_figure import direct_attribution_figure, short_name
from interp.lenses.lens import StepLens, step_lens
from interp.lenses.lens_figure import lens_figure, lens_graph_figure
from interp.lenses.readout import best_alone, kl_divergence, layer_points, rank_of, shuffled_share
from interp.lenses.tuned_lens import fit_tuned_lens
from models import CompiledTransformer, ComputationGraph, RecurrentConfig, RecurrentTransformer
from models.compiled import compile_model

SIZES: dict[str, Any] = {"modulus": 5, "n_variables": 16}
GRAPHS = [ComputationGraph.sample(9, n_leaves=3, seed=seed, **SIZES) for seed in range(4)]
WAITING, COMPUTING, DONE = range(len(STATUSES))


@pytest.fixture(scope="module")
def compiled() -> CompiledTransformer:
    return compile_model(("ADD",), **SIZES)


@pytest.fixture(scope="module")
def lens(compiled: CompiledTransformer) -> StepLens:
    return step_lens(compiled, GRAPHS)


def random_model(seed: int = 3, **changes: Any) -> RecurrentTransformer:
    """Small, and with LNs that scale and shift, so that leaving that out would show."""
    cfg = {
        "n_layers": 2,
        "d_model": 20,
        "n_heads": 2,
        "d_head": 8,
        "d_mlp": 24,
        "seed": seed,
        **SIZES,
    } | changes
    model = RecurrentTransformer(RecurrentConfig(**cfg))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=generator)
    return model.eval()


KINDS: dict[str, dict[str, Any]] = {
    "discrete": {},
    "continuous": {"bottleneck": "continuous"},
    "absolute": {"positions": "absolute", "n_ctx": 128},
    "no norm": {"normalization_type": None, "embed_std": 0.1},
}


@pytest.fixture(params=KINDS)
def model(request: pytest.FixtureRequest) -> RecurrentTransformer:
    return random_model(**KINDS[request.param])


# What compiled is known to do ---------------------------------------------------------------------------------


def test_a_value_appears_after_the_layer_that_writes_it(compiled: CompiledTransformer, lens: StepLens):
    (writer,) = [mlp.layer for mlp in compiled.circuit.mlps if "value" in mlp.writes]
    assert [head for head in compiled.circuit.heads if "value" in head.writes] == []
    after = lens.points.index(f"{writer}_mid") + 1
    computing = lens.status == COMPUTING
    assert computing.sum() == sum(map(len, GRAPHS))
    for index in range(len(lens.points)):
        ranks = lens.rank[:, index][computing]
        assert np.all(ranks == 1) if index >= after else np.all(ranks > 1), lens.points[index]
    assert lens.appears_at("computing") == lens.points[after] == "final_post"
    # Before that it says EMPTY, the state that entered, and nothing of which value it will be.
    assert np.all(lens.content_read[:, :after][computing[:, None].repeat(after, 1)] == -1)


def test_done_nodes_show_their_value_all_along_and_waiting_ones_never(lens: StepLens):
    done, waiting = lens.status == DONE, lens.status == WAITING
    for index in range(len(lens.points)):
        assert np.all(lens.rank[:, index][done] == 1)
        assert np.all(lens.rank[:, index][waiting] > 1)
        assert np.all(lens.written_rank[:, index][waiting] == 1)
    assert {lens.symbols[code] for code in lens.written[waiting]} == {"EMPTY"}
    assert lens.appears_at("done") == "0_pre"
    assert lens.appears_at("waiting") is None


def test_the_names_of_operands_are_read_where_they_are_planted(compiled: CompiledTransformer):
    """A readout laid over another slot reads what layer 0 copies there, from 0_mid on."""
    rewired = compile_model(("ADD",), **SIZES)
    head = compiled.circuit.with_role("name:last")
    slots, chosen = compiled.circuit.slots, rewired.vocabulary.slice("variable")
    with torch.no_grad():
        rewired.W_U[slots["name:last"], chosen] = rewired.W_U[slots["name"], chosen]
        rewired.W_U[slots["name"], chosen] = 0
    read = step_lens(rewired, GRAPHS, n_steps=1, factor="variable")
    names = read.labels["operand_1"].to_numpy()
    single = read.labels["n_operands"].to_numpy() == 1
    assert head.layer == 0 and single.any()
    assert np.array_equal(read.content_read[0, read.points.index("0_mid"), single], names[single])
    assert np.all(read.content_read[0, 0, single] == -1)


# The numbers --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", ["value", "variable"])
def test_it_is_transformer_lens_s_logit_lens_inside_one_factor(model: RecurrentTransformer, factor: str):
    """Layer points, logits, and the model's own logits at the last point; ranks by scipy, KL by scipy."""
    read = step_lens(model, GRAPHS, n_steps=3, factor=factor)
    own, cache = model.run_with_cache(GRAPHS, n_steps=3)
    graph, pos = (torch.tensor(read.labels[name].to_numpy()) for name in ("graph", "pos"))
    chosen = model.vocabulary.slice(factor)
    for step in range(3):
        theirs = logit_lens(
            cache.at_step(step), incl_mid=True, positions=None, vocab=range(chosen.start, chosen.stop)
        )
        assert tuple(theirs.labels) == read.points
        logits = theirs.values[:, graph, pos].double().numpy()
        assert np.allclose(logits[-1], own[step, graph, pos, chosen].detach(), atol=1e-4)
        probabilities = softmax(logits, -1)
        rows = np.arange(len(graph))
        for index in range(len(read.points)):
            expected = rankdata(-logits[index], axis=-1)[rows, read.true]
            clear = np.abs(np.diff(np.sort(logits[index], -1), axis=-1)).min(-1) > 1e-4
            assert clear.mean() > 0.5
            assert np.array_equal(read.rank[step, index][clear], expected[clear])
            assert np.allclose(read.prob[step, index], probabilities[index][rows, read.true], atol=1e-5)
            kl = rel_entr(probabilities[-1], probabilities[index]).sum(-1)
            assert np.allclose(read.kl[step, index], kl, atol=1e-4, rtol=1e-3)


def test_the_last_point_is_what_the_step_writes_exactly(model: RecurrentTransformer):
    read = step_lens(model, GRAPHS, n_steps=3)
    values = model.run(GRAPHS, n_steps=3).values[1:]
    node, graph = (read.labels[name].to_numpy() for name in ("node", "graph"))
    assert np.array_equal(read.written, values[:, graph, node].numpy())
    assert np.all(read.written_rank[:, -1] == 1)
    assert np.all(read.kl[:, -1] == 0)


def test_the_last_point_equals_the_model_s_logits_to_the_last_bit(compiled: CompiledTransformer):
    read = step_lens(compiled, GRAPHS, n_steps=4)
    logits, _ = compiled.run_with_cache(GRAPHS, n_steps=4, names="hook_logits")
    graph, pos = (read.labels[name].to_numpy() for name in ("graph", "pos"))
    own = logits[:, graph, pos, compiled.vocabulary.slice("value")].detach().log_softmax(-1)
    expected = own.gather(-1, torch.from_numpy(read.true)[None, :, None].expand(4, -1, 1))[..., 0]
    assert np.array_equal(read.log_prob[:, -1], expected.numpy())


def test_ties_share_their_mean_rank():
    logits = torch.tensor([[2.0, 1.0, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0], [0.0, 3.0, 3.0, 1.0]])
    assert rank_of(torch.tensor([3, 0, 2]), logits).tolist() == [3.0, 2.5, 1.5]
    assert best_alone(logits).tolist() == [0, -1, -1]


def test_shuffled_share_is_the_mean_over_all_pairs_of_rows():
    rng = np.random.default_rng(0)
    read, true = rng.integers(-1, 4, 30), rng.integers(0, 4, 30)
    pairs = [read[i] == true[j] for i in range(30) for j in range(30) if i != j]
    assert shuffled_share(read, true, 4) == pytest.approx(np.mean(pairs))
    assert np.isnan(shuffled_share(read[:1], true[:1], 4))


def test_summary_and_frame_say_the_same(lens: StepLens):
    frame = lens.to_frame()
    assert len(frame) == lens.rank.size
    for by_step in (False, True):
        keys = ["status", "point", *(["step"] if by_step else [])]
        expected = frame.assign(best=frame["rank"] == 1).groupby(keys)[["rank", "best", "prob", "kl"]].mean()
        summary = lens.summary(by_step).set_index(keys)
        assert np.allclose(summary.loc[expected.index, expected.columns], expected, atol=1e-6)
        assert (summary["n"] == frame.groupby(keys).size().loc[summary.index]).all()
    by_operands = lens.summary(by="n_operands")
    assert set(by_operands["n_operands"]) == {0, 1, 2, 3}
    assert by_operands["n"].sum() == lens.summary()["n"].sum()


def test_other_tokens(compiled: CompiledTransformer):
    operands = step_lens(compiled, GRAPHS, n_steps=2, positions="operands")
    assert len(operands.true) == sum(len(node.operands) for graph in GRAPHS for node in graph.nodes)
    # The state keeps EMPTY at operands, whatever their value.
    assert {operands.symbols[code] for code in operands.written.flat} == {"EMPTY"}
    everywhere = step_lens(compiled, GRAPHS, n_steps=2, factor="syntax", positions="all")
    assert np.all(everywhere.rank[:, -1] == 1)
    assert len(everywhere.true) == sum(len(graph.to_text().replace(";", " ; ").split()) for graph in GRAPHS)


def test_saved_and_loaded(lens: StepLens, tmp_path: Path):
    loaded = StepLens.load(lens.save(tmp_path / "lens"))
    assert loaded.graphs == lens.graphs and loaded.points == lens.points and loaded.symbols == lens.symbols
    pd.testing.assert_frame_equal(loaded.to_frame(), lens.to_frame(), check_dtype=False)
    pd.testing.assert_frame_equal(loaded.summary(by="depth"), lens.summary(by="depth"), check_dtype=False)


def test_one_step_is_as_in_a_longer_run(model: RecurrentTransformer):
    short, long = (step_lens(model, GRAPHS, n_steps=n) for n in (1, 3))
    assert np.array_equal(short.rank[0], long.rank[0])


# Tuned lens ---------------------------------------------------------------------------------------------------


def test_tuned_lens_finds_what_is_linearly_there():
    """With MLPs off, and attention to one position only, the last residual state is affine in the first."""
    model = random_model(normalization_type=None, n_layers=1, n_heads=1, positions="none", embed_std=1.0)
    graphs = [ComputationGraph.sample(9, n_leaves=3, seed=seed, **SIZES) for seed in range(24)]
    with torch.no_grad():
        for block in model.layers:
            block.mlp.W_out.zero_()
            block.attn.W_O.zero_()
    tuned = fit_tuned_lens(model, graphs, n_steps=2, ridge=0.0)
    plain = tuned.plain.kl[:, :-1].max()
    assert plain > 1e-3, "the biases alone change the readout"
    assert tuned.tuned.kl.max() < 1e-5
    assert not set(tuned.fitted_on) & set(tuned.held_out)
    assert set(tuned.plain.labels["graph"]) == set(tuned.held_out)
    assert np.all(tuned.weight[:, -1] == 0) and np.all(tuned.bias[:, -1] == 0)


def test_tuned_lens_is_judged_beside_the_plain_one(compiled: CompiledTransformer, lens: StepLens):
    tuned = fit_tuned_lens(compiled, GRAPHS, n_steps=lens.n_steps, held_out=0.5, seed=1)
    assert len(tuned.held_out) == 2
    chosen = lens.labels["graph"].isin(tuned.held_out).to_numpy()
    assert np.array_equal(tuned.plain.rank, lens.rank[..., chosen])
    frame = tuned.to_frame()
    assert np.allclose(frame["kl_plain"], lens.select(chosen).summary(by_step=True)["kl"])
    # What a huge penalty leaves of a translator is its bias.
    stiff = fit_tuned_lens(compiled, GRAPHS, n_steps=2, held_out=0.5, ridge=1e12)
    assert np.abs(stiff.weight).max() < 1e-6 < np.abs(stiff.bias).max()


def test_adam_lowers_what_the_tuned_lens_is_trained_for():
    """On the rows it is fitted on, which are read here by swapping the two halves' roles."""
    model = random_model()
    ridge, adam = (fit_tuned_lens(model, GRAPHS, n_steps=1, ridge=1e3, kl_steps=n) for n in (0, 40))
    kls: list[float] = []
    for fitted in (ridge, adam):
        read = step_lens(model, GRAPHS, n_steps=1)
        train = read.labels["graph"].isin(fitted.fitted_on).to_numpy()
        _, cache = model.run_with_cache(GRAPHS, n_steps=1)
        graph, pos = (read.labels[name].to_numpy()[train] for name in ("graph", "pos"))
        hidden, last = (cache[layer_points(model)[name]][0, graph, pos] for name in ("0_pre", "final_post"))
        moved = (
            hidden + hidden @ torch.from_numpy(fitted.weight[0, 0]).T + torch.from_numpy(fitted.bias[0, 0])
        )
        chosen = model.vocabulary.slice("value")
        logits = [model.unembed(model.ln_final(x)[None])[0, :, chosen].detach() for x in (last, moved)]
        kls.append(float(kl_divergence(*logits).mean()))
    assert kls[1] < 0.9 * kls[0]


# Direct attribution -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "against"), [("true", "others"), ("true", "EMPTY"), ("written", "others")]
)
def test_contributions_add_up_to_the_model_s_logit_difference(
    model: RecurrentTransformer, answer: str, against: str
):
    result = direct_logit_attribution(model, GRAPHS, n_steps=3, answer=answer, against=against)
    logits, _ = model.run_with_cache(GRAPHS, n_steps=3, names="hook_logits")
    graph, pos = (torch.tensor(result.labels[name].to_numpy()) for name in ("graph", "pos"))
    values = logits[:, graph, pos, model.vocabulary.slice("value")].detach().double().numpy()
    for step in range(3):
        for row, code in enumerate(result.answers[step]):
            others = [other for other in range(model.cfg.modulus) if other != code]
            against_codes = others if against == "others" else [model.vocabulary.empty]
            expected = values[step, row, code] - values[step, row, against_codes].mean()
            assert abs(result.logit_diff[step, row] - expected) < 1e-4
    assert result.remainder < 1e-4
    assert np.abs(result.contributions).max() > 0.1


def test_it_is_logit_attrs_of_transformer_lens_on_folded_weights():
    """Of a model whose LN is folded into its weights, TransformerLens's own sum is exact: an independent path."""
    model = random_model()
    folded = model.process_weights(fold_ln=True)
    ours = direct_logit_attribution(model, GRAPHS, n_steps=2, against="EMPTY")
    graph, pos = (ours.labels[name].to_numpy() for name in ("graph", "pos"))
    offset = model.vocabulary.slice("value").start
    _, cache = folded.run_with_cache(GRAPHS, n_steps=2, names="all")
    compared: set[str] = set()
    answer = torch.zeros(cache["hook_embed"].shape[1:3], dtype=torch.int64)
    answer[graph, pos] = torch.from_numpy(ours.answers[1])
    for step in range(2):
        own = cache.at_step(step)
        for stack, labels in (
            own.stack_head_results(return_labels=True),
            own.decompose_resid(return_labels=True),
        ):
            theirs = own.logit_attrs(
                stack,
                tokens=offset + answer,
                incorrect_tokens=torch.full_like(answer, offset + model.vocabulary.empty),
            )
            for label, values in zip(labels, theirs[:, graph, pos].detach().numpy(), strict=True):
                if not label.endswith("attn_out"):  # heads and bias together, in one of the two
                    mine = ours.contributions[step, ours.components.index(label)]
                    assert np.allclose(mine, values, atol=1e-4), label
                    compared.add(label)
    assert compared == {name for name in ours.components if not name.endswith("bias")}


@pytest.mark.parametrize("role", ["value:first", "value:middle", "value:last"])
def test_a_readout_over_the_slot_of_a_planted_head_names_that_head(compiled: CompiledTransformer, role: str):
    """As the model is, its heads write where only MLPs read: all is written by the last MLP. Moved over a lookup head's
    slot, the readout is written by that head alone.
    """
    planted = compiled.circuit.with_role(role)
    rewired = compile_model(("ADD",), **SIZES)
    chosen, slots = rewired.vocabulary.slice("value"), compiled.circuit.slots
    with torch.no_grad():
        rewired.W_U[slots[role], chosen] = rewired.W_U[slots["value"], chosen]
        rewired.W_U[slots["value"], chosen] = 0
    # One step from the solved state: the moved readout is never fed back.
    sites = [*layer_points(rewired).values(), *attribution_sites(rewired, "value")]
    solved = compiled.run(GRAPHS).states[-1:]
    data = collect(rewired, GRAPHS, sites, n_steps=1, states=solved)
    result = attribution_of(rewired, data, tuple(GRAPHS), answer="written")
    three = result.labels["n_operands"].to_numpy() == 3
    operand = 3 - planted.operands[0]
    assert np.array_equal(result.answers[0, three], result.labels[f"operand_value_{operand}"][three])
    means = np.abs(result.contributions[0][:, three]).mean(-1)
    assert result.components[int(means.argmax())] == f"L{planted.layer}H{planted.head}"
    assert np.delete(means, int(means.argmax())).max() < 1e-6 * means.max()


def test_compiled_is_written_by_its_last_mlp(compiled: CompiledTransformer):
    result = direct_logit_attribution(compiled, GRAPHS)
    (writer,) = [mlp.layer for mlp in compiled.circuit.mlps if "value" in mlp.writes]
    rows = result.summary().query("status == 'computing'").set_index("component")
    assert rows["contribution"].idxmax() == f"{writer}_mlp_out"
    assert rows.loc[f"{writer}_mlp_out", "contribution"] == pytest.approx(
        rows["logit_diff"].iloc[0], abs=1e-4
    )
    assert rows["contribution"].drop(f"{writer}_mlp_out").abs().max() < 1e-4
    frame = result.to_frame()
    assert len(frame) == result.contributions.size
    computing = frame[(frame["status"] == "computing") & (frame["component"] == f"{writer}_mlp_out")]
    assert computing["contribution"].mean() == pytest.approx(rows.loc[f"{writer}_mlp_out", "contribution"])


# Figures and bad input ----------------------------------------------------------------------------------------


def test_figures_show_the_numbers(lens: StepLens, compiled: CompiledTransformer):
    figure = lens_figure(lens, "best")
    heatmaps = [trace for trace in figure.data if trace.type == "heatmap"]
    assert [trace.name for trace in heatmaps] == [f"{status} nodes" for status in STATUSES]
    computing = np.array(figure.data[1].z, dtype=float)
    assert np.all(computing[-1][~np.isnan(computing[-1])] == 1)
    assert np.all(computing[:-1][~np.isnan(computing[:-1])] == 0)
    nodes = lens_graph_figure(lens, 1, "rank")
    order = np.argsort(GRAPHS[1].depths_by_node, kind="stable")
    rows = np.flatnonzero(lens.labels["graph"] == 1)[order]
    assert np.array_equal(np.array(nodes.data[0].z), lens.rank[..., rows].reshape(-1, len(rows)))
    assert list(nodes.layout.xaxis.ticktext) == [GRAPHS[1].nodes[node].name for node in order]
    assert nodes.layout.coloraxis.cmid == (len(lens.symbols) + 1) / 2
    result = direct_logit_attribution(compiled, GRAPHS)
    bars, cells = direct_attribution_figure(result).data
    expected = result.summary().query("status == 'computing'")["contribution"]
    assert np.allclose(bars.y, expected)
    assert np.shape(cells.z) == (
        max(max(graph.depths_by_node) for graph in GRAPHS) + 1,
        len(result.components),
    )
    assert [short_name(name) for name in ("embed", "L1H0", "1_attn_bias", "2_mlp_out", "readout_bias")] == [
        "embed", "L1H0", "bias 1", "MLP 2", "readout",
    ]  # fmt: skip


def test_tuned_lens_figure_has_both_on_one_scale(compiled: CompiledTransformer):
    tuned = fit_tuned_lens(compiled, GRAPHS, n_steps=3)
    plain, fitted = tuned.kl_by_step()
    figure = tuned.figure()
    assert np.allclose(np.array(figure.data[0].z), plain.T)
    assert np.allclose(np.array(figure.data[1].z), fitted.T)
    assert figure.layout.coloraxis.cmax == pytest.approx(max(plain.max(), fitted.max()))


def test_bad_input(compiled: CompiledTransformer, lens: StepLens):
    with pytest.raises(ValueError, match="no factor 'colour'; there are syntax, variable, operation, value"):
        step_lens(compiled, GRAPHS, factor="colour")
    with pytest.raises(ValueError, match="positions is 'everywhere'; allowed are 'rhs', 'operands', 'all'"):
        step_lens(compiled, GRAPHS, positions="everywhere")
    with pytest.raises(ValueError, match="n_steps is 0; allowed"):
        step_lens(compiled, GRAPHS, n_steps=0)
    with pytest.raises(ValueError, match="packed ids do not say where the nodes are"):
        step_lens(compiled, compiled.to_encoded(GRAPHS).packed)
    chain = models.load("chain-of-thought")
    graph = ComputationGraph.sample(5, n_leaves=2, seed=0)
    for function in (step_lens, fit_tuned_lens, direct_logit_attribution):
        with pytest.raises(ValueError, match="chain-of-thought model writes its solution as text"):
            function(chain, [graph, graph])
    with pytest.raises(ValueError, match="there is 1 graph; a tuned lens needs at least 2"):
        fit_tuned_lens(compiled, GRAPHS[0])
    with pytest.raises(ValueError, match="held_out is 1"):
        fit_tuned_lens(compiled, GRAPHS, held_out=1)
    with pytest.raises(ValueError, match="allowed are 0 or more"):
        fit_tuned_lens(compiled, GRAPHS, ridge=-1.0)
    with pytest.raises(ValueError, match="answer is 'first'; allowed are true, written"):
        direct_logit_attribution(compiled, GRAPHS, answer="first")
    with pytest.raises(
        ValueError, match="against is '7'; allowed are 'others' and 0, 1, 2, 3, 4, N/A, EMPTY"
    ):
        direct_logit_attribution(compiled, GRAPHS, against="7")
    with pytest.raises(ValueError, match="metric is 'entropy'; allowed are"):
        lens.figure("entropy")
    with pytest.raises(ValueError, match="graph 9 was not read; those that were: 0 to 3"):
        lens.graph_figure(9)
    with pytest.raises(ValueError, match="no label 'colour'"):
        lens.summary(by="colour")
    with pytest.raises(ValueError, match="status is 'new'"):
        lens.appears_at("new")
    with pytest.raises(ValueError, match="no node is 'late'"):
        direct_logit_attribution(compiled, GRAPHS).figure("late")
