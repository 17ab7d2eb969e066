"""What neighbouring papers ask, as studies: `recurlens neurons --help` and so on; docs, Neighbours.

Each is a function of `interp.neighbours` on one model, with its control inside the result. `--out` receives `NAME.csv`,
`.parquet`, `.json`, `.html`, `.png`, further tables and figures as `NAME_PART.csv` and `.html`, and `config.yaml`, from
which `--config` repeats the run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from analyses.inputs import bad_input, check_fits, load_model
from analyses.studies import records
from analyses.tables import table_of_fields
from models.one_line import one_line
from models.storage import CheckpointError

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
    graphs: Sequence[ComputationGraph],
    model: str = "compiled",
    draws: int = 8,
    label_noise: float = 0.0,
    seed: int = 0,
) -> NeighbourStudy:
    """Whether periodic neurons carry sums (`interp.neighbours.pruning`); graphs are not needed.

    label_noise: share of pairs that had wrong labels in training, which are then looked at apart.

    Raises:
        InputError: a model that cannot be used, or no draws.
    """
    from interp.neighbours.pruning import prune_neurons

    loaded = stepping(model)
    with bad_input():
        return NeighbourStudy(model, prune_neurons(loaded, draws=draws, seed=seed, label_noise=label_noise))


def study_modularity(
    graphs: Sequence[ComputationGraph],
    model: str = "compiled",
    clusters: int = 4,
    shuffles: int = 100,
    seed: int = 0,
) -> NeighbourStudy:
    """Whether MLPs fall into modules (`interp.neighbours.modularity`); graphs are not needed.

    Raises:
        InputError: a model that cannot be used, or clusters that its weights cannot be parted into.
    """
    from interp.neighbours.modularity import modularity

    loaded = stepping(model)
    with bad_input():
        return NeighbourStudy(model, modularity(loaded, clusters, shuffles, seed=seed))


def study_massive(
    graphs: Sequence[ComputationGraph], model: str = "compiled", training: bool = True, seed: int = 0
) -> NeighbourStudy:
    """Whether there are massive activations (`interp.neighbours.massive`).

    training: whether to look at the snapshots of the model's training too, where there are some.

    Raises:
        InputError: a model that cannot be used, or graphs that it cannot be given.
    """
    from interp.neighbours.massive import massive_activations
    from models.snapshots import snapshots

    loaded = stepping(model, graphs)
    with bad_input(CheckpointError):
        kept = snapshots(model) if training and has_snapshots(model) else ()
        return NeighbourStudy(model, massive_activations(loaded, graphs, kept, seed=seed))


def study_subnetwork(
    graphs: Sequence[ComputationGraph],
    model: str = "compiled",
    rounds: int = 250,
    n_steps: int = 96,
    draws: int = 8,
    whole_mlps: bool = False,
    seed: int = 0,
) -> NeighbourStudy:
    """The smallest set of heads and neurons that makes one step right (`interp.neighbours.subnetwork`).

    Raises:
        InputError: a model that cannot be used, or graphs that it cannot be given or that have one step alone.
    """
    from interp.neighbours.subnetwork import minimal_subnetwork

    loaded = stepping(model, graphs)
    with bad_input():
        found = minimal_subnetwork(
            loaded, graphs, rounds=rounds, whole_mlps=whole_mlps, n_steps=n_steps, draws=draws, seed=seed
        )
        return NeighbourStudy(model, found)


def study_addition(
    graphs: Sequence[ComputationGraph], model: str = "compiled", operation: str = "ADD", seed: int = 0
) -> NeighbourStudy:
    """How a sum is made and when it fails (`interp.neighbours.addition`); an ideal network is to solve the graphs.

    Raises:
        InputError: a model or an operation that cannot be used, or graphs that the model cannot be given.
    """
    from analyses.reporting.parts import check_operations
    from interp.neighbours.addition import addition

    loaded = stepping(model, graphs)
    check_operations(loaded, (operation,))
    with bad_input():
        return NeighbourStudy(model, addition(loaded, graphs, operation, seed))


def study_degeneracy(
    graphs: Sequence[ComputationGraph],
    model: str = "compiled",
    chains: int = 2,
    n_steps: int = 48,
    n_beta: float = 100.0,
    plateau: bool = True,
    moments: int = 4,
    length: float = 1.0,
    seed: int = 0,
) -> NeighbourStudy:
    """Local learning coefficients and interaction bases of one step (`interp.neighbours.degeneracy`).

    moments: snapshots of the model's training that are looked at, at most, where there are some; evenly spread, and
    the last among them.

    Raises:
        InputError: a model that cannot be used, or graphs that it cannot be given.
    """
    from interp.neighbours.degeneracy import degeneracy
    from models.snapshots import snapshots

    loaded = stepping(model, graphs)
    with bad_input(CheckpointError):
        kept = list(snapshots(model)) if moments and has_snapshots(model) else []
        chosen = kept[:: -max(1, -(-len(kept) // max(moments, 1)))][::-1]
        return NeighbourStudy(
            model, degeneracy(loaded, graphs, chosen, n_beta, chains, n_steps, plateau, length, seed)
        )


def study_separation(
    graphs: Sequence[ComputationGraph], model: str = "compiled", seed: int = 0
) -> NeighbourStudy:
    """How name and lookup heads separate (`interp.neighbours.separation`), over snapshots where there are some.

    Raises:
        InputError: a model that cannot be used, or graphs that it cannot be given.
    """
    from interp.neighbours.separation import head_separation
    from models.snapshots import snapshots

    loaded = stepping(model, graphs)
    with bad_input(CheckpointError):
        kept = snapshots(model) if has_snapshots(model) else ()
        return NeighbourStudy(model, head_separation(loaded, graphs, kept, seed))


def has_snapshots(name: str) -> bool:
    """Whether there are snapshots of the training of a model."""
    from models.snapshots import snapshot_files

    try:
        return bool(snapshot_files(name))
    except CheckpointError:
        return False


def stepping(name: str, graphs: Sequence[ComputationGraph] = ()) -> RecurrentTransformer:
    """The model of a name, which steps from discrete state to discrete state and can be given the graphs.

    Raises InputError for any other.
    """
    from analyses.reporting.parts import NotApplicableError, need_states

    loaded = load_model(name)
    with bad_input(NotApplicableError):
        need_states(loaded)
    for graph in graphs:
        check_fits(graph, loaded)
    return loaded
