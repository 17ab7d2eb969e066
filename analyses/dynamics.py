"""How the state of a model moves on many graphs: `python -m analyses.dynamics --help`.

Residual, angle, acceleration and distance to the last state by step (`dynamics` in the room `interp.state_dynamics`),
the speed of the frontier (`frontier`), nodes that were right and became wrong (`violations`), fixed points and cycles
(`cycles`), and drift over long runs (`drift`), also beside another model on the same graphs.
`--out` receives `dynamics.csv`, `.parquet`, `.json`, `.html`, `.png`, more tables and figures as
`dynamics_NAME.csv` and `dynamics_NAME.html`, and `config.yaml`, from which `--config` repeats the run.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from analyses.inputs import InputError, check_fits, load_model
from analyses.studies import plain, records
from analyses.tables import joined, table_of_rows
from interp.statistics.counted import counted, percent
from models.one_line import one_line

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go
    from rich.table import Table

    from interp.state_dynamics.cycles import Settling
    from interp.state_dynamics.drift import Drift
    from interp.state_dynamics.dynamics import Dynamics
    from interp.state_dynamics.frontier import Frontier
    from models.graph import ComputationGraph

LONGEST = 8
TOLERANCE = 1e-3


@one_line
@dataclass(frozen=True)
class DynamicsStudy:
    """The motion of `model` (its name) on some graphs, and of another model beside it.

    Attributes:
        runs: name of the model -> its run; the first is what the tables and the motion are about.
        drifts: name -> its drift; empty where the runs are too short for one.
        tolerance: relative, for fixed points and cycles of hidden states.
    """

    model: str
    runs: dict[str, Dynamics]
    drifts: dict[str, Drift]
    tolerance: float

    @property
    def run(self) -> Dynamics:
        """That of `model`."""
        return self.runs[self.model]

    @property
    def frontiers(self) -> dict[str, Frontier]:
        """Of every model."""
        return {name: run.frontier for name, run in self.runs.items()}

    def to_frame(self) -> pd.DataFrame:
        """`Dynamics.summary` of every model: a row per model, step and status."""
        return joined(_named(run.summary(), name) for name, run in self.runs.items())

    def frames(self) -> dict[str, pd.DataFrame]:
        """More tables: frontier (a row per graph and step), speed (by depth), graphs (settling, violations), drift."""
        found = {
            "frontier": [_named(run.frontier.to_frame(), name) for name, run in self.runs.items()],
            "speed": [_named(run.frontier.by_depth(), name) for name, run in self.runs.items()],
            "graphs": [_named(self._graphs(run), name) for name, run in self.runs.items()],
            "drift": [_named(drift.to_frame(), name) for name, drift in self.drifts.items()],
        }
        return {name: joined(parts) for name, parts in found.items() if parts}

    def _graphs(self, run: Dynamics) -> pd.DataFrame:
        """A row per graph."""
        import pandas as pd

        hidden = run.hidden_settling(self.tolerance)
        return pd.DataFrame(
            {
                "graph": range(len(run.graphs)),
                "depth": run.needed - 1,
                "solved_at": run.frontier.completed_at,
                "state_settled_by": run.settling.settled_by,
                "state_period": run.settling.period,
                "hidden_settled_by": hidden.settled_by,
                "hidden_period": hidden.period,
                "violations": run.violations.due.sum((0, 2)),
                "nodes_violated": run.violations.nodes.sum(1),
                "nodes_violated_at_end": run.violations.lasting.sum(1),
                "guesses_lost": run.violations.early.sum((0, 2)),
            }
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values: per model speed, settling, violations, drift, and the summary by step and status."""
        return {
            "model": self.model,
            "n_graphs": len(self.run.graphs),
            "n_nodes": int(self.run.exists.sum()),
            "n_steps": self.run.n_steps,
            "tolerance": self.tolerance,
            "models": {name: self._model_dict(name, run) for name, run in self.runs.items()},
        }

    def _model_dict(self, name: str, run: Dynamics) -> dict[str, Any]:
        speed, broken = run.frontier.speed(), run.violations
        drift = self.drifts.get(name)
        return {
            "discrete": run.discrete,
            "speed": {key: plain(getattr(speed, key)) for key in ("slope", "low", "high", "intercept")},
            "speed_by_depth": records(run.frontier.by_depth()),
            "state": _settled(run.settling),
            "hidden": _settled(run.hidden_settling(self.tolerance)),
            "violations": {
                "nodes": int(broken.nodes.sum()),
                "graphs": int(broken.graphs.sum()),
                "nodes_at_end": int(broken.lasting.sum()),
                "nodes_right_once": int(broken.right_once.sum()),
                "guesses_lost": int(broken.early.sum()),
            },
            "drift": None if drift is None else records(drift.summary()),
            "summary": records(run.summary()),
        }

    def table(self) -> Table:
        """A rich table of `model`, a row per step (as many as figures show) and status: medians over nodes."""
        title = f"{self.model}: {int(self.run.exists.sum())} nodes of {len(self.run.graphs)} graphs, medians"
        header = (
            "step | status | nodes | right | unmoved | residual | relative | angle | acceleration | to limit"
        )
        cells = "{step} | {status} | {nodes} | {right:.1%} | {unmoved:.1%} | {residual_median:.4g}"
        cells += " | {relative_median:.4g} | {angle_median:.4g} | {acceleration_median:.4g} | {to_limit_median:.4g}"
        rows = (row for row in records(self.run.summary()) if row["step"] <= self.run.shown_until)
        return table_of_rows(title, header, cells, rows, "status")

    def drift_table(self) -> Table:
        """A rich table, a row per model and multiple of the steps that a graph needs."""
        header = "model | steps | nodes right | without leaves | graphs solved | right after 1x, now wrong"
        header += " | symbol changed | hidden state moved"
        cells = "{model} | {multiple:g}x | {accuracy:.2%} | {computed:.2%} | {solved:.2%} | {lost:.2%}"
        cells += " | {changed:.2%} | {distance:.2%}"
        rows = (
            {"model": name} | row for name, drift in self.drifts.items() for row in records(drift.summary())
        )
        return table_of_rows("Drift over long runs", header, cells, rows, "model")

    def verdict(self) -> str:
        """A line per model: speed, violations, fixed points, drift."""
        return "\n".join(self._verdict(name, run) for name, run in self.runs.items())

    def _verdict(self, name: str, run: Dynamics) -> str:
        broken, n_graphs = run.violations, len(run.graphs)
        hidden = run.hidden_settling(self.tolerance)
        speed = run.frontier.speed()
        moved = (
            "no graph needs two steps, so that no speed can be measured"
            if math.isnan(speed.slope)
            else f"the run solves {speed.slope:.3f} levels of a graph per step"
            + ("" if math.isnan(speed.low) else f" (95 % interval {speed.low:.3f} to {speed.high:.3f})")
        )
        became = counted(int(broken.right_once.sum()), "node")
        parts = [
            f"Model {name}: {moved}",
            f"Of {became} that were right {int(broken.nodes.sum())} became wrong later",
            f"The states of {int((run.settling.period == 1).sum())} and the hidden states of "
            f"{int((hidden.period == 1).sum())} of {counted(n_graphs, 'graph')} reach a fixed point within "
            f"{run.n_steps} steps",
        ]
        cycles = int((run.settling.period > 1).sum())
        if cycles:
            parts.append(f"The states of {cycles} fall into a longer cycle")
        if name in self.drifts:
            last = records(self.drifts[name].summary())[-1]
            parts.append(
                f"After {last['multiple']:g} times the steps that a graph needs, {percent(last['accuracy'])} of "
                f"nodes are right; compared with the state after exactly these steps, {percent(last['changed'])} "
                f"show another symbol, and the hidden state has moved by {percent(last['distance'])} of its norm"
            )
        return ". ".join(parts) + "."

    def figure(self) -> go.Figure:
        """The motion of `model`, by step and status."""
        return self.run.figure()

    def figures(self) -> dict[str, go.Figure]:
        """All figures by name: motion, trajectories, frontier, drift (where the runs are long enough)."""
        from interp.state_dynamics.dynamics_figure import drift_figure, frontier_figure
        from interp.state_dynamics.trajectories_figure import pca_figure

        found = {
            "motion": self.figure(),
            "trajectories": pca_figure(self.run),
            "frontier": frontier_figure(self.frontiers),
        }
        return found | ({"drift": drift_figure(self.drifts)} if self.drifts else {})


