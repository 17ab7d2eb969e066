"""A run as tidy tables: one row per graph, node (or position) and step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
from torch import Tensor

from models.vocabulary import FACTORS

if TYPE_CHECKING:
    from models.trajectory import Trajectory


def node_frame(run: Trajectory) -> pd.DataFrame:
    """One row per graph, node and step; see :meth:`models.Trajectory.to_frame`."""
    encoded, values = run.encoded, run.values.numpy()
    graph, node = np.nonzero(encoded.rhs.numpy() >= 0)
    step = np.arange(run.n_steps)[:, None]
    equations = [equation for one in encoded.graphs for equation in one.equations]
    names = [node.name for one in encoded.graphs for node in one.nodes]
    frame = _table(
        run,
        {
            "graph": graph,
            "node": node,
            "name": np.array(names, dtype=object),
            "equation": np.array(equations, dtype=object),
            "depth": _at(encoded.depths, graph, node),
            "position": _at(encoded.rhs, graph, node),
            "step": step,
            "before": _numbers(run, values[step, graph, node]),
            "value": _numbers(run, values[step + 1, graph, node]),
            "true_value": _at(encoded.values, graph, node),
            "right": run.right.numpy()[step + 1, graph, node],
            "confidence": run.value_confidence.numpy()[step, graph, node],
            "solved_at": _at(run.solved_at, graph, node),
        },
    )
    return frame.astype({"before": "Int64", "value": "Int64"})  # pyright: ignore[reportUnknownMemberType]


def position_frame(run: Trajectory) -> pd.DataFrame:
    """One row per graph, position and step; see :meth:`models.Trajectory.to_frame`."""
    encoded = run.encoded
    graph, position = np.nonzero(encoded.mask.numpy())
    step = np.arange(run.n_steps)[:, None]
    node = np.full(encoded.mask.shape, -1)
    at, index = np.nonzero(encoded.rhs.numpy() >= 0)
    node[at, _at(encoded.rhs, at, index)] = index
    states = run.states.numpy()
    written = states[step + 1, graph, position]
    shown = [run.vocabulary.token_strings(state, encoded.graphs) for state in run.states[1:]]
    tokens = np.array(shown, dtype=object).reshape(run.n_steps, *encoded.mask.shape)
    columns: dict[str, Any] = {
        "graph": graph,
        "position": position,
        "node": node[graph, position],
        "step": step,
        "token": tokens[step, graph, position],
    }
    for index, factor in enumerate(FACTORS):
        columns[factor] = np.array(run.vocabulary.symbols(factor), dtype=object)[written[..., index]]
    columns["changed"] = (written != states[step, graph, position]).any(-1)
    confidence = run.confidence.numpy()[step, graph, position]
    columns |= {f"{factor}_confidence": confidence[..., index] for index, factor in enumerate(FACTORS)}
    return _table(run, columns)


def _at(values: Tensor, *index: Any) -> Any:
    return values.numpy()[index]


def _numbers(run: Trajectory, symbols: Any) -> Any:
    """Value symbols as numbers, None where they are none (EMPTY, N/A)."""
    return np.where(symbols < run.vocabulary.modulus, symbols, None)


def _table(run: Trajectory, columns: dict[str, Any]) -> pd.DataFrame:
    """Columns [step, row], [step, 1] or [row] as a frame with a row for every step of every row, row by row."""
    shape = run.n_steps, len(columns["graph"])
    flat = {name: np.broadcast_to(column, shape).T.reshape(-1) for name, column in columns.items()}
    return pd.DataFrame(flat)
