"""Activations of many graphs with a step axis, and labels of every row: what probes and projections start from.

On disk a dataset is a folder: ``activations/NAME.npy`` float32 [step, row, d] and ``step_labels/NAME.npy`` int32
[step, row], ``labels.parquet`` (one line per row), and ``meta.json``, without which nothing is a dataset. A folder is
made under another name (``FOLDER.partial-...``) and renamed when it is complete, so that a killed run leaves no half
one.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import quote

import numpy as np
import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
from numpy.typing import NDArray

from models.one_line import in_one_line

FORMAT: Final = "recurlens.activations.1"
META: Final = "meta.json"
_LABELS: Final = "labels.parquet"


class DatasetError(ValueError):
    """A dataset that does not fit together, or a folder that cannot be written or read; the message says why."""


@dataclass(frozen=True, eq=False)
class ActivationDataset:
    """Activations and labels; rows are tokens (or whatever ``labels`` has lines for), the same at every step.

    Attributes:
        activations: site -> float32 [step, row, d]; sites are hook names without step
            (``"blocks.1.hook_resid_pre"``), with the head at the end where there are heads
            (``"blocks.1.attn.hook_z.3"``). Read-only memory maps where the dataset lies in a folder.
        labels: one line per row. From :func:`interp.collect`: ``graph`` (index of the graph in the call), ``node``
            (whose equation the token is in), ``pos``, ``role`` (:data:`interp.data.labels.ROLES`), ``operand`` (number
            of the operand, -1), ``name`` and ``value`` (variable id and true value of what stands at the token, -1),
            and of the equation's node: ``depth``, ``n_operands``, ``operation`` (``leaf``, ``copy``, an operation,
            ``mixed``), ``operand_1``.. (variable ids, -1), ``operand_value_1``.. (true values, -1).
        step_labels: name -> int [step, row]. From :func:`interp.collect`, all of the row's node: ``status`` in the
            state that enters the step (index into ``labels.STATUSES``), ``shown`` and ``written`` (value
            symbol at its right-hand side in the state that enters the step, and in the one the step writes),
            ``operand_shown_1``.. (the same at its operands' right-hand sides, entering; -1: no such operand).
            A value symbol is the value, ``modulus`` for N/A, ``modulus + 1`` for EMPTY.
        model: what the activations are of.
        n_steps: length of the step axis.
        modulus: values are 0..modulus-1; 0 where there are no such values.
    """

    activations: Mapping[str, NDArray[np.float32]]
    labels: pd.DataFrame
    step_labels: Mapping[str, NDArray[np.int32]] = field(default_factory=dict[str, NDArray[np.int32]])
    model: str = ""
    n_steps: int = 0
    modulus: int = 0

    def __post_init__(self) -> None:
        if not self.activations:
            raise DatasetError("there are no activations; at least one site is needed")
        for kind, arrays, axes in (
            ("activations", self.activations, 3),
            ("step labels", self.step_labels, 2),
        ):
            for name, array in arrays.items():
                if array.ndim != axes or array.shape[:2] != (self.n_steps, len(self.labels)):
                    allowed = f"[{self.n_steps} steps, {len(self.labels)} rows{', d' * (axes == 3)}]"
                    raise DatasetError(f"{kind} {name!r} have shape {array.shape}; allowed is {allowed}")

    @classmethod
    def from_arrays(
        cls,
        activations: Mapping[str, NDArray[Any]],
        labels: pd.DataFrame | Mapping[str, Any],
        step_labels: Mapping[str, NDArray[Any]] | None = None,
        model: str = "",
        modulus: int = 0,
    ) -> ActivationDataset:
        """A dataset of any looped model; the arrays are copied.

        activations: site -> float [step, row, d]. labels: one line per row; ``graph`` is what probes split by.
        step_labels: name -> int [step, row].

        Raises:
            DatasetError: no activations, no column ``graph``, or shapes that do not fit together.
        """
        frame = pd.DataFrame(labels).reset_index(drop=True)
        if "graph" not in frame:
            raise DatasetError(
                f"labels have the columns {', '.join(map(str, frame.columns))}; 'graph' is needed, "
                "which says what rows belong together when data are split"
            )
        arrays = {name: np.array(array, dtype=np.float32) for name, array in activations.items()}
        given = step_labels or {}
        return cls(
            activations=arrays,
            labels=frame,
            step_labels={name: np.array(array, dtype=np.int32) for name, array in given.items()},
            model=model,
            n_steps=next((array.shape[0] for array in arrays.values() if array.ndim), 0),
            modulus=modulus,
        )

    @property
    def sites(self) -> tuple[str, ...]:
        """The keys of ``activations``."""
        return tuple(self.activations)

    def __len__(self) -> int:
        """The number of rows."""
        return len(self.labels)

    @property
    def n_bytes(self) -> int:
        """Size of all activations, in memory or on disk."""
        return sum(array.nbytes for array in self.activations.values())

    def __repr__(self) -> str:
        size, sites = f"{self.n_bytes / 2**20:.1f} MiB", list(self.sites)
        return in_one_line(
            "ActivationDataset", size, model=self.model, steps=self.n_steps, rows=len(self), sites=sites
        )

    def frame(self, step: int) -> pd.DataFrame:
        """``labels`` and the step labels of one step, one line per row.

        Raises:
            DatasetError: a step that was not collected.
        """
        if not 0 <= step < self.n_steps:
            raise DatasetError(f"step is {step}; collected are 0 to {self.n_steps - 1}")
        at_step = {name: array[step] for name, array in self.step_labels.items()}
        return self.labels.assign(**at_step)  # pyright: ignore[reportUnknownMemberType]

    def select(self, **conditions: Any) -> ActivationDataset:
        """The rows whose labels have a value, or one of several: ``select(role="rhs", n_operands=[2, 3])``.

        The arrays are copies in memory. Raises DatasetError for an unknown label or a value no row has.
        """
        chosen = np.ones(len(self), dtype=np.bool_)
        for name, value in conditions.items():
            if name not in self.labels:
                raise DatasetError(f"there is no label {name!r}; there are {', '.join(self.labels)}")
            chosen &= _is_one_of(self.labels, name, value)
        if not chosen.any():
            asked = ", ".join(f"{name}={value!r}" for name, value in conditions.items())
            present = {name: _values(self.labels, name)[:12] for name in conditions}
            raise DatasetError(f"no row has {asked}; the labels' values are {present}")
        return replace(
            self,
            activations={name: np.asarray(array)[:, chosen] for name, array in self.activations.items()},
            labels=cast(Any, self.labels)[chosen].reset_index(drop=True),
            step_labels={name: np.asarray(array)[:, chosen] for name, array in self.step_labels.items()},
        )

    def save(self, folder: str | Path) -> Path:
        """Write the dataset as a folder, in the place of one that may be there; returns the folder.

        Raises:
            DatasetError: the folder holds something else, or cannot be written (a full disk, no permission).
        """
        with staged(folder) as stage:
            for kind, arrays in (("activations", self.activations), ("step_labels", self.step_labels)):
                for name, array in arrays.items():
                    np.save(array_path(stage, kind, name), array)
            write_tables(stage, self)
        return Path(folder)

    @classmethod
    def load(cls, folder: str | Path) -> ActivationDataset:
        """The dataset in a folder; its arrays are read-only memory maps.

        Raises:
            DatasetError: no dataset there, or a damaged one.
        """
        folder = Path(folder)
        if not (folder / META).is_file():
            raise DatasetError(f"{folder} is no dataset of activations: it has no {META}")
        try:
            meta: dict[str, Any] = json.loads((folder / META).read_text())
            if meta.get("format") != FORMAT:
                raise DatasetError(
                    f"{folder / META} has format {meta.get('format')!r}; allowed is {FORMAT!r}"
                )
            arrays = {
                kind: {
                    name: cast("NDArray[Any]", np.load(array_path(folder, kind, name), mmap_mode="r"))
                    for name in meta[kind]
                }
                for kind in ("activations", "step_labels")
            }
            labels = pd.read_parquet(folder / _LABELS)  # pyright: ignore[reportUnknownMemberType]
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise DatasetError(f"the dataset in {folder} is damaged: {error}") from error
        return cls(**arrays, labels=labels, **{name: meta[name] for name in ("model", "n_steps", "modulus")})


def _is_one_of(labels: pd.DataFrame, name: str, value: Any) -> NDArray[np.bool_]:
    wanted = [value] if isinstance(value, str) or np.ndim(value) == 0 else list(value)
    return cast(Any, labels[name]).isin(wanted).to_numpy()


def _values(labels: pd.DataFrame, name: str) -> list[Any]:
    return sorted(cast(Any, labels[name]).unique().tolist())


def array_path(folder: Path, kind: str, name: str) -> Path:
    """Where the array of a site or step label lies; characters that no file name has are escaped as in URLs."""
    return folder / kind / f"{quote(name, safe=' ')}.npy"


def write_tables(stage: Path, data: ActivationDataset) -> None:
    """``labels.parquet`` and ``meta.json``, the last file of a dataset."""
    data.labels.to_parquet(stage / _LABELS)  # pyright: ignore[reportUnknownMemberType]
    meta = {
        "format": FORMAT,
        "model": data.model,
        "n_steps": data.n_steps,
        "modulus": data.modulus,
        "activations": list(data.activations),
        "step_labels": list(data.step_labels),
    }
    (stage / META).write_text(json.dumps(meta, indent=2) + "\n")


@contextmanager
def staged(folder: str | Path) -> Generator[Path]:
    """An empty folder to fill, which takes the place of ``folder`` at the end, or is gone after an exception.

    Raises:
        DatasetError: ``folder`` holds something other than a dataset, or writing failed.
    """
    folder = Path(folder).resolve()
    if folder.exists() and not (folder / META).is_file() and (folder.is_file() or any(folder.iterdir())):
        raise DatasetError(
            f"{folder} exists and is no dataset; allowed are a new folder, an empty one, a dataset"
        )
    stage = None
    try:
        stage = folder.with_name(f"{folder.name}.partial-{secrets.token_hex(4)}")
        for kind in ("activations", "step_labels"):
            (stage / kind).mkdir(parents=True)
        yield stage
        _take_place(stage, folder)
    except OSError as error:
        raise DatasetError(f"cannot write a dataset of activations to {folder}: {error}") from error
    finally:
        if stage is not None:
            shutil.rmtree(stage, ignore_errors=True)


def _take_place(stage: Path, folder: Path) -> None:
    """Flush what was written to the disk, then rename; a dataset that was there is deleted."""
    for path in [file for file in stage.rglob("*") if file.is_file()]:
        with path.open("rb") as file:
            os.fsync(file.fileno())
    old = stage.with_name(stage.name + "-old")
    if folder.is_dir():
        folder.rename(old)
    stage.rename(folder)
    shutil.rmtree(old, ignore_errors=True)