def study_dynamics(
    graphs: Sequence[ComputationGraph],
    model: str = "compiled",
    n_steps: int | None = None,
    against: Sequence[str] = (),
    longest: int = LONGEST,
    tolerance: float = TOLERANCE,
) -> DynamicsStudy:
    """Run the graphs once in every model.

    n_steps: length of the runs; None: `longest` times as many as the deepest graph needs, and at least 2. against:
    names of other models to be shown the same graphs. tolerance: relative, of fixed points and cycles of hidden states.

    Raises:
        InputError: no graphs, or a model, graph, tolerance or number of steps that cannot be used.
    """
    from interp.state_dynamics.drift import MULTIPLES, drift_of
    from interp.state_dynamics.dynamics import dynamics

    if not graphs:
        raise InputError("There are no graphs to run: give at least one.")
    if longest < 1 or tolerance < 0:
        raise InputError(
            f"longest is {longest} and tolerance {tolerance}: allowed are 1 or more, and 0 or more."
        )
    needed = max(max(graph.depths_by_node) for graph in graphs) + 1
    count = max(longest * needed, 2) if n_steps is None else n_steps
    runs: dict[str, Dynamics] = {}
    for name in dict.fromkeys([model, *against]):
        loaded = load_model(name)
        for graph in graphs:
            check_fits(graph, loaded)
        try:
            runs[name] = dynamics(loaded, list(graphs), count)
        except ValueError as error:
            raise InputError(f"{name}: {error}") from error
    multiples = [m for m in sorted({*MULTIPLES, longest}) if m * needed <= count and m <= longest]
    drifts = {name: drift_of(run, multiples) for name, run in runs.items()} if len(multiples) > 1 else {}
    return DynamicsStudy(model, runs, drifts, tolerance)


def _named(frame: pd.DataFrame, model: str) -> pd.DataFrame:
    frame.insert(0, "model", model)
    return frame


def _settled(settling: Settling) -> dict[str, Any]:
    """How many graphs settled in what, and by which step on average those that did."""
    done = settling.settled_by[settling.period == 1]
    return {
        "fixed_points": int((settling.period == 1).sum()),
        "cycles": int((settling.period > 1).sum()),
        "neither": int((settling.period == 0).sum()),
        "mean_step": float(done.mean()) if len(done) else None,
    }


if __name__ == "__main__":
    from analyses.framework.command import run_named

    run_named("dynamics")
