"""What a looped model loses without a site, in one step or in all; without a head, or without two of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, cast

from analyses.inputs import InputError
from analyses.loops.inputs import Wanted, inputs_of
from analyses.loops.intervening import sites_named
from analyses.loops.metrics import chosen_positions, loop_metric
from analyses.loops.opening import Opened
from analyses.loops.study import LoopStudy
from models.graph_errors import clip

if TYPE_CHECKING:
    from interp.causal.loop_metrics import Metric

INSTEAD: Final = {
    "zero": "zero",
    "mean": "its mean",
    "resample": "what another input has at random positions",
}


def study_ablation(
    model: Opened,
    wanted: Wanted,
    n_steps: int | None = None,
    sites: Sequence[str] | None = None,
    method: str = "zero",
    metric: str = "logit_diff",
    factor: str | None = None,
    heads: bool = False,
) -> LoopStudy:
    """What is lost when a site is set to zero, to its mean or to another input's, in one step and in all.

    The metric is of the symbols that the model shows as it is: `logit_diff` is their logits less the largest others.
    sites: default: what attention and MLPs write, or else all that are no residual stream. heads: every attention head
    by itself, and every two of a layer together, in all steps, instead.
    """
    from interp import loop_ablate
    from interp.figures.loop_panels import loop_panels_figure

    known = [*INSTEAD][:2] if heads else [*INSTEAD]
    if method not in known:
        raise InputError(f"--method is {clip(method)!r}: here it must be one of {', '.join(known)}.")
    if heads and sites is not None:
        raise InputError("--heads are all attention heads, so leave out --sites.")
    inputs = inputs_of(model, wanted)
    measure, count = _measured(model, inputs, n_steps, metric, factor)
    if heads:
        return _of_heads(model, inputs, measure, count, method, metric)
    names = _parts(model) if sites is None else sites_named(model, inputs, sites)
    with model.running("ablation"):
        found = loop_ablate(model.loop, inputs, names, measure, count, cast(Any, method), seed=wanted.seed)
        frame: Any = found.to_frame()
    wide = frame.assign(step=[str(step) for step in frame["step"]]).pivot(
        index="site", columns="step", values="change"
    )
    columns = [*(str(step) for step in range(count) if str(step) in wide.columns), "all"]
    figure = loop_panels_figure(
        {"change of the metric": wide.loc[names, columns].to_numpy()}, columns, "What is lost without a site",
        f"Set to {INSTEAD[method]} in one step, or in all: the metric less the whole run's.",
        "change", rows=names, row_title="", column_title="step",
    )  # fmt: skip
    tied = frame[frame["step"] == "all"]
    worst = tied.loc[tied["change"].abs().idxmax()]
    alone = frame[frame["step"] != "all"]
    one = alone.loc[alone["change"].abs().idxmax()]
    said = (
        f"Without {worst['site']} in all steps {metric} changes most, by {worst['change']:.3g} from "
        f"{float(found.plain.mean()):.3g}; in one step alone, by {one['change']:.3g} at most ({one['site']}, step "
        f"{one['step']})."
    )
    summary: Any = tied[["site", "change"]].rename(columns={"change": "in all steps"}).reset_index(drop=True)
    largest = alone.loc[
        alone.groupby("site")["change"].apply(lambda change: change.abs().idxmax())
    ].set_index("site")
    summary["in one step, at most"] = [largest["change"][name] for name in summary["site"]]
    summary["which"] = [int(largest["step"][name]) for name in summary["site"]]
    return LoopStudy(
        model.name,
        f"{model.title}: ablation, change of {metric}",
        frame,
        summary,
        said,
        {"ablation": figure},
        {"metric": metric, "plain": float(found.plain.mean())},
    )


def _of_heads(model: Opened, inputs: Any, measure: Metric, count: int, method: str, metric: str) -> LoopStudy:
    """Every head off in all steps, and every two of a layer: what two lose beyond the sum of both is redundant."""
    import numpy as np

    from interp import ablate_heads
    from interp.figures.loop_panels import loop_panels_figure

    with model.running("ablation of heads"):
        found = ablate_heads(model.loop, inputs, measure, count, value=cast(Any, method))
    frame: Any = found.to_frame()
    effects = dict(zip(found.sets, found.effect.tolist(), strict=True))
    sizes: dict[str, int] = {}
    for (site, head), *_ in found.sets:
        sizes[site] = max(sizes.get(site, 0), head + 1)
    widest = max(sizes.values())
    panels = {site: np.full((widest, widest), np.nan) for site in sizes}
    for heads, effect in effects.items():
        (site, one), (_, other) = heads[0], heads[-1]
        panels[site][one, other] = panels[site][other, one] = effect
    labels = [str(head) for head in range(widest)]
    figure = loop_panels_figure(
        panels, labels, "What is lost without heads",
        f"Set to {INSTEAD[method]} in all steps. Diagonal: one alone; else two together.",
        "change", rows=labels, row_title="head", column_title="and head",
    )  # fmt: skip
    alone = frame[frame["n"] == 1].sort_values("effect", key=abs, ascending=False)
    two = frame[frame["n"] == 2].sort_values("redundancy", key=abs, ascending=False)
    said = f"Without {alone.iloc[0]['heads']} {metric} changes most, by {alone.iloc[0]['effect']:.3g} from "
    said += f"{float(found.plain.mean()):.3g}"
    said += "; there are no two heads in a layer." if two.empty else (
        f"; of two heads {two.iloc[0]['heads']} lose most beyond what each loses, {two.iloc[0]['redundancy']:.3g}."
    )  # fmt: skip
    return LoopStudy(
        model.name, f"{model.title}: heads, change of {metric}", frame, alone[["heads", "effect"]], said,
        {"ablation": figure}, {"metric": metric, "plain": float(found.plain.mean())}, {"pairs": two},
    )  # fmt: skip


def _measured(
    model: Opened, inputs: Any, n_steps: int | None, metric: str, factor: str | None
) -> tuple[Metric, int]:
    """What is measured of the symbols that the whole run shows, and how many steps it has."""
    import torch

    from interp.loop.protocol import steps_of
    from interp.loop.running import run_loop

    with model.running("ablation"):
        count = steps_of(model.loop, inputs, n_steps, "ablation")
        run = run_loop(model.loop, inputs, count, keep_logits=True)
    if not run.logits:
        raise InputError(
            f"Ablation measures what the last state shows, and {type(model.loop).__name__} reads nothing (`read` gives "
            "no logits): its model has no head."
        )
    shown = {name: logits[-1].argmax(-1) for name, logits in run.logits.items()}
    second = {
        name: logits[-1].topk(2).indices[..., 1]
        for name, logits in run.logits.items()
        if logits.shape[-1] > 1
    }
    answers = getattr(model.task, "answers", None)
    at = None if answers is None else answers(inputs)
    where = {name: torch.ones_like(shown[name], dtype=torch.bool) if at is None else at for name in second}
    return loop_metric(metric, shown, second, chosen_positions(where, factor, ())), count


def _parts(model: Opened) -> list[str]:
    there = [*(getattr(model.loop, "sites", None) or {})]
    kinds = {name: name.rsplit(".", 1)[-1] for name in there}
    written = [name for name in there if kinds[name] in ("attn_out", "mlp_out")]
    others = [name for name in there if not kinds[name].startswith(("resid", "pattern"))]
    if not (written or others):
        raise InputError(
            f"Ablation needs --sites: {type(model.loop).__name__} has no sites['attn_out'] or sites['mlp_out'] (the "
            "name of a module is a site too)."
        )
    return written or others
