"""Direct logit attribution: bars by head and MLP over all steps, and step x component below them, on one scale."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]

from interp.data.labels import STATUSES
from interp.figures.resolution import Span
from interp.figures.scales import DIVERGING
from interp.figures.template import EDGE_COLOUR, UNSOLVED_COLOUR, make_figure, title_of, wrapped

if TYPE_CHECKING:
    from interp.lenses.direct_attribution import DirectAttribution

_BARS: Final = 200
_ROW: Final = 18
_GAP: Final = 34
_LEFT: Final = 74
_RIGHT: Final = 104
_BELOW: Final = 86


def direct_attribution_figure(
    result: DirectAttribution, status: str = "computing", width: int = 1000
) -> go.Figure:
    """Above: mean contribution of every component over the nodes of a status at all steps. Below: the same by step.

    Colour and height: units of the logits; diverging, white at 0, one scale for both.

    Raises:
        ValueError: an unknown status, or one that no node has.
    """
    frame, by_step = (cast(Any, result.summary(by_step=steps)) for steps in (False, True))
    if status not in frame["status"].unique():
        present = ", ".join(frame["status"].unique())
        raise ValueError(f"no node is {status!r}; of {', '.join(STATUSES)} there are {present}")
    frame, by_step = (table[table["status"] == status] for table in (frame, by_step))
    names = [short_name(component) for component in result.components]
    steps = sorted(by_step["step"].unique().tolist())
    values = by_step.pivot(index="step", columns="component", values="contribution")
    values = values.loc[steps, list(result.components)].to_numpy()
    counts = by_step.groupby("step")["n"].first().loc[steps].to_numpy()
    totals = by_step.groupby("step")["logit_diff"].first().loc[steps].to_numpy()
    records = frame.to_dict("records")
    limit = max(1e-6, float(np.abs(values).max()))
    what = "all other symbols" if result.against == "others" else result.against
    answer = "the true value" if result.answer == "true" else "what the step writes"
    reading = (
        f"Logit of {answer} minus that of {what}, taken apart into what each component writes into the readout: mean "
        f"over {records[0]['n']} {status} nodes of all steps (above), and by step (below). Mean difference "
        f"{records[0]['logit_diff']:.2f}; the components of a row add up to it. What acts through a later MLP is not "
        "seen here."
    )
    bars: dict[str, Any] = {
        "type": "bar",
        "name": "all steps",
        "x": list(range(len(names))),
        "y": [record["contribution"] for record in records],
        "marker": {
            "color": [record["contribution"] for record in records],
            "coloraxis": "coloraxis",
            "line": {"color": UNSOLVED_COLOUR, "width": 1},
        },
        "hovertext": [
            f"<b>{name}</b><br>mean {record['contribution']:+.4g}, standard deviation {record['sd']:.4g}<br>"
            f"of {record['logit_diff']:.4g}, {record['n']} nodes"
            for name, record in zip(names, records, strict=True)
        ],
        "hoverinfo": "text",
        "xaxis": "x",
        "yaxis": "y",
    }
    gap = Span.across(width, _LEFT + _RIGHT).gap(len(names))
    cells: dict[str, Any] = {
        "type": "heatmap",
        "name": "by step",
        "z": values.tolist(),
        "coloraxis": "coloraxis",
        "xgap": gap,
        "ygap": gap,
        "hovertext": [
            [
                f"<b>{name}, step {step}</b><br>mean {value:+.4g} of {total:.4g}, {count} nodes"
                for name, value in zip(names, line, strict=True)
            ]
            for step, line, total, count in zip(steps, values.tolist(), totals, counts, strict=True)
        ],
        "hoverinfo": "text",
        "xaxis": "x2",
        "yaxis": "y2",
    }
    return make_figure([bars, cells], _layout(names, steps, reading, limit, result.factor, width))


def short_name(component: str) -> str:
    """``0_mlp_out`` as ``MLP 0``, ``0_attn_bias`` as ``bias 0``, ``readout_bias`` as ``readout``; heads as they are."""
    layer, _, rest = component.partition("_")
    return {"mlp_out": f"MLP {layer}", "attn_bias": f"bias {layer}", "bias": "readout"}.get(rest, component)


def _layout(
    names: list[str], steps: list[int], reading: str, limit: float, factor: str, width: int
) -> dict[str, Any]:
    text = wrapped(reading, width)
    top = 68 + 16 * text.count("<br>")
    height = _ROW * len(steps)
    total = _BARS + _GAP + height + _BELOW
    x_axis: dict[str, Any] = {
        "range": [-0.5, len(names) - 0.5],
        "tickvals": list(range(len(names))),
        "ticktext": names,
        "tickangle": -90,
        "tickfont": {"size": 11},
        "showgrid": False,
        "linecolor": EDGE_COLOUR,
    }
    bar = {"thickness": 14, "len": 240, "lenmode": "pixels", "y": 1, "yanchor": "top"}
    return {
        "width": width,
        "height": top + total,
        "margin": {"l": _LEFT, "r": _RIGHT, "t": top, "b": 0},
        "title": title_of(f"Direct logit attribution on the {factor}", text),
        "coloraxis": {
            "colorscale": [list(stop) for stop in DIVERGING],
            "cmin": -limit,
            "cmid": 0,
            "cmax": limit,
            "colorbar": bar | {"title": {"text": "logit", "font": {"size": 12}}},
        },
        "xaxis": x_axis | {"anchor": "y", "showticklabels": False},
        "xaxis2": x_axis | {"anchor": "y2", "title": _title("component")},
        "yaxis": {
            "domain": [1 - _BARS / total, 1],
            "title": _title("logit"),
            "zeroline": True,
            "zerolinecolor": UNSOLVED_COLOUR,
        },
        "yaxis2": {
            "domain": [_BELOW / total, (_BELOW + height) / total],
            "range": [len(steps) - 0.5, -0.5],
            "tickvals": list(range(len(steps))),
            "ticktext": [str(step) for step in steps],
            "showgrid": False,
            "title": _title("step"),
        },
    }


def _title(text: str) -> dict[str, Any]:
    return {"text": text, "standoff": 6, "font": {"size": 12}}
