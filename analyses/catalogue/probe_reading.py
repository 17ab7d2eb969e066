"""What probes that were fitted on other graphs read in one graph, node by node and step by step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from analyses.framework.record import Analysis
from analyses.framework.settings import PROBE, SITES, TARGET, Setting, count
from analyses.options import LARGEST_SEED

if TYPE_CHECKING:
    import plotly.graph_objects as go


def further(study: Any) -> Mapping[str, go.Figure]:
    """The figures of the other graphs, by their number."""
    found = {name.removeprefix("reading_"): figure for name, figure in study.figures().items()}
    found.pop("reading")
    return found


PROBE_READING = Analysis(
    name="probe-reading",
    about="Read graphs, node by node and step by step, with probes that were fitted on other graphs.",
    study="analyses.probe_reading:study_reading",
    settings=(
        TARGET,
        SITES,
        Setting("status", "Nodes by what the step owes them: waiting, computing, done or all.", "computing"),
        PROBE,
        count("fit_graphs", "Graphs that the probes are fitted on.", 64, 1, "n_training"),
        Setting("fit_nodes", "Nodes of each of these.", 16, int, "n_nodes", least=1),
        Setting(
            "fit_seed",
            "They are of this seed and the next ones.",
            1000,
            int,
            "seed",
            least=0,
            most=LARGEST_SEED,
        ),
    ),
    graphs=1,
    figures=further,
    loop="the nodes of a graph",
)
"""Functions: `analyses.probe_reading`."""
