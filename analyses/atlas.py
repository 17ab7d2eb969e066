"""The recovery atlas: every edit of one code of a run, where it leads, and what the algorithm says: `--help`.

`interp.recovery.atlas` says what an edit and an outcome are, `interp.recovery.staying` and `.returning` what the
fixed-point test asks, `interp.recovery.mending` how a graph that is not solved is explained. `--out` receives
`atlas.csv` (an edit a row), `.parquet`, `.json`, `.html`, `.png`, `atlas_kinds.csv`, `atlas_exceptions.csv`,
`atlas_staying.csv`, `atlas_returning.csv`, further figures, and `config.yaml`, from which `--config` repeats the run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from analyses.inputs import bad_input, load_for
from analyses.studies import plain, records
from analyses.tables import table_of
from interp.statistics.counted import counted
from models.one_line import one_line

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go
    from rich.table import Table

    from interp.recovery.atlas import RecoveryAtlas
    from interp.recovery.mending import Mending
    from interp.recovery.returning import Returning
    from interp.recovery.staying import Staying
    from models.graph import ComputationGraph

EDITS = 2000
"""Edits that are made, unless said otherwise: all of a graph of 8 nodes."""
MENDING_EDITS = 500
"""Edits that are tried at the first wrong write of a graph that is not solved."""


@one_line
@dataclass(frozen=True, eq=False)
class AtlasStudy:
    """The recovery atlas of `model` (its name).

    Attributes:
        atlas: what became of every edit.
        staying, returning: the fixed-point test on the same graphs, from solved states and from states one value away.
        mended: of every graph that is not solved, its first wrong write and what mends it; None where that cannot be
            asked, for the reason in `no_mending`.
    """

    model: str
    atlas: RecoveryAtlas
    staying: Staying
    returning: Returning
    mended: list[Mending] | None
    no_mending: str

    def to_frame(self) -> pd.DataFrame:
        """A row per edit."""
        return self.atlas.to_frame()

    def exceptions(self) -> list[dict[str, Any]]:
        """Edits that are not as predicted, each with the `text` of its graph and the `address` of its page."""
        return [row | {"address": self._address(row)} for row in records(self.atlas.exceptions())]

    def _address(self, row: Mapping[str, Any]) -> str:
        """Of the Trajectory page with the edit."""
        names = {f"x_{node.variable}": node.name for node in self.atlas.graphs[row["graph"]].nodes}
        where = row["name"] if row["kind"] == "value" else f"{row['pos']}.{row['factor']}"
        state = "start" if row["step"] == 0 else row["step"] - 1
        edit = f"{where}@{state}={names.get(row['after'], row['after'])}"
        return f"trajectory?{urlencode({'model': self.model, 'text': row['text'], 'edit': edit})}"

    def frames(self) -> dict[str, pd.DataFrame]:
        """Shares by kind of edit, the exceptions, the fixed-point test."""
        import pandas as pd

        return {
            "kinds": self.atlas.by_kind(),
            "exceptions": pd.DataFrame(self.exceptions()),
            "staying": self.staying.to_frame(),
            "returning": self.returning.to_frame(),
        }

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values. `edits` were made, `as_predicted` of them are; `exceptions` lists all others."""
        atlas, staying, returning = self.atlas, self.staying, self.returning
        return {
            "model": self.model,
            "n_graphs": len(atlas.graphs),
            "sizes": sorted({len(graph) for graph in atlas.graphs}),
            "edits": len(atlas),
            "all_edits": sum(atlas.all_edits),
            "exhaustive": atlas.exhaustive,
            "as_predicted": atlas.as_predicted.count,
            "share": plain(atlas.as_predicted.to_dict()),
            "same_path": plain(atlas.same_path.to_dict()),
            "kinds": records(atlas.by_kind()),
            "solved": sum(atlas.solved),
            "fixed_point": {
                "n_steps": staying.n_steps,
                "state_stays": plain(staying.stayed.to_dict()),
                "values_stay": plain(staying.values_stayed.to_dict()),
                "one_value_away": {
                    "states": len(returning),
                    "all_states": returning.all_states,
                    "come_back": plain(returning.returned.to_dict()),
                    "in_time": plain(returning.in_time.to_dict()),
                    "keep_the_wrong_value": plain(returning.kept.to_dict()),
                },
            },
            "unsolved": [
                {
                    "text": one.graph.to_text(),
                    "sentence": one.sentence(),
                    "solved_state_stays": one.stays,
                    "mends": plain(one.mends.to_dict()),
                    "smallest": records(one.frame.head(5)),
                }
                for one in self.mended or ()
            ],
            "no_mending": self.no_mending,
            "exceptions": self.exceptions(),
        }

    def table(self) -> Table:
        """A rich table of the kinds of edits."""
        columns = (
            "edit",
            "the algorithm",
            "edits",
            "as predicted",
            "share",
            "95 % interval",
            "mean steps",
            "longest",
        )
        table = table_of(
            f"{self.model}: edits of one code in {counted(len(self.atlas.graphs), 'run')}",
            columns,
            columns[:2],
        )
        for row in records(self.atlas.by_kind()):
            time = ["", ""] if row["mean_time"] is None else [f"{row['mean_time']:.2f}", str(row["longest"])]
            table.add_row(
                row["kind"], row["expected"], str(row["edits"]), str(row["as_predicted"]), f"{row['share']:.2%}",
                f"{row['low']:.1%} - {row['high']:.1%}", *time,
            )  # fmt: skip
        return table

    def verdict(self) -> str:
        """Edits, the fixed-point test, and the graphs that are not solved."""
        atlas, staying, returning = self.atlas, self.staying, self.returning
        made = (
            "Every edit"
            if atlas.exhaustive
            else f"A random sample of {len(atlas):,} of {counted(sum(atlas.all_edits), 'edit')}"
        )
        runs = "the run of 1 graph" if len(atlas.graphs) == 1 else f"the runs of {len(atlas.graphs)} graphs"
        unsolved = [f" {one.sentence()}." for one in self.mended or ()]
        return (
            f"{made} of one code in {runs} (95 % intervals in brackets): {atlas.as_predicted} end where and when the "
            f"algorithm predicts, and {atlas.same_path} pass through the algorithm's states all the way. Given its "
            f"solved state, the model keeps it for {staying.n_steps} steps in {staying.stayed} graphs. With one value "
            f"of a solved state replaced, the run returns to the solved state in {returning.returned} cases, in "
            f"{returning.in_time} after as many steps as the algorithm needs; it keeps the wrong value in "
            f"{returning.kept}.{''.join(unsolved)}"
        )

    def figure(self) -> go.Figure:
        """Times and outcomes."""
        return self.atlas.figure()

    def figures(self) -> dict[str, go.Figure]:
        """Times and outcomes; step x node of the first graph."""
        return {"times": self.figure(), "map": self.atlas.map_figure()}


def study_atlas(
    graphs: Sequence[ComputationGraph],
    model: str = "compiled",
    edits: int = EDITS,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> AtlasStudy:
    """Make the edits, follow them, test solved states, and explain the graphs that are not solved.

    edits: in all graphs together; all where there are no more, else a random sample by `seed`; of states one value away
    from the solved ones as many. progress: called with
    (edits done, edits in all).

    Raises:
        InputError: no graphs, or a model or graph that cannot be used.
    """
    from interp.recovery.atlas import recovery_atlas
    from interp.recovery.mending import mending
    from interp.recovery.returning import returning
    from interp.recovery.staying import staying

    loaded = load_for(model, graphs)
    with bad_input():
        atlas = recovery_atlas(loaded, list(graphs), edits, seed, progress)
        stays = staying(loaded, list(graphs))
        returns = returning(loaded, list(graphs), edits, seed)
    mended, reason = None, ""
    try:
        mended = mending(loaded, list(graphs), MENDING_EDITS, seed)
    except ValueError as error:
        reason = str(error)
    return AtlasStudy(model, atlas, stays, returns, mended, reason)


if __name__ == "__main__":
    from analyses.framework.command import run_named

    run_named("atlas")
