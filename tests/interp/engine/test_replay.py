"""The replay engine against one full run for each intervention, and against hooks written by hand."""

from collections.abc import Callable

import pytest
import torch

from interp.engine.following import Span, batches
from interp.engine.interventions import (
    Intervention,
    MeanAblate,
    Recording,
    ResampleAblate,
    SetCode,
    SetFrom,
    SetValue,
    ZeroAblate,
    record,
)
from interp.engine.replay import Replay, run_interventions, run_plainly
from interp.engine.sites import SHORT_NAMES, Site, SiteError, rhs
from models import ComputationGraph, RecurrentConfig, RecurrentTransformer
from models.compiled import compile_model

TASK = {"modulus": 5, "n_variables": 16}
STEPS = 4


def tiny(**changes: object) -> RecurrentTransformer:
    """An untrained model in float64, so that rounding is far below any effect."""
    settings: dict[str, object] = {"n_layers": 2, "d_model": 16, "n_heads": 2, "d_head": 8, "d_mlp": 32}
    settings |= {"positions": "relative_bias", "position_window": 8, "seed": 3, **TASK, **changes}
    return RecurrentTransformer(RecurrentConfig(**settings)).to(torch.float64).eval()  # type: ignore[arg-type]


MODELS: dict[str, Callable[[], RecurrentTransformer]] = {
    "relative bias": tiny,
    "log scale": lambda: tiny(attention_scale="log", attention_scale_reference=4),
    "no positions": lambda: tiny(positions="none"),
    "deberta": lambda: tiny(positions="deberta"),
    "rotary": lambda: tiny(positions="rotary"),
    "absolute": lambda: tiny(positions="absolute"),
    "bidirectional": lambda: tiny(attention_dir="bidirectional"),
    "continuous": lambda: tiny(bottleneck="continuous"),
    "compiled": lambda: compile_model(("ADD",), **TASK).to(torch.float64),
}


def pair(seed: int) -> tuple[ComputationGraph, ComputationGraph]:
    """A graph, and the same with another value at its first leaf."""
    clean = ComputationGraph.sample(n_nodes=7, n_leaves=3, seed=seed, **TASK)
    first, rest = clean.to_text().split(" = ", 1)
    return clean, ComputationGraph.parse(f"{(int(first) + 1) % 5} = {rest}", **TASK)


