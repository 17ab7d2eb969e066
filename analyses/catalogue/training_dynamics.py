"""What a model learnt when, from the snapshots of its training run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import typer

from analyses.framework.record import Analysis
from analyses.framework.settings import Setting, count
from analyses.inputs import GraphSource, load_model, parse_operations
from analyses.options import OPS_METAVAR

if TYPE_CHECKING:
    from models.graph import ComputationGraph


def source(context: typer.Context, settings: Mapping[str, Any]) -> tuple[str, list[ComputationGraph]]:
    """Sampled graphs, of the model's own operations unless others are asked for."""
    model = load_model(settings["model"])
    ops = model.vocabulary.ops if settings["ops"] is None else parse_operations(settings["ops"])
    drawn = GraphSource(n_nodes=settings["n_nodes"], seed=context.params["seed"], ops=tuple(ops))
    return settings["model"], drawn.many(model, settings["graphs"])


TRAINING_DYNAMICS = Analysis(
    name="training-dynamics",
    files="training",
    about="When heads, Fourier structure and accuracy appear in training, from a run's snapshots.",
    study="analyses.training_dynamics:study_training",
    takes=("seed",),
    settings=(
        Setting("n_nodes", "Nodes a graph.", 16, int, short="-n", least=8, most=64, of_study=False),
        count("graphs", "Sampled graphs.", 8, 1, of_study=False),
        Setting("ops", "Operations.  [default: the model's]", metavar=OPS_METAVAR, of_study=False),
        Setting(
            "model",
            "A bundled model or a folder, with snapshots.",
            "discrete-corrected",
            short="-m",
            of_study=False,
        ),
    ),
    graphs=None,
    source=source,
)
"""Functions: `analyses.training_dynamics`. Its page (`dashboards.training`) shows what was measured beforehand."""
