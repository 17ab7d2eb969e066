"""Interchange intervention accuracy in given subspaces: variable by place, step and depth.

    h' = h_base + (h_source - h_base) B B^T        at one hook point, at a node's right-hand side
    IIA = share of pairs after which the model writes what the algorithm writes with the variable swapped

(Geiger et al. 2021; the intervention is TransformerLens's ``SubspaceInterchange``). Only pairs are counted in which an
intervention without effect, or one that replaces everything, would be wrong (:mod:`interp.interchange.pairs`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
import torch
from torch import Tensor
from transformer_lens.tools.analysis.interchange import (
    SubspaceInterchange,
    collect_activations,
    intervened_logits,
)

from interp.interchange.pairs import StatePairs, draw_pairs
from interp.interchange.rows import StateRows, places_of
from interp.interchange.shapes import HELD_OUT
from interp.interchange.variables import FACTOR_OF, VARIABLES
from interp.statistics.shares import Share
from models.compiled.graphs import CompiledTransformer
from models.one_line import one_line
from models.recurrent import RecurrentTransformer

if TYPE_CHECKING:
    import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]

STEPS = (1, 2, 3, 4)
PER_STEP = 64


@one_line
@dataclass(frozen=True, eq=False)
class InterchangeGrid:
    """IIA of given subspaces.

    Attributes:
        places: hook names, in the order of the forward pass.
        frame: a row for every variable, place, step and depth: variable, factor, place, step, depth, hits, pairs.
    """

    places: tuple[str, ...]
    frame: pd.DataFrame

    def share(self, variable: str, place: str, **where: int) -> Share:
        """IIA of a variable at a place, of all steps and depths or of those given."""
        frame: Any = self.frame
        chosen = (frame["variable"] == variable) & (frame["place"] == place)
        for name, value in where.items():
            chosen &= frame[name] == value
        return Share(int(frame["hits"][chosen].sum()), int(frame["pairs"][chosen].sum()))

    @property
    def variables(self) -> tuple[str, ...]:
        """Those that were asked about, in order."""
        frame: Any = self.frame
        return tuple(dict.fromkeys(frame["variable"]))

    def to_frame(self) -> pd.DataFrame:
        """:attr:`frame` with ``iia``, ``low`` and ``high`` (95 % Wilson)."""
        frame: Any = self.frame.copy()
        shares = [
            Share(int(hits), int(pairs)) for hits, pairs in zip(frame["hits"], frame["pairs"], strict=True)
        ]
        frame["iia"], frame["low"], frame["high"] = (
            list(column) for column in zip(*(share.point for share in shares), strict=True)
        )
        return frame

    def figure(self, width: int = 1000) -> go.Figure:
        """Variable x place, and step x depth where a variable is carried."""
        from interp.interchange.interchange_figure import grid_figure

        return grid_figure(self, width)


def interchange_grid(
    model: RecurrentTransformer,
    bases: Mapping[str, Tensor],
    steps: Sequence[int] = STEPS,
    per_step: int = PER_STEP,
    shape: Sequence[int] = HELD_OUT,
    seed: int = 0,
) -> InterchangeGrid:
    """IIA of every variable in its subspace, orthonormal columns [d_model, rank], at every place.

    Raises:
        ValueError: an unknown variable, a model without a discrete state, one that cannot be resumed.

    Examples:
        >>> from interp import interchange_grid, slot_bases
        >>> from models import load
        >>> model = load("compiled")
        >>> grid = interchange_grid(model, slot_bases(model), steps=(1,), per_step=8)
        >>> grid.share("value:first", "blocks.1.hook_resid_mid").value
        1.0
    """
    check_interchangeable(model, bases)
    pairs = draw_pairs(model.vocabulary, shape, steps, per_step, seed)
    rows = StateRows.of(model, torch.cat([pairs.base, pairs.source]), pairs.pos)
    found: list[dict[str, Any]] = []
    for place in places_of(model):
        activations = source_activations(rows, place, len(pairs))
        for variable, basis in bases.items():
            hits = interchange_hits(rows, pairs, place, basis, pairs.targets[variable], activations)
            asked = pairs.asked[variable]
            for step, depth in pairs.cells():
                cell = asked & (pairs.step == step) & (pairs.depth == depth)
                found.append(
                    {
                        "variable": variable,
                        "factor": FACTOR_OF[variable],
                        "place": place,
                        "step": step,
                        "depth": depth,
                        "hits": int((hits & cell).sum()),
                        "pairs": int(cell.sum()),
                    }
                )
    return InterchangeGrid(places_of(model), pd.DataFrame(found))


def source_activations(rows: StateRows, place: str, n_pairs: int) -> Tensor:
    """Float [pair, d_model]: what the sources, the second half of the rows, have at a place."""
    view, name = rows.view(0, place)
    return collect_activations(
        view, name, torch.arange(n_pairs, 2 * n_pairs), rows.value_logits(0),
        positions=torch.zeros(n_pairs, dtype=torch.int64),
    )  # fmt: skip


def interchange_hits(
    rows: StateRows, pairs: StatePairs, place: str, basis: Any, due: Tensor, sources: Tensor
) -> Tensor:
    """Bool [pair]: whether the base, intervened on, is written as ``due``, int [pair].

    basis: orthonormal columns, or an intervention of TransformerLens. Every step's pairs run in its own hooks.
    """
    intervention = SubspaceInterchange(basis) if isinstance(basis, Tensor) else basis
    hits = torch.zeros(len(pairs), dtype=torch.bool)
    for step in sorted({step for step, _ in pairs.cells()}):
        chosen = torch.nonzero(pairs.step == step).flatten()
        view, name = rows.view(step, place)
        logits = intervened_logits(
            view, name, intervention, chosen, sources[chosen], rows.value_logits(step),
            positions=torch.zeros(len(chosen), dtype=torch.int64),
        )  # fmt: skip
        hits[chosen] = logits.argmax(-1) == due[chosen]
    return hits


def slot_bases(model: RecurrentTransformer) -> dict[str, Tensor]:
    """Of a compiled graph solver, the slot that each variable has in the residual stream, as unit vectors.

    Raises:
        ValueError: a model that does not know its own circuit.
    """
    if not isinstance(model, CompiledTransformer):
        raise ValueError(
            "this model does not say where its variables are; allowed are the compiled graph solvers"
        )
    slots = dict(model.circuit.slots)
    slots |= {"own": slots["value"]}
    eye = torch.eye(model.cfg.d_model)
    return {name: eye[:, slots[name]] for name in VARIABLES if name in slots}


def symbol_spans(model: RecurrentTransformer) -> dict[str, Tensor]:
    """The part of each slot that tells symbols apart: the span of the differences of what stands there.

    One-hot values have one dimension less than symbols: what they share is the same for all of them, and no interchange
    can tell whether it was swapped.
    """
    vocabulary, slots = model.vocabulary, slot_bases(model)
    values = torch.eye(vocabulary.modulus + 2)[[*range(vocabulary.modulus), vocabulary.empty]]
    found: dict[str, Tensor] = {}
    for name, slot in slots.items():
        codes = torch.eye(slot.shape[1]) if FACTOR_OF[name] == "variable" else values
        apart = codes if FACTOR_OF[name] == "variable" else codes - codes.mean(0)
        _, sizes, directions = np.linalg.svd(apart.numpy(), full_matrices=False)
        rank = int((sizes > 1e-5).sum())
        found[name] = slot @ torch.as_tensor(directions[:rank].T)
    return found


def check_interchangeable(model: RecurrentTransformer, variables: Any) -> None:
    """Raises ValueError for a model without discrete states and for unknown variables."""
    unknown = [name for name in variables if name not in VARIABLES]
    if unknown or not variables:
        raise ValueError(
            f"variables are {list(variables)}; allowed is at least one of {', '.join(VARIABLES)}"
        )
    if model.cfg.bottleneck != "discrete" or model.cfg.writes_text:
        raise ValueError(
            f"this model (method {model.cfg.method!r}) is not entered by discrete states, so there is no state of the "
            "algorithm to give it; allowed are models with bottleneck='discrete'"
        )
