"""The lines of Python that draw what the page shows, ready to be pasted into a notebook."""

from __future__ import annotations

from typing import cast

from analyses.catalogue.compare import COMPARE
from analyses.catalogue.solve import SOLVE
from dashboards.analysis_page import command_line
from dashboards.own_models import written
from dashboards.trajectory.view import View
from interp.causal.beside_control import BesideControl
from interp.causal.head_off import HeadOffRun
from interp.causal.overwrite import OverwrittenRun


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


def edit_snippet(view: View, result: BesideControl) -> str:
    """Code of the edited run."""
    if isinstance(result, HeadOffRun):
        module, names, what = "head_off", "HeadOff, head_off", f"head_off(model, run, {result.off!r})"
        control = "edited.control is the run with the head"
    else:
        edit = cast("OverwrittenRun", result).edit
        arguments = f"node={edit.node}, step={edit.step}, value={edit.value}"
        if edit.pos is not None:
            arguments += f", factor={edit.factor!r}, pos={edit.pos}"
        module, names = "overwrite", "Overwrite, overwrite_value"
        what = f"overwrite_value(model, run, Overwrite({arguments}))"
        control = "the same edit with the value that is shown anyway"
    return "\n".join(
        [
            "from interp.figures.trajectory import trajectory_figure",
            f"from interp.causal.{module} import {names}",
            "from models import ComputationGraph, load",
            "",
            *_run(view),
            f"edited = {what}",
            f"assert not edited.control_changed.any()  # {control}",
            f"trajectory_figure(edited.run, first_state={result.since}, changed=edited.changed).show()",
        ]
    )


def edit_command(view: View) -> str:
    """The command that compares the run with the edited one."""
    return command_line(COMPARE, view.model, {"other_edit": str(view.edit)}, view.graph_options(one=True))


def _run(view: View) -> list[str]:
    if view.text is not None:
        graph = f"ComputationGraph.parse({view.text!r})"
    else:
        graph = f"ComputationGraph.sample(n_nodes={view.n}, seed={view.seed}, ops={view.ops})"
    return [f"model = load({written(view.model)!r})", f"run = model.run({graph})"]
