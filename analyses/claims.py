"""What the paper says of its models, what is measured here, and a verdict by a fixed rule, each beside a control.

A claim is a function of measured results alone: no threshold depends on the model. Unless its rule says otherwise a
share s is graded

    holds    s >= HOLDS  (0.95)
    partly   s >= PARTLY (0.5)
    not      below

and never better than `partly` where the control does as well as half of it (s < 2 x control): what an untrained model
or a random subspace has too is not a finding. `does not apply` is said where a model has nothing the claim is about,
and `not measured` where the section that measures it failed; the reason stands in the row.

The paper's statements and the rules of all claims are in `analyses.paper_claims`; the claims about spectra and
neurons' frequencies in `analyses.fourier_claims`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal

from analyses.causal_claims import NodeCircuit as NodeCircuit
from analyses.causal_claims import first_mlp as first_mlp
from analyses.causal_claims import heads_suffice as heads_suffice
from analyses.causal_claims import induction as induction
from analyses.claim import HOLDS, PARTLY, Claim, Verdict, graded, not_told
from analyses.paper_claims import STATEMENTS as STATEMENTS

if TYPE_CHECKING:
    import pandas as pd

    from analyses.correction import Correction
    from analyses.evaluate import Evaluation, SizeResult
    from interp.codebook.due import DueWrites

TRAINED_UP_TO: Final = 32
"""Nodes of the largest graphs in training, in the paper and in the bundled models."""
OPERANDS: Final = ("last", "middle", "first")


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
    (share, count), (raw, corrupted) = _right_after_one(model), _right_after_one(model, every=True)
    (other, _), (other_raw, _) = _right_after_one(untrained), _right_after_one(untrained, every=True)
    bystanders = max((size.collateral for size in model.sizes), default=math.nan)
    return Claim(
        "corrects",
        graded(share, other),
        f"{share:.1%} of {count} corrupted values with untouched operands are right one step later, {raw:.1%} of all "
        f"{corrupted} corrupted values; of values left alone at most {bystanders:.2%} are lost",
        f"untrained: {other:.1%}, {other_raw:.1%} of all",
        {
            "right_after": share,
            "corrupted": count,
            "right_after_all": raw,
            "corrupted_all": corrupted,
            "collateral": bystanders,
            "untrained": other,
            "untrained_all": other_raw,
        },
    )


def only_values(model: DueWrites, identity: DueWrites, untrained: DueWrites) -> Claim:
    """What is due and what is not, of the model's run, of the identity map on its states, of the untrained model's."""
    verdict = graded(model.share, max(identity.share, untrained.share))
    if verdict == "holds" and model.changed:
        verdict = "partly"
    if model.changed_share > 1 - HOLDS:
        verdict = "not"
    return Claim(
        "only_values",
        verdict,
        f"{model.written} of {model.due} right-hand sides that are due get their value in that step "
        f"({model.share:.1%}); {model.changed} of {model.others} other symbols do not stay as the algorithm has them",
        f"identity map: {identity.share:.1%} of what is due; untrained: {untrained.share:.1%}, and "
        f"{untrained.changed_share:.1%} of the others",
        {
            "due": model.due,
            "written": model.written,
            "share": model.share,
            "others": model.others,
            "changed": model.changed,
            "identity": identity.share,
            "untrained": untrained.share,
            "untrained_changed": untrained.changed_share,
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
    columns = {place: f"operand_{what}:{place}" for place in own}
    listed = "; ".join(
        f"{place} operand: {_with_variance(model, columns[place], heads)}" for place, heads in own.items()
    )
    return Claim(
        key,
        "not" if not found else "holds" if found == len(own) else "partly",
        f"{found} of {len(own)} operands have {where} heads of their own for the {what} ({listed}){there}",
        f"untrained: {sum(bool(heads) for heads in other.values())} of {len(other)} operands (largest relative "
        f"variance {_largest(untrained, what):.2f})",
        {
            **{place: [f"{layer}.{head}" for layer, head in heads] for place, heads in own.items()},
            "relative_variance": {
                place: [_variance_of(model, columns[place], *head) for head in heads]
                for place, heads in own.items()
            },
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


def _largest(frame: pd.DataFrame, what: str) -> float:
    """The largest relative variance by any operand's name (of layer 0) or value (of later layers); nan without any."""
    heads: Any = frame[(frame["layer"] == 0) if what == "name" else (frame["layer"] > 0)]
    return float(heads.filter(like=f"operand_{what}:").max().max())


