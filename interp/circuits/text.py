"""A story in English."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from interp.causal.ablation import Component

if TYPE_CHECKING:
    from interp.circuits.circuit_story import Story, StoryStep, Writing
    from interp.circuits.claims import Claim

ORDINALS: Final = ("first", "second", "third")
_CASES: Final = 2
"""Variations that are written out."""
_NOTHING: Final = 0.05
"""Logits below which nothing is said to be added."""


def told(story: Story) -> str:
    """The whole story, a paragraph per step."""
    paragraphs = [_opening(story), *(_step(story, step) for step in story.steps), verdict(story)]
    return "\n\n".join(paragraphs)


def verdict(story: Story) -> str:
    """How many claims are backed, what the controls did, and whether the node is solved."""
    tested = [claim for claim in story.claims if claim.backed is not None]
    backed = sum(bool(claim.backed) for claim in tested)
    beyond = len(story.claims) - len(tested)
    sentences = [
        f"{story.name}: {backed} of {len(tested)} claims that can be tested are backed"
        + (f" ({beyond} cannot be)." if beyond else ".")
    ]
    controls = story.controls()
    for name, what in (
        ("others", "heads that the story does not name"),
        ("elsewhere", "the named heads at another node's right-hand side"),
    ):
        changed, tried = controls[name]
        if tried:
            sentences.append(
                f"Control: patching {what} changes what is written in {changed} of {tried} cases."
            )
    if not story.solved:
        sentences.append(
            f"The model does not solve the node: it shows {story.final}, and the true value is {story.true}."
        )
    return " ".join(sentences)


def sentence(claim: Claim) -> str:
    """What a claim says, without what backs it."""
    if claim.by_mlp:
        return f"{_names(claim.parts)} uses {thing(claim)}"
    who = _names(claim.parts) or "no head was found that"
    seen = "" if claim.attention != claim.attention else f" (attention {claim.attention:.2f})"
    there = f"position {claim.pos}{seen}"
    if claim.backed is None:
        verb = "look" if len(claim.parts) > 1 else "looks"
        return f"{_and(claim.parts) or 'no head'} {verb} at {thing(claim)}, at {there}"
    if claim.kind == "name":
        return f"{who} fetched the name of the {ORDINALS[claim.operand or 0]} operand, {claim.read}, from {there}"
    if claim.kind == "value" and not claim.read.isdigit():
        return f"{who} looked for the value of {claim.operand_name} at {there} and found {claim.read}"
    if claim.kind == "value":
        return f"{who} fetched the value {claim.operand_name} = {claim.read} from {there}"
    if claim.kind == "operation":
        return f"{who} fetched the operation {claim.read} from {there}"
    return f"{who} copied the number {claim.read} from {there}"


def thing(claim: Claim) -> str:
    """What a claim is about, in a few words."""
    if claim.kind == "number":
        return "the number"
    if claim.kind == "operation":
        return f"the operation before {claim.operand_name}"
    return f"the {claim.kind} of {claim.operand_name}"


def evidence(claim: Claim) -> str:
    """What backs a claim, or why nothing does."""
    if claim.backed is None:
        return f"Cannot be tested here: {claim.why}."
    if not claim.backed:
        return f"Not backed: {claim.why}."
    cases = ", ".join(f"{instead} -> {written}" for instead, _, written in claim.cases[:_CASES])
    more = ", ..." if len(claim.cases) > _CASES else ""
    filled = f" and {' and '.join(claim.filled)} given a value" if claim.filled else ""
    if claim.bystanders:
        are = (
            "looks there too; its replacement changes"
            if len(claim.bystanders) == 1
            else "look there too; their replacements change"
        )
        beside = f" {_capital(_and(claim.bystanders))} {are} nothing."
    else:
        beside = ""
    return (
        f"Backed: with another {claim.kind} swapped in{filled}, the step writes what the algorithm writes in {claim.n} "
        f"of {claim.n} cases ({cases}{more}); logit difference {claim.logit_diff:+.1f}; with the MLPs' outputs held, "
        f"in {round(claim.past_mlps * claim.n)}.{beside}"
    )


def _opening(story: Story) -> str:
    graph, node = story.graph, story.node
    values = [f"{graph.nodes[k].name} = {graph.values_by_node[k]}" for k in graph.nodes[node].operands]
    given = f", where {', '.join(values)}" if values else ""
    first = (
        f"{graph.equation(node)}: node {node} of {len(graph)}, depth {graph.depths_by_node[node]}, true value "
        f"{story.true}{given}."
    )
    if story.solved and story.committed is not None:
        return f"{first} The model solves it at step {story.committed}."
    return f"{first} The model does not solve it: it shows {story.final} at the end. This is what it does instead."


def _step(story: Story, step: StoryStep) -> str:
    lines = [f"Step {step.step} ({step.status}): {_entering(step)}"]
    claims = [claim for claim in story.claims if claim.step == step.step]
    lines += [f"{_capital(sentence(claim))}. {evidence(claim)}" for claim in claims if not claim.by_mlp]
    for writing in step.writings:
        part = Component(writing.layer)
        lines.append(_writing(writing, [claim for claim in claims if claim.parts == (part,)], step))
    wrong = "" if step.written == step.expected else f" The algorithm would have written {step.expected}."
    lines.append(
        f"Snapped to {step.written}, with probability {step.probability:.3f} and {step.margin:.1f} logits ahead of "
        f"{step.runner_up}, the runner-up.{wrong}"
    )
    return "\n  - ".join(lines)


def _entering(step: StoryStep) -> str:
    if not step.missing:
        return f"the symbol {step.entered} enters, and all that is needed is there."
    verb = "shows" if len(step.missing) == 1 else "show"
    return f"the symbol {step.entered} enters; {' and '.join(step.missing)} {verb} no value yet."


def _writing(writing: Writing, claims: Sequence[Claim], step: StoryStep) -> str:
    name = f"MLP {writing.layer}"
    same = (writing.before, writing.zeroed, writing.averaged) == (writing.after, step.written, step.written)
    if not claims and same and abs(writing.to_written) < _NOTHING:
        return (
            f"{name} adds nothing: with its output zeroed or averaged, the step still writes {step.written}."
        )
    before, after = writing.before or "nothing", writing.after or "nothing"
    reads = (
        f"the value read there stays {after}"
        if before == after
        else f"the value read there turns from {before} to {after}"
    )
    chance = f"probability of the true one {writing.true_before:.3f} before, {writing.true_after:.3f} after"
    without = (
        f"with its output zeroed, the step writes the symbol {writing.zeroed}; with it averaged over positions, the "
        f"symbol {writing.averaged}"
    )
    text = f"{name}: {reads} ({chance}); it adds {writing.to_written:+.1f} to the logit of {step.written}; {without}."
    backed = [thing(claim) for claim in claims if claim.backed]
    if backed:
        text += f" It uses {' and '.join(backed)} (backed)."
    for claim in claims:
        if not claim.backed:
            text += f" Not backed for {thing(claim)}: {claim.why}."
    return text


def _names(parts: Sequence[Component]) -> str:
    return f"{_and(parts)} together" if len(parts) > 1 else _and(parts)


def _and(parts: Sequence[Component]) -> str:
    if len(parts) < 2:
        return "".join(str(part) for part in parts)
    return f"heads {' and '.join(f'{part.layer}.{part.head}' for part in parts)}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
