"""Codebook usage: which codes are used by state, what they say, how they follow each other, when they commit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]
from numpy.typing import NDArray

from interp.figures.captioned import axis_names, captioned, side_by_side
from interp.figures.palette import apart
from interp.figures.resolution import Span
from interp.figures.template import (
    EDGE_COLOUR,
    EMPTY_COLOUR,
    INK,
    KEPT_FREE,
    LEAST_WIDTH,
    MARK_COLOUR,
    N_A_COLOUR,
    UNSOLVED_COLOUR,
    VALUE_COLOURS,
    WRONG_COLOUR,
    legend_below,
    make_figure,
    state_label,
    text_colour,
    text_width,
)
from models.vocabulary import EMPTY, N_A

if TYPE_CHECKING:
    from interp.codebook.codes import CodeUsage
    from interp.codebook.transitions import Transitions

SHARE_SCALE: Final = ((0.0, "#ffffff"), (0.02, "#e3e9fb"), (0.5, "#7f9bea"), (1.0, "#1f36a0"))
"""Shares: white at 0; what occurs at all can be told from what does not."""
_LEGEND_UP_TO: Final = 30
_TEXT_UP_TO: Final = 30
_RIGHT: Final = 130
_HIGH: Final = 480
"""Height of stacked bars in pixels."""
_INSIDE: Final = 10
"""Size of a code's name in its part of a bar."""


def usage_figure(usage: CodeUsage, factor: str = "value", width: int = 1000) -> go.Figure:
    """Share of tokens with each code, a stacked bar per state; codes are categorical.

    Raises:
        ValueError: an unknown factor.
    """
    counts = usage.histogram(factor)
    shares = counts / counts.sum(1, keepdims=True)
    symbols, colours = usage.symbols[factor], code_colours(usage.symbols[factor])
    states = [state_label(state) for state in range(usage.n_states)]
    used = np.flatnonzero(counts.any(0))
    traces: list[dict[str, Any]] = [
        {
            "type": "bar",
            "name": symbols[code],
            "x": states,
            "y": shares[:, code].tolist(),
            "marker": {"color": colours[code], "line": {"width": 0.5, "color": "#ffffff"}},
            "hovertext": [
                f"<b>{symbols[code]}</b> in state {_state(state)}<br>{counts[state, code]} of {counts[state].sum()} "
                f"tokens, {shares[state, code]:.2%}"
                for state in range(usage.n_states)
            ],
            "hoverinfo": "text",
            "showlegend": len(used) <= _LEGEND_UP_TO,
        }
        for code in used
    ]
    bar = 0.85 * (min(width, LEAST_WIDTH) - 90) / len(states)
    for code, trace in zip(used, traces, strict=True):
        trace |= _inside(symbols[code], shares[:, code], colours[code], bar)
    dead = [symbols[code] for code in range(len(symbols)) if code not in used]
    reading = (
        f"A bar is a state; a colour, and the name in it, is a code: the share of {len(usage):,} {_kind(usage)} "
        "that have it. "
        + (
            f"Never used (dead): the symbol{'s' * (len(dead) > 1)} {_listed(dead)}."
            if dead
            else "Every code is used."
        )
        + ("" if len(used) <= len(VALUE_COLOURS) + 2 else " Many colours are alike; hover for the code.")
    )
    legend, below = legend_below([symbols[code] for code in used], width, 56, 10)
    layout = captioned(
        f"Codes of the factor {factor}, by state", reading, width, _HIGH, right=20, bottom=below
    )
    layout |= {
        "barmode": "stack",
        "bargap": 0.15,
        "xaxis": {
            "title": {"text": "state, by the step that wrote it", "standoff": 8, "font": {"size": 12}},
            "type": "category",
        },
        "yaxis": {
            "title": {"text": "share of tokens", "font": {"size": 12}},
            "range": [0, 1],
            "tickformat": ".0%",
        },
        "legend": legend,
    }
    return make_figure(traces, layout)


