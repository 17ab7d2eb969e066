"""Analyses of any loop find what is built into the five compiled ones: the circuit, a decoy, a head and its twin."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from interp import (
    LoopNode,
    StepEdit,
    exact_loop_edges,
    fit_loop_probes,
    fit_loop_tuned_lens,
    logit_difference,
    loop_ablate_heads,
    loop_attention,
    loop_attribution,
    loop_code_usage,
    loop_cone,
    loop_cross_step,
    loop_edge_attribution,
    loop_fixed_points,
    loop_head_statistics,
    loop_lens,
    loop_patch_sweep,
    run_loop,
)
from models.compiled import CompiledTask, loops, make
from models.compiled.circuit import PlantedHead
from tests.compiled_inputs import CODED, EXAMPLES

SOLVED = 6
"""Steps after which all examples are at rest."""
SHORT = {"graphs": 3}
"""Steps that are enough for the loop that takes longest."""
EDGES = {"graphs": (0, 1, 2), "reachability": (1, 0, 3), "machine": (0, 1, 2)}
"""Which of a pair is clean and which corrupt, and steps, so that a node that is patched alone does something."""
CARRIED = {"graphs": ("value",)}
"""Slots that are state, of the loop that has none to say so."""


@pytest.fixture(scope="module")
def made() -> Callable[[str], Any]:
    built: dict[str, Any] = {}
    return lambda name: built.setdefault(name, make(name))


def heads_of(loop: Any, *necessity: str) -> list[PlantedHead]:
    return [head for head in loop.circuit.heads if head.necessity in necessity]


def without(loop: Any, heads: Collection[PlantedHead]) -> Any:
    """A loop of the same make whose heads give nothing."""
    other = make(loop.name)
    with torch.no_grad():
        for head in heads:
            other.layers[head.layer].attn.W_O[head.head] = 0
    return other


def at_answer(loop: Any, inputs: Any, other: Any, n_steps: int) -> tuple[str, int, Any]:
    """Factor, position and metric of the last position at which two runs end with different symbols."""
    ends = [
        {name: codes[-1] for name, codes in run_loop(loop, each, n_steps).codes.items()}
        for each in (inputs, other)
    ]
    factor = loop.factors[-1]
    pos = int((ends[0][factor][0] != ends[1][factor][0]).nonzero()[-1])
    clean, corrupt = (int(end[factor][0, pos]) for end in ends)
    return factor, pos, logit_difference(factor, pos, clean, corrupt)


# Ablation --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", loops())
def test_ablation_tells_what_is_needed_from_decoys_and_twins(made: Callable[[str], Any], name: str) -> None:
    loop = made(name)
    inputs = "20 = a; 2 = b; 7 = c; a + b - c = d; d + a = e" if name == "graphs" else EXAMPLES[name][0]
    n_steps = SHORT.get(name, SOLVED)
    right = {factor: codes[-1] for factor, codes in run_loop(loop, inputs, n_steps).codes.items()}

    def wrong(logits: Mapping[str, Tensor]) -> Tensor:
        """Positions at which any symbol is another than in the run as it is."""
        return (
            torch.stack([scores.argmax(-1) != right[factor] for factor, scores in logits.items()])
            .any(0)
            .sum(1)
            .float()
        )

    twins = tuple((f"{head.layer}.z", head.head) for head in heads_of(loop, "redundant"))
    pairs = [twins] if name == "graphs" else True
    found = loop_ablate_heads(loop, inputs, wrong, n_steps, pairs, value="zero")
    effect = dict(zip(found.sets, found.effect.tolist(), strict=True))
    for head in loop.circuit.heads:
        alone = effect[((f"{head.layer}.z", head.head),)]
        assert (alone > 0) == (head.necessity == "needed"), head
    assert effect[twins] > 0
    frame = found.to_frame()
    assert frame[frame.redundancy > 0].heads.tolist() == [", ".join(f"{site} {head}" for site, head in twins)]


# Edges -----------------------------------------------------------------------------------------------------------


def slots(loop: Any, node: LoopNode) -> tuple[set[str], set[str]]:
    """What a node reads and what it writes, as the circuit says."""
    layer = int(node.site.split(".")[0])
    if node.head >= 0:
        head = loop.circuit.head(layer, node.head)
        return {*head.reads, *head.queries, *head.keys}, set(head.writes)
    parts = [part for part in loop.circuit.mlps if part.layer == layer]
    return {slot for part in parts for slot in part.reads}, {slot for part in parts for slot in part.writes}


@pytest.mark.parametrize("name", loops())
def test_edges_are_those_of_the_circuit(made: Callable[[str], Any], name: str) -> None:
    """An edge has a score only if a slot that one writes is read by the other, across steps one of the state."""
    loop = made(name)
    one, other, steps = EDGES.get(name, (0, 1, 3))
    clean, corrupt = EXAMPLES[name][one], EXAMPLES[name][other]
    _, _, metric = at_answer(loop, clean, corrupt, steps)
    sites = [f"{layer}.{kind}" for layer in range(loop.cfg.n_layers) for kind in ("z", "mlp_out")]
    arguments = (loop, clean, corrupt, sites, metric, steps)
    exact, estimate = exact_loop_edges(*arguments), loop_edge_attribution(*arguments)
    carried = set(CARRIED.get(name) or loop.carried)
    seen: set[str] = set()
    for found in (exact, estimate):
        for (writer, reader), score in zip(found.edges, found.scores[:, 0].tolist(), strict=True):
            if abs(score) < 1e-4:
                continue
            _, writes = slots(loop, writer)
            if reader.site == "output" or reader.step > writer.step:
                writes &= carried
            if reader.site != "output":
                writes &= slots(loop, reader)[0]
            assert writes, (writer, reader, score)
            if found is exact and writer.head >= 0:
                seen.add(loop.circuit.head(int(writer.site[0]), writer.head).role)
    roles = {head.role for head in heads_of(loop, "needed", "redundant")}
    assert seen and seen <= roles, "no decoy, nothing idle"
    assert any(
        reader.site == "output" and score
        for (_, reader), score in zip(exact.edges, exact.scores[:, 0], strict=True)
    )
    twins = heads_of(loop, "redundant")
    for found in (exact, estimate):
        by_twin = [
            {
                (writer.step, reader): float(score[0])
                for (writer, reader), score in zip(found.edges, found.scores, strict=True)
                if (writer.site, writer.head) == (f"{head.layer}.z", head.head)
            }
            for head in twins
        ]
        if twins[0].writes == twins[1].writes:
            assert by_twin[0] == pytest.approx(by_twin[1], abs=1e-4)


def test_edges_are_exact_where_everything_is_linear() -> None:
    from tests.interp.loop.test_loop import TwoLevels

    last = lambda logits: logits["large"][:, -1, 1]  # noqa: E731
    inputs = torch.tensor([[[1.0], [2.0]]]), torch.tensor([[[4.0], [2.5]]])
    arguments = (TwoLevels(), *inputs, ["L.out", "H.resid_pre"], last, 3)
    exact, estimate, integrated = (
        exact_loop_edges(*arguments),
        loop_edge_attribution(*arguments),
        loop_edge_attribution(*arguments, ig_steps=3),
    )
    assert set(exact.edges) == set(estimate.edges) and "EAP-IG (3)" in integrated.method
    for edge, score in zip(exact.edges, exact.scores, strict=True):
        assert float(score) == pytest.approx(estimate.score(*edge), rel=1e-5, abs=1e-4)
        assert float(score) == pytest.approx(integrated.score(*edge), rel=1e-5, abs=1e-4)
    whole = loop_attribution(*arguments)  # what goes out of a node is all that it does
    for cell, moved in zip(whole.cells, whole.patched - whole.corrupt, strict=True):
        goes_out = [
            float(score)
            for (writer, _), score in zip(estimate.edges, estimate.scores, strict=True)
            if (writer.site, writer.step, writer.call) == cell[:3]
        ]
        assert sum(goes_out) == pytest.approx(float(moved), rel=1e-4, abs=1e-3)


# The cone --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", loops())
def test_a_change_gets_where_the_algorithm_takes_it(made: Callable[[str], Any], name: str) -> None:
    loop = made(name)
    inputs = EXAMPLES[name][0]
    plain = run_loop(loop, inputs, SOLVED)
    context = plain.context
    draw = torch.Generator().manual_seed(0)
    spared = [without(loop, heads_of(loop, "decoy")), without(loop, heads_of(loop, "redundant")[:1])]
    reached = 0.0
    for pos in loop.may_change(context)[0].nonzero().flatten().tolist()[: 3 if name in CODED else 1]:
        symbols = {factor: plain.codes[factor][0].clone() for factor in loop.factors}
        drawn = loop.scramble(context, draw)
        for factor in symbols:
            symbols[factor][:, pos] = drawn[factor][:, pos]
        there = loop.embed(symbols, context)[:, pos]
        cone = loop_cone(loop, inputs, 0, pos, lambda _, there=there: there, SOLVED)
        for since in range(SOLVED):
            for factor in loop.factors:
                assert torch.equal(cone.changed[factor][since], symbols[factor] != plain.codes[factor][since])
            symbols = dict(loop.oracle_step(symbols, context))
        assert cone.outside == 0, "nothing gets where attention does not lead"
        reached = max(reached, np.nan_to_num(cone.reached))
        for other in spared:
            again = loop_cone(other, inputs, 0, pos, lambda _, there=there: there, SOLVED)
            assert torch.equal(again.does, cone.does), (
                "a decoy takes nothing anywhere, nor does one of two twins"
            )
    assert reached > 0


# Statistics of heads ----------------------------------------------------------------------------------------------


OFFSETS = {"graphs": "name:last", "parity": "bit"}
"""A head that looks at a fixed offset, where there are such."""


@pytest.mark.parametrize("name", loops())
def test_heads_look_where_they_are_built_to(made: Callable[[str], Any], name: str) -> None:
    loop = made(name)
    inputs = EXAMPLES[name][0]
    frame = loop_head_statistics(loop, inputs, 2).to_frame().set_index(["site", "step", "head"])
    one, other = heads_of(loop, "redundant")
    for step in range(2):
        rows = [frame.loc[(f"{head.layer}.pattern", step, head.head)].drop("change") for head in (one, other)]
        assert rows[0].equals(rows[1]), "twins are alike"
    if name == "parity":
        head = loop.circuit.with_role("bit")
        assert frame.loc[("0.pattern", 0, head.head)].previous == pytest.approx(1)
        assert frame.loc[("0.pattern", 0, one.head)].previous < 0.1  # it looks 2 back
    attention = loop_attention(loop, inputs, 2)
    for head in loop.circuit.heads:
        if head.offset:
            pattern = attention.patterns[f"{head.layer}.pattern"][0, 0, 0, head.head]
            assert float(pattern.diagonal(-head.offset).min()) > 0.999
    assert bool((frame.entropy >= 0).all()) and {"induction_even", "duplicate"} <= set(frame.columns)


def test_shares_of_attention_are_what_they_say() -> None:
    """A text a b a b: duplicates are 2 apart; an induction head looks 1 behind them."""
    words = torch.tensor([[0, 1, 0, 1]])

    class Looks:
        def __init__(self) -> None:
            self.module = torch.nn.ModuleDict({"pattern": torch.nn.Identity()})
            self.sites = {"pattern": "pattern"}

        def begin(self, inputs: Tensor) -> tuple[Tensor, None]:
            return inputs, None

        def step(self, state: Tensor, step: int, context: None) -> Tensor:
            pattern = torch.zeros(1, 3, 4, 4)
            for head, source in enumerate(((0, 0, 0, 1), (0, 0, 1, 2), (0, 1, 2, 3))):
                pattern[0, head, range(4), source] = 1
            self.module["pattern"](pattern)
            return state

        def read(self, state: Tensor, context: None) -> dict[str, Tensor]:
            return {}

    frame = loop_head_statistics(Looks(), words, 1).to_frame()
    assert frame.duplicate.tolist() == [1.0, 0.0, 0.0]  # destinations 2 and 3 have one before them
    assert frame.induction.tolist() == [0.0, 1.0, 0.0]
    assert frame.own.tolist() == [0.25, 0.25, 1.0]


# Lenses, probes, codes --------------------------------------------------------------------------------------------


LINEAR = {"graphs": False, "parity": False, "reachability": True, "shortest-paths": True, "machine": True}
"""Whether the answer can be read linearly before the last MLP has written it: not a table of sums, nor of xor."""


def few(loop: Any, n: int) -> list[Any]:
    """Inputs of like length."""
    inputs = sorted(loop.sample(4 * n, 3), key=lambda given: len(loop.tokens([given])[0]))
    return inputs[n : 2 * n]


@pytest.mark.parametrize("name", loops())
def test_a_tuned_lens_reads_what_is_linearly_there(made: Callable[[str], Any], name: str) -> None:
    loop = made(name)
    inputs, task = few(loop, 40 if name in CODED else 16), CompiledTask(loop)
    levels = task.levels(inputs)
    where = levels == 2 if name == "parity" else levels >= 0  # those that this step is to write
    arguments = (inputs, 2, loop.factors[-1], "resid_mid", where)
    lens = fit_loop_tuned_lens(loop, *arguments)
    assert (
        float(lens.kl[1, -1]) < float(lens.kl_plain[1, -1]) or name == "machine"
    )  # there the store has written
    bare = (
        lens if name == "graphs" else fit_loop_tuned_lens(without(loop, heads_of(loop, "decoy")), *arguments)
    )
    assert (float(bare.best[1, -1]) > 0.9) == LINEAR[name]
    assert torch.equal(bare.best_plain, lens.best_plain)
    if (
        name == "parity"
    ):  # what is read is not what is used: a xor b = 2 (a or b) - a - b, and the decoy has (a or b)
        assert float(lens.best[1, -1]) == 1
    if name in CODED:
        one, both = (
            fit_loop_tuned_lens(without(loop, heads_of(loop, "redundant")[:n]), *arguments) for n in (1, 2)
        )
        assert torch.equal(one.best_plain, lens.best_plain) and not torch.equal(both.kl, lens.kl)


@pytest.mark.parametrize("name", loops())
def test_the_lens_and_codes_follow_the_algorithm(made: Callable[[str], Any], name: str) -> None:
    loop = made(name)
    inputs, task, factor = EXAMPLES[name][0], CompiledTask(made(name)), made(name).factors[-1]
    lens = loop_lens(loop, inputs, SOLVED, factor)
    right, level = lens.rank[:, -1] == 1, task.levels(inputs)
    for row, pos in task.answers(inputs).nonzero().tolist():
        assert bool(right[max(int(level[row, pos]) - 1, 0) :, row, pos].all())
    assert not bool(right[0].all()), "the first step does not know everything"
    for heads, legal in (
        ((), True),
        (heads_of(loop, "decoy"), True),
        (heads_of(loop, "redundant")[1:], True),
        (heads_of(loop, "redundant"), False),
    ):
        usage = loop_code_usage(without(loop, heads), inputs, SOLVED, task)
        illegal = sum(usage.transitions(each).n_illegal for each in loop.factors)
        assert (illegal == 0) == legal or name == "graphs", (heads, illegal)


PROBED = {"parity": "parity", "reachability": "reached"}
"""Labels of few classes."""


@pytest.mark.parametrize("name", PROBED)
def test_probes_find_what_the_controls_do_not(made: Callable[[str], Any], name: str) -> None:
    loop = made(name)
    task, inputs = CompiledTask(loop), few(loop, 20)
    steps = loop.n_steps(inputs)
    options: dict[str, Any] = {"n_steps": steps, "steps": [steps - 1], "folds": 3, "kind": "ridge"}
    grid = fit_loop_probes(loop, inputs, task.labels(inputs), PROBED[name], **options)
    target, shuffled, untrained, control = (float(np.nanmean(arm[:, -1])) for arm in grid.accuracy)
    assert target == 1 > shuffled and untrained < 1
    assert np.isnan(control) == (name == "parity"), "a control task needs several words"
    spared = (heads_of(loop, "decoy"), heads_of(loop, "redundant")[:1]) if name == "parity" else ()
    for heads in spared:
        again = fit_loop_probes(without(loop, heads), inputs, task.labels(inputs), PROBED[name], **options)
        assert float(np.nanmean(again.accuracy[0, :, -1])) == 1


# Dynamics and patches ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CODED)
def test_every_layer_comes_to_a_fixed_point_of_its_own(made: Callable[[str], Any], name: str) -> None:
    loop = made(name)
    found = loop_fixed_points(loop, list(EXAMPLES[name]), 16, window=4)
    summary = found.summary().set_index("point")
    assert bool((summary.fixed == 1).all()) and bool((summary.residual == 0).all())
    assert found.kind(least=1e-3) == "cyclic" and float(found.apart().to_numpy().trace()) == 0
    rest = int(CompiledTask(loop).levels(list(EXAMPLES[name])).max())
    moves = found.residuals["state"].reshape(16, -1).max(1) > 0
    assert moves[:rest].all() and not moves[rest:].any()
    other = loop_fixed_points(without(loop, heads_of(loop, "decoy")), list(EXAMPLES[name]), 16, window=4)
    assert np.array_equal(other.limits["state"], found.limits["state"])


@pytest.mark.parametrize("name", loops())
def test_patches_restore_at_the_step_that_counts(made: Callable[[str], Any], name: str) -> None:
    """The last write that an answer has: patched in its step it restores the clean symbol, attribution agrees there."""
    loop = made(name)
    clean, corrupt = EXAMPLES[name]
    n_steps = SHORT.get(name, SOLVED)
    _, pos, metric = at_answer(loop, clean, corrupt, n_steps)
    last = f"{loop.cfg.n_layers - 1}.resid_post"
    sweep = loop_patch_sweep(loop, clean, corrupt, [last], metric, n_steps, pos="each").to_frame()
    at = sweep[sweep.step == n_steps - 1].set_index("pos").effect
    assert at[pos] == pytest.approx(1) and at.drop(pos).abs().max() == 0
    across = loop_cross_step(loop, clean, corrupt, last, metric, n_steps)
    assert float(across.effect[n_steps - 1, n_steps - 1]) == pytest.approx(1)
    estimate = loop_attribution(loop, clean, corrupt, [last], metric, n_steps, pos="each").to_frame()
    assert estimate[(estimate.step == n_steps - 1) & (estimate.pos == pos)].effect.item() == pytest.approx(1)
    decoy = StepEdit(f"{heads_of(loop, 'decoy')[0].layer}.z", "all", _off(heads_of(loop, "decoy")))
    codes = run_loop(loop, clean, n_steps, edits=[decoy]).codes
    assert all(
        torch.equal(codes[factor], plain) for factor, plain in run_loop(loop, clean, n_steps).codes.items()
    )


def _off(heads: Collection[PlantedHead]) -> Callable[[Tensor], Tensor]:
    def edit(z: Tensor) -> Tensor:
        z[:, :, [head.head for head in heads]] = 0
        return z

    return edit
