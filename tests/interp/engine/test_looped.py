"""Any looped model: activations and edits know their step; our own model agrees with its own runs."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from interp.engine.looped import LoopedError, StepEdit, as_looped, run_looped
from models import ComputationGraph, RecurrentConfig, RecurrentTransformer
from models.compiled import compile_model
from tests.small_models import RANDOM


class Counter(nn.Module):
    """hidden -> hidden W + b, worked out by hand: W doubles, b is (1, 0); reads the hidden itself as two logits."""

    def __init__(self) -> None:
        super().__init__()
        self.doubling = nn.Linear(2, 2)
        self.after = nn.Identity()
        self.twice = nn.Identity()
        self.never = nn.Identity()
        self.pair = Pair()
        with torch.no_grad():
            self.doubling.weight.copy_(2 * torch.eye(2))
            self.doubling.bias.copy_(torch.tensor([1.0, 0.0]))
        self.shared = False

    @property
    def module(self) -> nn.Module:
        return self

    def begin(self, inputs: Tensor) -> Tensor:
        return self.doubling(inputs)

    def step(self, hidden: Tensor, step: int) -> Tensor:
        hidden = self.after(self.doubling(hidden))
        hidden, _ = self.pair(hidden)
        return self.twice(self.twice(hidden))

    def read(self, hidden: Tensor) -> dict[str, Tensor]:
        return {"which": self.after(hidden)}


class Pair(nn.Module):
    def forward(self, hidden: Tensor) -> tuple[Tensor, str]:
        return hidden + 1, "rest"


@pytest.fixture
def counter() -> Counter:
    return Counter()


def hooks_of(module: nn.Module) -> int:
    return sum(len(part._forward_hooks) for part in module.modules())


def test_run_of_a_model_worked_out_by_hand(counter: Counter) -> None:
    """begin: (0, 1) -> (1, 2); a step: (x, y) -> (2x + 2, 2y + 1)."""
    run = run_looped(counter, torch.tensor([[[0.0, 1.0]]]), 3, names=["after", "pair"])
    assert run.n_steps == 3
    assert run.hidden[:, 0, 0].tolist() == [[1, 2], [4, 5], [10, 11], [22, 23]]
    assert run.codes["which"][:, 0, 0].tolist() == [1, 1, 1, 1]
    assert run.activations["after"][:, 0, 0].tolist() == [[3, 4], [9, 10], [21, 22]]
    assert run.activations["pair"][:, 0, 0].tolist() == [[4, 5], [10, 11], [22, 23]]


def test_edits_act_at_their_step_alone_in_order_and_are_recorded(counter: Counter) -> None:
    edits = [
        StepEdit("after", 1, lambda given: given + 10),
        StepEdit("after", 1, lambda given: given * 2),
        StepEdit("pair", 2, torch.zeros_like),
    ]
    run = run_looped(counter, torch.tensor([[[0.0, 1.0]]]), 3, names=["after"], edits=edits)
    assert run.activations["after"][:, 0, 0].tolist() == [[3, 4], [38, 40], [79, 82]]
    assert run.hidden[:, 0, 0].tolist() == [[1, 2], [4, 5], [39, 41], [0, 0]]
    hidden = run_looped(
        counter, torch.tensor([[[0.0, 1.0]]]), 2, edits=[StepEdit("hidden", 1, torch.neg)]
    ).hidden
    assert hidden[:, 0, 0].tolist() == [[1, 2], [-4, -5], [-6, -9]]


def test_an_edit_in_place_touches_a_copy_and_records_do_not_alias(counter: Counter) -> None:
    seen: list[Tensor] = []

    def in_place(given: Tensor) -> Tensor:
        seen.append(given)
        return given.zero_()

    start = torch.tensor([[[0.0, 1.0]]])
    run = run_looped(counter, start, 1, names=["after"], edits=[StepEdit("hidden", 0, in_place)])
    seen[0].fill_(7)
    assert run.hidden[:, 0, 0].tolist() == [[0, 0], [2, 1]]
    assert start.tolist() == [[[0, 1]]]
    assert not run.activations["after"].requires_grad


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_steps": 0}, "n_steps is 0; allowed is 1 or more"),
        (
            {"names": ["dobuling"]},
            "there is no module 'dobuling'; there are doubling, after, twice, never, pair",
        ),
        ({"names": "doubling"}, r"allowed is a list of names, such as \['doubling'\]"),
        ({"names": ["twice"]}, "'twice' is called more than once in step 0"),
        ({"names": ["never"]}, "'never' was not called in step 0"),
        ({"edits": [StepEdit("other", 0, torch.neg)]}, "there is no module 'other'"),
        ({"edits": [StepEdit("after", 2, torch.neg)]}, r"at step 2; allowed are 0\.\.1"),
        ({"edits": [StepEdit("after", 1, lambda given: given[0])]}, r"gave \(1, 2\); allowed is a tensor of"),
        ({"edits": [StepEdit("after", 0, lambda given: None)]}, "gave NoneType"),  # type: ignore[arg-type, return-value]
    ],
)
def test_what_cannot_be_used_is_said_and_leaves_no_hook(
    counter: Counter, arguments: dict[str, object], message: str
) -> None:
    options = {"inputs": torch.zeros(1, 1, 2), "n_steps": 2} | arguments
    with pytest.raises(LoopedError, match=message):
        run_looped(counter, **options)  # type: ignore[arg-type]
    assert hooks_of(counter) == 0


def test_hooks_do_not_survive_an_exception_of_the_model_or_of_an_edit(counter: Counter) -> None:
    def fails(given: Tensor) -> Tensor:
        raise RuntimeError("from the edit")

    with pytest.raises(RuntimeError, match="from the edit"):
        run_looped(counter, torch.zeros(1, 1, 2), 3, ["doubling"], [StepEdit("after", 1, fails)])
    assert hooks_of(counter) == 0
    run_looped(counter, torch.zeros(1, 1, 2), 3, ["doubling"])
    assert hooks_of(counter) == 0


def test_a_step_that_changes_the_shape_is_refused(counter: Counter) -> None:
    counter.step = lambda hidden, step: hidden[:, :, :1]  # type: ignore[method-assign]
    with pytest.raises(LoopedError, match=r"step 0 made \(1, 1, 1\) of a hidden state \(1, 1, 2\)"):
        run_looped(counter, torch.zeros(1, 1, 2), 2)


# Our own model -----------------------------------------------------------------------------------------------


NAMES = [
    "blocks.0.hook_resid_pre",
    "blocks.0.attn.hook_pattern",
    "blocks.1.attn.hook_z",
    "ln_final.hook_scale",
]


def small(bottleneck: str, **options: object) -> RecurrentTransformer:
    method = "continuous" if bottleneck == "continuous" else "discrete"
    cfg = RecurrentConfig.from_dict(
        RANDOM | {"bottleneck": bottleneck, "method": method, "seed": 3} | options
    )
    return RecurrentTransformer(cfg).eval()


def graphs(*n_nodes: int) -> list[ComputationGraph]:
    return [
        ComputationGraph.sample(n, n_leaves=3, modulus=5, n_variables=16, seed=seed)
        for seed, n in enumerate(n_nodes)
    ]


@pytest.mark.parametrize("bottleneck", ["discrete", "continuous"])
@pytest.mark.parametrize("positions", ["relative_bias", "deberta"])
def test_our_model_agrees_with_its_own_run(bottleneck: str, positions: str) -> None:
    model = small(bottleneck, positions=positions)
    encoded = model.vocabulary.encode(graphs(9, 6))
    run = run_looped(as_looped(model), encoded, 4, NAMES)
    logits, cache = model.run_with_cache(encoded, names=NAMES, n_steps=4)
    states = model.forward(encoded, n_steps=4, return_type="states")
    real = encoded.mask
    for index, factor in enumerate(("syntax", "variable", "operation", "value")):
        assert torch.equal(run.codes[factor][1:][:, real], states[1:, ..., index][:, real])
        own = torch.stack([as_looped(model).read(hidden)[factor] for hidden in run.hidden[1:]])
        theirs = logits[..., model.vocabulary.slice(factor)]
        torch.testing.assert_close(own[:, real], theirs[:, real], rtol=0, atol=1e-5)
    for name in NAMES:
        own, theirs = run.activations[name], cache[name]
        assert own.shape == theirs.shape
        places = real[:, None, :].expand(own.shape[1:4]) if name.endswith("pattern") else real
        torch.testing.assert_close(own[:, places], theirs[:, places], rtol=0, atol=1e-5)
    assert not torch.equal(run.activations[NAMES[0]][1], run.activations[NAMES[0]][2])


def test_an_edit_of_our_model_is_its_own_hook_at_that_step() -> None:
    model = compile_model(("ADD",), modulus=5, n_variables=16)
    (graph,) = graphs(10)
    edit = StepEdit("blocks.1.attn.hook_z", 1, torch.zeros_like)
    run = run_looped(as_looped(model), graph, 5, edits=[edit])
    hook = ("steps.1.blocks.1.attn.hook_z", lambda z, hook: torch.zeros_like(z))
    with model.hooks(fwd_hooks=[hook]):
        edited = model.run(graph, n_steps=5).states
    plain = model.run(graph, n_steps=5).states
    assert torch.equal(run.codes["value"][1:], edited[1:, ..., 3])
    assert not torch.equal(edited, plain)
    assert torch.equal(run_looped(as_looped(model), graph, 5).codes["value"][1:], plain[1:, ..., 3])
    assert not model.is_watched()


def test_our_model_refuses_what_it_cannot_do() -> None:
    model = small("discrete")
    with pytest.raises(LoopedError, match=r"'blocks.0.hook_z'; there are hook_state, hook_embed"):
        run_looped(as_looped(model), graphs(5), 2, ["blocks.0.hook_z"])
    both_ways = as_looped(small("discrete", attention_dir="bidirectional"))
    with pytest.raises(LoopedError, match="allowed are graphs of one length"):
        run_looped(both_ways, graphs(9, 5), 2)
    assert run_looped(both_ways, graphs(5), 2).n_steps == 2
    with pytest.raises(LoopedError, match="chain-of-thought model writes a text"):
        as_looped(small("discrete", method="chain-of-thought"))
