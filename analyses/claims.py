"""What the paper says of its models, what is measured here, and a verdict by a fixed rule, each beside a control.

A claim is a function of measured results alone: no threshold depends on the model. Unless its rule says otherwise a
share s is graded

    holds    s >= HOLDS  (0.95)
    partly   s >= PARTLY (0.5)
    not      below

and never better than `partly` where the control does as well as half of it (s < 2 x control): what an untrained model
or a random subspace has too is not a finding. `does not apply` is said where a model has nothing the claim is about,
and `not measured` where the section that measures it failed; the reason stands in the row.

The paper's statements and the rules of all claims are in `analyses.paper_claims`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

from analyses.paper_claims import STATEMENTS, Statement
from analyses.studies import plain

if TYPE_CHECKING:
    import pandas as pd

    from analyses.correction import Correction
    from analyses.evaluate import Evaluation, SizeResult
    from interp.frequencies.fourier import FourierVerdict

Verdict = Literal["holds", "partly", "not", "does not apply", "not measured"]
HOLDS: Final = 0.95
PARTLY: Final = 0.5
TRAINED_UP_TO: Final = 32
"""Nodes of the largest graphs in training, in the paper and in the bundled models."""
OPERANDS: Final = ("last", "middle", "first")


@dataclass(frozen=True)
class Claim:
    """A row of the table; `numbers` are the measurements that the verdict and the two texts rest on."""

    key: str
    verdict: Verdict
    measured: str
    control: str
    numbers: Mapping[str, Any] = field(default_factory=dict)

    @property
    def statement(self) -> Statement:
        """What the paper says, and the rule."""
        return STATEMENTS[self.key]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values: statement, verdict, texts, numbers."""
        texts = {"verdict": self.verdict, "measured": self.measured, "control": self.control}
        return {"key": self.key, **asdict(self.statement), **texts, "numbers": plain(self.numbers)}


def not_told(key: str, reason: str, failed: bool = False) -> Claim:
    """The row of a claim that is not measured: it does not apply, or its section failed."""
    return Claim(key, "not measured" if failed else "does not apply", reason, "")


def graded(share: float, control: float = 0.0) -> Verdict:
    """The verdict on a share, by the rule of the module's docstring; nan is `not`."""
    if math.isnan(share) or share < PARTLY:
        return "not"
    beaten = math.isnan(control) or share >= 2 * control
    return "holds" if share >= HOLDS and beaten else "partly"


def generalises(model: Evaluation, untrained: Evaluation) -> Claim:
    """By the largest size that both were run on.

    It does not apply where no size is larger than those of training.
    """
    last = model.sizes[-1]
    if last.n_nodes <= TRAINED_UP_TO:
        return not_told("generalises", f"The largest graphs that were run have {last.n_nodes} nodes.")
    other = next(size for size in untrained.sizes if size.n_nodes == last.n_nodes)
    largest_known = max(
        (size for size in model.sizes if size.n_nodes <= TRAINED_UP_TO), default=None, key=_nodes
    )
    seen = "" if largest_known is None else (
        f"; at {largest_known.n_nodes} nodes {largest_known.fully_solved:.1%}"
    )  # fmt: skip
    return Claim(
        "generalises",
        graded(last.fully_solved, other.fully_solved),
        f"{last.fully_solved:.1%} of {last.graphs} graphs of {last.n_nodes} nodes fully solved (95 % interval "
        f"{last.fully_solved_low:.1%} to {last.fully_solved_high:.1%}), {last.node_accuracy:.2%} of their nodes{seen}",
        f"untrained: {other.fully_solved:.1%} of {other.graphs} graphs, {other.node_accuracy:.1%} of nodes",
        {
            "n_nodes": last.n_nodes,
            "fully_solved": last.fully_solved,
            "low": last.fully_solved_low,
            "high": last.fully_solved_high,
            "nodes": last.node_accuracy,
            "untrained": other.fully_solved,
        },
    )


