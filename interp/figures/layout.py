"""Where the nodes of a graph go: by depth in columns, with few crossings."""

from __future__ import annotations

from collections.abc import Sequence

from models.graph import ComputationGraph

_SWEEPS = 6


def layer(graph: ComputationGraph) -> list[tuple[float, float]]:
    """(column, row) of every node: its depth, and a row of its column that keeps edges short and seldom crossed.

    Rows of a column are consecutive and centred at 0. The order comes from a few sweeps of the barycentre method
    (Sugiyama, Tagawa and Toda 1981): nodes are sorted by the mean row of their operands, then of their results.
    """
    depths = graph.depths_by_node
    columns: list[list[int]] = [[] for _ in range(max(depths) + 1)]
    results: list[list[int]] = [[] for _ in depths]
    for index, node in enumerate(graph.nodes):
        columns[depths[index]].append(index)
        for operand in node.operands:
            results[operand].append(index)
    rows = [0.0] * len(depths)
    for column in columns:
        _stack(column, rows)
    for sweep in range(_SWEEPS):
        forwards = sweep % 2 == 0
        for column in columns if forwards else reversed(columns):
            centre: dict[int, float] = {}
            for index in column:
                others = graph.nodes[index].operands if forwards else results[index]
                centre[index] = sum(rows[o] for o in others) / len(others) if others else rows[index]
            column.sort(key=lambda index, centre=centre: -centre[index])
            _stack(column, rows)
    return [(float(depth), rows[index]) for index, depth in enumerate(depths)]


def _stack(column: Sequence[int], rows: list[float]) -> None:
    for place, index in enumerate(column):
        rows[index] = (len(column) - 1) / 2 - place


def curve(
    start: tuple[float, float], end: tuple[float, float]
) -> tuple[list[float | None], list[float | None]]:
    """Points (x, y), and None after the last, of a smooth line from an operand to a result.

    Over several columns it bows a little, to pass between nodes; where it does not run to the right, sideways.
    """
    (x0, y0), (x1, y1) = start, end
    if x1 - x0 < 1:
        side = 0.3 + 0.04 * abs(y1 - y0)
        return [x0, (x0 + x1) / 2 - side, x1, None], [y0, (y0 + y1) / 2, y1, None]
    bow = 0.0 if x1 - x0 < 2 else 0.45
    return (
        [x0, x0 + 0.3, x1 - 0.3, x1, None],
        [y0, y0 + (y1 - y0) * 0.2 + bow, y1 - (y1 - y0) * 0.2 + bow, y1, None],
    )
