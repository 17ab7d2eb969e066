"""Figures of what neurons do with their own frequency: answers with and without it, phases, and tuned ones ablated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]

from interp.figures.template import (
    EDGE_COLOUR,
    INK,
    MARK_COLOUR,
    UNSOLVED_COLOUR,
    make_figure,
    title_of,
    wrapped,
)

if TYPE_CHECKING:
    from interp.fourier_analysis.own_frequency import OwnFrequency
    from interp.fourier_analysis.phases import PhaseSum
    from interp.fourier_analysis.tuning_curve import TuningCurve

_CONTROL: Final = "#d97706"
_AXIS: Final[dict[str, Any]] = {"gridcolor": "#eef0f4", "showline": True, "linecolor": EDGE_COLOUR}


def own_frequency_figure(result: OwnFrequency, width: int = 720) -> go.Figure:
    """Accuracy with every neuron's own frequency kept and removed, beside another frequency's draws."""
    parts = (
        ("kept", result.own_kept, result.other_kept, result.energy_share, result.other_share),
        ("removed", result.own_removed, result.other_removed, result.energy_share, result.other_share),
    )
    names = ["only it is kept", "only it is removed"]
    traces: list[dict[str, Any]] = [
        {
            "type": "bar",
            "name": "its own frequency",
            "x": names,
            "y": [own.accuracy for _, own, *_ in parts],
            "width": 0.4,
            "marker": {"color": MARK_COLOUR},
            "text": [
                f"own frequency {name}: {own.accuracy:.3f} right, loss {own.loss:.3g}<br>it holds {share:.1%} of the "
                "energy"
                for name, own, _, share, _ in parts
            ],
            "hoverinfo": "text",
            "textposition": "none",
        },
        {
            "type": "scatter",
            "mode": "markers",
            "name": "another frequency, one mark per draw",
            "x": [name for name, part in zip(names, parts, strict=True) for _ in part[2]],
            "y": [score.accuracy for part in parts for score in part[2]],
            "marker": {"symbol": "circle-open", "size": 9, "color": _CONTROL, "line": {"width": 2}},
            "text": [
                f"another frequency {name}: {score.accuracy:.3f} right<br>it holds {share:.1%} of the energy"
                for name, _, others, _, shares in parts
                for score, share in zip(others, shares.tolist(), strict=True)
            ],
            "hoverinfo": "text",
            "cliponaxis": False,
        },
        {
            "type": "scatter",
            "mode": "markers",
            "name": "as much energy: its own one weakened; all taken out evenly",
            "x": names,
            "y": [result.own_weakened.accuracy, result.evenly.accuracy],
            "marker": {"symbol": "diamond-open", "size": 10, "color": INK, "line": {"width": 2}},
            "hovertemplate": "%{y:.3f} right<extra></extra>",
            "cliponaxis": False,
        },
        _level(names, result.full.accuracy),
    ]
    reading = (
        "Every neuron is reduced to one frequency of its variation over the operands (and its mean), or loses it. "
        "Where neurons compute with their own one, the bar is high at the left and low at the right, and the marks "
        "are the other way round."
    )
    layout = _layout(
        f"Neurons of layer {result.layer} with and without their own frequency", reading, width, 420
    )
    layout |= {
        "xaxis": {"type": "category"},
        "yaxis": _AXIS | {"range": [0, 1.04], "title": {"text": "share answered right"}},
    }
    return make_figure(traces, layout)


def phases_figure(result: PhaseSum, width: int = 720) -> go.Figure:
    """Every neuron: the sum of its operands' phases, and the phase that it writes; its area its energy."""
    shown = np.flatnonzero(result.weight > 0)
    weight = result.weight[shown]
    summed, written = np.degrees(result.summed[shown]), np.degrees(result.written[shown])
    # A written phase is drawn within half a turn of the sum, so that the line of agreement is one line.
    written = summed + (written - summed + 180) % 360 - 180
    traces: list[dict[str, Any]] = [
        {
            "type": "scatter",
            "mode": "markers",
            "x": summed.tolist(),
            "y": written.tolist(),
            "marker": {
                "size": (3 + 60 * np.sqrt(weight)).tolist(),
                "color": MARK_COLOUR,
                "opacity": 0.55,
                "line": {"width": 0},
            },
            "text": [
                f"neuron {unit}, frequency {a}<br>{w:.2%} of the energy<br>{error:.0f}° apart"
                for unit, a, w, error in zip(
                    shown, result.frequency[shown], weight, result.errors[shown], strict=True
                )
            ],
            "hoverinfo": "text",
            "showlegend": False,
        },
        {
            "type": "scatter",
            "mode": "lines",
            "x": [-180, 180],
            "y": [-180, 180],
            "line": {"color": UNSOLVED_COLOUR, "dash": "dot"},
            "hoverinfo": "skip",
            "showlegend": False,
        },
    ]
    reading = (
        "A point is a neuron at its own frequency, its area its energy. On the dotted line it writes the wave of the "
        f"sum: the phases of its operands added up. Mean distance {result.error:.0f}°, written by another neuron of "
        f"the frequency {result.shuffled.mean():.0f}°, at another frequency {result.other.mean():.0f}°."
    )
    layout = _layout(f"Phases of layer {result.layer}'s neurons", reading, width, 520) | {
        "xaxis": {
            "title": {"text": "sum of the operands' phases (degrees)"},
            "range": [-185, 185],
            "dtick": 90,
        },
        "yaxis": _AXIS | {"title": {"text": "phase that is written (degrees)"}, "dtick": 90},
    }
    return make_figure(traces, layout)


