"""Runs of all loops on models whose every step is known, as plain values: `tests/data/stepping.json` keeps them.

    python -m tests.stepping    writes the file anew

What is kept was written by the loops that :mod:`models.stepper` has replaced, before it did.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from interp.data.collecting import collect
from interp.engine import replay
from interp.engine.interventions import SetCode, SetFrom, ZeroAblate, record
from interp.engine.looped import StepEdit, run_looped
from interp.engine.sites import Site
from interp.engine.sparse import step as sparse
from interp.engine.walk import walk
from interp.oracle_step import oracle_step
from models import ComputationGraph, RecurrentConfig, RecurrentTransformer
from models.compiled import compile_model
from models.recurrence import until_settled
from models.training.objectives.solving import solve_by_steps
from models.training.sampling import Recipe, batch_of, sample_batch
from models.training.states import random_values
from models.training.transition import next_values, true_values
from models.vocabulary import FactoredVocabulary

FILE = Path(__file__).parent / "data" / "stepping.json"
TASK: dict[str, Any] = {"modulus": 5, "n_variables": 16}
LEAF = ComputationGraph.parse("5 = a")
CHAIN = ComputationGraph.parse("4 = a; a = b; b = c; c = d")
EMPTY = 24


def one_hot(vocabulary: FactoredVocabulary, state: Tensor) -> Tensor:
    """Logits whose largest are these symbols."""
    parts = [nn.functional.one_hot(state[..., f], n) for f, n in enumerate(vocabulary.sizes)]
    return 10.0 * torch.cat(parts, dim=-1).float()


class Table(RecurrentTransformer):
    """The value at position 2 goes from `v` to `table[v]` in a step; a continuous one shows `shown[v]` of it."""

    def __init__(self, moves: dict[int, int], shown: dict[int, int] | None = None, **changes: Any) -> None:
        super().__init__(RecurrentConfig(n_layers=1, d_model=8, n_heads=1, d_head=4, d_mlp=8, **changes))
        self.table = torch.tensor([moves.get(value, value) for value in range(25)])
        self.shown = torch.tensor([(shown or {}).get(value, value) for value in range(25)])
        self.calls: list[int] = []
        self.text: Tensor | None = None
        self.unembed.forward = self.read_out

    def transition(self, state: Tensor, step: int = 0, padding: Tensor | None = None) -> Tensor:
        self.calls.append(len(state))
        following = state.clone()
        following[:, 2, 3] = self.table[state[:, 2, 3]]
        return one_hot(self.vocabulary, following)

    def embed_state(self, state: Tensor) -> Tensor:
        self.text = state
        return state[..., 3, None].float()

    def step(self, resid: Tensor, step: int = 0, key_mask: Tensor | None = None) -> Tensor:
        self.calls.append(len(resid))
        moved = resid.clone()
        moved[:, 2] = self.table[resid[:, 2].long()].float()
        return moved

    def read_out(self, hidden: Tensor) -> Tensor:
        assert self.text is not None
        state = self.text.clone()
        state[:, 2, 3] = self.shown[hidden[:, 2, 0].long()]
        return one_hot(self.vocabulary, state)


TABLES: dict[str, dict[int, int]] = {
    "settles": {24: 3, 3: 5},
    "at once": {},
    "cycle of 3": {24: 3, 3: 7, 7: 8, 8: 3},
    "cycle of 2 from the start": {24: 1, 1: 24},
    "never": {value: (value + 1) % 25 for value in range(25)},
    "late": {24: 3, 3: 7, 7: 9, 9: 11, 11: 5},
}


def digest(tensor: Any) -> str:
    """Of whole numbers: shape and content."""
    array = np.ascontiguousarray(np.asarray(tensor).astype(np.int64))
    return f"{list(array.shape)} {hashlib.sha256(array.tobytes()).hexdigest()[:16]}"


def of_run(model: Any, run: Any) -> dict[str, Any]:
    """A run's account of itself, and what it took."""
    calls, model.calls = getattr(model, "calls", []), []
    return {
        "values": run.values[:, :, 0].T.tolist(),
        "states": digest(run.states),
        "confidence": [round(float(p), 5) for p in run.value_confidence[:, :, 0].T.flatten()],
        "fixed_point": run.fixed_point.tolist(),
        "cycle": run.cycle.tolist(),
        "hit_bound": run.hit_bound.tolist(),
        "bound": run.bound,
        "calls": calls,
    }


