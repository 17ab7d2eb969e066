"""Ten lines of Python that draw what the page shows."""

from __future__ import annotations

from dashboards.trajectory.view import View
from interp.overwrite import Overwrite


def snippet(view: View, state: int, edit: Overwrite | None) -> str:
    """The code of the current view, ready to be pasted into a notebook."""
    if view.text is not None:
        graph = f"ComputationGraph.parse({view.text!r})"
    else:
        graph = f"ComputationGraph.sample(n_nodes={view.n}, seed={view.seed}, ops={view.ops})"
    lines = [
        "from interp.figures.graph import graph_figure",
        "from interp.figures.trajectory import trajectory_figure",
        *(["from interp.overwrite import Overwrite, overwrite_value"] if edit else []),
        "from models import ComputationGraph, load",
        "",
        f"model = load({view.model!r})",
        f"run = model.run({graph})",
        f"graph_figure(run, state={state}).show()  # states[t + 1] is what step t wrote",
        f"trajectory_figure(run, state={state}).show()",
    ]
    if edit:
        lines += [
            f"edited = overwrite_value(model, run, Overwrite(node={edit.node}, state={edit.state}, value={edit.value}))",
            f"trajectory_figure(edited.run, first_state={edit.state}, changed=edited.changed).show()",
        ]
    return "\n".join(lines)