def adapts(on_time: float, speed: float, untrained_on_time: float, untrained_speed: float) -> Claim:
    """on_time: share of right-hand sides that settle at their depth; speed: levels solved a step."""
    verdict = graded(on_time, untrained_on_time)
    if verdict == "holds" and not abs(speed - 1) <= 1 - HOLDS + 1e-9:
        verdict = "partly"
    return Claim(
        "adapts",
        verdict,
        f"{on_time:.1%} of nodes settle at the step equal to their depth; {_speed(speed)}",
        f"untrained: {untrained_on_time:.1%}; {_speed(untrained_speed)}",
        {
            "on_time": on_time,
            "speed": speed,
            "untrained_on_time": untrained_on_time,
            "untrained_speed": untrained_speed,
        },
    )


def corrects(model: Correction, untrained: Correction) -> Claim:
    """Over all sizes together."""
    share, count = _right_after_one(model)
    other, _ = _right_after_one(untrained)
    bystanders = max((size.collateral for size in model.sizes), default=math.nan)
    return Claim(
        "corrects",
        graded(share, other),
        f"{share:.1%} of {count} corrupted values with untouched operands are right one step later; of values left "
        f"alone at most {bystanders:.2%} are lost",
        f"untrained: {other:.1%}",
        {"right_after": share, "corrupted": count, "collateral": bystanders, "untrained": other},
    )


def only_values(
    transitions: int, elsewhere: int, illegal: int, untrained_elsewhere: float, untrained_illegal: float
) -> Claim:
    """Counts of symbols followed by symbols.

    transitions: all. elsewhere: those that change a symbol that is not a value at a right-hand side. illegal: those the
    algorithm does not make. The last two are the untrained model's, as shares of its transitions.
    """
    shares = elsewhere / transitions, illegal / transitions
    verdict: Verdict = "not"
    if max(shares) <= 1 - HOLDS:
        verdict = "holds" if elsewhere == 0 and shares[1] <= 1e-3 else "partly"
    return Claim(
        "only_values",
        verdict,
        f"{elsewhere} of {transitions} transitions change another symbol, {illegal} are not the algorithm's",
        f"untrained: {untrained_elsewhere:.1%} and {untrained_illegal:.1%}",
        {
            "transitions": transitions,
            "elsewhere": elsewhere,
            "illegal": illegal,
            "untrained_elsewhere": untrained_elsewhere,
            "untrained_illegal": untrained_illegal,
        },
    )


def operand_heads(
    key: Literal["name_heads", "value_heads"], model: pd.DataFrame, untrained: pd.DataFrame
) -> Claim:
    """From `HeadRoles.to_frame` of the model and of an untrained one; see `own_heads`."""
    what, where = ("name", "first-layer") if key == "name_heads" else ("value", "later")
    own, other = own_heads(model, what), own_heads(untrained, what)
    if not own:
        return not_told(key, f"No operand's {what} could be varied alone, or there are no {where} heads.")
    found = sum(bool(heads) for heads in own.values())
    looking = {
        place: [(layer, head) for layer, head in heads if f"{what}:{place}" in _roles_of(model, layer, head)]
        for place, heads in own.items()
    }
    there = f"; {sum(map(len, looking.values()))} of these heads look at it" if found else ""
    listed = "; ".join(f"{place} operand: {_names(heads)}" for place, heads in own.items())
    return Claim(
        key,
        "not" if not found else "holds" if found == len(own) else "partly",
        f"{found} of {len(own)} operands have {where} heads of their own for the {what} ({listed}){there}",
        f"untrained: {sum(bool(heads) for heads in other.values())} of {len(other)} operands",
        {
            **{place: [f"{layer}.{head}" for layer, head in heads] for place, heads in own.items()},
            "operands": found,
            "untrained": sum(bool(heads) for heads in other.values()),
        },
    )


def own_heads(frame: pd.DataFrame, what: str) -> dict[str, list[tuple[int, int]]]:
    """Operand by place -> the heads (layer, head) that are about its name or value and no other operand's.

    frame: `HeadRoles.to_frame`. Of layer 0 for names, of all later ones for values; relative variance of at least
    PARTLY, and more than twice that of any other operand.
    """
    columns = {place: f"operand_{what}:{place}" for place in OPERANDS if f"operand_{what}:{place}" in frame}
    heads: Any = frame[(frame["layer"] == 0) if what == "name" else (frame["layer"] > 0)]
    if heads.empty:
        return {}
    found: dict[str, list[tuple[int, int]]] = {}
    for place, column in columns.items():
        mine = heads[column].fillna(0)
        others = heads[[name for name in columns.values() if name != column]].fillna(0).max(axis=1)
        chosen = heads[(mine >= PARTLY) & ~(2 * others.fillna(0) >= mine)]
        found[place] = list(zip(chosen["layer"].tolist(), chosen["head"].tolist(), strict=True))
    return found


