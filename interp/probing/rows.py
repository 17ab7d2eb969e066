"""What a probe is fitted to: which rows of a dataset at which step, with which labels.

A target is any label of an :class:`interp.ActivationDataset`: of the row (``value``, ``depth``, ``operand_1``) or of
row and step (``shown``, ``operand_shown_2``). Rows where it is negative, which is to say that there is nothing there,
are left out.

Processes that fit probes import this module: what would bring PyTorch along is imported where it is used.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from interp.data.datasets import ActivationDataset
from models.bounds import index_of

ALL: Final = "all"
Steps = Literal["all"] | Sequence[int]
_NOT_TARGETS: Final = ("graph", "node", "pos")


class ProbeError(ValueError):
    """A probe that cannot be fitted; the message says what was given and what is allowed."""


@dataclass(frozen=True, eq=False)
class ProbeRows:
    """The rows of one step.

    index   int [row]   in the dataset
    labels  int [row]   index into :attr:`ProbeTask.classes`, -1: none of them
    graphs  int [row]   what is never split between training and test
    words   int [row]   word type for the control task; all 0 where the dataset has no names
    """

    index: NDArray[np.int64]
    labels: NDArray[np.int64]
    graphs: NDArray[np.int64]
    words: NDArray[np.int64]

    @property
    def n_graphs(self) -> int:
        """How many graphs the rows are of."""
        return len(np.unique(self.graphs))

    @property
    def n_classes(self) -> int:
        """How many classes the rows have."""
        return len(np.unique(self.labels))

    def can_be_split(self, folds: int) -> bool:
        """Whether there are two classes at least, and a graph for every fold."""
        return self.n_classes > 1 and self.n_graphs >= folds


@dataclass(frozen=True, eq=False)
class ProbeTask:
    """A target, and the rows of every step that have it.

    classes: the values the target takes in any row of any step, ascending. rows: step -> its rows.
    """

    target: str
    status: str | None
    role: str | None
    classes: NDArray[Any]
    rows: Mapping[int, ProbeRows]

    @property
    def steps(self) -> tuple[int, ...]:
        """The steps that were asked for."""
        return tuple(self.rows)

    def __str__(self) -> str:
        parts = [self.target, self.status or "all nodes", *([] if self.role is None else [self.role])]
        return ", ".join(parts)


def probe_task(
    data: ActivationDataset,
    target: str,
    status: str | None = None,
    role: str | None = None,
    steps: Steps = ALL,
    classes: NDArray[Any] | None = None,
) -> ProbeTask:
    """The labels of a target, step by step.

    status: only rows whose node is ``waiting``, ``computing`` or ``done`` in the state that enters the step; None or
    "all": any. role: only tokens of that role (:data:`interp.data.labels.ROLES`); None or "all": any. classes: those of
    other data, in whose order labels are given, -1 for what is none of them; default: those that occur.

    Raises:
        ProbeError: an unknown target, status, role or step; no row left; a target that has one class only, unless
            ``classes`` are given; ``classes`` of another type (numbers, words).
    """
    status, role = (None if given == ALL else given for given in (status, role))
    wanted = _steps(steps, data.n_steps)
    column = _column(data, target)
    chosen = _of_status(data, status) & _of_role(data, role)[None]
    if not chosen[wanted].any():
        what = " and ".join(
            f"{name} {given!r}" for name, given in (("status", status), ("role", role)) if given
        )
        raise ProbeError(f"no row of the steps {wanted} has {what}")
    known = column >= 0 if np.issubdtype(column.dtype, np.number) else np.ones(column.shape, dtype=np.bool_)
    kept = chosen & known
    if not kept[wanted].any():
        where = "" if role is None else f" (role {role!r})"
        raise ProbeError(
            f"target {target!r} is not defined (-1) at any of the {int(chosen[wanted].any(0).sum())} tokens{where}; "
            "choose tokens that have it: 'value' and 'operand_1' stand at right-hand sides, for example"
        )
    found: NDArray[Any] = np.unique(np.concatenate([column[step][kept[step]] for step in wanted]))
    if classes is None and len(found) < 2:
        raise ProbeError(
            f"target {target!r} has one class only ({found[0]}) in the {int(kept[wanted].sum())} rows; "
            "a probe needs at least two"
        )
    if found.dtype == object:  # words, as a frame has them
        found = found.astype(np.str_)
    classes = found if classes is None else classes
    code_of = {value: code for code, value in enumerate(classes.tolist())}
    if type(found.tolist()[0]) is not type(classes.tolist()[0]):
        raise ProbeError(
            f"target {target!r} is {found.tolist()[0]!r} here, and {classes.tolist()[0]!r} where the probes come from"
        )
    graphs = _codes(_array(data, "graph"))
    words = _codes(_array(data, "name")) if "name" in data.labels else np.zeros(len(data), dtype=np.int64)
    rows: dict[int, ProbeRows] = {}
    for step in wanted:
        index = kept[step].nonzero()[0]
        labels = np.array([code_of.get(value, -1) for value in column[step][index].tolist()], dtype=np.int64)
        rows[step] = ProbeRows(index, labels, graphs[index], words[index])
    return ProbeTask(target, status, role, classes, rows)


def check_folds(data: ActivationDataset, folds: int) -> None:
    """Raises ProbeError for less than two folds, or more than there are graphs."""
    graphs = len(np.unique(_codes(_array(data, "graph"))))
    if not 2 <= folds <= graphs:
        raise ProbeError(
            f"folds is {folds}, and there are {graphs} graphs; allowed are 2 to {graphs}, since no graph is split"
        )


def chosen_sites(data: ActivationDataset, sites: Iterable[str] | str | None) -> tuple[str, ...]:
    """Those of the dataset's sites that are asked for, in the order in which a step computes them.

    sites: keys (``"blocks.1.hook_resid_pre"``) or short names (``"resid_pre"``: every layer, ``"z"``: every head).

    Raises:
        ProbeError: a site that the dataset does not have.
    """
    if sites is None:
        return tuple(sorted(data.sites, key=_order))
    found: set[str] = set()
    for wanted in [sites] if isinstance(sites, str) else sites:
        named = [key for key in data.sites if wanted in (key, _apart(key)[1])]
        if not named:
            raise ProbeError(f"there is no site {wanted!r} in the data; there are {', '.join(data.sites)}")
        found.update(named)
    return tuple(sorted(found, key=_order))


def site_label(key: str) -> str:
    """A site in a table or on an axis: ``blocks.1.attn.hook_z.3`` is ``1.z.3``."""
    layer, name, head = _apart(key)
    return ".".join(str(part) for part in (layer, name, head) if part not in (-1, ""))


def _order(key: str) -> tuple[int, int, int]:
    from interp.engine.sites import SHORT_NAMES

    layer, name, head = _apart(key)
    names = list(SHORT_NAMES)
    after = layer < 0 and name == "logits"
    return 10**6 if after else layer, names.index(name) if name in names else len(names), int(head or 0)


def _apart(key: str) -> tuple[int, str, str]:
    """Layer (-1: none), short name (the key itself where it is no hook of ours) and head ("": none) of a key."""
    from interp.engine.sites import SHORT_NAMES

    layer, name, head = -1, key, ""
    if name.startswith("blocks.") and index_of(name.split(".")[1]) is not None:
        number, name = name.split(".", 2)[1:]
        layer = int(number)
    front, _, last = name.rpartition(".")
    if index_of(last) is not None:
        name, head = front, last
    short = next((short for short, long in SHORT_NAMES.items() if name == long), None)
    return (-1, key, "") if short is None else (layer, short, head)


def _steps(steps: Steps, n_steps: int) -> list[int]:
    if isinstance(steps, str):
        if steps != ALL:
            raise ProbeError(f"steps is {steps!r}; allowed are 'all', or numbers from 0 to {n_steps - 1}")
        return list(range(n_steps))
    wanted = list(steps)
    if not wanted or not all(0 <= step < n_steps for step in wanted):
        raise ProbeError(f"steps are {wanted}; allowed is at least one of 0 to {n_steps - 1}")
    return wanted


def _column(data: ActivationDataset, target: str) -> NDArray[Any]:
    """The target as an array [step, row]."""
    if target in data.step_labels:
        return np.asarray(data.step_labels[target])
    if target not in data.labels or target in _NOT_TARGETS:
        known = [name for name in map(str, data.labels.columns) if name not in _NOT_TARGETS]
        raise ProbeError(f"there is no target {target!r}; there are {', '.join([*known, *data.step_labels])}")
    return np.broadcast_to(_array(data, target), (data.n_steps, len(data)))


def _of_status(data: ActivationDataset, status: str | None) -> NDArray[np.bool_]:
    if status is None:
        return np.ones((data.n_steps, len(data)), dtype=np.bool_)
    from interp.data.labels import STATUSES

    if status not in STATUSES or "status" not in data.step_labels:
        known = STATUSES if "status" in data.step_labels else ()
        raise ProbeError(f"status is {status!r}; allowed are {', '.join([ALL, *known])}")
    return np.asarray(data.step_labels["status"]) == STATUSES.index(status)


def _of_role(data: ActivationDataset, role: str | None) -> NDArray[np.bool_]:
    if role is None:
        return np.ones(len(data), dtype=np.bool_)
    from interp.data.labels import ROLES

    if role not in ROLES or "role" not in data.labels:
        known = ROLES if "role" in data.labels else ()
        raise ProbeError(f"role is {role!r}; allowed are {', '.join([ALL, *known])}")
    return _array(data, "role") == role


def _array(data: ActivationDataset, label: str) -> NDArray[Any]:
    column: Any = data.labels[label]  # pyright: ignore[reportUnknownVariableType]
    return np.asarray(column)  # pyright: ignore[reportUnknownArgumentType]


def _codes(column: NDArray[Any]) -> NDArray[np.int64]:
    """Equal entries as equal numbers from 0."""
    return np.unique(column, return_inverse=True)[1].astype(np.int64)
