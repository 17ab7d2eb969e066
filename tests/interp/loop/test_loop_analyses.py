"""Analyses of any loop: right on two tasks that are known, and the same code on a foreign model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import interp
from interp import (
    GraphTask,
    LoopedError,
    StepEdit,
    collect_loop,
    dynamics_of_run,
    fit_probe_grid,
    logit_difference,
    loop_ablate,
    loop_attention,
    loop_attribution,
    loop_code_usage,
    loop_cross_step,
    loop_dynamics,
    loop_lens,
    loop_patch_sweep,
    run_loop,
)
from interp.loop.protocol import need
from interp.loop.task import OPTIONAL
from models import ComputationGraph, RecurrentConfig, RecurrentTransformer, as_loop
from models.compiled import compile_model, make
from tests.parity import UNKNOWN, ParityLoop, ParityTask

BITS = torch.tensor([[1, 0, 1, 1, 0, 1], [0, 1, 1, 0, 1, 1]])


def small(bottleneck: str, **options: object) -> RecurrentTransformer:
    cfg: dict[str, object] = {"d_model": 32, "n_heads": 4, "d_head": 8, "d_mlp": 64, "n_layers": 2, "seed": 3}
    cfg |= {"n_variables": 16, "modulus": 5, "bottleneck": bottleneck, "method": bottleneck}
    return RecurrentTransformer(RecurrentConfig.from_dict(cfg | options)).eval()


def graphs(*n_nodes: int) -> list[ComputationGraph]:
    sizes = {"n_leaves": 3, "modulus": 5, "n_variables": 16}
    return [ComputationGraph.sample(n, seed=seed, **sizes) for seed, n in enumerate(n_nodes)]


@pytest.fixture(scope="module")
def compiled() -> RecurrentTransformer:
    return compile_model(("ADD",), modulus=5, n_variables=16)


# Our model is a loop like any other -----------------------------------------------------------------------------


@pytest.mark.parametrize("bottleneck", ["discrete", "continuous"])
@pytest.mark.parametrize("direction", ["causal", "bidirectional"])
def test_our_model_as_a_loop_is_its_own_run(bottleneck: str, direction: str) -> None:
    model = small(bottleneck, attention_dir=direction)
    loop = as_loop(model)
    encoded = model.vocabulary.encode(graphs(9, 6))  # one is padded
    sites = ["0.resid_pre", "0.attn_out", "1.z", "1.pattern", "1.mlp_post", "1.resid_post"]
    run = run_loop(loop, encoded, 4, record=sites, keep_logits=True)
    names = [loop.sites[site] for site in sites]
    logits, cache = model.run_with_cache(encoded, names=names, n_steps=4)
    states = model.forward(encoded, n_steps=4, return_type="states")
    assert torch.equal(run["state.codes"], states)
    for index, factor in enumerate(("syntax", "variable", "operation", "value")):
        assert torch.equal(run.codes[factor], states[..., index])
        torch.testing.assert_close(
            run.logits[factor][1:], logits[..., model.vocabulary.slice(factor)], rtol=0, atol=1e-5
        )
    for site, name in zip(sites, names, strict=True):
        torch.testing.assert_close(run.once(site), cache[name], rtol=0, atol=1e-5)
    tail = run_loop(loop, None, 4, record=sites, start=run.at(2))  # who looks at a pattern has it computed
    assert torch.equal(tail["state.hidden"], run["state.hidden"][2:])
    assert run.tokens is not None and len(run.tokens) == 2
    assert (loop.key is not None) == (bottleneck == "discrete")
    some = loop.take(run.context, torch.tensor([1, 1]))
    assert torch.equal(some.initial, run.context.initial[[1, 1]])


def test_a_code_that_is_edited_is_what_enters(compiled: RecurrentTransformer) -> None:
    (graph,) = graphs(8)
    loop = as_loop(compiled)
    state = run_loop(loop, graph, 3)["state.codes"]
    other = state[1].clone()
    other[0, 2, 3] = (other[0, 2, 3] + 1) % 5
    run = run_loop(loop, graph, 4, edits=[StepEdit("state.codes", 1, lambda _: other)])
    assert torch.equal(run["state.codes"][1], other)
    follows = compiled.discretise(compiled.transition(other))
    assert torch.equal(run["state.codes"][2], follows)
    assert loop.n_steps(graph) == len(graph) + 2
    with pytest.raises(ValueError, match="chain-of-thought"):
        as_loop(small("discrete", method="chain-of-thought"))
    assert as_loop(ParityLoop()).n_heads == 1
    with pytest.raises(TypeError, match="Linear is no loop: it has no module, begin, step, read"):
        as_loop(nn.Linear(1, 1))


# Tasks ---------------------------------------------------------------------------------------------------------


def test_two_tasks_have_one_form(compiled: RecurrentTransformer) -> None:
    for task, loop, factor in (
        (GraphTask(compiled.vocabulary, n_nodes=7), as_loop(compiled), "value"),
        (ParityTask(), ParityLoop(), "parity"),
    ):
        inputs = task.sample(3, seed=1)
        count = loop.n_steps(inputs)
        run = run_loop(loop, inputs, count)
        labels = task.labels(inputs)
        for step in range(count):
            codes = {name: codes[step] for name, codes in run.codes.items()}
            follows = task.oracle_step(codes, inputs)
            assert torch.equal(follows[factor], run.codes[factor][step + 1])
        truth = labels["parity" if factor == "parity" else "value"]
        shown = run.codes[factor][:, labels["row"], labels["pos"]]
        assert shown[-1].tolist() == truth.tolist()
        levels = task.levels(inputs)[labels["row"], labels["pos"]]
        solved = (shown == torch.tensor(truth.to_numpy())).int()
        assert bool((solved[levels + 1, torch.arange(len(levels))] == 1).all())
        assert max(map(len, task.tokens(inputs))) == run.codes[factor].shape[2]
    assert bool(GraphTask(compiled.vocabulary).answers(graphs(5)).sum() == 5)
    with pytest.raises(LoopedError, match="due writes needs `answers`, which ParityTask does not have"):
        need(ParityTask(), "answers", "due writes", OPTIONAL)


# Patch sweeps ----------------------------------------------------------------------------------------------------


def test_a_sweep_finds_which_position_is_needed_when() -> None:
    """At step t the parity of position t - 1 is what counts, and the head that looks it up at position t."""
    corrupt = BITS.clone()
    corrupt[:, 0] = 1 - corrupt[:, 0]
    last = lambda logits: logits["parity"][:, 5, 1] - logits["parity"][:, 5, 0]  # noqa: E731
    sweep = loop_patch_sweep(ParityLoop(), BITS, corrupt, ["state", "z"], last, pos="each")
    frame = sweep.to_frame()
    for site, at in (("state", lambda step: step - 1), ("z", lambda step: step)):
        cells = frame[frame.site == site].pivot(index="step", columns="pos", values="effect").to_numpy()
        expected = np.zeros((6, 6))
        for step in range(1, 6):
            expected[step, at(step)] = 1
        assert cells.tolist() == expected.tolist()


@pytest.mark.parametrize("batched", [True, False])
def test_a_sweep_is_as_many_plain_runs(batched: bool) -> None:
    model = small("discrete")
    loop = as_loop(model)
    if not batched:
        loop.take = None
    clean, corrupt = (model.vocabulary.encode([graph]) for graph in graphs(7, 7))
    metric = logit_difference("value", 10, 1, 2)
    sites = ["1.resid_pre", "0.pattern", "state.codes"]
    sweep = loop_patch_sweep(loop, clean, corrupt, sites, metric, n_steps=3, steps=[0, 2], pos="each")
    whole = run_loop(loop, clean, 3, record=sites[:2])
    assert len(sweep.cells) == 3 * 2 * clean.factors.shape[1] and sweep.to_frame().shape == (
        len(sweep.cells),
        6,
    )
    for index in range(0, len(sweep.cells), 17):
        site, step, _, pos = sweep.cells[index]
        value = whole[site][step] if site.startswith("state") else whole[site][step, 0]

        def edit(found: Tensor, site: str = site, pos: int = pos, value: Tensor = value) -> Tensor:
            at = (slice(None), slice(None), pos) if site.endswith("pattern") else (slice(None), pos)
            found[at] = value[at]
            return found

        plain = run_loop(loop, corrupt, 3, edits=[StepEdit(site, step, edit)], keep_logits=True)
        expected = metric({name: logits[-1] for name, logits in plain.logits.items()})
        torch.testing.assert_close(sweep.patched[index], expected, rtol=0, atol=1e-5)
    assert bool(sweep.patched.ne(sweep.corrupt).any())
    whole_state = loop_patch_sweep(loop, clean, corrupt, ["0.resid_pre"], metric, n_steps=1)
    torch.testing.assert_close(whole_state.effect, torch.ones(1, 1))


def test_across_steps_only_the_parity_that_is_due_counts() -> None:
    """Position 5 reads, at step 5, the parity of position 4: there from state 5 on, in the clean run."""
    corrupt = BITS.clone()
    corrupt[:, 0] = 1 - corrupt[:, 0]
    last = lambda logits: logits["parity"][:, 5, 1] - logits["parity"][:, 5, 0]  # noqa: E731
    found = loop_cross_step(ParityLoop(), BITS, corrupt, "state", last)
    effect = found.effect[..., 0]
    assert effect.diagonal().tolist() == [0, 1, 1, 1, 1, 1]
    assert effect[5, 1:].tolist() == [1] * 5  # a later state has all that an earlier step needs
    assert float(found.patched[1, 5, 0]) == 0  # an earlier one is not far enough: unknown
    assert len(found.to_frame()) == 36
    with pytest.raises(LoopedError, match=r"call is 1; allowed are 0\.\.0"):
        loop_cross_step(ParityLoop(), BITS, corrupt, "z", last, call=1)


def test_attribution_is_exact_on_a_linear_loop_and_near_on_a_foreign_one() -> None:
    from tests.interp.loop.test_loop import TwoLevels
    from tests.models.adapters.test_adapters import IDS, albert

    last = lambda logits: logits["large"][:, -1, 1]  # noqa: E731
    inputs = torch.tensor([[[1.0], [2.0]]]), torch.tensor([[[4.0], [2.5]]])
    sites = ["L.out", "H.resid_pre", "state.L"]
    for pos in ("all", "each"):
        exact = loop_patch_sweep(TwoLevels(), *inputs, sites, last, n_steps=3, pos=pos)  # type: ignore[arg-type]
        estimate = loop_attribution(TwoLevels(), *inputs, sites, last, n_steps=3, pos=pos)  # type: ignore[arg-type]
        assert estimate.cells == exact.cells
        torch.testing.assert_close(estimate.patched, exact.patched)
        torch.testing.assert_close(estimate.effect, exact.effect)
    loop = as_loop(albert())
    words = loop.albert.embeddings.word_embeddings.weight.data
    words[7] = words[1] + 0.01 * words[8]  # a word like word 1: first order is enough
    clean, near, far = IDS[:1], IDS[:1].clone(), IDS[:1].clone()
    near[0, 1], far[0, 1] = 7, 8
    metric = logit_difference("token", 4, 1, 2)
    correlations: list[float] = []
    for corrupt in (near, far):
        arguments = loop, clean, corrupt, ["0.attn_out", "0.mlp_out"], metric
        both = [sweep(*arguments, pos="each") for sweep in (loop_patch_sweep, loop_attribution)]
        moved = torch.stack([(sweep.patched - sweep.corrupt).flatten() for sweep in both])
        correlations.append(float(torch.corrcoef(moved)[0, 1]))
    print(f"ALBERT, random weights: attribution and exact patching correlate by {correlations} (near, far)")
    assert correlations[0] > 0.99 > correlations[1]  # and far away it is not


def test_a_metric_by_name_is_the_function_that_it_names() -> None:
    loop, clean, corrupt = make("parity"), ["11"], ["01"]
    right, wrong = (
        run_loop(loop, text, 2, keep_logits=True).last_read["parity"].argmax(-1)[0].tolist()
        for text in (clean, corrupt)
    )
    by_hand = [
        logit_difference("parity", pos, *ends)
        for pos, ends in enumerate(zip(right, wrong, strict=True))
        if ends[0] != ends[1]
    ]
    assert by_hand
    named, own = (
        loop_patch_sweep(loop, clean, corrupt, ["0.z"], metric, n_steps=2)
        for metric in ("logit_diff", lambda read: sum(one(read) for one in by_hand) / len(by_hand))
    )
    torch.testing.assert_close(named.patched, own.patched)
    torch.testing.assert_close(named.clean, own.clean)
    for swept in (
        interp.cross_step_matrix(loop, clean, corrupt, "0.z", "prob"),
        interp.exact_edges(loop, clean, corrupt, ["0.z", "0.mlp_out"], "accuracy"),
        interp.edge_attribution(loop, clean, corrupt, ["0.z", "0.mlp_out"], "logit_diff"),
        interp.ablate_heads(loop, clean, "accuracy", value="zero"),
        interp.ablate(loop, clean, ["0.z"], "logit_diff", value="zero"),
    ):
        assert len(swept.to_frame())
    with pytest.raises(LoopedError, match="metric is 'nothing'; allowed are logit_diff, prob, accuracy"):
        loop_patch_sweep(loop, clean, corrupt, ["0.z"], "nothing")
    with pytest.raises(LoopedError, match="they show the same"):
        loop_patch_sweep(loop, clean, clean, ["0.z"], "prob")
    with pytest.raises(LoopedError, match="has no gradient"):
        loop_attribution(loop, clean, corrupt, ["0.z"], "accuracy")


def test_ablation_in_one_step_and_in_all() -> None:
    """Worked out in `test_loop`: H = 1, 8, 81; L is 2, 6, 28, 72 in its four calls."""
    from tests.interp.loop.test_loop import TwoLevels

    high = lambda logits: logits["large"][:, 0, 1]  # noqa: E731
    arguments = TwoLevels(), torch.ones(1, 1, 1), ["L.out"], high
    zero = loop_ablate(*arguments, n_steps=2, value="zero").to_frame()
    assert zero.step.tolist() == [0, 1, "all"] and zero.ablated.tolist() == [15, 9, 3]
    mean = loop_ablate(*arguments, n_steps=2)  # 27 for L: H = 29, then L = 112, 282
    assert mean.plain.tolist() == [81] and mean.ablated[:, 0].tolist() == [312, 36, 57]


# The others ------------------------------------------------------------------------------------------------------


def test_parity_comes_to_rest_position_by_position() -> None:
    found = loop_dynamics(ParityLoop(), BITS, n_steps=16)
    assert found.states == ("state",) and list(found.points) == ["state", "resid_post"]
    settling = found.settling("state")
    assert settling.start.tolist() == [[1, 2, 3, 4, 5, 6]] * 2 and set(settling.period.ravel()) == {1}
    summary = found.summary().set_index("point")
    assert summary.fixed.tolist() == [1, 1] and summary.relative.tolist() == [0, 0]
    assert len(found.to_frame()) == 2 * 6 * (16 + 15)
    with pytest.raises(ValueError, match="n_steps is 2; allowed are 3 or more"):
        loop_dynamics(ParityLoop(), BITS, n_steps=2)


def test_layers_of_a_cycle_have_fixed_points_of_their_own() -> None:
    """``x <- x / 2 + 1``, then ``x <- x + 3``: limits 4 behind the first layer... worked out: x = 5, 8."""

    class Cycle:
        def __init__(self, shift: float) -> None:
            self.module = nn.ModuleDict({"a": nn.Linear(1, 1), "b": nn.Linear(1, 1)})
            self.sites = {"0.resid_post": "a", "1.resid_post": "b"}
            for name, weight, bias in (("a", 0.5, 1.0), ("b", 1.0, shift)):
                nn.init.constant_(self.module[name].weight, weight)
                nn.init.constant_(self.module[name].bias, bias)

        def begin(self, inputs: Tensor) -> tuple[Tensor, None]:
            return inputs, None

        def step(self, state: Tensor, step: int, context: None) -> Tensor:
            return self.module["b"](self.module["a"](state))

        def read(self, state: Tensor, context: None) -> dict[str, Tensor]:
            return {}

    for shift, limits, apart in ((3.0, (5, 8), (3 / 5, 3 / 8)), (0.0, (2, 2), (0, 0))):
        found = loop_dynamics(Cycle(shift), torch.ones(1, 1, 1), n_steps=60)
        ends = [found.points[point][-1].item() for point in ("0.resid_post", "1.resid_post")]
        assert ends == pytest.approx(limits)
        summary = found.summary().set_index("point")
        assert summary.fixed.tolist() == [1, 1, 1]
        assert summary.loc[["0.resid_post", "1.resid_post"], "apart"].tolist() == pytest.approx(apart)


def test_the_lens_reads_what_is_written(compiled: RecurrentTransformer) -> None:
    (graph,) = graphs(8)
    loop = as_loop(compiled)
    lens = loop_lens(loop, graph, factor="value")
    assert lens.points == tuple((f"{layer}.resid_post", 0) for layer in range(compiled.cfg.n_layers))
    torch.testing.assert_close(lens.kl[:, -1], torch.zeros_like(lens.kl[:, -1]), rtol=0, atol=1e-4)
    run = run_loop(loop, graph, loop.n_steps(graph))
    assert torch.equal(lens.rank[:, -1] == 1, run.codes["value"][1:] == lens.target)
    assert lens.summary().best.iloc[-1] == 1
    with pytest.raises(LoopedError, match="factor is None; allowed are syntax, variable, operation, value"):
        loop_lens(loop, graph)
    parity = loop_lens(ParityLoop(), BITS)  # without `lens`: what `read` gives of the residual stream
    assert parity.factor == "parity" and float(parity.rank[-1].max()) == 1


def test_attention_over_steps(compiled: RecurrentTransformer) -> None:
    frame = loop_attention(ParityLoop(), BITS).to_frame()
    assert (
        frame.entropy.tolist() == [0] * 6
        and frame.change.tolist()[1:] == [0] * 5
        and np.isnan(frame.change[0])
    )
    assert frame.distance.tolist() == pytest.approx([5 / 6] * 6)
    (graph,) = graphs(8)
    found = loop_attention(as_loop(compiled), graph, 3)
    ours = found.to_frame().set_index(["site", "step", "head"])
    assert ours.loc[("0.pattern", 1)].change.max() == 0  # the first layer reads the text, which stays
    assert found.patterns["0.pattern"].shape[:4] == (3, 1, 1, 6)


def test_codes_and_probes_take_any_task(compiled: RecurrentTransformer) -> None:
    usage = loop_code_usage(ParityLoop(), BITS, task=ParityTask())
    assert usage.transitions("parity").n_illegal == 0
    bits = usage.mutual_information("parity")
    assert bits[0] == 0 and bits[-1] == pytest.approx(usage.entropy("parity")[-1])
    wrong = ParityTask()
    wrong.oracle_step = lambda codes, inputs: {"parity": torch.full_like(inputs, UNKNOWN)}  # type: ignore[method-assign]
    assert loop_code_usage(ParityLoop(), BITS, task=wrong).transitions("parity").n_illegal > 0
    task = ParityTask()
    inputs = task.sample(30)
    data = collect_loop(ParityLoop(), inputs, task.labels(inputs), n_steps=6)
    grid = fit_probe_grid(data, "parity", steps=[5], folds=3, controls=False)
    assert np.nanmax(grid.accuracy) == 1
    with pytest.raises(LoopedError, match=r"'pattern' is \[step, call, 30, 1, 6, 6\]"):
        collect_loop(ParityLoop(), inputs, task.labels(inputs), ["pattern"])


NEEDS: dict[str, tuple[Callable[[Any, Any], Any], str]] = {
    "attention": (lambda loop, inputs: loop_attention(loop, inputs, 3), r"needs `sites\['pattern'\]`"),
    "dynamics": (lambda loop, inputs: loop_dynamics(loop, inputs, 3), r"needs `sites\['resid_post'\]`"),
    "lens": (lambda loop, inputs: loop_lens(loop, inputs, 3), r"needs `sites\['resid_post'\]`"),
    "codes": (lambda loop, inputs: loop_code_usage(loop, inputs, 3), "codes have the shapes of none"),
    "number of steps": (
        loop_attention,
        "without a number of steps needs `n_steps`",
    ),
}


@pytest.mark.parametrize("analysis", NEEDS)
def test_what_a_loop_lacks_is_named(analysis: str) -> None:
    class Bare(ParityLoop):
        def __init__(self) -> None:
            super().__init__()
            self.sites = {}
            self.n_steps = None  # type: ignore[assignment]

        def read(self, state: Tensor, context: Tensor) -> dict[str, Tensor]:
            return {}

    run, message = NEEDS[analysis]
    with pytest.raises(LoopedError, match=message):
        run(Bare(), BITS)


def test_the_analyses_work_on_a_foreign_model() -> None:
    """HRM-Text with random weights: two levels, three calls a step."""
    from tests.models.adapters.test_adapters import IDS, hrm_text

    loop = as_loop(hrm_text())
    attention = loop_attention(loop, IDS).to_frame()
    assert set(attention.site) == {"L.0.pattern", "L.1.pattern", "H.0.pattern", "H.1.pattern"}
    assert attention[attention.site == "L.0.pattern"].groupby("step").call.nunique().tolist() == [3, 3]
    found = loop_dynamics(loop, IDS, 4)
    assert "L.1.resid_post 2" in found.points and found.states == ("state.H", "state.L")
    lens = loop_lens(loop, IDS)
    assert ("L.0.resid_post", 2) in lens.points and not bool(lens.rank.isnan().any())
    last = lens.points.index(("H.1.resid_post", 0))
    assert float(lens.kl[:, last].abs().max()) < 1e-5 and float(lens.rank[-1, last].max()) == 1
    other = IDS.flip(1)
    metric = logit_difference("token", 4, 1, 2)
    sweep = loop_patch_sweep(loop, IDS, other, ["L.0.mlp_out", "state.H", "H.1.resid_post"], metric)
    frame = sweep.to_frame()
    assert len(frame) == 2 * 3 + 2 + 2 and frame.effect[frame.site == "H.1.resid_post"].iloc[
        -1
    ] == pytest.approx(1)
    assert loop_code_usage(loop, IDS).codes.shape == (3, 10, 1)
    run = run_loop(loop, IDS, 3, record=["L.0.mlp_out"])
    assert len(dynamics_of_run(run).points) == 2 + 3


def test_public_names_of_the_protocol() -> None:
    assert {"Loop", "LoopRun", "run_loop", "watch", "Task"} <= set(interp.__all__)
