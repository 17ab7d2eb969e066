"""What every head is for: a name given by a rule from what it responds to and where it looks.

The rule, for nodes that are being computed (all thresholds are ``least``, 0.5 by default):

    idle      its output is less than 1/1000 of the layer's largest, in mean square
    lookup    most of its attention is on the right-hand side of one operand, whatever the distance: it fetches a value
    offset    most of its attention is at one distance: it moves what stands there
    mixed     neither, but it has a role all the same (a leaf's number, say)
    none      no role has most of its attention

Roles are those of :mod:`interp.mechanism.attention_roles`; a head has all roles that get ``least`` of its attention
on the nodes that have them (separators count where there is nothing else). In a continuous model what varies is what
its hidden state is read as (:mod:`interp.mechanism.perturbed`), and statuses are those of the schedule, whether or not
the model keeps to it. :func:`head_roles` measures; on a model whose weights are known the rule names exactly the
planted heads (``tests/interp/mechanism/test_heads.py``), on untrained ones it names none, unless heads were born with
distances (``cfg.born_distances``): then they are ``offset`` before any training, and that is given, not found
(:mod:`interp.mechanism.born_distances`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd  # pyright: ignore[reportMissingTypeStubs]

from interp.mechanism.attention_roles import N_OFFSETS, ROLES, AttentionTargets, attention_targets
from interp.mechanism.grouping import HeadGroups, head_groups
from interp.mechanism.variances import HeadVariance, head_variance
from interp.progress import phase
from models.graph import ComputationGraph
from models.one_line import one_line
from models.recurrent import RecurrentTransformer

if TYPE_CHECKING:
    import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]

IDLE = 1e-3


@one_line
@dataclass(frozen=True)
class HeadRole:
    """One head: its kind, the roles it attends to, the distance (of ``offset`` heads) and the mass that says so."""

    layer: int
    head: int
    kind: str
    roles: tuple[str, ...]
    offset: int | None
    mass: float

    def __str__(self) -> str:
        what = ", ".join(self.roles) or "nothing in particular"
        where = f" ({self.offset} back)" if self.offset else ""
        return f"head {self.layer}.{self.head}: {self.kind}, {what}{where}"


@one_line
@dataclass(frozen=True, eq=False)
class HeadRoles:
    """The heads of a model: measurements, names, groups."""

    variance: HeadVariance
    targets: AttentionTargets
    groups: HeadGroups
    heads: tuple[HeadRole, ...]

    def at(self, layer: int, head: int) -> HeadRole:
        """One head; raises KeyError where there is none."""
        for role in self.heads:
            if (role.layer, role.head) == (layer, head):
                return role
        raise KeyError(f"there is no head {head} in layer {layer}")

    def to_frame(self) -> pd.DataFrame:
        """A line per head: ``layer, head, kind, roles, offset, mass, group``, its relative variance by what varies (a
        column of that name, and ``NAME:low`` and ``NAME:high``), its entropy (bits) and stability.
        """
        targets = self.targets
        entropy = targets.over_steps(targets.entropy)
        stability = _mean_over_steps(targets)
        relative: dict[str, Any] = {}
        for vary in self.variance.perturbations:
            low, high = self.variance.interval(vary)
            relative |= {vary: self.variance.relative(vary), f"{vary}:low": low, f"{vary}:high": high}
        rows: list[dict[str, Any]] = []
        for role in self.heads:
            at = (role.layer, role.head)
            rows.append(
                {
                    "layer": role.layer,
                    "head": role.head,
                    "kind": role.kind,
                    "roles": ", ".join(role.roles),
                    "offset": role.offset,
                    "mass": role.mass,
                    "group": int(self.groups.labels[at]),
                    **{vary: float(found[at]) for vary, found in relative.items()},
                    "entropy": float(entropy[at]),
                    "stability": float(stability[at]),
                }
            )
        return pd.DataFrame(rows)

    def figure(self) -> go.Figure:
        """Relative variance and attention by role, a column per head."""
        from interp.mechanism.heads_figure import heads_figure

        return heads_figure(self)


def head_roles(
    model: RecurrentTransformer,
    graphs: Sequence[ComputationGraph],
    n: int = 16,
    seed: int = 0,
    least: float = 0.5,
) -> HeadRoles:
    """Measure and name all heads on the runs of ``graphs``.

    Args:
        n: at most so many variations of one thing. least: attention that makes a role, 0..1.

    Raises:
        ControlledError: a continuous model of fixed steps, or graphs of leaves alone. ValueError: no graphs.
    """
    with phase(0.0, 0.1):
        targets = attention_targets(model, graphs)
    with phase(0.1, 1.0):
        variance = head_variance(model, graphs, statuses=("waiting", "computing", "done"), n=n, seed=seed)
    heads = name_heads(variance, targets, least)
    return HeadRoles(variance, targets, head_groups(variance, targets, seed=seed), heads)


def name_heads(variance: HeadVariance, targets: AttentionTargets, least: float = 0.5) -> tuple[HeadRole, ...]:
    """The rule of the module's text."""
    mass = np.nan_to_num(targets.over_steps(targets.mass))
    offsets = np.nan_to_num(targets.over_steps(targets.offsets))
    energy = variance.total.mean(0)
    idle = energy < IDLE * energy.max(1, keepdims=True)
    found: list[HeadRole] = []
    for layer, head in np.ndindex(*idle.shape):
        if idle[layer, head]:
            found.append(HeadRole(layer, head, "idle", (), None, 0.0))
            continue
        by_role, by_offset = mass[:-1, layer, head], offsets[: N_OFFSETS - 1, layer, head]
        order = cast("list[int]", np.argsort(-by_role, kind="stable").tolist())
        roles = [ROLES[r] for r in order if by_role[r] >= least]
        roles = [role for role in roles if role != "separator"] or roles
        lookups = [role for role in roles if role.startswith("value:")]
        distance = int(by_offset.argmax())
        if lookups:
            strength = float(by_role[ROLES.index(lookups[0])])
            found.append(HeadRole(layer, head, "lookup", tuple(lookups), None, strength))
        elif by_offset[distance] >= least:
            found.append(HeadRole(layer, head, "offset", tuple(roles), distance, float(by_offset[distance])))
        else:
            kind = "mixed" if roles else "none"
            found.append(HeadRole(layer, head, kind, tuple(roles), None, float(by_role.max())))
    return tuple(found)


def _mean_over_steps(targets: AttentionTargets) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Stability [layer, head]; nan where there was one step."""
    after = targets.stability[1:]
    return after.mean(0) if len(after) else np.full(targets.stability.shape[1:], np.nan)
