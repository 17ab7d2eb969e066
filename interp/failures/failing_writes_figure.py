"""Where a discrete model breaks: error rates, what the fetching heads looked at, and whether sharpening mends it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]

from interp.figures.charts import Chart, draw_charts, share_axis, with_intervals
from interp.figures.template import INK, MARK_COLOUR, UNSOLVED_COLOUR, step_colours
from interp.statistics.counted import counted

if TYPE_CHECKING:
    from interp.failures.fetching import Fetching
    from interp.failures.sharpening import Sharpening
    from interp.failures.writes import Writes

HEAD_COLOURS: Final = (MARK_COLOUR, "#e1862d", "#1e8769", "#963c5a", "#5a781e", "#784bc3")
_BY: Final = {
    "operands": ("by number of operands", "operands"),
    "distance": ("by distance to the operands", "tokens to the farthest operand (medians)"),
    "place": ("by place in the text", "place of the node (medians)"),
}


def writes_figure(found: Writes, width: int = 1000) -> go.Figure:
    """Error rate of clean due writes by operands, distance and place; and graphs solved beside independent errors."""
    colours = dict(zip(found.sizes, step_colours(len(found.sizes)), strict=True))
    charts: list[Chart] = []
    for name, (title, x_title) in _BY.items():
        table: Any = found.errors_by(name)
        traces: list[dict[str, Any]] = []
        for size, colour in colours.items():
            part = table[table["nodes"] == size] if len(table) else table
            if not len(part):
                continue
            hover = [
                f"<b>{size} nodes, {name} {middle:.3g}</b><br>{count} of {total} clean writes wrong"
                for middle, count, total in zip(part["middle"], part["count"], part["total"], strict=True)
            ]
            points = _points(part, ("share", "low", "high"))
            traces.append(
                with_intervals(
                    f"{size} nodes",
                    part["middle"].tolist(),
                    points,
                    hover,
                    colour,
                    str(size),
                    name == "operands",
                )
            )
        most = max([0.02, *(float(high) for high in table["high"])]) if len(table) else 0.02
        axis = ({"dtick": 1} if name == "operands" else {}) | _padded(
            [x for trace in traces for x in trace["x"]]
        )
        charts.append(Chart(title, x_title, "clean writes that are wrong", traces, axis, _rates(most)))
    charts.append(_compounding_chart(found))
    clean = found.clean()
    reading = (
        f"{counted(len(clean), 'clean write')} of {counted(len(found.graphs), 'graph')}: a node is written in the step "
        "in which it is due, and its operands are right. Bars: 95 % Wilson intervals. Distances and places: medians of "
        "quarters. Last: graphs that end solved, "
        "and how many would be if errors were independent, at the error rate of the same size (dotted)"
        + (" or of the smallest (dashed)." if len(found.sizes) > 1 else ".")
    )
    return draw_charts(charts, "Where writes are wrong", reading, 2, width)


def _padded(x: list[float]) -> dict[str, Any]:
    """An axis with room beside the first and the last mark."""
    if not x:
        return {}
    room = 0.08 * (max(x) - min(x)) or 0.5
    return {"range": [min(x) - room, max(x) + room]}


def _rates(most: float) -> dict[str, Any]:
    return {"range": [-0.05 * most, 1.05 * most], "tickformat": ".1%" if most < 0.1 else ".0%"}


def _compounding_chart(found: Writes) -> Chart:
    sizes = found.compounding()
    x = [str(one.n_nodes) for one in sizes]
    solved = [one.solved for one in sizes]
    hover = [f"<b>{one.n_nodes} nodes</b><br>solved {one.solved}<br>errors {one.errors}" for one in sizes]
    traces = [
        with_intervals(
            "solved", x, [one.point for one in solved], hover, INK,
        ),
        *(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": name,
                "x": x,
                "y": [getattr(one, field) for one in sizes],
                "line": {"color": UNSOLVED_COLOUR, "dash": dash},
                "hovertemplate": f"%{{y:.1%}}<extra>{name}</extra>",
            }
            for name, field, dash in (
                ("independent errors", "predicted", "dot"),
                *((("errors as at the smallest size", "from_smallest", "dash"),) if len(sizes) > 1 else ()),
            )
        ),
    ]  # fmt: skip
    return Chart("graphs solved", "nodes", "graphs", traces, {"type": "category"}, share_axis(), beside=True)


def fetching_figure(found: Fetching, sharper: Sharpening | None = None, width: int = 1000) -> go.Figure:
    """Attention of the fetching heads on the right key by size, at right and at wrong writes; how often they miss it;
    and, where it was tried, the graphs solved with sharper attention.

    Raises:
        ValueError: no head fetches.
    """
    if not found.fetchers:
        raise ValueError("no head fetches, so there is nothing to draw")
    table: Any = found.by_size()
    charts: list[Chart] = []
    spread = ("mass", "mass_low", "mass_high"), ("missed", "low", "high")
    titles = (
        ("attention on the right key", "mean mass (bars: 10 to 90 %)"),
        ("the key is missed", "writes with mass below 0.5"),
    )
    for number, (columns, (title, y_title)) in enumerate(zip(spread, titles, strict=True)):
        traces: list[dict[str, Any]] = []
        for one, colour in zip(found.fetchers, _cycled(len(found.fetchers)), strict=True):
            for right in (True, False):
                part = table[
                    (table["layer"] == one.layer)
                    & (table["head"] == one.head)
                    & (table["place"] == one.place)
                    & (table["right"] == right)
                ]
                if not len(part):
                    continue
                hover = [
                    f"<b>head {one}, {nodes} nodes, {'right' if right else 'wrong'} writes</b><br>{writes} writes: "
                    f"mass {mass:.3f}, margin {margin:.1f}, missed {missed:.1%}, right key first {won:.1%}"
                    for nodes, writes, mass, margin, missed, won in zip(
                        *(part[name] for name in ("nodes", "writes", "mass", "margin", "missed", "won")),
                        strict=True,
                    )
                ]
                name = f"{one}, {'right' if right else 'wrong'} writes"
                traces.append(
                    with_intervals(
                        name, [str(nodes) for nodes in part["nodes"]],
                        _points(part, columns), hover, colour, name, number == 0,
                        dash="solid" if right else "dot",
                    )
                )  # fmt: skip
        charts.append(Chart(title, "nodes", y_title, traces, {"type": "category"}, share_axis(), beside=True))
    if sharper is not None:
        charts.append(_sharpening_chart(sharper))
    reading = (
        "Fetching heads look from a node's right-hand side to an operand's, where its value stands: the right key. "
        "Only writes in the step that a node is due, its operands right. "
        + (
            "Last: graphs solved when the attention scores of the fetching heads are multiplied, nothing trained; "
            "grey, the control, those of all other heads."
            if sharper is not None
            else ""
        )
    )
    return draw_charts(charts, "What the fetching heads looked at", reading, 2, width)


def _sharpening_chart(sharper: Sharpening) -> Chart:
    from interp.failures.sharpening import CONTROL, FETCHING

    sizes = sorted(set(sharper.sizes.tolist()))
    traces: list[dict[str, Any]] = []
    for group, colours in ((FETCHING, step_colours(len(sizes))), (CONTROL, [UNSOLVED_COLOUR] * len(sizes))):
        if group not in sharper.groups:
            continue
        for size, colour in zip(sizes, colours, strict=True):
            factors = sharper.factors(group)
            shares = [sharper.share(group, factor, size) for factor in factors]
            hover = [
                f"<b>{group} x{factor:g}, {size} nodes</b><br>solved {share}"
                for factor, share in zip(factors, shares, strict=True)
            ]
            traces.append(
                with_intervals(
                    f"{group}, {size} nodes", [f"x{factor:g}" for factor in factors],
                    [share.point for share in shares], hover, colour,
                )
            )  # fmt: skip
    axis = {"type": "category"}
    return Chart(
        "graphs solved, sharpened", "attention scores", "graphs", traces, axis, share_axis(), beside=True
    )


def _points(table: Any, columns: tuple[str, str, str]) -> list[tuple[float, float, float]]:
    """Value, low and high of every row."""
    return list(zip(*(table[column].tolist() for column in columns), strict=True))


def _cycled(count: int) -> list[str]:
    return [HEAD_COLOURS[number % len(HEAD_COLOURS)] for number in range(count)]
