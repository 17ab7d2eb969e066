"""What a model learnt when, from the snapshots of its training run: `python -m analyses.training_dynamics --help`.

Head roles, Fourier structure, commit times and accuracy of every snapshot (`interp.mechanism.onsets`), and the order
in which they appear; where heads were born with distances, what became of these (`interp.mechanism.born_distances`).
`--out` receives `training.csv`, `.parquet`, `.json`, `.html`, `.png`, `training_onsets.csv` and `.html`, the same of
`training_distances`, and `config.yaml`, from which `--config` repeats the run.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analyses.inputs import InputError, bad_input
from analyses.studies import records
from analyses.tables import filled, table_of_rows
from models.one_line import one_line

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go
    from rich.table import Table

    from interp.mechanism.born_distances import BornDistances
    from interp.mechanism.onsets import TrainingDynamics
    from models.graph import ComputationGraph

DATA = Path(__file__).resolve().parent / "data"


@one_line
@dataclass(frozen=True)
class TrainingStudy:
    """The training dynamics of `model` (its name).

    born: what became of the distances that heads were born with; None where there were none.
    """

    model: str
    dynamics: TrainingDynamics
    born: BornDistances | None = None

    def to_frame(self) -> pd.DataFrame:
        """Columns `step, measure, value`."""
        return self.dynamics.to_frame()

    def frames(self) -> dict[str, pd.DataFrame]:
        """More tables: `onsets`, and `distances` where heads were born with some."""
        distances = {} if self.born is None else {"distances": self.born.to_frame()}
        return {"onsets": self.dynamics.onsets(), **distances}

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "model": self.model,
            "graphs": self.dynamics.graphs,
            "steps": self.dynamics.steps.tolist(),
            "measures": {name: values.tolist() for name, values in self.dynamics.measures.items()},
            "onsets": records(self.dynamics.onsets()),
            "born": None if self.born is None else self.born.to_dict(),
        }

    def to_json(self) -> str:
        """:meth:`to_dict` as JSON text, which :meth:`load` reads."""
        return json.dumps(self.to_dict(), indent=2) + "\n"

    @classmethod
    def load(cls, path: Path) -> TrainingStudy:
        """The study of a file that ``--json`` or :meth:`to_json` wrote.

        Raises:
            InputError: a file that cannot be read or holds something else.
        """
        from interp.mechanism.born_distances import BornDistances
        from interp.mechanism.onsets import TrainingDynamics

        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            born = data.get("born")
            return cls(
                str(data["model"]),
                TrainingDynamics.from_dict(data),
                None if born is None else BornDistances.from_dict(born),
            )
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise InputError(f"{path} is not the result of a training study: {error}") from error

    @classmethod
    def bundled(cls, model: str) -> TrainingStudy | None:
        """What ships with the package for a bundled model; None where there is nothing."""
        path = DATA / f"training_{model}.json"
        return cls.load(path) if path.is_file() else None

    def table(self) -> Table:
        """A rich table, the measure that appears first on top."""
        rows = (
            row
            | {"at": filled("{onset:.0f}", row) or "does not"}
            | {"between": filled("{before:.0f} and {after:.0f}", row | {"before": row["before"] or 0}) or "-"}
            for row in records(self.dynamics.onsets())
        )
        header = "measure | appears at step | between snapshots | lowest | end"
        cells = "{what} | {at} | {between} | {lowest:.2f} | {end:.2f}"
        return table_of_rows(f"{self.model}: what is learnt when", header, cells, rows, "measure")

    def verdict(self) -> str:
        """The order in which measures appear, and what became of distances that heads were born with."""
        onsets = self.dynamics.onsets()
        known = onsets[onsets["onset"].notna()]
        given = "" if self.born is None else f"; {self.born.verdict()}"
        if known.empty:
            return f"{self.model}: no measure rises by 0.1 over {len(self.dynamics.steps)} snapshots{given}."
        order = ", ".join(
            f"{name} ({at:.0f})" for name, at in zip(known["measure"], known["onset"], strict=True)
        )
        return f"{self.model}: in order of the training step at which each appears: {order}{given}."

    def figure(self) -> go.Figure:
        """Every measure over training."""
        from interp.mechanism.onsets_figure import training_figure

        return training_figure(self.dynamics)

    def figures(self) -> dict[str, go.Figure]:
        """All figures: `training`, `onsets`, and `distances` where heads were born with some."""
        from interp.mechanism.onsets_figure import onset_figure

        distances = {} if self.born is None else {"distances": self.born.figure()}
        return {"training": self.figure(), "onsets": onset_figure(self.dynamics), **distances}


def study_training(graphs: Sequence[ComputationGraph], model: str = "discrete-corrected") -> TrainingStudy:
    """Measure the snapshots of a bundled model or of a folder, all on the same graphs.

    Raises:
        InputError: a model without snapshots, or graphs it cannot read.
    """
    from interp.mechanism.born_distances import born_distances
    from interp.mechanism.onsets import training_dynamics
    from models.snapshots import snapshots
    from models.storage import CheckpointError

    with bad_input(CheckpointError):
        dynamics = training_dynamics(snapshots(model), graphs)
        return TrainingStudy(model, dynamics, born_distances(snapshots(model), graphs))


if __name__ == "__main__":
    from analyses.framework.command import run_named

    run_named("training-dynamics")
