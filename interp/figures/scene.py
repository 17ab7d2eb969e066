"""What an animated run is drawn from, as plain JSON values: a graph, and the states of one or two runs on it.

Codes and probabilities are packed, so that a run of 128 nodes is some 200 kB of text.
"""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import torch

from interp.figures.layout import layer
from interp.figures.template import step_colours, text_colour
from models.trajectory import Trajectory
from models.vocabulary import FACTORS


def scene_of(
    run: Trajectory, edited_at: int = 0, control: Trajectory | None = None, edited: Trajectory | None = None
) -> dict[str, Any]:
    """The graph of a run of one graph, its states, and those of an edited run beside what it is compared with.

    edited_at: index of the state that was edited. control, edited: what followed from it without the edit and with it
    (`interp.OverwrittenRun`); both or neither.

    ``nodes``: of each its name, equation, depth, column and row, operands, true value, and positions in the text from
    ``first`` to ``rhs``. ``symbols``: of every factor; variables by the graph's own names. ``runs``: of each its label,
    ``n_states``, ``codes`` (uint16 [state, pos, factor]) and ``sure`` (uint16 [step, pos, factor], 65535 for
    probability 1). The first run is the original as far as the edit, and the control from there on.

    Raises:
        ValueError: a run of several graphs.
    """
    if len(run.encoded) != 1:
        raise ValueError(f"expected a run of one graph, got {len(run.encoded)}")
    graph = run.encoded.graphs[0]
    rhs = [int(position) for position in run.encoded.rhs[0]]
    first = [0, *(position + 1 for position in rhs[:-1])]
    places = layer(graph)
    states, sure = run.states[:, 0], run.confidence[:, 0]
    runs = [_packed("original", states, sure)]
    latest = max(int(run.solved_at.max()), *graph.depths_by_node)
    if control is not None and edited is not None:
        before = states[:edited_at], sure[:edited_at]
        runs = [_resumed(label, *before, one) for label, one in (("original", control), ("edited", edited))]
        latest = max(latest, *(edited_at + int(one.solved_at.max()) for one in (control, edited)))
    colours = step_colours(latest + 1)
    return {
        "nodes": [
            {
                "name": node.name,
                "equation": graph.equation(index),
                "depth": graph.depths_by_node[index],
                "column": int(places[index][0]),
                "row": places[index][1],
                "operands": list(node.operands),
                "truth": graph.values_by_node[index],
                "first": first[index],
                "rhs": rhs[index],
            }
            for index, node in enumerate(graph.nodes)
        ],
        "factors": list(FACTORS),
        "symbols": {factor: symbols_of(run, factor) for factor in FACTORS},
        "empty": run.vocabulary.empty,
        "n_values": run.vocabulary.modulus,
        "n_positions": states.shape[1],
        "runs": runs,
        "edited_at": None if edited is None else edited_at,
        "colours": colours,
        "inks": [text_colour(colour) for colour in colours],
    }


def symbols_of(run: Trajectory, factor: str) -> list[str]:
    """The symbols of a factor, variables by the names that the run's graph gives them."""
    symbols = list(run.vocabulary.symbols(factor))
    if factor == "variable":
        for node in run.encoded.graphs[0].nodes:
            symbols[node.variable] = node.name
    return symbols


def _resumed(label: str, states: torch.Tensor, sure: torch.Tensor, after: Trajectory) -> dict[str, Any]:
    """A run that was resumed after some states: those and its own."""
    return _packed(label, torch.cat([states, after.states[:, 0]]), torch.cat([sure, after.confidence[:, 0]]))


def _packed(label: str, states: torch.Tensor, sure: torch.Tensor) -> dict[str, Any]:
    """A run for the browser: little-endian integers in base 64.

    states: int [state, pos, factor]. sure: float [step, pos, factor].
    """
    codes = states.cpu().numpy().astype("<u2")
    shares = np.rint(np.nan_to_num(sure.detach().cpu().numpy()) * 65535).clip(0, 65535).astype("<u2")
    return {
        "label": label,
        "n_states": len(codes),
        "codes": base64.b64encode(codes.tobytes()).decode(),
        "sure": base64.b64encode(shares.tobytes()).decode(),
    }