def started(model: RecurrentTransformer, graphs: list[ComputationGraph], *values: int) -> Tensor:
    """Initial states that show these values at position 2."""
    initial = model.to_encoded(graphs).factors.clone()
    for row, value in enumerate(values):
        initial[row, 2, 3] = value
    return initial


def idle(tensor: Tensor, hook: Any) -> None:
    """A hook that does nothing, so that nothing may be left out."""


WATCHED: Any = [(lambda name: name.endswith("hook_logits"), idle)]


def runs() -> dict[str, Any]:
    """`model.run`: with what is known of a discrete state, and plainly."""
    found: dict[str, Any] = {}
    for name, moves in TABLES.items():
        model = Table(moves).eval()
        for n_steps in (None, 0, 1, 9):
            found[f"{name}, {n_steps} steps"] = of_run(model, model.run([LEAF], n_steps))
        with model.hooks(fwd_hooks=WATCHED):
            for n_steps in (None, 2, 7):
                found[f"{name}, {n_steps} steps, watched"] = of_run(model, model.run([LEAF], n_steps))
        graphs = [LEAF, CHAIN, LEAF]
        initial = started(model, graphs, EMPTY, 3, 9)
        found[f"{name}, three rows"] = of_run(model, model.run(graphs, None, initial))
        found[f"{name}, three rows to the end"] = of_run(model, model.run(graphs, 8, initial))
    for bottleneck in ("discrete", "continuous"):
        noisy = Table(TABLES["settles"], bottleneck=bottleneck, attention_noise=1.0).train()
        found[f"{bottleneck}, noisy"] = of_run(noisy, noisy.run([LEAF], 4))
    return found


def patience() -> dict[str, Any]:
    """A continuous model whose readout rests for two steps and then goes on, and one that rests for three."""
    found: dict[str, Any] = {}
    moves = {value: value + 1 for value in range(14)} | {24: 0, 14: 14}
    for name, shown in {
        "rests for two": {0: 4, 1: 4, 2: 4, 3: 6, 4: 7, 5: 7, 6: 7, 7: 7, 8: 7},
        "rests for three": {0: 4, 1: 4, 2: 4, 3: 4, 4: 9},
        "never rests": {},
    }.items():
        for default in (None, 6):
            model = Table(moves, shown, bottleneck="continuous", default_steps=default).eval()
            for n_steps in (None, 2, 12):
                found[f"{name}, {n_steps} steps, default {default}"] = of_run(
                    model, model.run([CHAIN], n_steps)
                )
            hidden = torch.full((1, 15, 8), 2.0)
            found[f"{name}, from the middle, default {default}"] = of_run(
                model, model.run([CHAIN], None, initial_hidden=hidden)
            )
        model = Table(moves, shown, bottleneck="continuous").eval()
        start = model.to_encoded([CHAIN, LEAF]).factors
        for bound in (3, 12):
            states = [state for _, state in model.iterate(start, bound, stop=until_settled(model))]
            found[f"{name}, settled, at most {bound}"] = [len(states), digest(torch.stack(states))]
    discrete = Table(TABLES["late"]).eval()
    for bound in (2, 9):
        steps = discrete.iterate(started(discrete, [LEAF]), bound, stop=until_settled(discrete))
        states = [state for _, state in steps]
        found[f"discrete, settled, at most {bound}"] = [state[0, 2, 3].item() for state in states]
    return found


