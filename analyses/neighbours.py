"""What neighbouring papers ask, as studies: `recurlens neurons --help` and so on; docs, Neighbours.

Each is a function of `interp.neighbours` on one model, with its control inside the result. `--out` receives `NAME.csv`,
`.parquet`, `.json`, `.html`, `.png`, further tables and figures as `NAME_PART.csv` and `.html`, and `config.yaml`, from
which `--config` repeats the run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from analyses.inputs import bad_input, load_model
from analyses.studies import records
from analyses.tables import table_of_fields
from models.one_line import one_line

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go
    from rich.table import Table

    from models.graph import ComputationGraph
    from models.recurrent import RecurrentTransformer


class Answer(Protocol):
    """What a question gets: the sentence has the control in it, the summary is a few rows of it."""

    def sentence(self) -> str: ...

    def to_frame(self) -> pd.DataFrame: ...

    def summary(self) -> pd.DataFrame: ...

    def frames(self) -> Mapping[str, pd.DataFrame]: ...

    def figures(self) -> Mapping[str, go.Figure]: ...


@one_line
@dataclass(frozen=True, eq=False)
class NeighbourStudy:
    """A neighbouring paper's question, asked of `model` (its name)."""

    model: str
    answer: Answer

    def to_frame(self) -> pd.DataFrame:
        """The whole table."""
        return self.answer.to_frame()

    def frames(self) -> Mapping[str, pd.DataFrame]:
        """More tables, by name."""
        return self.answer.frames()

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        rows = {"summary": records(self.answer.summary()), "rows": records(self.to_frame())}
        more = {name: records(frame) for name, frame in self.frames().items()}
        return {"model": self.model, "verdict": self.verdict(), **rows, **more}

    def table(self) -> Table:
        """A rich table of the summary."""
        rows = [
            {str(name): f"{cell:.3f}" if isinstance(cell, float) else cell for name, cell in row.items()}
            for row in self.answer.summary().to_dict("records")
        ]
        return table_of_fields(self.model, rows, left=[next(iter(rows[0]))])

    def verdict(self) -> str:
        """What was found, beside the control."""
        return f"{self.model}: {self.answer.sentence()}"

    def figure(self) -> go.Figure:
        """The first of the figures."""
        return next(iter(self.figures().values()))

    def figures(self) -> Mapping[str, go.Figure]:
        """All by name."""
        return self.answer.figures()


def study_neurons(
    graphs: Sequence[ComputationGraph], model: str = "compiled", draws: int = 8, seed: int = 0
) -> NeighbourStudy:
    """Whether periodic neurons carry sums (`interp.neighbours.pruning`); graphs are not needed.

    Raises:
        InputError: a model that cannot be used, or no draws.
    """
    from interp.neighbours.pruning import prune_neurons

    loaded = stepping(model)
    with bad_input():
        return NeighbourStudy(model, prune_neurons(loaded, draws=draws, seed=seed))


def stepping(name: str) -> RecurrentTransformer:
    """The model of a name, which steps from discrete state to discrete state. Raises InputError for any other."""
    from analyses.reporting.parts import NotApplicableError, need_states

    loaded = load_model(name)
    with bad_input(NotApplicableError):
        need_states(loaded)
    return loaded