def tuning_figure(result: TuningCurve, width: int = 720) -> go.Figure:
    """Accuracy over the share of energy that makes a neuron tuned: without the tuned, the others, the strongest."""
    colours = {"tuned": MARK_COLOUR, "untuned": INK, "strongest": _CONTROL}
    words = {
        "tuned": "without the tuned",
        "untuned": "without all others",
        "strongest": "without as many of the strongest",
    }
    shares = result.shares.tolist()
    traces: list[dict[str, Any]] = [
        {
            "type": "scatter",
            "mode": "lines+markers",
            "name": words[name],
            "x": shares,
            "y": accuracy.tolist(),
            "line": {"color": colours[name], "dash": "dash" if name == "strongest" else "solid"},
            "text": [
                f"tuned from {share:g}: {n} neurons<br>{words[name]} {right:.3f} right, {energy:.1%} of the energy lost"
                for share, n, right, energy in zip(
                    shares, result.n_tuned.tolist(), accuracy.tolist(), lost.tolist(), strict=True
                )
            ],
            "hoverinfo": "text",
        }
        for (name, accuracy, lost) in zip(words, result.accuracy, result.energy, strict=True)
    ]
    traces.append(_level(shares, result.full))
    reading = (
        "Neurons with at least so much of their energy at one frequency are set to their means, or all others are. "
        "Where the dashed line runs with the first, tuned neurons matter because they are strong; where the first two "
        "cross, the share decides what one would say."
    )
    layout = _layout(
        f"Ablating tuned neurons of layer {result.layer}, by what counts as tuned", reading, width, 440
    )
    layout |= {
        "xaxis": {"title": {"text": "least share of a neuron's energy at one frequency"}},
        "yaxis": _AXIS | {"range": [0, 1.04], "title": {"text": "share answered right"}},
    }
    return make_figure(traces, layout)


def _level(x: list[Any], full: float) -> dict[str, Any]:
    line = {"color": UNSOLVED_COLOUR, "dash": "dot"}
    name = "the model as it is"
    return {"type": "scatter", "mode": "lines", "x": x, "y": [full] * len(x), "name": name, "line": line}


def _layout(title: str, reading: str, width: int, height: int) -> dict[str, Any]:
    text = wrapped(reading, width)
    lines = text.count("<br>") + 1
    return {
        "width": width,
        "height": height + 16 * lines,
        "margin": {"l": 70, "r": 20, "t": 84 + 16 * lines, "b": 60},
        "title": title_of(title, text),
        "legend": {"orientation": "h", "x": 0, "y": 1.0, "yanchor": "bottom"},
    }