def information_figure(usage: CodeUsage, factor: str = "value", width: int = 1000) -> go.Figure:
    """Entropy, perplexity, and the bits shared with the factor's ground truth, over states.

    Each as plug-in and with Miller-Madow's correction; the mutual information beside its shuffled baseline. Raises
    ValueError for an unknown factor.
    """
    chosen = usage.select(role="rhs") if factor == "value" and "role" in usage.tokens else usage
    entropies = [chosen.entropy(factor), chosen.entropy(factor, corrected=True)]
    states = [state_label(state) for state in range(chosen.n_states)]
    size = len(chosen.symbols[factor])
    lines: list[tuple[int, str, NDArray[np.float64], dict[str, Any]]] = [
        (0, "plug-in", entropies[0], _line(MARK_COLOUR)),
        (0, "corrected", entropies[1], _line(INK, "dot")),
        (0, "all codes alike", np.full(len(states), np.log2(size)), _line(UNSOLVED_COLOUR, "dash")),
        (1, "plug-in", 2 ** entropies[0], _line(MARK_COLOUR)),
        (1, "corrected", 2 ** entropies[1], _line(INK, "dot")),
        (1, "all codes alike", np.full(len(states), float(size)), _line(UNSOLVED_COLOUR, "dash")),
    ]
    titles = ["entropy", "perplexity"]
    units = ["bits", "codes"]
    if factor in chosen.variables:
        shuffled = chosen.shuffled_information(factor)
        truth = chosen.joint(factor).sum(1)
        shares = truth / truth.sum(1, keepdims=True)
        ceiling = -np.where(shares > 0, shares * np.log2(np.where(shares > 0, shares, 1)), 0).sum(1)
        lines += [
            (2, "plug-in", chosen.mutual_information(factor), _line(MARK_COLOUR)),
            (2, "corrected", chosen.mutual_information(factor, corrected=True), _line(INK, "dot")),
            (2, "entropy of the truth", ceiling, _line("#1e8769", "dash")),
            (2, "shuffled, largest", shuffled.max(1), _line(WRONG_COLOUR, "dot")),
        ]
        titles.append("information about the truth")
        units.append("bits")
    traces: list[dict[str, Any]] = []
    shown: set[str] = set()
    for panel, name, values, style in lines:
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers" if name in ("plug-in", "corrected") else "lines",
                "name": name,
                "legendgroup": name,
                "showlegend": name not in shown,
                "x": states,
                "y": values.tolist(),
                "line": style,
                "marker": {"size": 5},
                "hovertemplate": f"{name}: %{{y:.4g}} {units[panel]}<br>state %{{x}}<extra>{titles[panel]}</extra>",
                **dict(zip(("xaxis", "yaxis"), axis_names(panel), strict=True)),
            }
        )
        shown.add(name)
    reading = (
        f"Over {len(chosen):,} {_kind(chosen)}. Corrected: Miller-Madow, for the bias of few tokens. Shuffled: the "
        "largest of the mutual informations with a permuted truth; a plug-in value below it says nothing."
    )
    legend, below = legend_below(sorted(shown), width, 46)
    title = f"What the codes of the factor {factor} say"
    layout = captioned(title, reading, width, 270, right=20, bottom=below) | {"legend": legend}
    layout |= side_by_side(
        "state",
        [f"{title} ({unit})" for title, unit in zip(titles, units, strict=True)],
        categories=True,
    )
    return make_figure(traces, layout)


