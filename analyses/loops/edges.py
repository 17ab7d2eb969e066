"""What sites of a looped model give each other, within a step and from step to step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from analyses.loops.inputs import LoopPair
from analyses.loops.intervening import sites_named
from analyses.loops.opening import Opened
from analyses.loops.study import LoopStudy

if TYPE_CHECKING:
    from interp.causal.loop_metrics import Metric

PARTS: Final = 8
"""Points on the way from corrupt to clean at which gradients are taken (EAP-IG)."""
MOST_EXACT: Final = 600
"""Edges up to which each is patched too, in a run of its own."""
SHOWN: Final = 12


def study_edges(
    model: Opened, pair: LoopPair, measure: Metric, metric: str, sites: Sequence[str] | None
) -> LoopStudy:
    """Every edge between sites, of all steps and calls, estimated by gradients; where there are few, patched as well.

    sites: default: what attention and MLPs write, else what enters the layers.
    """
    import numpy as np

    from interp import edge_attribution, exact_edges
    from interp.figures.loop_panels import loop_panels_figure

    there = [*(getattr(model.loop, "sites", None) or {})]
    written = [name for name in there if name.rsplit(".", 1)[-1] in ("attn_out", "mlp_out")]
    names = written if sites is None and written else sites_named(model, pair.clean, sites)
    count = pair.runs[0].n_steps
    with model.running("edges"):
        found = edge_attribution(model.loop, pair.clean, pair.corrupt, names, measure, count, PARTS)
        exact = None
        if len(found.edges) <= MOST_EXACT:
            exact = exact_edges(model.loop, pair.clean, pair.corrupt, names, measure, count)
    frame: Any = found.to_frame().rename(columns={"score": "estimate"})
    if exact is not None:
        scores = dict(zip(exact.edges, exact.scores.mean(1).tolist(), strict=True))
        frame["exact"] = [scores.get(edge, float("nan")) for edge in found.edges]
    by = "estimate" if exact is None else "exact"
    nodes = list(dict.fromkeys(node for edge in found.edges for node in edge))
    nodes.sort(
        key=lambda node: (
            node.step,
            names.index(node.site) if node.site in names else -1,
            node.call,
            node.head,
        )
    )
    labels = [_named(node) for node in nodes]
    short = [label.replace(", step ", " t").replace(", call ", " c") for label in labels]
    panels: dict[str, Any] = {}
    for column in [name for name in ("estimate", "exact") if name in frame]:
        panels[column] = np.full((len(nodes), len(nodes)), np.nan)
        for (writer, reader), score in zip(found.edges, frame[column], strict=True):
            panels[column][nodes.index(writer), nodes.index(reader)] = score
    figure = loop_panels_figure(
        panels, short, "What sites give each other",
        f"From a site (row; t: its step) straight to another (column), in units of {metric}; nothing in between moves.",
        "score", rows=short, row_title="", column_title="to",
    )  # fmt: skip
    order = frame[by].abs().sort_values(ascending=False).index[:SHOWN]
    ends = [[labels[nodes.index(edge[end])] for edge in found.edges] for end in (0, 1)]
    summary = frame.assign(writer=ends[0], reader=ends[1]).loc[order]
    summary = summary[["writer", "reader", *panels]].reset_index(drop=True)
    best = summary.iloc[0]
    said = f"Of {len(frame)} edges the strongest is {best['writer']} to {best['reader']}, {best[by]:.3g} of "
    said += f"{float((found.clean - found.corrupt).mean()):.3g} between the clean and the corrupt run."
    if exact is None:
        said += (
            f" They are estimates ({found.method}): more than {MOST_EXACT} edges are not patched one by one."
        )
    return LoopStudy(
        model.name, f"{model.title}: the strongest edges", frame, summary, said, {"edges": figure},
        {"metric": metric, "method": found.method, "exact": exact is not None},
    )  # fmt: skip


def _named(node: Any) -> str:
    """Such as `0.z 1, step 2`."""
    if node.site == "output":
        return "output"
    head = f" {node.head}" if node.head >= 0 else ""
    call = f", call {node.call}" if node.call else ""
    return f"{node.site}{head}, step {node.step}{call}"
