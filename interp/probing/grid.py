"""What probes by step and site found (:class:`ProbeGrid`), and its tables and files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
from numpy.typing import NDArray

from interp.data.datasets import ActivationDataset
from interp.npz import read_npz, write_npz
from interp.probing.controls import ARMS
from interp.probing.rows import ProbeError
from models.one_line import one_line

if TYPE_CHECKING:
    import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]

Floats = NDArray[np.float64]
_PROBE: Final = "probe "
"""What stands before a site in the name of its probes' array in a file."""


@one_line
@dataclass(frozen=True, eq=False)
class ProbeGrid:
    """Accuracy of probes, on rows of graphs that they were not fitted to.

    Attributes:
        accuracy: float [arm, step, site, fold], arms as in :data:`interp.probing.controls.ARMS`; nan where nothing was
            measured, or the control was not asked for.
        majority: float [step, fold].
        bits: float [arm, step, site], length of the online code (:mod:`interp.probing.mdl`); None where not asked for.
        uniform_bits: float [step], the same by the uniform code.
        n_rows, n_graphs, n_classes: int [step].
        unconverged: int [step, site], how many of all fits stopped at the largest number of iterations.
        status, role: which rows (None: all). model, target, kind, seed: as given.
        probes: site -> float [step, fold, class, d + 1], the probes of the target as numbers
            (:mod:`interp.probing.scoring`), for :meth:`score`. classes: what the class axis stands for. common: int
            [step, fold], the most frequent class of the training rows, -1 where nothing was fitted. All None in a
            grid saved by an earlier version.
    """

    model: str
    target: str
    status: str | None
    role: str | None
    kind: str
    seed: int
    steps: tuple[int, ...]
    sites: tuple[str, ...]
    accuracy: Floats
    majority: Floats
    bits: Floats | None
    uniform_bits: Floats
    n_rows: NDArray[np.int64]
    n_graphs: NDArray[np.int64]
    n_classes: NDArray[np.int64]
    unconverged: NDArray[np.int64]
    probes: Mapping[str, Floats] | None = None
    classes: NDArray[Any] | None = None
    common: NDArray[np.int64] | None = None

    @property
    def mean(self) -> Floats:
        """Float [step, site]: accuracy, mean over folds."""
        return self.of("target")

    @property
    def sd(self) -> Floats:
        """Float [step, site]: standard deviation of the accuracy over folds (n - 1)."""
        return self.accuracy[0].std(-1, ddof=1)

    @property
    def selectivity(self) -> Floats:
        """Float [step, site]: accuracy - accuracy on the control task."""
        return self.mean - self.of("control task")

    @property
    def majority_mean(self) -> Floats:
        """Float [step]: accuracy of the majority class, mean over folds."""
        return self.majority.mean(-1)

    def of(self, arm: str) -> Floats:
        """Float [step, site]: accuracy of one arm, mean over folds.

        Raises:
            ProbeError: an arm that is none of :data:`interp.probing.controls.ARMS`.
        """
        return self.accuracy[_arm(arm)].mean(-1)

    def compression(self, arm: str = "target") -> Floats:
        """Float [step, site]: uniform bits / bits of an arm.

        Raises:
            ProbeError: the code was not asked for, or an unknown arm.
        """
        if self.bits is None:
            raise ProbeError("no code lengths were computed; ask for them with mdl=True")
        return self.uniform_bits[:, None] / self.bits[_arm(arm)]

    def to_frame(self) -> pd.DataFrame:
        """A row per step and site: accuracy and its sd, the controls, selectivity, and code lengths where there are."""
        shape = self.mean.shape
        step, site = (axis.ravel() for axis in np.indices(shape))
        columns: dict[str, Any] = {
            "target": self.target,
            "status": self.status or "all",
            "role": self.role or "all",
            "step": np.array(self.steps)[step],
            "site": np.array(self.sites)[site],
            "accuracy": self.mean.ravel(),
            "sd": self.sd.ravel(),
            "majority": self.majority_mean[step],
            **{arm.replace(" ", "_"): self.of(arm).ravel() for arm in ARMS[1:]},
            "selectivity": self.selectivity.ravel(),
            "n_rows": self.n_rows[step],
            "n_graphs": self.n_graphs[step],
            "n_classes": self.n_classes[step],
            "unconverged": self.unconverged.ravel(),
        }
        if self.bits is not None:
            columns |= {
                "bits": self.bits[0].ravel(),
                "uniform_bits": self.uniform_bits[step],
                "compression": self.compression().ravel(),
                **{f"compression_{arm.replace(' ', '_')}": self.compression(arm).ravel() for arm in ARMS[1:]},
            }
        return pd.DataFrame(columns)

    def by_site(self) -> pd.DataFrame:
        """One row per site: accuracies weighted by the rows of the steps that were measured, and the best step's."""
        weights = np.where(np.isnan(self.mean), 0.0, self.n_rows[:, None])
        weights /= weights.sum(0)
        wide = np.broadcast_to(self.majority_mean[:, None], self.mean.shape)
        shown = {
            "accuracy": self.mean,
            "majority": wide,
            **{arm.replace(" ", "_"): self.of(arm) for arm in ARMS[1:]},
        }
        shown["selectivity"] = self.selectivity
        best = np.nan_to_num(self.mean, nan=-1.0).argmax(0)
        return pd.DataFrame(
            {
                "site": self.sites,
                **{
                    name: np.where(weights > 0, weights * values, 0.0).sum(0)
                    for name, values in shown.items()
                },
                "best": self.mean[best, np.arange(len(self.sites))],
                "best_step": np.array(self.steps)[best],
            }
        )

    def score(self, data: ActivationDataset) -> ProbeGrid:
        """The same probes on another dataset, without another fit: a grid, whose table has the same columns.

        ``accuracy`` is that of every fold's probe on all rows of ``data`` that have the target (and status and role):
        give data of other graphs, since no fold is left out. A class that the training rows did not have counts as
        wrong. ``majority`` is the share of the training rows' most frequent class. The other controls belong to a fit
        and are nan; ``n_rows``, ``n_graphs`` and ``n_classes`` are those of ``data``, ``unconverged`` is the fits'.

        Raises:
            ProbeError: data without a site, step, target, status or role of the probes, or of another width; no row
                left; a grid that was saved without its probes.
        """
        from interp.probing.scoring import score_grid

        return score_grid(self, data)

    def save(self, path: str | Path) -> Path:
        """Write ``path`` (``.npz`` is added where it is missing) with everything :meth:`load` needs; returns the file.

        Raises:
            models.files.WriteError: it cannot be written.
        """
        every: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        arrays: dict[str, Any] = {
            name: value for name, value in every.items() if isinstance(value, np.ndarray)
        }
        plain = {name: value for name, value in every.items() if name not in {*arrays, "probes"}}
        arrays |= {f"{_PROBE}{site}": numbers for site, numbers in (self.probes or {}).items()}
        return write_npz(path, {"_plain": np.array(json.dumps(plain)), **arrays})

    @classmethod
    def load(cls, path: str | Path) -> ProbeGrid:
        """The inverse of :meth:`save`: the same ``path`` names the same file."""
        arrays: dict[str, Any] = read_npz(path)
        plain: dict[str, Any] = json.loads(str(arrays.pop("_plain")))
        probes = {name: arrays.pop(name) for name in list(arrays) if name.startswith(_PROBE)}
        plain["probes"] = {name.removeprefix(_PROBE): numbers for name, numbers in probes.items()} or None
        plain |= {"steps": tuple(plain["steps"]), "sites": tuple(plain["sites"])}
        return cls(**plain, **arrays)

    def figure(self, width: int = 1000) -> go.Figure:
        """:func:`interp.probing.probes_figure.probe_figure`."""
        from interp.probing.probes_figure import probe_figure

        return probe_figure(self, width)


def _arm(arm: str) -> int:
    if arm not in ARMS:
        raise ProbeError(f"arm is {arm!r}; allowed are {', '.join(ARMS)}")
    return ARMS.index(arm)