def every_kind(model: RecurrentTransformer, seed: int) -> tuple[ComputationGraph, list[Intervention]]:
    """Interventions of all kinds at a sample of the sites of all names."""
    clean, corrupt = pair(seed)
    source = record(model, corrupt, STEPS)
    drawn: list[Intervention] = []
    for name in SHORT_NAMES:
        if name == "result":
            continue
        steps = [0] if name == "state" and model.cfg.bottleneck == "continuous" else range(STEPS)
        sites = Site.grid(model, clean, name, step=steps)
        drawn += [SetFrom(site, source) for site in sites[seed :: max(1, len(sites) // 6)]]
        drawn += [ResampleAblate(site, source, seed) for site in sites[:: max(1, len(sites) // 2)]]
        if name != "state":
            drawn += [ZeroAblate(site) for site in sites[:: max(1, len(sites) // 2)]]
            drawn += [MeanAblate(site, source) for site in sites[:: max(1, len(sites) // 2)]]
    drawn += [SetFrom(Site("z", layer=1, head=0), source), ZeroAblate(Site("mlp_out", layer=0))]
    drawn += [SetFrom(Site("resid_pre", step=2, layer=1, pos=5), source, step=1)]
    drawn += [SetValue(Site("attn_out", step=1, layer=0, pos=3), 2.0)]
    return clean, drawn


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("seed", [0])
def test_agrees_with_one_full_run_for_each(name: str, seed: int) -> None:
    model = MODELS[name]()
    graph, drawn = every_kind(model, seed)
    ours = list(run_interventions(model, graph, drawn, STEPS, tokens=200))
    plain = list(run_plainly(model, graph, drawn, STEPS))
    assert [replay.index for replay in ours] == list(range(len(drawn)))
    assert any(replay.differing for replay in plain)
    for mine, reference in zip(ours, plain, strict=True):
        assert torch.equal(mine.states, reference.states), drawn[mine.index]
        torch.testing.assert_close(mine.logits, reference.logits, rtol=1e-9, atol=1e-9)
        assert torch.equal(mine.changed, reference.changed)
        assert torch.equal(mine.final, mine.states[-1])


def test_agrees_in_single_precision_up_to_rounding() -> None:
    model = compile_model(("ADD",), **TASK)
    graph, drawn = every_kind(model, 0)
    for mine, reference in zip(
        run_interventions(model, graph, drawn, STEPS), run_plainly(model, graph, drawn, STEPS), strict=True
    ):
        assert torch.equal(mine.states, reference.states)
        assert float((mine.logits - reference.logits).abs().max()) < 1e-5


@pytest.mark.parametrize("several", [False, True])
def test_codes_and_several_interventions_at_once(several: bool) -> None:
    model = tiny()
    graph, corrupt = pair(4)
    source = record(model, corrupt, STEPS)
    together: list[Intervention] = [SetCode(2, rhs(1), "value", "3"), SetCode(2, 0, "syntax", 1)]
    if several:
        together += [ZeroAblate(Site("z", step=2, layer=1, pos=9, head=1))]
        together += [SetFrom(Site("resid_mid", step=3, layer=0, pos=2), source)]
    (mine,) = run_interventions(model, graph, [together], STEPS)
    (reference,) = run_plainly(model, graph, [together], STEPS)
    assert torch.equal(mine.states, reference.states)
    assert mine.states[2, 0, 0] == 1
    torch.testing.assert_close(mine.logits, reference.logits, rtol=1e-9, atol=1e-9)


def test_the_reference_is_what_a_hook_by_hand_gives() -> None:
    model = tiny()
    graph, _ = pair(2)

    def zero(activation: torch.Tensor, hook: object) -> torch.Tensor:
        activation[:, 6, 1] = 0
        return activation

    with model.hooks(fwd_hooks=[("steps.1.blocks.0.attn.hook_z", zero)]), torch.no_grad():
        logits = model(graph, n_steps=STEPS)
        states = model(graph, n_steps=STEPS, return_type="states")
    given = ZeroAblate(Site("z", step=1, layer=0, pos=6, head=1))
    everywhere = range(logits.shape[2])
    for engine in (run_interventions, run_plainly):
        (replay,) = engine(model, graph, [given], STEPS, logits_at=everywhere)
        assert torch.equal(replay.states, states[:, 0])
        torch.testing.assert_close(replay.logits, logits[-1, 0])


def test_computes_only_what_differs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A patch that writes what stands there costs nothing, and computed densely its own step only; a change that heals
    is not followed further.
    """
    model = compile_model(("ADD",), **TASK)
    graph, _ = pair(1)
    base = record(model, graph)
    calls: list[tuple[int, int]] = []
    resume = RecurrentTransformer.resume

    def counted(self: RecurrentTransformer, resid: torch.Tensor, *rest: object) -> torch.Tensor:
        calls.append((int(rest[2]), resid.shape[1]))  # type: ignore[call-overload]
        return resume(self, resid, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(RecurrentTransformer, "resume", counted)
    last = model.cfg.n_layers - 1
    same = SetFrom(Site("z", step=1, layer=last, pos=4, head=5), base)
    list(run_interventions(model, base, [same]))
    assert calls == []
    list(run_interventions(model, base, [same], exact="dense"))
    assert calls == [(1, 1)]
    calls.clear()
    levels = max(graph.depths_by_node)
    wrong = (graph.values_by_node[0] + 1) % 5
    (healed,) = run_interventions(model, graph, [SetCode(2, rhs(0), "value", wrong)], 20)
    assert 0 < len([step for step, _ in calls if step >= 2]) <= levels + 1
    assert healed.changed[2, 0]
    assert not healed.changed[-1].any()


def test_streams_and_can_be_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("interp.engine.replay.BLOCK", 3)
    model = tiny()
    graph, _ = pair(1)
    seen: list[tuple[int, int]] = []
    given = [ZeroAblate(Site("z", step=0, layer=0, pos=pos, head=0)) for pos in range(8)]
    stream = run_interventions(model, graph, given, STEPS, progress=lambda *done: seen.append(done))
    assert isinstance(next(stream), Replay)
    assert seen == [(3, 8)]
    assert len(list(stream)) == 7
    assert seen == [(3, 8), (6, 8), (8, 8)]


def test_no_interventions_give_nothing_and_an_empty_one_the_base_run() -> None:
    model = tiny()
    graph, _ = pair(1)
    assert list(run_interventions(model, graph, [], STEPS)) == []
    (replay,) = run_interventions(model, graph, [()], STEPS, logits_at=None)
    assert replay.logits is None
    with pytest.raises(
        ValueError, match="kept no logits; allowed is one that was asked for some with logits_at"
    ):
        replay.value_logits()
    assert torch.equal(replay.states, model.run(graph, STEPS).states[:, 0])


def test_bad_input_says_what_is_allowed() -> None:
    model = tiny()
    graph, corrupt = pair(1)
    longer = ComputationGraph.sample(n_nodes=9, n_leaves=3, seed=0, **TASK)
    site = Site("z", step=1, layer=0, pos=2, head=0)
    for given, message in (
        (ZeroAblate(Site("z", step=STEPS, layer=0)), r"step 4 is beyond the run, which has steps 0\.\.3"),
        (ZeroAblate(Site("z", step=0, layer=7)), r"no layer 7; the model has layers 0\.\.1"),
        (SetValue(site, torch.zeros(3)), r"the value has shape \(3,\), the activation \(8,\)"),
        (SetFrom(site, record(model, longer, STEPS)), r"the source run has \d+ positions, this one \d+"),
        (SetFrom(site, record(model, corrupt, 2), step=3), r"step 3 is beyond the run"),
        (SetCode(1, 0, "value", 99), r"no symbol 99 of factor 'value'; allowed are 0\.\.6"),
        (MeanAblate(Site("state", step=1), record(model, corrupt, STEPS)), "symbols have no mean"),
        (ZeroAblate(Site("result", step=1, layer=0)), "use_attn_result"),
    ):
        with pytest.raises(SiteError, match=message):
            run_interventions(model, graph, [given], STEPS)
    with pytest.raises(SiteError, match="logits_at has position 999"):
        run_interventions(model, graph, [()], STEPS, logits_at=[999])
    with pytest.raises(ValueError, match="n_steps must be 1 or more"):
        run_interventions(model, graph, [()], 0)
    with (
        model.hooks(fwd_hooks=[("steps.0.hook_logits", lambda x, hook: x)]),
        pytest.raises(ValueError, match="hooks attached"),
    ):
        run_interventions(model, graph, [()], STEPS)
    continuous = MODELS["continuous"]()
    with pytest.raises(SiteError, match="enter at step 0 only"):
        run_interventions(
            continuous, graph, [SetFrom(Site("state", step=1), record(continuous, corrupt, STEPS))], STEPS
        )


def test_batches_hold_one_layer_and_end_and_little_waste() -> None:
    spans = [Span(layer, start, 100) for layer in (0, 1) for start in range(0, 100, 5)]
    found = list(batches(spans, tokens=400))
    assert sorted(index for batch in found for index in batch) == list(range(len(spans)))
    for batch in found:
        starts = [spans[index].start for index in batch]
        assert len({(spans[index].layer, spans[index].end) for index in batch}) == 1
        assert len(batch) * (100 - min(starts)) <= 400
        assert max(starts) - min(starts) <= 0.25 * (100 - min(starts))


def test_a_run_that_began_elsewhere_than_in_its_text_is_no_recording() -> None:
    model, (graph, _) = tiny(), pair(seed=0)
    settled = model.run(graph, n_steps=2)
    Recording(model, settled)
    later = model.run(graph, n_steps=2, initial_state=settled.states[1])
    with pytest.raises(ValueError, match=r"initial_state.*interventions at step 0"):
        Recording(model, later)
