"""Claims on what parts of a model are needed for, and suffice: the first MLP, the heads of one node, a set of heads.

Each is a function of measured results alone (`analyses.claims`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

from analyses.claim import HOLDS, PARTLY, Claim, Verdict, graded, not_told

if TYPE_CHECKING:
    from interp.causal.mlp_places import MlpPlaces
    from interp.causal.sufficiency import Sufficiency

SMALL_CHANGE: Final = (0.1, 0.25)
"""Relative changes of the residual stream below which the first MLP does little, and rather little."""


def first_mlp(change: float, last: float, untrained: float, off: MlpPlaces) -> Claim:
    """Mean relative changes at right-hand sides by the first MLP, the last MLP and the untrained model's first.

    off: graphs still solved with the first MLP zeroed at right-hand sides, and everywhere else.
    """
    here, there = off.still_solved("rhs"), off.still_solved("elsewhere")
    verdict: Verdict = "not"
    if change < SMALL_CHANGE[1] and here >= PARTLY:
        verdict = "holds" if change < SMALL_CHANGE[0] and min(here, there) >= HOLDS else "partly"
    zeroed = (
        f"with it zeroed there at every step {off.count('rhs')} of {off.n_solved} graphs are still solved, with it "
        f"zeroed everywhere else {off.count('elsewhere')}"
    )
    return Claim(
        "first_mlp",
        verdict,
        f"at right-hand sides it changes the residual stream by {change:.1%}; "
        f"{zeroed if off.n_solved else 'no graph is solved, even with it'}",
        f"last MLP: {last:.1%}; untrained first MLP: {untrained:.1%}",
        {
            "change": change,
            "last": last,
            "untrained": untrained,
            "solved": off.n_solved,
            "solved_without_at_rhs": here,
            "solved_without_elsewhere": there,
        },
    )


@dataclass(frozen=True)
class NodeCircuit:
    """What the story of one node says about its operands.

    Attributes:
        node: its name. depth: its depth. operands: how many it has.
        names: of how many a head fetched the name. values: of how many a head of a later layer fetched the value; only
            what is causally backed counts.
        backed: claims about heads, names and values, that are backed. tested: of how many.
    """

    node: str
    depth: int
    operands: int
    names: int
    values: int
    backed: int
    tested: int

    @property
    def whole(self) -> bool:
        """Whether names and then values of all operands were fetched, and every claim is backed."""
        return self.names == self.values == self.operands > 0 and self.backed == self.tested

    def __str__(self) -> str:
        return (
            f"{self.node} (depth {self.depth}, {self.operands} operand{'s' * (self.operands != 1)}): "
            f"{self.names} names fetched, {self.values} values fetched by a later layer, "
            f"{self.backed} of {self.tested} claims backed"
        )


def induction(nodes: Sequence[NodeCircuit], others: tuple[int, int]) -> Claim:
    """One row per node. others: replacements of other heads that changed the answer, and all."""
    if not nodes:
        return not_told("induction", "No node has operands.")
    whole = sum(node.whole for node in nodes)
    disturbed = others[0] / others[1] if others[1] else 0.0
    verdict = graded(whole / len(nodes))
    if verdict == "holds" and disturbed > 1 - HOLDS:
        verdict = "partly"
    backed, tested = (sum(getattr(node, name) for node in nodes) for name in ("backed", "tested"))
    broken = [str(node) for node in nodes if not node.whole]
    listed = f"; not so: {'; '.join(broken)}" if broken else ""
    return Claim(
        "induction",
        verdict,
        f"at {whole} of {len(nodes)} nodes an earlier layer fetched the names of all operands and a later one their "
        f"values, every claim backed ({backed} of {tested} claims in all){listed}",
        f"replacing other heads changed the answer in {others[0]} of {others[1]} cases",
        {
            "share": whole / len(nodes),
            "nodes": [{**asdict(node), "whole": node.whole} for node in nodes],
            "backed": backed,
            "tested": tested,
            "others": list(others),
        },
    )


def heads_suffice(own: Sufficiency, needed: Sufficiency) -> Claim:
    """own: the operands' own heads kept alone. needed: all heads whose ablation alone costs right nodes kept alone."""
    verdict = graded(own.solved, own.solved_at_random)
    if verdict == "not" and graded(needed.solved, needed.solved_at_random) == "holds":
        verdict = "partly"
    n_graphs = len(own.graphs)
    return Claim(
        "heads_suffice",
        verdict,
        f"all other heads at their mean at every step, MLPs kept: the operands' own heads ({_listed(own)}) solve "
        f"{own.count} of {n_graphs} graphs of {len(own.graphs[0])} nodes, the heads that cost right nodes when one of "
        f"them is off ({_listed(needed)}) {needed.count}",
        f"as many heads drawn at random: {_at_random(own)}; {_at_random(needed)}",
        {
            "own": _listed(own),
            "own_solved": own.solved,
            "own_random": own.solved_at_random,
            "needed": _listed(needed),
            "needed_solved": needed.solved,
            "needed_random": needed.solved_at_random,
            "graphs": n_graphs,
        },
    )


def _listed(one: Sufficiency) -> str:
    return ", ".join(f"{head.layer}.{head.head}" for head in one.heads) or "none"


def _at_random(one: Sufficiency) -> str:
    share = one.solved_at_random
    what = "there is no other such set" if math.isnan(share) else f"{share:.1%} of graphs"
    return f"{len(one.heads)} of them {what}"
