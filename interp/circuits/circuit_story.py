"""The circuit story of one node: what each step of a run did for it, every sentence with the effect that backs it.

At each step, until the node has its final value and one step more: which head fetched which operand's name (looking at
the operand's token), which head fetched which value (looking at that operand's right-hand side), what each MLP made of
it, and which symbol was written by what margin. The heads are found by where they look; whether they do what is said is
tested through the replay engine (:mod:`interp.circuits.effects`, :mod:`interp.circuits.claims`). What is to come out of
each test is the symbolic algorithm's answer, so a story can fail, and says where.

In a causal model nothing behind an equation can reach it: the run is that of the text up to the node.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
import pandas as pd  # pyright: ignore[reportMissingTypeStubs]

from interp.causal.ablation import Component
from interp.circuits.changes import Situation, change
from interp.circuits.claims import Claim, claims_of
from interp.circuits.effects import Effect, StepEffects, step_effects
from interp.engine.following import BaseRun
from interp.engine.interventions import Recording, record
from interp.engine.sites import Site, position_of, rhs
from interp.lenses.direct_attribution import ANSWERS, attribution_of, attribution_sites
from interp.lenses.lens import collect_residuals, lens_of
from interp.mechanism.perturbed import ControlledError
from interp.progress import followed
from models.graph import ComputationGraph
from models.one_line import one_line
from models.recurrent import RecurrentTransformer
from models.trajectory import Trajectory

if TYPE_CHECKING:
    import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]

_ANSWERS: Final = {True: "yes", False: "no", None: "cannot be tested"}


@dataclass(frozen=True)
class Writing:
    """What one MLP wrote at the node's right-hand side.

    Attributes:
        before, after: the value that the model's own readout finds there before and after it; "" where several tie.
        true_before, true_after: probability of the true value in that readout.
        to_true, to_written: what it adds itself to the logit of the true, and of the written symbol, against the mean
            of the other values.
        zeroed, averaged: the symbol that the step writes without it: zeros instead, or its mean over all positions.
    """

    layer: int
    before: str
    after: str
    true_before: float
    true_after: float
    to_true: float
    to_written: float
    zeroed: str
    averaged: str


@one_line
@dataclass(frozen=True)
class StoryStep:
    """One step, as it was.

    Attributes:
        status: ``waiting``, ``computing`` or ``done`` by the algorithm's schedule.
        entered, written: symbols at the right-hand side before and after the step. expected: what one step of the
            algorithm writes.
        margin: logit of ``written`` minus that of ``runner_up``. probability: of ``written``.
        missing: names of operands that showed no value.
        writings: what the MLPs wrote, layer by layer.
    """

    step: int
    status: str
    entered: str
    written: str
    expected: str
    margin: float
    runner_up: str
    probability: float
    missing: tuple[str, ...]
    writings: tuple[Writing, ...]


@one_line
@dataclass(frozen=True, eq=False)
class Story:
    """What happened at one node.

    Attributes:
        graph: the graph; node: index in it.
        run: of the text that was run, which ends with the node in causal models.
        final: the symbol that the node shows when the run has settled. committed: the step that wrote it first for
            good; None where it never changed.
        steps, claims: what is told. effects: all that was measured, step by step.
        least: attention that makes a head look at something.
    """

    graph: ComputationGraph
    node: int
    run: Trajectory
    final: str
    committed: int | None
    steps: tuple[StoryStep, ...]
    claims: tuple[Claim, ...]
    effects: tuple[Effect, ...]
    least: float

    @property
    def name(self) -> str:
        """The node's own name."""
        return self.graph.nodes[self.node].name

    @property
    def true(self) -> int:
        """Its true value."""
        return self.graph.values_by_node[self.node]

    @property
    def solved(self) -> bool:
        """Whether the run ends with the true value."""
        return self.final == str(self.true)

    def step_shown(self, step: int | None = None) -> int:
        """The step that a figure shows; default the one that computes the node, or the last told.

        Raises:
            ValueError: a step that is not told.
        """
        last = len(self.steps) - 1
        if step is None:
            return min(self.graph.depths_by_node[self.node], last)
        if not 0 <= step <= last:
            raise ValueError(f"step is {step}; allowed are 0 to {last}")
        return step

    def fetching(self, kind: str, operand: int | None = None, step: int | None = None) -> set[Component]:
        """Heads that fetch a thing in claims that are backed, at any step or one."""
        return {
            part
            for claim in self.claims
            if claim.backed and not claim.by_mlp and (claim.kind, claim.operand) == (kind, operand)
            if step in (None, claim.step)
            for part in claim.parts
        }

    def controls(self) -> dict[str, tuple[int, int]]:
        """(replacements that changed what is written, all), of heads not named and of named ones elsewhere."""
        things = {
            (claim.step, claim.kind, claim.operand): claim.controls
            for claim in self.claims
            if not claim.by_mlp
        }
        return {
            name: (sum(pair[0] for pair in pairs), sum(pair[1] for pair in pairs))
            for name, pairs in (
                ("others", [controls.others for controls in things.values()]),
                ("elsewhere", [controls.elsewhere for controls in things.values()]),
            )
        }

    def to_frame(self) -> pd.DataFrame:
        """A line a claim: its fields, ``parts`` as text, and how many replacements of each control changed anything."""
        rows: list[dict[str, Any]] = []
        for claim in self.claims:
            row = claim.to_dict() | {"node": self.name, "parts": ", ".join(str(part) for part in claim.parts)}
            row["backed"] = _ANSWERS[claim.backed]
            for name in ("cases", "filled", "bystanders", "disturbing"):
                row.pop(name)
            for name in ("other_heads_changed", "elsewhere_changed"):
                row[name], row[name.replace("changed", "tried")] = row[name]
            rows.append(row)
        return pd.DataFrame(rows)

    def effects_frame(self) -> pd.DataFrame:
        """A line an effect: ``step, kind, operand, pos, where, parts, n, predicted, changed, logit_diff, attention,
        response``.
        """
        names = ("where", "n", "predicted", "changed", "logit_diff", "attention", "response")
        return pd.DataFrame(
            [
                {
                    "step": effect.step,
                    "kind": effect.thing.kind,
                    "operand": effect.thing.operand,
                    "pos": effect.thing.pos,
                    "parts": ", ".join(str(part) for part in effect.parts),
                    **{name: getattr(effect, name) for name in names},
                }
                for effect in self.effects
            ]
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, the text among them."""
        return {
            "graph": self.graph.to_text(),
            "node": self.name,
            "equation": self.graph.equation(self.node),
            "depth": self.graph.depths_by_node[self.node],
            "true": self.true,
            "final": self.final,
            "solved": self.solved,
            "committed": self.committed,
            "least_attention": self.least,
            "steps": [_step_dict(step) for step in self.steps],
            "claims": [claim.to_dict() for claim in self.claims],
            "controls": {name: list(pair) for name, pair in self.controls().items()},
            "text": self.text(),
        }

    def verdict(self) -> str:
        """One sentence: how much of the story is backed."""
        from interp.circuits.text import verdict

        return verdict(self)

    def text(self) -> str:
        """The story in English, a paragraph per step."""
        from interp.circuits.text import told

        return told(self)

    __str__ = text

    def figure(self, step: int | None = None, width: int = 1000) -> go.Figure:
        """:func:`interp.circuits.story_figure.story_figure`; the arrows are those of ``step``."""
        from interp.circuits.story_figure import story_figure

        return story_figure(self, step, width)

    def circuit_figure(self, step: int | None = None, width: int = 1000) -> go.Figure:
        """:func:`interp.circuits.step_circuit_figure.step_circuit_figure`: the circuit of a step."""
        from interp.circuits.step_circuit_figure import step_circuit_figure

        return step_circuit_figure(self, step, width)


def story(
    model: RecurrentTransformer,
    graph: ComputationGraph,
    node: int | str,
    n_steps: int | None = None,
    n: int = 4,
    least: float = 0.5,
    seed: int = 0,
) -> Story:
    """Tell what each step did for one node, and test it.

    Args:
        node: index in text order, or name.
        n_steps: default until the node has its final value and one step more (where it never gets its true value: two
            steps more than its depth).
        n: variations of each thing, at most, drawn with ``seed``.
        least: attention that makes a head look at something, above 0 to 1.

    Raises:
        ControlledError: a model whose steps are not entered by discrete states.
        SiteError: no such node. ValueError: n or n_steps below 1, another ``least``.
        VocabularyError: a graph the model cannot read.
    """
    if model.cfg.bottleneck != "discrete" or model.cfg.writes_text:
        raise ControlledError(
            f"bottleneck is {model.cfg.bottleneck!r} and method {model.cfg.method!r}; a story needs steps that are "
            "entered by discrete states and by nothing else"
        )
    if n < 1 or (n_steps is not None and n_steps < 1) or not 0 < least <= 1:
        raise ValueError(
            f"n is {n}, n_steps {n_steps} and least {least}; allowed: 1 or more, 1 or more or None, above 0 to 1"
        )
    encoded = model.to_encoded(graph)
    index = cast("list[int]", cast(Any, encoded.rhs[0]).tolist()).index(
        cast(int, position_of(rhs(node), encoded))
    )
    shown = graph
    if model.cfg.attention_dir == "causal":
        shown = replace(graph, nodes=graph.nodes[: index + 1])
    settled = model.run(shown, n_steps)
    values = [int(code) for code in settled.values[:, 0, index]]
    committed = max((t for t in range(settled.n_steps) if values[t] != values[t + 1]), default=None)
    final = model.vocabulary.symbols("value")[values[-1]]
    count = n_steps
    if count is None:
        right = values[-1] == graph.values_by_node[index] and committed is not None
        count = (committed if right and committed is not None else graph.depths_by_node[index]) + 2
        count = min(count, model.cfg.default_steps or count)
    recording = record(model, shown, count)
    BaseRun.of(model, recording, count)
    recording.keep(
        (Site("pattern", layer=layer).hook_name, t)
        for layer in range(model.cfg.n_layers)
        for t in range(count)
    )
    found: list[StepEffects] = []
    for t in followed(range(count)):
        situation = Situation(model, recording, index, t)
        found.append(
            step_effects(situation, [change(situation, it, n, seed) for it in situation.things], least)
        )
    writings = _writings(model, recording, index, found)
    return Story(
        graph=graph,
        node=index,
        run=recording.trajectory,
        final=final,
        committed=committed,
        steps=tuple(_step(each, wrote) for each, wrote in zip(found, writings, strict=True)),
        claims=tuple(claim for each in found for claim in claims_of(each)),
        effects=tuple(effect for each in found for effect in each.effects),
        least=least,
    )


def _step(found: StepEffects, writings: tuple[Writing, ...]) -> StoryStep:
    situation, t = found.situation, found.situation.step
    symbols, position = situation.vocabulary.symbols("value"), situation.rhs_of(situation.node)
    logits = situation.recording.activation("hook_logits", t)[position, situation.vocabulary.slice("value")]
    written = int(situation.recording.trajectory.values[t + 1, 0, situation.node])
    others = logits.clone()
    others[written] = -float("inf")
    best = int(others.argmax())
    return StoryStep(
        step=t,
        status=situation.status,
        entered=symbols[situation.shown(situation.node)],
        written=symbols[written],
        expected=symbols[int(situation.written_by_algorithm(situation.state[None])[0])],
        margin=float(logits[written] - logits[best]),
        runner_up=symbols[best],
        probability=float(logits.softmax(-1)[written]),
        missing=tuple(situation.graph.nodes[situation.equation.operands[k]].name for k in situation.missing),
        writings=writings,
    )


def _writings(
    model: RecurrentTransformer, recording: Recording, node: int, found: Sequence[StepEffects]
) -> list[tuple[Writing, ...]]:
    """What every MLP wrote, by step: lens and direct attribution at the node's right-hand side."""
    with TemporaryDirectory() as folder:
        sites = attribution_sites(model, "value")
        graphs, data = collect_residuals(model, recording.graph, folder, recording.n_steps, "rhs", sites)
        lens = lens_of(model, data, graphs)
        direct = {answer: attribution_of(model, data, graphs, answer=answer) for answer in ANSWERS}
    labels: Any = lens.labels
    row = int(np.flatnonzero(labels["node"].to_numpy() == node)[0])
    steps: list[tuple[Writing, ...]] = []
    for t, each in enumerate(found):
        writings: list[Writing] = []
        for layer in range(model.cfg.n_layers):
            before = lens.points.index(f"{layer}_mid")
            read = [int(lens.content_read[t, point, row]) for point in (before, before + 1)]
            values = ["" if code < 0 else lens.symbols[code] for code in read]
            added = {
                answer: float(one.contributions[t, one.components.index(f"{layer}_mlp_out"), row])
                for answer, one in direct.items()
            }
            zeroed, averaged = each.without_mlp[layer]
            writings.append(
                Writing(
                    layer=layer,
                    before=values[0],
                    after=values[1],
                    true_before=float(lens.prob[t, before, row]),
                    true_after=float(lens.prob[t, before + 1, row]),
                    to_true=added["true"],
                    to_written=added["written"],
                    zeroed=zeroed,
                    averaged=averaged,
                )
            )
        steps.append(tuple(writings))
    return steps


def _step_dict(step: StoryStep) -> dict[str, Any]:
    return vars(step) | {"missing": list(step.missing), "writings": [vars(one) for one in step.writings]}
