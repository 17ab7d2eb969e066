"""From effects to claims: which head fetched what, and what each MLP used; backed, not backed, or beyond a test.

A claim is made for every thing that is read (a head that looks at it, or none), and for every MLP whose output moves
with it. It is *backed* only if, with the component's output as it is where the thing is another, the step writes
exactly what the algorithm would write, in every variation tried. Heads that look at the same thing and do so only
together make one claim. Heads that look at it too, but of which nothing is seen in what is written, are bystanders of a
claim that is backed, and no claim.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from interp.causal.ablation import Component
from interp.circuits.changes import Change
from interp.circuits.effects import RESPONDS, Effect, StepEffects
from models.one_line import one_line

_NUMBERS: Final = ("attention", "effect", "changed", "logit_diff", "past_mlps")


@one_line
@dataclass(frozen=True)
class Controls:
    """Replacements that should change nothing: how many did, of how many.

    Attributes:
        others: of heads that the story does not name for the thing (nor, for a name, for the value behind it).
        elsewhere: of the named heads, put in at another node's right-hand side.
        disturbing: the other heads that changed something.
    """

    others: tuple[int, int] = (0, 0)
    elsewhere: tuple[int, int] = (0, 0)
    disturbing: tuple[Component, ...] = ()


@one_line
@dataclass(frozen=True)
class Claim:
    """One sentence of a story, and what backs it.

    Attributes:
        kind: one of :data:`interp.circuits.changes.KINDS`.
        operand: whose (from 0); None for a leaf's number.
        operand_name: the node it is; None for a leaf's number.
        parts: the heads that fetch it, or the MLP that uses it; () where no head was found.
        pos: where it stands. read: what stands there.
        attention: the heads' mean attention on it; nan for an MLP.
        backed: None where no test can tell.
        why: the reason, where it is not backed.
        n: variations tried; effect: the share in which the predicted symbol was written; changed: in which another one
            was written than without.
        logit_diff: change of logit(predicted) - logit(written without).
        past_mlps: as ``effect``, of all heads that look at it, with the MLPs' outputs held: what goes past the MLPs;
            nan for an MLP.
        cases: (what it was made, predicted, written) by variation.
        filled: names of missing operands that were made to show a value for the test.
        bystanders: heads that look at it too, and whose replacement changes nothing.
    """

    step: int
    kind: str
    operand: int | None
    operand_name: str | None
    parts: tuple[Component, ...]
    pos: int
    read: str
    attention: float
    backed: bool | None
    why: str
    n: int
    effect: float
    changed: float
    logit_diff: float
    past_mlps: float
    cases: tuple[tuple[str, str, str], ...]
    filled: tuple[str, ...]
    bystanders: tuple[Component, ...]
    controls: Controls

    @property
    def by_mlp(self) -> bool:
        """Whether it is about an MLP."""
        return any(part.head is None for part in self.parts)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        numbers = {name: _plain(getattr(self, name)) for name in _NUMBERS}
        cases = [dict(zip(("instead", "predicted", "written"), case, strict=True)) for case in self.cases]
        return {
            **{name: getattr(self, name) for name in ("step", "kind", "operand", "operand_name")},
            "parts": [str(part) for part in self.parts],
            **{name: getattr(self, name) for name in ("pos", "read", "backed", "why", "n")},
            **numbers,
            "cases": cases,
            "filled": list(self.filled),
            "bystanders": [str(part) for part in self.bystanders],
            "other_heads_changed": list(self.controls.others),
            "elsewhere_changed": list(self.controls.elsewhere),
            "disturbing": [str(part) for part in self.controls.disturbing],
        }


def claims_of(found: StepEffects) -> tuple[Claim, ...]:
    """All claims about one step: heads thing by thing, then MLPs."""
    pairs = list(zip(found.changes, found.looking, strict=True))
    heads = [claim for each, looking in pairs for claim in _of_heads(found, each, looking)]
    return (*heads, *(claim for each, _ in pairs for claim in _of_mlps(found, each)))


def _of_heads(found: StepEffects, each: Change, looking: tuple[Component, ...]) -> Iterator[Claim]:
    alone = found.of(each.thing)
    if not len(each.states):
        why = f"no other {each.thing.kind} swapped in changes what the step has to write"
        yield _claim(found, each, looking, None, None, why)
        return
    if not looking:
        heads = [effect for effect in alone.values() if effect.parts[0].head is not None]
        best = max(heads, key=lambda effect: (effect.predicted, effect.changed))
        why = f"no head looks at it and moves with it; of all heads {best.parts[0]} has the most effect, {_score(best)}"
        yield _claim(found, each, (), best, False, why)
        return
    single = [alone[part,] for part in looking]
    together = found.of(each.thing, "together").get(looking)
    if any(effect.exact for effect in single):
        single = [effect for effect in single if effect.changed > 0]
    elif together is not None and together.exact:
        single = [together]
    for effect in single:
        yield _claim(
            found, each, effect.parts, effect, effect.exact, "" if effect.exact else _score(effect), single
        )


def _of_mlps(found: StepEffects, each: Change) -> Iterator[Claim]:
    """Of the MLPs whose output moves with a thing; that names are moved on is the heads' part."""
    if each.thing.kind == "name":
        return
    for parts, effect in found.of(each.thing).items():
        if parts[0].head is None and effect.response >= RESPONDS:
            yield _claim(found, each, parts, effect, effect.exact, "" if effect.exact else _score(effect))