def amplifies(
    model: pd.DataFrame,
    untrained: pd.DataFrame,
    beside: Mapping[str, tuple[pd.DataFrame, pd.DataFrame]] | None = None,
    filled: Sequence[str] = (),
) -> Claim:
    """From the OV lines of `Amplification.to_frame` (columns layer, head, source, target, norm, norm_ratio) by the
    paper's formula.

    beside: other settings by name, each of the model and of the untrained one; they do not change the verdict.
    filled: factors whose embeddings span the whole space, so that projecting on them changes nothing.
    """
    mine, other = strongest_factors(model), strongest_factors(untrained)
    if math.isnan(mine[1]):
        return not_told("amplifies", "There is one layer only.")
    met = sum(share > max(PARTLY, least) for share, least in zip(mine, other, strict=True))
    verdicts: tuple[Verdict, ...] = ("not", "partly", "holds")
    others = {
        "norm itself": (strongest_factors(model, "norm"), strongest_factors(untrained, "norm")),
        **{name: (strongest_factors(a), strongest_factors(b)) for name, (a, b) in (beside or {}).items()},
    }
    listed = "; ".join(f"{name} {own[0]:.0%} and {own[1]:.0%}" for name, (own, _) in others.items())
    controls = "; ".join(f"{name} {own[0]:.0%} and {own[1]:.0%}" for name, (_, own) in others.items())
    whole = f"; embeddings of {' and '.join(filled)} span the whole space, where it is 1" if filled else ""
    return Claim(
        "amplifies",
        verdicts[met],
        f"the variable is the strongest factor of {mine[0]:.0%} of first-layer heads, the value of {mine[1]:.0%} of "
        f"later ones (each against random subspaces of its rank){whole}. Other settings: {listed}",
        f"untrained: {other[0]:.0%} and {other[1]:.0%}; {controls}",
        {
            "first": mine[0],
            "later": mine[1],
            "untrained_first": other[0],
            "untrained_later": other[1],
            "beside": {name: {"model": own, "untrained": control} for name, (own, control) in others.items()},
        },
    )


def strongest_factors(frame: pd.DataFrame, by: str = "norm_ratio") -> tuple[float, float]:
    """Share of first-layer heads whose largest norm_ratio (factor to itself) is the variable's, of later ones the
    value's; nan without such heads. Heads that take no factor to itself are left out; 0 where that is all of them.

    by: the column that is compared.
    """
    same = frame[(frame["source"] == frame["target"]) & (frame["source"] != "everything")]
    wide = same.pivot_table(index=["layer", "head"], columns="source", values=by).fillna(0)
    strongest: Any = wide.idxmax(axis=1).where(wide.max(axis=1) > 0)
    layer = wide.index.get_level_values("layer")
    return _share(strongest[layer == 0], "variable"), _share(strongest[layer > 0], "value")


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


def _right_after_one(result: Correction, every: bool = False) -> tuple[float, int]:
    """Share of the corrupted values that are right one step later, and how many there were.

    Of those with untouched operands alone, unless `every` one is wanted.
    """
    counts = [
        (size.right_after[0], size.corrupted) if every else (size.right_after_clean[0], size.clean_operands)
        for size in result.sizes
    ]
    total = sum(count for _, count in counts)
    known = sum(share * count for share, count in counts if count)
    return (known / total if total else math.nan), total


def _roles_of(frame: pd.DataFrame, layer: int, head: int) -> str:
    row: Any = frame[(frame["layer"] == layer) & (frame["head"] == head)]
    return str(row["roles"].iloc[0])


def _share(strongest: Any, factor: str) -> float:
    """Of the heads that have a strongest factor."""
    known = strongest.dropna()
    return math.nan if strongest.empty else float((known == factor).mean()) if len(known) else 0.0


def _with_variance(frame: pd.DataFrame, column: str, heads: Sequence[tuple[int, int]]) -> str:
    """Such as "0.2 (0.86, 0.82 to 0.90)": relative variance with its interval."""
    texts = []
    for layer, head in heads:
        value, low, high = _variance_of(frame, column, layer, head)
        interval = "" if math.isnan(low) else f", {low:.2f} to {high:.2f}"
        texts.append(f"{layer}.{head} ({value:.2f}{interval})")
    return ", ".join(texts) or "none"


def _variance_of(frame: pd.DataFrame, column: str, layer: int, head: int) -> list[float]:
    """Relative variance of a head, and the ends of its interval."""
    row: Any = frame[(frame["layer"] == layer) & (frame["head"] == head)].iloc[0]
    return [float(row[name]) for name in (column, f"{column}:low", f"{column}:high")]


def _speed(levels: float) -> str:
    return "no frontier to time" if math.isnan(levels) else f"the frontier moves {levels:.3f} levels per step"
