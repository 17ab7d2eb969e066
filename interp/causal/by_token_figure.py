"""Heads by kind of token: where each looks from there, and what is written wrongly there without it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]

from interp.causal.by_token import FAR, KINDS
from interp.figures.panels import Panel, draw
from interp.figures.scales import Scale
from models.vocabulary import FACTORS

if TYPE_CHECKING:
    from interp.causal.by_token import ByToken


def by_token_figure(result: ByToken, width: int = 1000) -> go.Figure:
    """Two heatmaps for every head, kind of token x distance (attention) and x factor (share broken without it)."""
    present = [kind for kind, count in enumerate(result.tokens.tolist()) if count]
    rows = tuple(KINDS[kind] for kind in present)
    distances = tuple(f"{back}" if back < FAR else f"{FAR}+" for back in range(FAR + 1))
    panels: list[Panel] = []
    for number, head in enumerate(result.heads):
        for what, columns, title, values in (
            ("attention", distances, "positions back", result.distance[number, present]),
            ("broken without it", FACTORS, "factor", result.broken[number, present]),
        ):
            panels.append(
                Panel(
                    title=f"{head}: {what}",
                    rows=rows,
                    columns=columns,
                    row_title="kind of token",
                    column_title=title,
                    values=values,
                    hover=[
                        [
                            f"<b>{head} at {kind}</b><br>{what}, {title} {column}: {values[i, j]:.3f}"
                            for j, column in enumerate(columns)
                        ]
                        for i, kind in enumerate(rows)
                    ],
                    sites=np.arange(values.size, dtype=np.int64).reshape(values.shape),
                )
            )
    reading = (
        f"Attention from tokens of a kind by distance, and the share of their symbols that become others in a step "
        f"without the head ({result.method} ablation at that step alone); mean over all steps."
    )
    return draw(panels, "Heads by kind of token", reading, Scale("share", signed=False), False, width)