def _claim(
    found: StepEffects,
    each: Change,
    parts: tuple[Component, ...],
    effect: Effect | None,
    backed: bool | None,
    why: str,
    claimed: Sequence[Effect] = (),
) -> Claim:
    """One claim; ``claimed``: the effects of all heads that the thing's claims are about, for the controls."""
    situation, thing = found.situation, each.thing
    named = {part for one in claimed for part in one.parts}
    by_mlp = any(part.head is None for part in parts)
    looking = () if by_mlp else found.looking[found.changes.index(each)]
    graph, operands = situation.graph, situation.equation.operands
    symbols = situation.vocabulary.symbols("value")
    masses = [one.attention for one in (found.of(thing)[part,] for part in parts)]
    held = None if by_mlp else found.of(thing, "held").get(looking)
    written = () if effect is None else effect.written
    predicted = [symbols[int(code)] for code in each.predicted]
    return Claim(
        step=situation.step,
        kind=thing.kind,
        operand=thing.operand,
        operand_name=None if thing.operand is None else graph.nodes[operands[thing.operand]].name,
        parts=parts,
        pos=thing.pos,
        read=situation.read(thing),
        attention=sum(masses) / len(masses) if masses else float("nan"),
        backed=backed,
        why=why,
        n=0 if effect is None else effect.n,
        effect=float("nan") if effect is None else effect.predicted,
        changed=float("nan") if effect is None else effect.changed,
        logit_diff=float("nan") if effect is None else effect.logit_diff,
        past_mlps=float("nan") if held is None else held.predicted,
        cases=tuple(zip(each.states.labels, predicted, written, strict=False)),
        filled=tuple(graph.nodes[operands[k]].name for k in each.fills),
        bystanders=tuple(part for part in looking if part not in named) if backed else (),
        controls=Controls() if by_mlp else _controls(found, each, named),
    )


def _controls(found: StepEffects, each: Change, named: set[Component]) -> Controls:
    thing, apart = each.thing, set(named)
    if thing.kind == "name":
        for other, heads in zip(found.changes, found.looking, strict=True):
            if (other.thing.kind, other.thing.operand) == ("value", thing.operand):
                apart |= set(heads)
    others = [
        effect
        for (part,), effect in found.of(thing).items()
        if part.head is not None and part not in apart and effect.n
    ]
    elsewhere = [effect for (part,), effect in found.of(thing, "elsewhere").items() if part in named]
    disturbing = tuple(effect.parts[0] for effect in others if effect.changed > 0)
    return Controls(_count(others), _count(elsewhere), disturbing)


def _count(effects: Sequence[Effect]) -> tuple[int, int]:
    """(replacements that changed what is written, all)."""
    return sum(round(effect.changed * effect.n) for effect in effects), sum(effect.n for effect in effects)


def _score(effect: Effect) -> str:
    if effect.changed == 0:
        return f"its replacement changes nothing in any of {effect.n} cases"
    right, changed = (round(share * effect.n) for share in (effect.predicted, effect.changed))
    cases = f"in {changed} of {effect.n} cases"
    return f"its replacement changes what is written {cases}, to what the algorithm says in {right}"


def _plain(number: float) -> float | None:
    return None if number != number else number
