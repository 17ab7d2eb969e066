"""The circuit of a looped model, found on pairs of graphs: `python -m analyses.circuit --help`.

A pair is a graph and a copy that differs in one thing.

Nodes are (step, component), edges inside a step lead from what writes to what reads (`interp.circuits.step_graph`).
Of several pairs the circuit is found on the first half and judged on the others. `--out` receives `circuit.csv`,
`.parquet`, `.json`, `.html`, `.png`, the curves as `circuit_curves.csv`, and `config.yaml`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from analyses.inputs import InputError, load_model
from analyses.studies import plain, records
from analyses.tables import table_of
from models.one_line import one_line

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go
    from rich.table import Table

    from interp.circuits.discovery import Discovery
    from interp.circuits.faithfulness import FaithfulnessCurve
    from interp.circuits.pair_runs import PairRuns
    from interp.circuits.schedule import Schedule
    from models.graph import ComputationGraph


@one_line
@dataclass(frozen=True)
class CircuitStudy:
    """The circuit of `model` (its name), when it is at work, and its f on graphs of another size, if asked for.

    Attributes:
        transfer_nodes, transfer: the other size, and f of the circuit there.
        transfer_curve: f there of the first edges of the order, over counts of them.
    """

    model: str
    result: Discovery
    schedule: Schedule
    transfer_nodes: int | None = None
    transfer: float | None = None
    transfer_curve: FaithfulnessCurve | None = None

    def to_frame(self) -> pd.DataFrame:
        """A row per step and edge, see `Discovery.to_frame`."""
        return self.result.to_frame()

    def curves(self) -> pd.DataFrame:
        """A row a sharing and size: `sharing`, and `FaithfulnessCurve.to_frame`."""
        import pandas as pd

        parts = [curve.to_frame().assign(sharing=name) for name, curve in self._curves().items()]
        return pd.concat(parts, ignore_index=True)

    def _curves(self) -> dict[str, FaithfulnessCurve]:
        """Those of the result, and of the other size, by what the table calls them."""
        other = self.transfer_curve
        more = {} if other is None else {f"{self.result.sharing}, {self.transfer_nodes} nodes": other}
        return self.result.curves | more

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        found = self.result
        curve, random = found.curve, found.curves["random"]
        names = [" -> ".join(edge.names) for edge in found.graph.edges]
        numbers = {
            "cpr": curve.cpr,
            "cmd": curve.cmd,
            "faithfulness": found.sufficiency,
            "necessity": found.necessity,
            "least": found.least,
            "least_each": found.least_each,
            "reached": found.reached,
            "cpr_log": curve.cpr_log,
            "cmd_log": curve.cmd_log,
            "cmd_random": random.cmd,
            "cpr_random": random.cpr,
            "sharing_gap": found.sharing_gap,
            "n_edges": curve.n_edges,
            "edges_kept": found.unique_edges,
            "weighted_size": found.weighted_size,
            "jaccard": found.jaccard,
            "jaccard_random": found.jaccard_random,
            "compared": found.compared,
            "schedule": self.schedule.as_predicted,
            "undisturbed": self.schedule.undisturbed,
            "transfer_nodes": self.transfer_nodes,
            "transfer": self.transfer,
        }
        return {
            "model": self.model,
            "method": found.method.name,
            "ablation": found.ablation,
            "sharing": found.sharing,
            "n_steps": len(found.kept),
            "found_on": found.found_on,
            "judged_on": found.judged_on,
            "same_pairs": found.same_pairs,
            **plain(numbers),
            "heads": [f"{layer}.{head}" for layer, head in found.heads],
            "stand_ins": [names[edge] for edge in found.stand_ins],
            "rival": None if found.rival is None else int(found.rival.any(0).sum()),
            "curves": records(self.curves()),
            "edges": records(self.to_frame()),
        }

    def table(self) -> Table:
        """A rich table, a row per way to share edges over steps."""
        columns = ("circuits", "CPR", "CMD", "CPR, log", "CMD, log", "edges for f", "of")
        table = table_of(
            f"{self.model}: circuits by {self.result.method.name}, {self.result.ablation} ablation",
            columns,
            left=("circuits",),
        )
        for name, curve in self._curves().items():
            smallest = curve.smallest(self.result.least)
            areas = (curve.cpr, curve.cmd, curve.cpr_log, curve.cmd_log)
            table.add_row(
                name,
                *(f"{area:.3f}" for area in areas),
                "-" if smallest is None else str(smallest),
                str(curve.n_edges),
            )
        return table

    def verdict(self) -> str:
        """What the circuit is, and what else does as well."""
        found = self.result
        heads = ", ".join(f"{layer}.{head}" for layer, head in found.heads) or "none"
        said = [
            f"{found.unique_edges} of {len(found.graph.edges)} edges ({found.sharing}, heads {heads}) have f = "
            f"{found.sufficiency:.3f}"
            + ("" if found.reached else f", less than the {found.least:g} asked for")
            + f" (on the worst pair {found.least_each:.3f}); all others together {1 - found.necessity:.3f}.",
            f"Cut in one step, it is felt at {self.schedule.as_predicted:.1%} of (node, step) cells as the depths say.",
        ]
        if found.rival is not None:
            said.append(
                f"A second circuit of {int(found.rival.any(0).sum())} edges, none of them in the first, does as well: "
                "neither is the circuit of the model."
            )
        if found.stand_ins:
            said.append(f"{len(found.stand_ins)} of its edges have a stand-in outside.")
        if found.compared > 1:
            said.append(
                f"Circuits of {found.compared} single pairs, as large, have a mean Jaccard index of "
                f"{found.jaccard:.3f} (at random {found.jaccard_random:.3f})."
            )
        if found.same_pairs:
            said.append("It is judged on the pair that it was found on (give --graphs 2 or more).")
        if self.transfer is not None:
            said.append(f"At {self.transfer_nodes} nodes its f is {self.transfer:.3f}.")
        return " ".join(said)

    def figure(self) -> go.Figure:
        """f over sizes."""
        return self.figures()["faithfulness"]

    def figures(self) -> dict[str, go.Figure]:
        """`faithfulness` and `edges`, see `interp.circuits.discovery_figure`."""
        return self.result.figures()


def study_circuit(
    graphs: Sequence[ComputationGraph],
    model: str = "compiled",
    method: str = "exact",
    pair_kind: str = "leaf-value",
    pairs: int = 4,
    sharing: str = "tied",
    ablation: str = "corrupt",
    least: float = 0.95,
    draws: int = 5,
    n_steps: int | None = None,
    transfer_nodes: int | None = None,
    seed: int = 0,
    every_pair: bool = False,
    resampled: int = 0,
) -> CircuitStudy:
    """Make a pair of every graph, find a circuit on the first half and judge it on the others; with one, on that.

    pair_kind: how the other graph differs, one of `interp.causal.pairs.KINDS`. pairs: graphs that are used, at most.
    method, sharing, least, draws, every_pair: as for `interp.discover`. ablation, n_steps: as for `interp.pair_runs`.
    transfer_nodes: judge the circuit, and the order of the edges, on as many pairs of so many nodes too. resampled: how
    many more pairs are drawn to compare their circuits. seed: of all that is drawn.

    Raises:
        InputError: no graph, one that admits no pair, a model without a discrete state, a setting that is not allowed.
    """
    from interp.causal.pairs import make_pair, sample_pairs
    from interp.causal.patching import PatchingError
    from interp.circuits.discovery import SHARINGS, discover, of_length
    from interp.circuits.faithfulness import faithfulness_curve
    from interp.circuits.pair_runs import pair_runs
    from interp.circuits.schedule import schedule
    from interp.progress import phase

    if not graphs:
        raise InputError("There is no graph to find a circuit on.")
    loaded = load_model(model)
    used = list(graphs)[:pairs]
    half = (len(used) + 1) // 2
    try:
        made = [make_pair(graph, pair_kind, seed + index) for index, graph in enumerate(used)]
        sides = [made[:half], made[half:]]
        with phase(0.0, 0.02):
            runs, judged = (
                pair_runs(loaded, side, ablation, n_steps, seed=seed) if side else None for side in sides
            )
        assert runs is not None
        ops = sorted({op for graph in used for op in graph.ops}) or ["ADD"]

        def others(count: int, n_nodes: int) -> PairRuns:
            drawn = sample_pairs(count, pair_kind, n_nodes, ops, seed)
            return pair_runs(loaded, drawn, ablation, seed=seed)

        more = others(resampled, len(used[0])) if resampled else None
        with phase(0.02, 0.9):
            found = discover(runs, judged, method, sharing, least, draws, seed, every_pair, more)
        worked = schedule(judged or runs, found.kept)
        if transfer_nodes is None:
            return CircuitStudy(model, found, worked)
        larger = others(max(len(sides[1]), 1), transfer_nodes)
        transfer = float(larger.faithfulness([found.named])[0])
        scores = of_length(larger, found.scores[sharing])
        curve = faithfulness_curve(larger, scores, sharing == SHARINGS[0])
    except (ValueError, PatchingError) as error:
        raise InputError(f"No circuit: {error}.") from error
    return CircuitStudy(model, found, worked, transfer_nodes, transfer, curve)


if __name__ == "__main__":
    from analyses.framework.command import run_named

    run_named("circuit")