def walks() -> dict[str, Any]:
    """`walk`: repeating or not, on given states or the model's own."""
    found: dict[str, Any] = {}
    for name, moves in TABLES.items():
        model = Table(moves).eval()
        initial = started(model, [LEAF] * 3, EMPTY, 3, 9)
        given = torch.stack(
            [started(model, [LEAF] * 3, *values) for values in ((1, 2, 3), (4, 2, 24), (1, 5, 3), (1, 2, 24))]
        )
        ways = {"own": (7, None, True), "every step": (7, None, False), "given": (4, given, True)}
        for way, (n_steps, states, repeats) in ways.items():
            steps = list(walk(model, initial, n_steps, states, repeats))
            calls, model.calls = model.calls, []
            found[f"{name}, {way}"] = {
                "numbers": [step.number for step in steps],
                "sources": [step.source.tolist() for step in steps],
                "entering": [step.entering[:, 2].tolist() for step in steps],
                "written": [step.written[:, 2].tolist() for step in steps],
                "calls": calls,
            }
    continuous = Table({24: 0, 0: 1, 1: 2}, bottleneck="continuous").eval()
    steps = list(walk(continuous, started(continuous, [LEAF]), 4))
    found["continuous"] = [
        [step.source.tolist(), step.entering[:, 2].tolist(), step.written[:, 2].tolist()] for step in steps
    ]
    compiled = compile_model(("ADD",), **TASK)
    graphs = [ComputationGraph.sample(n, n_leaves=3, seed=n, **TASK) for n in (5, 8, 12)]
    data = collect(compiled, graphs, "resid_post", n_steps=8)
    found["collected"] = {name: digest(label) for name, label in data.step_labels.items()}
    return found


def replays() -> dict[str, Any]:
    """The replay engine on the compiled model: what differs, and how many steps of rows were computed."""
    model = compile_model(("ADD",), **TASK)
    graph = ComputationGraph.sample(7, n_leaves=3, seed=1, **TASK)
    first, rest = graph.to_text().split(" = ", 1)
    source = record(model, ComputationGraph.parse(f"{(int(first) + 1) % 5} = {rest}", **TASK), 6)
    rhs = model.to_encoded(graph).rhs[0].tolist()
    given: list[Any] = [()]
    given += [SetCode(step, rhs[node], "value", 3) for step in (0, 2, 5) for node in (0, 3, 6)]
    given += [SetCode(1, rhs[0], "value", 3), SetCode(1, rhs[0], "value", 3)]
    given += [[SetCode(0, rhs[0], "value", 2), SetCode(3, rhs[0], "value", 2)]]
    given += [SetFrom(Site("state", step=step, pos="all"), source) for step in (0, 1, 4)]
    given += [
        SetFrom(Site("resid_post", step=step, layer=2, pos=rhs[node]), source)
        for step in (0, 3)
        for node in (0, 5)
    ]
    given += [ZeroAblate(Site("z", step=step, layer=2, head=0)) for step in (0, 4)]
    given += [[ZeroAblate(Site("mlp_out", step=1, layer=2, pos=rhs[4])), SetCode(2, rhs[4], "value", 0)]]
    found: dict[str, Any] = {}
    evaluate, computed = sparse.evaluate_items, list[list[int]]()

    def counted(base: Any, t: int, items: Any, tokens: int) -> Any:
        if items:
            computed.append([t, len(items)])
        return evaluate(base, t, items, tokens)

    sparse.evaluate_items = counted
    try:
        for where in (None, "rhs"):
            for n_steps in (1, 6, 9):
                usable = [one for one in given if _last(one) < n_steps]
                each = list(replay.run_interventions(model, graph, usable, n_steps, where, exact="dense"))
                found[f"{n_steps} steps, logits {where}"] = {
                    "differing": [
                        {str(step): digest(packed) for step, packed in sorted(one.differing.items())}
                        for one in each
                    ],
                    "read": [
                        None if one.logits is None else digest(one.value_logits().argmax(-1)) for one in each
                    ],
                    "computed": list(computed),
                }
                computed.clear()
    finally:
        sparse.evaluate_items = evaluate
    return found


def _last(given: Any) -> int:
    """The last step that interventions touch."""
    parts = given if isinstance(given, list | tuple) else [given]
    return max([part.step if isinstance(part, SetCode) else part.site.step for part in parts], default=0)


