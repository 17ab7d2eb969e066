"""The lines of Python that draw what the page shows, ready to be pasted into a notebook."""

from __future__ import annotations

from analyses.catalogue.solve import SOLVE
from dashboards.analysis_page import command_line
from dashboards.own_models import written
from dashboards.trajectory.view import View
from interp.causal.overwrite import Overwrite


def run_snippet(view: View, state: int) -> str:
    """Code of the graph and the heatmap."""
    return "\n".join(
        [
            "from interp.figures.graph import graph_figure",
            "from interp.figures.trajectory import trajectory_figure",
            "from models import ComputationGraph, load",
            "",
            *_run(view),
            f"graph_figure(run, state={state}).show()  # run.states[t + 1] is what step t wrote",
            "trajectory_figure(run).show()",
        ]
    )


def run_command(view: View) -> str:
    """The command that shows the same run."""
    return command_line(SOLVE, view.model, {}, view.graph_options(one=True))


def edit_snippet(view: View, edit: Overwrite) -> str:
    """Code of the edited run."""
    arguments = f"node={edit.node}, step={edit.step}, value={edit.value}"
    if edit.pos is not None:
        arguments += f", factor={edit.factor!r}, pos={edit.pos}"
    return "\n".join(
        [
            "from interp.figures.trajectory import trajectory_figure",
            "from interp.causal.overwrite import Overwrite, overwrite_value",
            "from models import ComputationGraph, load",
            "",
            *_run(view),
            f"edited = overwrite_value(model, run, Overwrite({arguments}))",
            "assert not edited.control_changed.any()  # the same edit with the value that is shown anyway",
            f"trajectory_figure(edited.run, first_state={edit.step}, changed=edited.changed).show()",
        ]
    )


def _run(view: View) -> list[str]:
    if view.text is not None:
        graph = f"ComputationGraph.parse({view.text!r})"
    else:
        graph = f"ComputationGraph.sample(n_nodes={view.n}, seed={view.seed}, ops={view.ops})"
    return [f"model = load({written(view.model)!r})", f"run = model.run({graph})"]
