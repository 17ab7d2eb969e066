"""How the heads that look at names and the heads that look values up separate in training.

*Clustering Head* (2410.24050) watches in a plane how a head comes to group tokens, snapshot by snapshot. Here a head's
place is how much it looks, from right-hand sides of nodes being computed, at an operand's name in the node's own
equation, and at the place where an operand's value stands (:mod:`interp.mechanism.attention_roles`; of three operands,
the one it looks at most). A name head ends at 1 along one axis, a lookup head at 1 along the other. Beside it the
embeddings of the values in the plane of the last snapshot's two largest principal components.

Heads are named by the last snapshot: *name* or *lookup* where at least half of the attention goes there. Their
separation is half the difference between the mean of (looked up - looked at names) of lookup heads and that of name
heads: 1 where all look at one thing alone. Control: an untrained model, whose heads may be born with distances.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
from numpy.typing import NDArray

from interp.mechanism.attention_roles import ROLES, attention_targets
from interp.mechanism.onsets import onset
from interp.mechanism.variances import PLACES
from interp.progress import followed
from models.graph import ComputationGraph
from models.one_line import one_line
from models.recurrent import RecurrentTransformer

if TYPE_CHECKING:
    import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]

Floats = NDArray[np.float64]
KINDS: Final = ("name", "value")
NAMED: Final = 0.5


@one_line
@dataclass(frozen=True, eq=False)
class HeadSeparation:
    """Heads and values, moment by moment; the first moment is an untrained model.

    Attributes:
        moments: of each, a training step; -1 for the untrained model, and for the model itself where there are no
            snapshots.
        mass: float [moment, kind, place, layer, head], attention; kinds as :data:`KINDS`, places as those of operands.
        values: float [moment, value, 2], embeddings in the plane. held: float [moment], the share of their variance
            that lies in it.
    """

    moments: NDArray[np.int64]
    mass: Floats
    values: Floats
    held: Floats

    @property
    def plane(self) -> Floats:
        """Float [moment, kind, layer, head], how much a head looks at the operand that it looks at most."""
        return self.mass.max(2)

    @property
    def kind(self) -> NDArray[np.str_]:
        """Str [layer, head]: ``name``, ``lookup`` or ``other``, by the last moment."""
        name, value = self.plane[-1]
        return np.where(name >= NAMED, "name", np.where(value >= NAMED, "lookup", "other"))

    @property
    def separation(self) -> Floats:
        """Float [moment], 0 to 1; nan where one of the kinds has no head."""
        lean = self.plane[:, 1] - self.plane[:, 0]
        groups = [lean[:, self.kind == kind] for kind in ("lookup", "name")]
        if not all(group.size for group in groups):
            return np.full(len(lean), np.nan)
        return (groups[0].mean(1) - groups[1].mean(1)) / 2

    def onsets(self) -> pd.DataFrame:
        """When a head looks at each operand's name and value, and when the kinds separate: ``what, onset``; over
        snapshots, nan where it does not appear, or where there are none.
        """
        best = self.mass.max((3, 4))
        series = {
            f"{kind}:{place}": best[:, k, p] for k, kind in enumerate(KINDS) for p, place in enumerate(PLACES)
        }
        series["separation"] = self.separation
        trained = self.moments > 0
        steps = self.moments[trained]
        rows = [
            {"what": name, "onset": onset(steps, values[trained]) if len(steps) else float("nan")}
            for name, values in series.items()
        ]
        return pd.DataFrame(rows)

    def sentence(self) -> str:
        """What was found, with the control."""
        counts = {kind: int((self.kind == kind).sum()) for kind in ("name", "lookup")}
        first, last = self.separation[[0, -1]].tolist()
        heads = (
            f"{counts['name']} heads look at names and {counts['lookup']} look values up, of {self.kind.size}"
        )
        if np.isnan(last):
            return f"{heads}: there are not both kinds, so that nothing separates."
        table: Any = self.onsets()
        at = {str(row["what"]): float(row["onset"]) for row in table.to_dict("records")}
        when = "" if np.isnan(at["separation"]) else f", at training step {at['separation']:.0f}"
        return f"{heads}; their separation rises to {last:.2f} (untrained {first:.2f}){when}."

    def to_frame(self) -> pd.DataFrame:
        """A row per moment and head: ``moment, layer, head, kind, name, value``."""
        rows: list[dict[str, Any]] = []
        for moment, layer, head in np.ndindex(len(self.moments), *self.kind.shape):
            rows.append(
                {
                    "moment": int(self.moments[moment]),
                    "layer": layer,
                    "head": head,
                    "kind": str(self.kind[layer, head]),
                    "name": float(self.plane[moment, 0, layer, head]),
                    "value": float(self.plane[moment, 1, layer, head]),
                }
            )
        return pd.DataFrame(rows)

    def summary(self) -> pd.DataFrame:
        """A row a head that is named: its place, and that of the untrained model's."""
        named = [(int(layer), int(head)) for layer, head in np.argwhere(self.kind != "other")]
        columns = ("head", "kind", "name", "value", "name untrained", "value untrained")
        rows = [
            (
                f"{layer}.{head}",
                str(self.kind[layer, head]),
                *self.plane[-1, :, layer, head].tolist(),
                *self.plane[0, :, layer, head].tolist(),
            )
            for layer, head in named
        ]
        return pd.DataFrame(rows or [("none", "", *[float("nan")] * 4)], columns=list(columns))

    def frames(self) -> dict[str, pd.DataFrame]:
        """`onsets`."""
        return {"onsets": self.onsets()}

    def figures(self) -> dict[str, go.Figure]:
        """`plane`, with a scrubber, and `separation`."""
        from interp.neighbours.separation_figure import plane_figure, separation_figure

        return {"plane": plane_figure(self), "separation": separation_figure(self)}


def head_separation(
    model: RecurrentTransformer,
    graphs: Sequence[ComputationGraph],
    snapshots: Iterable[tuple[int, RecurrentTransformer]] = (),
    seed: int = 0,
) -> HeadSeparation:
    """Where heads look in every snapshot (training step, model), or in the model itself where there are none.

    Raises:
        ValueError: no graphs.
    """
    moments: list[int] = [-1]
    mass = [_mass(model.untrained(seed + 1), graphs)]
    embedded = [_embedded(model.untrained(seed + 1))]
    for step, one in followed(snapshots):
        moments.append(step)
        mass.append(_mass(one, graphs))
        embedded.append(_embedded(one))
    if len(moments) == 1:
        moments.append(-1)
        mass.append(_mass(model, graphs))
        embedded.append(_embedded(model))
    axes = np.linalg.svd(embedded[-1], full_matrices=False)[2][:2]
    values = np.stack([one @ axes.T for one in embedded])
    whole = np.array([float(np.square(one).sum()) for one in embedded])
    held = np.divide(np.square(values).sum((1, 2)), whole, out=np.zeros_like(whole), where=whole > 0)
    return HeadSeparation(np.array(moments), np.stack(mass), values, held)


def _mass(model: RecurrentTransformer, graphs: Sequence[ComputationGraph]) -> Floats:
    """Float [kind, place, layer, head]."""
    targets = attention_targets(model, graphs)
    found = np.nan_to_num(targets.over_steps(targets.mass))
    return np.stack([found[[ROLES.index(f"{kind}:{place}") for place in PLACES]] for kind in KINDS])


def _embedded(model: RecurrentTransformer) -> Floats:
    """Float [value, d_model], centred."""
    rows = (
        model.W_E[model.vocabulary.slice("value")].detach().double().cpu().numpy()[: model.vocabulary.modulus]
    )
    return rows - rows.mean(0)