class Counter(nn.Module):
    """hidden -> 2 hidden + 1."""

    def __init__(self) -> None:
        super().__init__()
        self.add = nn.Identity()

    @property
    def module(self) -> nn.Module:
        return self

    def begin(self, inputs: Tensor) -> Tensor:
        return inputs

    def step(self, hidden: Tensor, step: int) -> Tensor:
        return self.add(2 * hidden + 1)

    def read(self, hidden: Tensor) -> dict[str, Tensor]:
        return {"parity": torch.stack([hidden[..., 0] % 3, hidden[..., 0] % 4], dim=-1)}


def loops() -> dict[str, Any]:
    """`run_looped`: states as edited, readouts, records."""
    inputs = torch.arange(3.0)[None, :, None]
    edits = [
        StepEdit("hidden", 0, lambda x: x + 1),
        StepEdit("hidden", 2, lambda x: 0 * x),
        StepEdit("add", 1, lambda x: -x),
    ]
    found: dict[str, Any] = {}
    for name, given in {"plain": [], "edited": edits}.items():
        run = run_looped(Counter(), inputs, 4, ["add"], given)
        found[name] = [
            run.hidden[:, 0, :, 0].tolist(),
            run.codes["parity"][:, 0].tolist(),
            run.activations["add"][:, 0, :, 0].tolist(),
        ]
    return found


def solved() -> dict[str, Any]:
    """What training's validation solves by."""
    found: dict[str, Any] = {}
    compiled = compile_model(("ADD",), **TASK)
    graphs = [ComputationGraph.sample(n, n_leaves=3, seed=n, **TASK) for n in (5, 8, 12)]
    found["compiled"] = solve_by_steps(compiled, batch_of(graphs, compiled.vocabulary)).tolist()
    for name, moves in TABLES.items():
        for changes in ({}, {"default_steps": 2}, {"bottleneck": "continuous"}):
            model = Table(moves, **changes).eval()
            values = solve_by_steps(model, batch_of([LEAF, CHAIN], model.vocabulary)).tolist()
            found[f"{name}, {changes}"] = [values, len(model.calls)]
    return found


def oracles() -> dict[str, Any]:
    """The symbolic step, of training and of the analyses, on random states."""
    found: dict[str, Any] = {}
    for ops in (("ADD",), ("ADD", "SUB", "MUL"), ("MAX", "SUB")):
        vocabulary = FactoredVocabulary(ops=ops, modulus=7)
        rng = np.random.default_rng(3)
        batch = sample_batch(rng, vocabulary, 20, Recipe((4, 16), (2, 5)))
        values = random_values(rng, batch, vocabulary)
        encoded = vocabulary.encode(vocabulary_graphs(batch, vocabulary))
        state = encoded.factors.clone()
        pos = torch.as_tensor(rng.integers(0, 8, len(state)))
        every = torch.arange(len(state))
        for factor, size in enumerate(vocabulary.sizes):
            state[every, pos, factor] = torch.as_tensor(rng.integers(0, size, len(state)))
        found[str(ops)] = [
            digest(next_values(batch, values, vocabulary)),
            digest(true_values(batch, vocabulary)),
            digest(oracle_step(state, encoded, vocabulary)),
        ]
    return found


def vocabulary_graphs(batch: Any, vocabulary: FactoredVocabulary) -> list[ComputationGraph]:
    """The graphs of a batch."""
    texts = vocabulary.decode(torch.from_numpy(batch.factors))
    return [ComputationGraph.parse(text, vocabulary.modulus, vocabulary.n_variables) for text in texts]


KINDS = {
    "runs": runs,
    "patience": patience,
    "walks": walks,
    "replays": replays,
    "loops": loops,
    "solved": solved,
    "oracles": oracles,
}


if __name__ == "__main__":
    lines = [
        f"{json.dumps(kind)}: {{\n"
        + ",\n".join(f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in make().items())
        + "\n}"
        for kind, make in KINDS.items()
    ]
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n")
