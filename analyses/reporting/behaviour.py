"""Sections on what a model does: accuracy, error correction, one run, its codes, its motion, why it fails."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from analyses import claims
from analyses.reporting.parts import (
    Contents,
    Job,
    NotApplicableError,
    drawing,
    drawings,
    most_nodes,
    need_states,
    need_steps,
)

if TYPE_CHECKING:
    from analyses.correction import Correction
    from models.recurrent import RecurrentTransformer

CORRUPTED = 0.25
MIDWAY = 3
LONGEST = 4
"""Times the steps that the deepest graph needs: how long the runs of the dynamics are."""


def accuracy(model: RecurrentTransformer, job: Job) -> Contents:
    """Graphs fully solved by size, with intervals; an untrained model of the same shape beside it."""
    from analyses.evaluate import evaluate, sample_sizes
    from analyses.generalisation import evaluation_curve, paper_curves
    from interp.figures.generalisation import generalisation_figure
    from interp.figures.template import UNSOLVED_COLOUR

    amounts = job.amounts
    sizes = sorted({min(size, most_nodes(model)) for size in amounts.sizes})
    found = evaluate(model, sample_sizes(model, sizes, amounts.per_size, job.ops, job.seed), name=job.model)
    some = sorted({sizes[0], sizes[len(sizes) // 2], sizes[-1]})
    few = max(2, amounts.per_size // 4)
    # An untrained model need not come to rest: it gets as many steps as the model took.
    steps = max(size.max_steps for size in found.sizes)
    given = None if model.cfg.writes_text or model.cfg.default_steps is not None else steps
    graphs = sample_sizes(model, some, few, job.ops, job.seed)
    untrained = evaluate(job.untrained(model), graphs, given, "untrained")
    settings = {"training": {"method": model.cfg.method, "ops": list(model.vocabulary.ops)}}
    curves = [
        evaluation_curve(job.model, found.to_dict(), settings),
        evaluation_curve("untrained", untrained.to_dict()),
    ]
    paper = [curve for curve in paper_curves() if curve.method == model.cfg.method]
    figure = generalisation_figure(curves, paper)
    grey: Any = {"line_color": UNSOLVED_COLOUR, "marker_color": UNSOLVED_COLOUR}
    figure.update_traces(**grey, selector={"name": "untrained"})
    reading = (
        "A point is the share of sampled graphs of a size in which every node ends with its true value; bars are 95 % "
        "Wilson intervals. Grey is an untrained model of the same shape, dotted the largest size in the training of "
        "trained ones. Dashed, where there is one, is the paper's model of the same method, which is another model, "
        "trained much longer."
    )
    drawn = drawing(
        "accuracy", figure, "interp/figures/generalisation.py", "Graphs fully solved, by size", reading
    )
    levels = ", ".join(f"{size.mean_steps:.1f} ({size.mean_levels:.1f})" for size in found.sizes)
    sentences = [
        f"{found.verdict()} Untrained: {untrained.verdict()}",
        f"Steps that changed the state, mean by size (in brackets the levels of the graphs): {levels}.",
    ]
    return Contents(sentences, [drawn], [claims.generalises(found, untrained)])


def correction(model: RecurrentTransformer, job: Job) -> Contents:
    """Values corrupted at the end of runs, and on the way."""
    from analyses.correction import measure_correction
    from analyses.evaluate import sample_sizes
    from interp.figures.correction import correction_figure

    need_states(model)
    amounts, other = job.amounts, job.untrained(model)
    sizes = sorted({min(size, most_nodes(model)) for size in (amounts.nodes, *amounts.sizes[-1:])})
    graphs = sample_sizes(model, sizes, max(4, amounts.per_size // 4), job.ops, job.seed)
    small = [graph for graph in graphs if len(graph) == sizes[0]]
    moments = {"In the last state": None, f"In the state entering step {MIDWAY}": MIDWAY}
    found = {
        title: measure_correction(model, graphs, CORRUPTED, at, job.seed, job.model)
        for title, at in moments.items()
    }
    # Small graphs alone, as an untrained model need not come to rest.
    control = {
        title: measure_correction(
            other, small, CORRUPTED, MIDWAY if at is None else at, job.seed, "untrained"
        )
        for title, at in moments.items()
    }
    figure = correction_figure(
        {title: (_healing(found[title]), _healing(control[title])) for title in moments}, CORRUPTED
    )
    last, midway = found.values()
    ends = "; ".join(
        f"{size.fully_solved:.1%} of {size.graphs} graphs of {size.n_nodes} nodes ({size.fully_solved_before:.1%} "
        "without)"
        for size in last.sizes
    )
    sentences = [
        f"With {CORRUPTED:.0%} of the values in the last state corrupted, what ends fully solved: {ends}.",
        f"With the same share corrupted in the state entering step {MIDWAY}: {midway.verdict()}",
    ]
    drawn = drawing("correction", figure, "interp/figures/correction.py")
    first = next(iter(control.values()))
    return Contents(sentences, [drawn], [claims.corrects(last, first)])


def _healing(result: Correction) -> list[Any]:
    from interp.figures.correction import Healing

    return [Healing(size.n_nodes, size.right_after_clean, size.right_after) for size in result.sizes]


def trajectory(model: RecurrentTransformer, job: Job) -> Contents:
    """One run, as a heatmap and on the graph."""
    from interp.figures.graph import graph_figure
    from interp.figures.trajectory import trajectory_figure
    from models.solving import solve

    (graph,) = job.sample(model, job.amounts.nodes, 1)
    run = solve(model, [graph])
    cells = drawing(
        "trajectory",
        trajectory_figure(run),
        "interp/figures/trajectory.py",
        "What every node shows after every step",
        "A row is the state that a step wrote, a column is a node in text order; a colour is a value, light grey is "
        "EMPTY, a red frame a wrong value. A perfect run fills the nodes depth by depth, a level in each row.",
    )
    drawn = drawing(
        "graph",
        graph_figure(run),
        "interp/figures/graph.py",
        "The same run on its graph",
        "Columns are depths (the longest way to a leaf), lines lead from operands to results, and the colour of a node "
        "is the step that first wrote its true value; a red outline is a wrong value at the end.",
    )
    right = int(run.solved[0, : len(graph)].sum())
    sentences = [
        f"{right} of {len(graph)} nodes end right, after {run.n_steps} steps; depth {max(graph.depths_by_node)}."
    ]
    return Contents(sentences, [cells, drawn], text=graph.to_text())


def codes(model: RecurrentTransformer, job: Job) -> Contents:
    """Codes used, their transitions, margins and interventions."""
    from analyses.codes import study_codes
    from interp.codebook.codes import code_usage
    from interp.codebook.due import due_writes, unchanged

    need_states(model)
    graphs = job.graphs(model)
    study = study_codes(graphs, job.model, edits=2, seed=job.seed)
    untrained = code_usage(job.untrained(model), graphs, study.usage.n_states - 1)
    figures = study.figures()
    ours = dict.fromkeys(
        ("usage", "information", "transitions", "commits"), "interp/codebook/codes_figure.py"
    )
    drawn = drawings("codes", figures, dict.fromkeys(figures, "interp/codebook/snapping_figure.py") | ours)
    claim = claims.only_values(due_writes(study.usage), unchanged(study.usage), due_writes(untrained))
    return Contents([study.verdict()], drawn, [claim])


def dynamics(model: RecurrentTransformer, job: Job) -> Contents:
    """Motion, frontier and drift of long runs."""
    from analyses.dynamics import study_dynamics
    from interp.codebook.codes import code_usage
    from interp.state_dynamics.dynamics import dynamics as motion

    need_steps(model)
    if model.cfg.method == "feedforward":
        raise NotApplicableError("A feedforward model passes its layers once: there are no steps to follow.")
    graphs = job.graphs(model)
    study = study_dynamics(graphs, job.model, longest=LONGEST)
    figures = study.figures()
    sources = dict.fromkeys(figures, "interp/state_dynamics/dynamics_figure.py")
    sources["trajectories"] = "interp/state_dynamics/trajectories_figure.py"
    drawn = drawings("dynamics", figures, sources)
    if model.cfg.default_steps is not None:
        reason = f"A model of method {model.cfg.method!r} takes {model.cfg.default_steps} steps, whatever the graph."
        return Contents([study.verdict()], drawn, [claims.not_told("adapts", reason)])
    other, n_steps = job.untrained(model), study.run.n_steps
    on_time = [
        code_usage(one, graphs, n_steps).select(role="rhs").transitions("value").on_time()
        for one in (model, other)
    ]
    speeds = [run.frontier.speed().slope for run in (study.run, motion(other, graphs, n_steps))]
    claim = claims.adapts(on_time[0], speeds[0], on_time[1], speeds[1])
    return Contents([study.verdict(), *_slow(speeds)], drawn, [claim])


def failures(model: RecurrentTransformer, job: Job) -> Contents:
    """Why graphs of three sizes fail, by what the method has."""
    from analyses.evaluate import sample_sizes
    from analyses.failures import study_failures

    sizes = sorted({min(size, most_nodes(model)) for size in job.amounts.sizes})
    chosen = sorted({sizes[0], sizes[len(sizes) // 2], sizes[-1]})
    graphs = sample_sizes(model, chosen, max(2, job.amounts.per_size // 4), job.ops, job.seed)
    study = study_failures(graphs, job.model)
    figures = study.figures()
    sources = dict.fromkeys(figures, "interp/failures/failing_runs_figure.py")
    sources |= dict.fromkeys(("writes", "fetching"), "interp/failures/failing_writes_figure.py")
    return Contents(study.sentences(), drawings("failures", figures, sources))


def _slow(speeds: Sequence[float]) -> list[str]:
    if math.isnan(speeds[1]):
        return []
    return [f"The frontier of an untrained model moves {speeds[1]:.3f} levels per step."]