def transition_figure(transitions: Transitions, step: int | None = None, width: int = 1000) -> go.Figure:
    """P(code after | code before) as a heatmap of the codes that occur, of one step or of all.

    Cells with illegal transitions are framed in red. Raises IndexError for a step beyond the run.
    """
    counts = transitions.counts.sum(0) if step is None else transitions.counts[step]
    illegal = np.zeros_like(counts)
    if transitions.illegal is not None:
        illegal = transitions.illegal.sum(0) if step is None else transitions.illegal[step]
    codes = np.flatnonzero(counts.any(0) | counts.any(1))
    names = [transitions.symbols[code] for code in codes]
    part, wrong = counts[np.ix_(codes, codes)], illegal[np.ix_(codes, codes)]
    shares = transitions.probabilities(step)[np.ix_(codes, codes)]
    hover = [
        [
            f"<b>{before} → {after}</b><br>{part[row, column]} of {part[row].sum()} tokens, "
            f"{shares[row, column]:.2%}<br>{wrong[row, column]} illegal"
            for column, after in enumerate(names)
        ]
        for row, before in enumerate(names)
    ]
    side = max(240, min(width - 230, 26 * len(codes)))
    # Square where the figure is at its narrowest; a margin that made it so at its full width would leave nothing there.
    right = max(_RIGHT, min(width, LEAST_WIDTH) - side - 80)
    gap = Span.across(width, 80 + right, narrowest=LEAST_WIDTH).gap(max(len(codes), 1))
    number = list(range(len(codes)))
    ticks = {"tickvals": number, "ticktext": names, "tickfont": {"size": 10 if len(codes) <= 40 else 6}}
    traces: list[dict[str, Any]] = [
        {
            "type": "heatmap",
            "z": np.where(part > 0, shares, np.nan).tolist(),
            "text": hover,
            "hoverinfo": "text",
            "colorscale": [list(stop) for stop in SHARE_SCALE],
            "zmin": 0,
            "zmax": 1,
            "xgap": gap,
            "ygap": gap,
            "hoverongaps": False,
            "colorbar": {
                "title": {"text": "P(after | before)", "side": "right"},
                "thickness": 14,
                "len": 0.8,
            },
        }
    ]
    rows, columns = np.nonzero(wrong)
    traces.append(
        {
            "type": "scatter",
            "mode": "markers",
            "x": columns.tolist(),
            "y": rows.tolist(),
            "hoverinfo": "skip",
            "showlegend": False,
            "marker": {
                "symbol": "square-open",
                "size": max(5, min(18, 0.7 * side / max(len(codes), 1))),
                "color": WRONG_COLOUR,
                "line": {"width": 1.5},
            },
        }
    )
    which = "all steps" if step is None else f"step {step}"
    legality = (
        "legality unknown"
        if transitions.illegal is None
        else f"{int(illegal.sum()):,} of {int(counts.sum()):,} transitions are illegal"
    )
    reading = (
        f"Row: code before the step, column: after it. {legality.capitalize()}; red frames mark the pairs of codes "
        "among which there are some."
    )
    title = f"Transitions of the factor {transitions.factor}, {which}"
    layout = captioned(title, reading, width, side, left=80, right=right, bottom=70)
    frame = {"showgrid": False, "showline": True, "mirror": True, "linecolor": EDGE_COLOUR}
    end = [-0.5, len(codes) - 0.5]
    layout |= {
        "xaxis": {"title": {"text": "code after"}, "range": end, "tickangle": -90 if len(codes) > 12 else 0}
        | ticks
        | frame,
        "yaxis": {"title": {"text": "code before"}, "range": end[::-1]} | ticks | frame,
    }
    return make_figure(traces, layout)