def amplifies(model: pd.DataFrame, untrained: pd.DataFrame) -> Claim:
    """From the OV lines of `Amplification.to_frame` (columns layer, head, source, target, norm_ratio)."""
    mine, other = strongest_factors(model), strongest_factors(untrained)
    if math.isnan(mine[1]):
        return not_told("amplifies", "There is one layer only.")
    met = sum(share > max(PARTLY, least) for share, least in zip(mine, other, strict=True))
    verdicts: tuple[Verdict, ...] = ("not", "partly", "holds")
    return Claim(
        "amplifies",
        verdicts[met],
        f"the variable is the strongest factor of {mine[0]:.0%} of first-layer heads, the value of {mine[1]:.0%} of "
        "later ones (each against random subspaces of its rank)",
        f"untrained: {other[0]:.0%} and {other[1]:.0%}",
        {"first": mine[0], "later": mine[1], "untrained_first": other[0], "untrained_later": other[1]},
    )


def strongest_factors(frame: pd.DataFrame) -> tuple[float, float]:
    """Share of first-layer heads whose largest norm_ratio (factor to itself) is the variable's, of later ones the
    value's; nan without such heads. Heads that take no factor to itself are left out; 0 where that is all of them.
    """
    same = frame[(frame["source"] == frame["target"]) & (frame["source"] != "everything")]
    wide = same.pivot_table(index=["layer", "head"], columns="source", values="norm_ratio").fillna(0)
    strongest: Any = wide.idxmax(axis=1).where(wide.max(axis=1) > 0)
    layer = wide.index.get_level_values("layer")
    return _share(strongest[layer == 0], "variable"), _share(strongest[layer > 0], "value")


def first_mlp(change: float, last: float, untrained: float) -> Claim:
    """Mean relative changes by the first MLP, the last MLP and the untrained model's first."""
    verdict: Verdict = "holds" if change < 0.1 else "partly" if change < 0.25 else "not"
    return Claim(
        "first_mlp",
        verdict,
        f"it changes the residual stream by {change:.1%} at nodes being computed",
        f"last MLP: {last:.1%}; untrained first MLP: {untrained:.1%}",
        {"change": change, "last": last, "untrained": untrained},
    )


def induction(backed: int, tested: int, nodes: int, both: int, others: tuple[int, int]) -> Claim:
    """backed, tested: claims that a head fetched a name or value. nodes: whose stories were told; both: of how many a
    name was fetched in an earlier layer than a value, both backed. others: replacements of other heads that changed the
    answer, and all.
    """
    share = backed / tested if tested else math.nan
    disturbed = others[0] / others[1] if others[1] else 0.0
    verdict = graded(share)
    if verdict == "holds" and (both < nodes or disturbed > 1 - HOLDS):
        verdict = "partly"
    return Claim(
        "induction",
        verdict,
        f"{backed} of {tested} claims about heads in the stories of {nodes} nodes are backed; at {both} of these "
        "nodes an earlier layer fetched names and a later one values",
        f"replacing other heads changed the answer in {others[0]} of {others[1]} cases",
        {"backed": backed, "tested": tested, "nodes": nodes, "both": both, "others": list(others)},
    )


def dc_before(dc_share: float, largest_other: float, untrained: float) -> Claim:
    """Shares of the pre-activations' mean square: of DC, of the largest other cell, of the untrained model's DC."""
    beaten = dc_share >= 2 * untrained
    verdict: Verdict = "not"
    if dc_share > largest_other:
        verdict = "holds" if dc_share >= PARTLY and beaten else "partly"
    return Claim(
        "dc_before",
        verdict,
        f"{dc_share:.1%} of the energy is DC; the largest other cell has {largest_other:.2%}",
        f"untrained: {untrained:.1%}",
        {"dc_share": dc_share, "largest_other": largest_other, "untrained": untrained},
    )


