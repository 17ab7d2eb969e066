"""What every head and MLP does with each thing that a step reads: outputs swapped in from states where it is another.

For a thing and a variation of it (:mod:`interp.circuits.changes`) the output of one component at the node's right-hand
side is replaced by what it is in the changed state, all else left as it is in the run. Does the step then write exactly
what the algorithm would write? What is measured, over the variations:

    alone       one component's output is replaced; every head and every MLP is tried
    together    those of all heads that look at the thing, where there are several
    held        those of all heads that look at the thing, while all MLPs give what they give without: past the MLPs
    elsewhere   the same as alone, of the head that looks, but put in at another node's right-hand side: a control

    predicted   share of variations in which exactly the predicted symbol is written
    changed     share in which another symbol is written than without the replacement
    logit_diff  mean of logit(predicted) - logit(what is written without), minus the same without the replacement

Where operands are missing, the outputs of the heads that look at their values are replaced in all runs, also in that
without the replacement, by what they are where these operands show a value.

A head looks at a thing if at least ``least`` of its attention from the right-hand side is on it, and its output (a
head's z W_O) moves with it: ``response``, the mean of ||changed - unchanged||^2 over the mean of ||changed||^2 and
||unchanged||^2, is at least :data:`RESPONDS`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from interp.causal.ablation import Component, components
from interp.circuits.changes import Change, Situation, Thing
from interp.engine.interventions import Intervention, MeanAblate, SetValue, ZeroAblate
from interp.engine.replay import run_interventions
from interp.engine.sites import Site
from models.one_line import one_line
from models.vocabulary import FACTORS

RESPONDS: Final = 0.01
_VALUE: Final = FACTORS.index("value")
Outputs = Mapping[Component, Tensor]
"""Component -> float [row, width]: z of a head, mlp_out, at the node's right-hand side."""


@one_line
@dataclass(frozen=True)
class Effect:
    """What replacing outputs does, for one thing at one step.

    Attributes:
        where: ``alone``, ``together``, ``held`` or ``elsewhere``.
        parts: whose outputs.
        n: how many variations; of none the shares are nan.
        attention: of a head on the thing; nan for others.
        response: how much the output moves with the thing; nan where several are replaced.
        written: what was written, by variation.
    """

    step: int
    thing: Thing
    where: str
    parts: tuple[Component, ...]
    n: int
    predicted: float
    changed: float
    logit_diff: float
    attention: float
    response: float
    written: tuple[str, ...]

    @property
    def exact(self) -> bool:
        """Whether the predicted symbol was written every time."""
        return self.n > 0 and self.predicted == 1


@one_line
@dataclass(frozen=True, eq=False)
class StepEffects:
    """All effects of one step.

    Attributes:
        situation: node and step.
        changes: one for each thing.
        looking: for each thing the heads that look at it.
        effects: of all things.
        without_mlp: layer -> symbols written with the MLP's output at the right-hand side set to zero, and to its mean
            over all positions.
    """

    situation: Situation
    changes: tuple[Change, ...]
    looking: tuple[tuple[Component, ...], ...]
    effects: tuple[Effect, ...]
    without_mlp: Mapping[int, tuple[str, str]]

    def of(self, thing: Thing, where: str = "alone") -> dict[tuple[Component, ...], Effect]:
        """The effects of a thing by component."""
        return {
            effect.parts: effect for effect in self.effects if effect.thing == thing and effect.where == where
        }


@torch.no_grad()
def step_effects(situation: Situation, changes: Sequence[Change], least: float) -> StepEffects:
    """Measure one step: one forward pass for the outputs, and one batch of interventions.

    Args:
        changes: one for each thing of the node.
        least: attention that makes a head look at a thing, 0..1.
    """
    counts = [len(each.states) + 1 for each in changes]
    starts = [sum(counts[:i]) for i in range(len(changes))]
    outputs = _outputs(
        situation, torch.cat([torch.cat([each.filled[None], each.states.states]) for each in changes])
    )
    attention = _attention(situation)
    tried = _Trials(situation, tuple(changes), starts, outputs)
    responses = [
        {part: _response(situation, part, tried.rows_of(i, part)) for part in outputs}
        for i in range(len(changes))
    ]
    looking = tuple(
        tuple(
            part
            for part, mass in attention.items()
            if mass[each.thing.pos] >= least and (not len(each.states) or responses[i][part] >= RESPONDS)
        )
        for i, each in enumerate(changes)
    )
    tried.plan(looking)
    tried.run()
    effects: list[Effect] = []
    for (i, where, parts), results in tried.results().items():
        head = parts[0] if len(parts) == 1 else None
        mass = attention[head][changes[i].thing.pos] if head in attention else np.nan
        response = np.nan if head is None else responses[i][head]
        effects.append(_effect(situation, changes[i], where, parts, results, float(mass), float(response)))
    return StepEffects(situation, tuple(changes), looking, tuple(effects), tried.ablated())