def commit_figure(transitions: Transitions, width: int = 1000) -> go.Figure:
    """Time to commit against depth, of right-hand sides: a heatmap of node counts.

    Raises:
        ValueError: tokens of which ``role`` and ``depth`` are not known.
    """
    if not {"role", "depth"} <= set(transitions.tokens):
        raise ValueError("time to commit is drawn against depth, which of these tokens is not known")
    rhs = transitions.tokens["role"] == "rhs"
    depth, commit = transitions.tokens["depth"][rhs], transitions.commit[rhs]
    n_depths = int(depth.max(initial=0)) + 1
    table = np.zeros((n_depths, transitions.n_steps + 1), dtype=np.int64)
    np.add.at(table, (depth, commit + 1), 1)
    labels = ["never", *map(str, range(transitions.n_steps))]
    shares = table / np.maximum(table.sum(1, keepdims=True), 1)
    peak = max(1, int(table.max(initial=0)))
    gap = Span.across(width, 200).gap(table.shape[1])
    traces: list[dict[str, Any]] = [
        {
            "type": "heatmap",
            "z": np.where(table > 0, shares, np.nan).tolist(),
            "text": [
                [
                    f"depth {row}, committed by step {labels[column]}<br>{table[row, column]} of "
                    f"{table[row].sum()} nodes"
                    for column in range(table.shape[1])
                ]
                for row in range(n_depths)
            ],
            "hoverinfo": "text",
            "colorscale": [list(stop) for stop in SHARE_SCALE],
            "zmin": 0,
            "zmax": 1,
            "xgap": gap,
            "ygap": gap,
            "colorbar": {"title": {"text": "share of<br>the depth", "side": "right"}, "thickness": 14},
        }
    ]
    notes = [
        {
            "x": int(column),
            "y": int(row),
            "text": str(table[row, column]),
            "showarrow": False,
            "font": {"size": 10, "color": "#ffffff" if shares[row, column] > 0.6 else INK},
        }
        for row, column in np.argwhere(table > 0)
        if table.size <= _TEXT_UP_TO**2 and peak < 10_000
    ]
    on_time = int(table[np.arange(n_depths), np.minimum(np.arange(n_depths) + 1, table.shape[1] - 1)].sum())
    reading = (
        f"Numbers are nodes. On the diagonal a node takes its last code at the step equal to its depth, as the "
        f"synchronous algorithm does: {on_time:,} of {int(rhs.sum()):,}."
    )
    layout = captioned("Time to commit, by depth", reading, width, max(130, 34 * min(n_depths, 24)))
    layout |= {
        "xaxis": {
            "title": {"text": "last step that changed the code"},
            "tickvals": list(range(len(labels))),
            "ticktext": labels,
            "showgrid": False,
        },
        "yaxis": {
            "title": {"text": "depth of the node"},
            "autorange": "reversed",
            "dtick": 1,
            "showgrid": False,
        },
        "annotations": notes,
    }
    return make_figure(traces, layout)


def _inside(symbol: str, shares: NDArray[np.float64], colour: str, bar: float) -> dict[str, Any]:
    """The code's name in its part of every bar that has room for it; bar: width in pixels."""
    room = [
        text_width(symbol, _INSIDE) + 2 < bar and share * _HIGH > _INSIDE + 2 for share in shares.tolist()
    ]
    text = {
        "text": [symbol if one else "" for one in room],
        "textposition": "inside",
        "insidetextanchor": "middle",
    }
    font = {"size": _INSIDE, "color": text_colour(colour)}
    return text | {"textfont": font, "textangle": 0, "constraintext": "none"}


def code_colours(symbols: tuple[str, ...]) -> list[str]:
    """One colour per code, in order: EMPTY and N/A their own, the others those of values."""
    own = {EMPTY: EMPTY_COLOUR, N_A: N_A_COLOUR}
    colours = apart(VALUE_COLOURS, KEPT_FREE, len(symbols))
    return [own.get(symbol, colour) for symbol, colour in zip(symbols, colours, strict=True)]


def _line(colour: str, dash: str = "solid") -> dict[str, Any]:
    return {"color": colour, "dash": dash, "width": 2}


def _kind(usage: CodeUsage) -> str:
    roles = usage.tokens.get("role")
    return "tokens" if roles is None or (roles != "rhs").any() else "right-hand sides"


def _state(state: int) -> str:
    return "0, before the first step" if state == 0 else f"{state}, written by step {state - 1}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= 8 else f"{', '.join(names[:6])} and {len(names) - 6} more"