def diagonal_after(output: float, residual: float, chance: float, untrained: float) -> Claim:
    """Diagonal shares of the MLP's output and of the residual stream after it.

    chance, untrained: of the output with the operands' values renamed, and of the untrained model's.
    """
    beaten = output >= 2 * max(chance, untrained)
    verdict: Verdict = "not" if not beaten else "holds" if min(output, residual) >= PARTLY else "partly"
    return Claim(
        "diagonal_after",
        verdict,
        f"{output:.1%} of the energy of the MLP's output, without DC, is on the diagonal, {residual:.1%} of that "
        "of the residual stream after it",
        f"values renamed: {chance:.2%}; untrained: {untrained:.2%}",
        {"output": output, "residual": residual, "chance": chance, "untrained": untrained},
    )


def fourier_neurons(
    found: FourierVerdict, layer: int, tuned_carry: bool, tuned: float, untuned: float, full: float
) -> Claim:
    """found: the verdict on the neurons. layer: whose MLP is ablated, the one of the largest effect. tuned, untuned,
    full: share of pairs answered right with the neurons of all frequencies ablated, with all others ablated, with none.
    """
    verdict: Verdict = "not" if not found.claimed else "holds" if tuned_carry else "partly"
    shown = [layer for layer in found.layers if layer.matters] or list(found.layers)
    chances = "; ".join(
        f"MLP {one.layer}: {one.single_frequency_chance:.1%} at one frequency, {one.diagonal_chance:.2%} on diagonals"
        for one in shown
    )
    shares = "; ".join(
        f"MLP {one.layer}: {one.single_frequency_share:.1%} of its neurons' energy at one frequency each, "
        f"{one.diagonal_share:.2%} on the diagonal"
        for one in shown
    )
    return Claim(
        "fourier",
        verdict,
        f"{shares}; {tuned:.1%} of pairs answered right without MLP {layer}'s neurons tuned to a frequency, "
        f"{untuned:.1%} without all others ({full:.1%} with all)",
        f"values renamed, or untrained: {chances}",
        {
            "claimed": found.claimed,
            "ablated_layer": layer,
            "tuned_carry": tuned_carry,
            "right_without_tuned": tuned,
            "right_without_untuned": untuned,
            "right": full,
            "layers": [asdict(layer) for layer in found.layers],
        },
    )


def count_verdicts(claims: Sequence[Claim]) -> str:
    """Such as "7 hold, 2 partly, 1 not, 1 does not apply"."""
    words = {"holds": "hold", "does not apply": "do not apply"}
    order = ("holds", "partly", "not", "does not apply", "not measured")
    counts = {verdict: sum(claim.verdict == verdict for claim in claims) for verdict in order}
    return ", ".join(
        f"{count} {words.get(verdict, verdict) if count > 1 or verdict != 'does not apply' else verdict}"
        for verdict, count in counts.items()
        if count
    )


def _nodes(size: SizeResult) -> int:
    return size.n_nodes


def _right_after_one(result: Correction) -> tuple[float, int]:
    """Share of the corrupted values with untouched operands that are right one step later, and how many there were."""
    counts = [
        (size.right_after_clean[0], size.clean_operands) for size in result.sizes if size.clean_operands
    ]
    total = sum(count for _, count in counts)
    return (sum(share * count for share, count in counts) / total if total else math.nan), total


def _roles_of(frame: pd.DataFrame, layer: int, head: int) -> str:
    row: Any = frame[(frame["layer"] == layer) & (frame["head"] == head)]
    return str(row["roles"].iloc[0])


def _share(strongest: Any, factor: str) -> float:
    """Of the heads that have a strongest factor."""
    known = strongest.dropna()
    return math.nan if strongest.empty else float((known == factor).mean()) if len(known) else 0.0


def _names(heads: Sequence[tuple[int, int]]) -> str:
    return ", ".join(f"{layer}.{head}" for layer, head in heads) or "none"


def _speed(levels: float) -> str:
    return "no frontier to time" if math.isnan(levels) else f"the frontier moves {levels:.3f} levels a step"
