"""Which of the algorithm's variables a model computes with: `python -m analyses.interchange --help`.

Of a compiled graph solver, whose slots are known, interchange accuracy by variable, place, step and depth in the slots
(`interp.interchange.accuracy`). Of any model with discrete states, subspaces fitted by distributed alignment search,
per step and tied, with their controls, and what a linear probe reads (`interp.interchange.das`). States are made for
it, so no graphs are given. `--out` receives `interchange.csv` (a row per variable), `.parquet`, `.json`, `.html`,
`.png`, `interchange_methods.csv`, `_reading.csv`, `_heads.csv`, of a compiled model `_slots.csv`, and `config.yaml`,
from which `--config` repeats the run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from analyses.inputs import bad_input, load_model
from analyses.studies import plain, records
from analyses.tables import table_of
from models.one_line import one_line

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go
    from rich.table import Table

    from interp.interchange.accuracy import InterchangeGrid
    from interp.interchange.das import Alignment
    from interp.interchange.heads import HeadInterchange
    from models.graph import ComputationGraph

VARIABLES = (
    "name:first",
    "name:last",
    "value:first",
    "value:middle",
    "value:last",
    "partial",
    "own",
    "shown",
)
PAIRS, EPOCHS = 256, 60


@one_line
@dataclass(frozen=True, eq=False)
class InterchangeStudy:
    """The variables of `model` (its name).

    Attributes:
        alignment: fitted subspaces.
        heads: accuracy of whole heads swapped.
        slots: accuracy in the slots of a compiled model, None for others.
        overlaps: of a compiled model, variable -> mean squared cosine of the principal angles between the fitted
            subspace and what tells symbols apart in the slot.
    """

    model: str
    alignment: Alignment
    heads: HeadInterchange
    slots: InterchangeGrid | None
    overlaps: dict[str, float]

    def to_frame(self) -> pd.DataFrame:
        """A row per variable."""
        frame: Any = self.alignment.summary()
        if self.overlaps:
            frame["overlap"] = [self.overlaps.get(name, float("nan")) for name in frame["variable"]]
        return frame

    def frames(self) -> dict[str, pd.DataFrame]:
        """Every method by step, the probes by place, heads and slots by step and depth."""
        found = {
            "methods": self.alignment.frame,
            "reading": self.alignment.reading,
            "heads": self.heads.to_frame(),
        }
        return found if self.slots is None else found | {"slots": self.slots.to_frame()}

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "model": self.model,
            "variables": records(self.to_frame()),
            "methods": records(self.alignment.frame),
            "reading": records(self.alignment.reading),
            "heads": records(self.heads.summary()),
            "overlaps": plain(self.overlaps),
            "slots": None if self.slots is None else records(self.slots.to_frame()),
        }

    def table(self) -> Table:
        """A rich table, a row per variable."""
        columns = (
            "variable", "place", "rank", "probe", "per step", "tied", "arbitrary", "untrained", "placebo", "random",
            "verdict",
        )  # fmt: skip
        table = table_of(
            f"{self.model}: interchange accuracy on held-out graphs",
            columns,
            ("variable", "place", "verdict"),
        )
        for row in records(self.to_frame()):
            numbers = (
                row[name]
                for name in ("probe", "per_step", "tied", "arbitrary", "untrained", "placebo", "random")
            )
            table.add_row(
                row["variable"], row["place"].removeprefix("blocks."), str(row["rank"]),
                *(f"{number:.3f}" for number in numbers), row["verdict"],
            )  # fmt: skip
        return table

    def verdict(self) -> str:
        """Which variables are used, and how far per step is from tied."""
        rows = records(self.to_frame())
        groups = {
            word: [row["variable"] for row in rows if row["verdict"] == word]
            for word in dict.fromkeys(row["verdict"] for row in rows)
        }
        gap = max(abs(row["per_step"] - row["tied"]) for row in rows)
        parts = [f"{word}: {', '.join(names)}" for word, names in groups.items()]
        heads = ", ".join(
            f"{row['variable']} by head {row['head']} ({row['iia']:.2f})"
            for row in records(self.heads.summary())
            if row["iia"] >= 0.5
        )
        carried = f" Swapped as a whole, heads carry {heads}." if heads else ""
        first = "; ".join(parts)
        return f"{first[:1].upper()}{first[1:]}.{carried} A basis for all steps is within {gap:.3f} of one for each."

    def figure(self) -> go.Figure:
        """Subspaces beside their controls."""
        return self.alignment.figure()

    def figures(self) -> dict[str, go.Figure]:
        """The subspaces, and the slots of a compiled model."""
        found = {"alignment": self.figure()}
        return found if self.slots is None else found | {"slots": self.slots.figure()}


def study_interchange(
    graphs: Sequence[ComputationGraph] = (),
    model: str = "compiled",
    variables: Sequence[str] = VARIABLES,
    last_step: int = 4,
    pairs: int = PAIRS,
    epochs: int = EPOCHS,
    rank: int | None = None,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
    start: str | None = None,
) -> InterchangeStudy:
    """Fit and ask; of a compiled model also in its slots.

    graphs: not used, states are drawn. last_step: steps 1 to this. pairs: of every step that are fitted to; half as
    many are asked about. rank: of every subspace; default: that of the slot, or by factor. start: where fits begin,
    `random` or `probe` (`interp.interchange.starts`); default: `probe` for a compiled model, `random` for others.

    Raises:
        InputError: a model that is not entered by discrete states, an unknown variable, a number out of range.
    """
    from interp.interchange.accuracy import interchange_grid, slot_bases, symbol_spans
    from interp.interchange.das import align, subspace_overlap
    from interp.interchange.heads import head_interchange
    from interp.interchange.starts import PROBE_START, RANDOM_START
    from models.compiled.graphs import CompiledTransformer

    loaded = load_model(model)
    steps = range(1, last_step + 1)
    with bad_input():
        known = isinstance(loaded, CompiledTransformer)
        spans = symbol_spans(loaded) if known else {}
        ranks = (
            dict.fromkeys(variables, rank) if rank else {name: span.shape[1] for name, span in spans.items()}
        )
        begin = start or (PROBE_START if known else RANDOM_START)
        found = align(
            loaded, variables, steps, pairs, max(1, pairs // 2), ranks, None, epochs, seed, progress, begin
        )
        heads = head_interchange(loaded, variables, steps, max(1, pairs // 4), seed=seed)
        slots = (
            interchange_grid(loaded, slot_bases(loaded), steps, max(1, pairs // 4), seed=seed)
            if spans
            else None
        )
    overlaps = {
        name: subspace_overlap(basis, spans[name]) for name, basis in found.bases.items() if name in spans
    }
    return InterchangeStudy(model, found, heads, slots, overlaps)


if __name__ == "__main__":
    from analyses.framework.command import run_named

    run_named("interchange")