class _Trials:
    """The interventions of one step, and what they made the step write."""

    def __init__(
        self, situation: Situation, changes: tuple[Change, ...], starts: Sequence[int], outputs: Outputs
    ) -> None:
        self.situation, self.changes, self.starts, self.outputs = situation, changes, starts, outputs
        self.keys: list[tuple[Any, ...]] = []
        self.given: list[Sequence[Intervention]] = []
        self.found: dict[tuple[Any, ...], tuple[int, Tensor]] = {}

    def rows_of(self, i: int, part: Component) -> Tensor:
        """Float [1 + variation, width]: a component's output without, and with, each variation of a change."""
        start = self.starts[i]
        return self.outputs[part][start : start + 1 + len(self.changes[i].states)]

    def plan(self, looking: Sequence[tuple[Component, ...]]) -> None:
        """Write all interventions down."""
        rhs = self.situation.rhs_of(self.situation.node)
        elsewhere = self._another_rhs()
        by_value = {
            each.thing.operand: heads
            for each, heads in zip(self.changes, looking, strict=True)
            if each.thing.kind == "value"
        }
        for i, each in enumerate(self.changes):
            held = [
                SetValue(replace(part.site(self.situation.step), pos=rhs), self.rows_of(i, part)[0])
                for part in self.outputs
                if part.head is None
            ]
            for row in range(len(each.states)):
                filling = [part for k in each.fills for part in by_value[k]]
                base = [self._replaced(i, row, part, rhs) for part in filling]
                self._add((i, row, "without", ()), base)
                for part in self.outputs:
                    self._add((i, row, "alone", (part,)), [*base, self._replaced(i, row, part, rhs)])
                heads = looking[i]
                joint = [*base, *(self._replaced(i, row, part, rhs) for part in heads)]
                if len(heads) > 1:
                    self._add((i, row, "together", heads), joint)
                if heads:
                    self._add((i, row, "held", heads), [*joint, *held])
                for part in heads if elsewhere is not None else ():
                    there = self._replaced(i, row, part, cast(int, elsewhere))
                    self._add((i, row, "elsewhere", (part,)), [*base, there])
        step = self.situation.step
        for layer in range(self.situation.model.cfg.n_layers):
            site = replace(Component(layer).site(step), pos=rhs)
            self._add(("zero", layer), [ZeroAblate(site)])
            self._add(("mean", layer), [MeanAblate(site, self.situation.recording)])

    def run(self) -> None:
        """Run them all through the replay engine."""
        situation = self.situation
        rhs = situation.rhs_of(situation.node)
        replays = run_interventions(
            situation.model, situation.recording, self.given, situation.step + 1, logits_at=[rhs]
        )
        for key, replay in zip(self.keys, replays, strict=True):
            self.found[key] = int(replay.final[rhs, _VALUE]), replay.value_logits()[0]

    def results(self) -> dict[tuple[int, str, tuple[Component, ...]], list[_Outcome]]:
        """(change, where, components) -> what came out, a variation after the other."""
        found: dict[tuple[int, str, tuple[Component, ...]], list[_Outcome]] = {}
        for key, (written, logits) in self.found.items():
            if key[0] in ("zero", "mean") or key[2] == "without":
                continue
            i, row, where, parts = key
            before, base = self.found[i, row, "without", ()]
            found.setdefault((i, where, parts), []).append(_Outcome(row, written, logits, before, base))
        for i, each in enumerate(self.changes):
            if not len(each.states):
                found |= {(i, "alone", (part,)): [] for part in self.outputs}
        return found

    def ablated(self) -> dict[int, tuple[str, str]]:
        """Layer -> what is written with its MLP zeroed, and averaged."""
        symbols = self.situation.vocabulary.symbols("value")
        return {
            layer: (symbols[self.found["zero", layer][0]], symbols[self.found["mean", layer][0]])
            for layer in range(self.situation.model.cfg.n_layers)
        }

    def _add(self, key: tuple[Any, ...], interventions: Sequence[Intervention]) -> None:
        self.keys.append(key)
        self.given.append(interventions)

    def _replaced(self, i: int, row: int, part: Component, pos: int) -> SetValue:
        value = self.outputs[part][self.starts[i] + 1 + row]
        return SetValue(replace(part.site(self.situation.step), pos=pos), value)

    def _another_rhs(self) -> int | None:
        """Where the nearest earlier node that is no operand shows its value; None where all are operands."""
        operands = self.situation.equation.operands
        others = [node for node in range(self.situation.node) if node not in operands]
        return self.situation.rhs_of(others[-1]) if others else None


@dataclass(frozen=True, eq=False)
class _Outcome:
    """One variation: symbols written with and without the replacement, and the value logits of both."""

    row: int
    written: int
    logits: Tensor
    before: int
    base: Tensor


def _effect(
    situation: Situation,
    each: Change,
    where: str,
    parts: tuple[Component, ...],
    outcomes: Sequence[_Outcome],
    attention: float,
    response: float,
) -> Effect:
    symbols = situation.vocabulary.symbols("value")
    predicted: list[float] = []
    changed: list[float] = []
    differences: list[float] = []
    for one in outcomes:
        answer = int(each.predicted[one.row])
        predicted.append(one.written == answer)
        changed.append(one.written != one.before)
        sides = (logits[answer] - logits[each.without] for logits in (one.logits, one.base))
        after, before = (float(side) for side in sides)
        differences.append(after - before)
    return Effect(
        step=situation.step,
        thing=each.thing,
        where=where,
        parts=parts,
        n=len(outcomes),
        predicted=_mean(predicted),
        changed=_mean(changed),
        logit_diff=_mean(differences),
        attention=attention,
        response=response,
        written=tuple(symbols[one.written] for one in outcomes),
    )


def _outputs(situation: Situation, states: Tensor) -> dict[Component, Tensor]:
    """What every component gives at the right-hand side, in all states at once."""
    model, rhs = situation.model, situation.rhs_of(situation.node)
    end = rhs + 1 if model.cfg.attention_dir == "causal" else states.shape[1]
    packed = model.vocabulary.pack(states[:, :end])
    view = model.at_step(situation.step, ~situation.recording.encoded.mask[:, :end])
    _, cache = view.run_with_cache(packed, names_filter=_is_output)
    found: dict[Component, Tensor] = {}
    for part in components(model):
        kept = cache[Site("mlp_out" if part.head is None else "z", layer=part.layer).hook_name][:, rhs].cpu()
        found[part] = kept if part.head is None else kept[:, part.head]
    return found


def _is_output(name: str) -> bool:
    return name.endswith(("hook_z", "hook_mlp_out"))


def _attention(situation: Situation) -> dict[Component, NDArray[np.float64]]:
    """Head -> float [pos]: its attention from the right-hand side in the run."""
    rhs = situation.rhs_of(situation.node)
    found: dict[Component, NDArray[np.float64]] = {}
    for layer in range(situation.model.cfg.n_layers):
        pattern = situation.recording.activation(Site("pattern", layer=layer).hook_name, situation.step)
        for head in range(situation.model.cfg.n_heads):
            found[Component(layer, head)] = pattern[head, rhs].double().numpy(force=True)
    return found


def _response(situation: Situation, part: Component, rows: Tensor) -> float:
    """How much an output moves from its first row to the others."""
    if len(rows) < 2:
        return float("nan")
    out = (
        rows
        if part.head is None
        else rows @ situation.model.layers[part.layer].attn.W_O[part.head].detach().cpu()
    )
    moved = (out[1:] - out[0]).square().sum(-1).mean()
    size = (out[1:].square().sum(-1).mean() + out[0].square().sum()) / 2
    return float(moved / size) if size > 0 else 0.0


def _mean(numbers: Sequence[float]) -> float:
    return float(np.mean(numbers)) if numbers else float("nan")
