"""Why a model fails: `python -m analyses.failures --help`.

What is asked depends on how a model runs; what does not apply is said with the reason:

    writes, fetching, sharpening   models with a discrete state: where runs break, what the fetching heads looked at
                                   there, and whether sharper attention mends it (`interp.failures.writes` and so on)
    drift, snapping                models that pass on a hidden state until nothing changes: how far it is from the
                                   right state, and whether snapping it every few steps heals it
    place                          chain of thought: the first wrong token
    reach                          models of a fixed number of steps: the depth up to which nodes are right

`--out` receives `failures.csv`, `.parquet`, `.json`, `.html`, `.png`, the whole tables and further figures as
`failures_NAME.csv` and `failures_NAME.html`, and `config.yaml`, from which `--config` repeats the run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from analyses.inputs import InputError, load_for
from analyses.studies import plain, records
from analyses.tables import table_of_rows
from models.one_line import one_line

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go
    from rich.table import Table

    from interp.failures.drifting import Drifting
    from interp.failures.fetching import Fetching
    from interp.failures.losing_place import LostPlace
    from interp.failures.reaching import Reaching
    from interp.failures.sharpening import Sharpening
    from interp.failures.snapping import Snapping
    from interp.failures.writes import Writes
    from models.config import RecurrentConfig
    from models.graph import ComputationGraph
    from models.recurrent import RecurrentTransformer

PARTS: Final = ("writes", "fetching", "sharpening", "drift", "snapping", "place", "reach")
_Row = dict[str, Any]


class Part(Protocol):
    """What was found by one part."""

    def verdict(self) -> str: ...

    def to_frame(self) -> pd.DataFrame: ...


@one_line
@dataclass(frozen=True, eq=False)
class FailuresStudy:
    """Why `model` (its name) fails on some graphs.

    Attributes:
        graphs: which were run.
        parts: of :data:`PARTS` those that apply, in order. reasons: why the others do not.
        most_nodes: of the largest graph that the model can read.
    """

    model: str
    graphs: tuple[ComputationGraph, ...]
    parts: Mapping[str, Part]
    reasons: Mapping[str, str]
    most_nodes: int

    def to_frame(self) -> pd.DataFrame:
        """A row a share that was counted: part, nodes, what, count, total, share, low, high (95 % Wilson)."""
        import pandas as pd

        found = [{"part": name} | row for name, part in self.parts.items() for row in _SUMMARIES[name](part)]
        return pd.DataFrame(
            found, columns=["part", "nodes", "what", "count", "total", "share", "low", "high"]
        )

    def frames(self) -> dict[str, pd.DataFrame]:
        """The whole table of every part, and of `writes` and `reach` two more."""
        found = {name: part.to_frame() for name, part in self.parts.items()}
        for name, part in self.parts.items():
            if name == "writes":
                writes: Any = part
                found |= {"first_wrong": writes.first, "runs": writes.runs}
            if name == "reach":
                reach: Any = part
                found["reach_steps"] = reach.step_frame()
        return found

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values: the sentences, and the rows of `to_frame`."""
        return {
            "model": self.model,
            "n_graphs": len(self.graphs),
            "sizes": sorted({len(graph) for graph in self.graphs}),
            "verdicts": {name: part.verdict() for name, part in self.parts.items()},
            "does_not_apply": plain(dict(self.reasons)),
            "rows": records(self.to_frame()),
        }

    def table(self) -> Table:
        """A rich table of `to_frame`."""
        header = "part | nodes | what | count | of | share | 95 % interval"
        cells = "{part} | {nodes} | {what} | {count} | {total} | {share:.2%} | {low:.1%} - {high:.1%}"
        title = f"{self.model}: {len(self.graphs)} graphs"
        return table_of_rows(title, header, cells, records(self.to_frame()), "part | what")

    def sentences(self) -> list[str]:
        """One per part, and what does not apply."""
        reasons = dict.fromkeys(self.reasons.values())
        left_out = [
            f"{', '.join(name for name, other in self.reasons.items() if other == reason)} ({reason})"
            for reason in reasons
        ]
        return [
            *(f"{name.capitalize()}: {part.verdict()}." for name, part in self.parts.items()),
            f"Does not apply: {'; '.join(left_out)}.",
        ]

    def verdict(self) -> str:
        """The sentences, and which size to try next."""
        largest = max(map(len, self.graphs))
        larger = min(2 * largest, self.most_nodes)
        more = f" Larger graphs fail more often: try {larger} nodes." if larger > largest else ""
        return f"Model {self.model}. {' '.join(self.sentences())}{more}"

    def figure(self) -> go.Figure:
        """The first one."""
        return next(iter(self.figures().values()))

    def figures(self) -> dict[str, go.Figure]:
        """By name of the part; the sharpening is in that of `fetching`, which is there if a head fetches."""
        from interp.failures.failing_writes_figure import fetching_figure

        found: dict[str, go.Figure] = {}
        for name, part in self.parts.items():
            drawn: Any = part
            if name == "fetching":
                sharper: Any = self.parts.get("sharpening")
                found |= {name: fetching_figure(drawn, sharper)} if drawn.fetchers else {}
            elif name != "sharpening":
                found[name] = drawn.figure()
        return found


def study_failures(
    graphs: Sequence[ComputationGraph],
    model: str = "compiled",
    progress: Callable[[int, int], None] | None = None,
) -> FailuresStudy:
    """Run the graphs and ask why those fail that do.

    progress: called with (parts done, parts in all).

    Raises:
        InputError: no graphs, or a model or graph that cannot be used.
    """
    from analyses.reporting.parts import most_nodes

    loaded = load_for(model, graphs)
    reasons = _reasons(loaded.cfg)
    parts: dict[str, Part] = {}
    try:
        for name, part in _made(loaded, list(graphs), reasons):
            parts[name] = part
            if progress is not None:
                progress(len(parts), len(PARTS) - len(reasons))
    except ValueError as error:
        raise InputError(f"{model}: {error}") from error
    return FailuresStudy(model, tuple(graphs), parts, reasons, most_nodes(loaded))


def _reasons(cfg: RecurrentConfig) -> dict[str, str]:
    """Why parts do not apply to models of a configuration; `_made` adds those that depend on what is found."""

    writes, drifts = PARTS[:3], PARTS[3:5]
    text = cfg.writes_text
    fixed = cfg.default_steps is not None and not text
    discrete = cfg.bottleneck == "discrete" and not text and not fixed
    own = (
        "it writes text token by token"
        if text
        else "it is not trained to show the algorithm's state after every step"
    )
    found: dict[str, str] = {}
    if not discrete:
        found |= dict.fromkeys(writes, own if text or fixed else "no discrete state enters its steps")
    if text or fixed or discrete:
        found |= dict.fromkeys(drifts, "its state is snapped in every step" if discrete else own)
    if not text:
        found["place"] = "it writes no text"
    if not fixed:
        found["reach"] = "the number of its steps is not fixed"
    return found


def _made(
    model: RecurrentTransformer, graphs: list[ComputationGraph], reasons: dict[str, str]
) -> Iterator[tuple[str, Part]]:
    """The parts that apply, one after the other."""
    from interp.failures.drifting import drifting
    from interp.failures.fetching import fetching
    from interp.failures.losing_place import losing_place
    from interp.failures.reaching import reaching
    from interp.failures.sharpening import sharpening
    from interp.failures.snapping import snapping
    from interp.failures.writes import writes

    if "writes" not in reasons:
        found = writes(model, graphs)
        yield "writes", found
        looked = fetching(model, found)
        yield "fetching", looked
        failing = {len(graphs[index]) for index in found.failed}
        if not failing:
            reasons["sharpening"] = "no graph fails"
        elif not looked.heads:
            reasons["sharpening"] = "no head is known to fetch"
        else:
            some = [graph for graph in graphs if len(graph) in failing]
            yield "sharpening", sharpening(model, some, looked.heads, looked.others)
    if "drift" not in reasons:
        yield "drift", drifting(model, graphs)
        yield "snapping", snapping(model, graphs)
    if "place" not in reasons:
        yield "place", losing_place(model, graphs)
    if "reach" not in reasons:
        yield "reach", reaching(model, graphs)


def _writes_rows(found: Writes) -> Iterator[_Row]:
    for one in found.compounding():
        yield {"nodes": one.n_nodes, "what": "graphs solved"} | one.solved.to_dict()
        yield {"nodes": one.n_nodes, "what": "clean writes of inner nodes wrong"} | one.errors.to_dict()
    largest = max(found.sizes)
    for words, own in (("wrong values right again later", False), ("own errors right again later", True)):
        yield {"nodes": largest, "what": f"{words}, all sizes"} | found.repaired(own).to_dict()


def _fetching_rows(found: Fetching) -> Iterator[_Row]:
    for row in records(found.by_size()):
        kind = "right" if row["right"] else "wrong"
        yield {
            "nodes": row["nodes"],
            "what": f"head {row['layer']}.{row['head']} misses the {row['place']} operand, {kind} writes",
            "count": round(row["missed"] * row["writes"]),
            "total": row["writes"],
            "share": row["missed"],
            "low": row["low"],
            "high": row["high"],
        }


def _sharpening_rows(found: Sharpening) -> Iterator[_Row]:
    for row in records(found.to_frame()):
        what = f"graphs solved, scores of {row.pop('group')} x{row.pop('factor'):g}"
        yield {"what": what} | row


def _drift_rows(found: Drifting) -> Iterator[_Row]:
    for size in found.measures:
        last = len(found.measures[size]) - 1
        for state in (found.needed[size], last):
            for name in ("value", "variable", "given"):
                share = found.share(name, size, state)
                yield {"nodes": size, "what": f"{name} read right entering step {state}"} | share.to_dict()


def _snapping_rows(found: Snapping) -> Iterator[_Row]:
    words = {"on_time": "at depth + 1", "best": "at the best step", "late": "late"}
    for row in records(found.to_frame()):
        every, moment = row.pop("every"), words[row.pop("moment")]
        row.pop("step")
        kind = f"snapped every {every}" if every.isdigit() else every
        yield {"what": f"graphs solved {moment}, {kind}"} | row


def _place_rows(found: LostPlace) -> Iterator[_Row]:
    from interp.statistics.shares import Share

    for size in found.sizes:
        yield {"nodes": size, "what": "solutions without a mistake"} | found.solved(size).to_dict()
        for outcome, share in found.outcomes(size).items():
            yield {"nodes": size, "what": f"first mistakes that are: {outcome}"} | share.to_dict()
    for row in records(found.by("kind")):
        share = Share(row["wrong"], row["total"])
        yield {"nodes": row["nodes"], "what": f"tokens wrong: {row['group']}"} | share.to_dict()


def _reach_rows(found: Reaching) -> Iterator[_Row]:
    for row in records(found.to_frame()):
        yield {"what": f"nodes right at depth {row.pop('depth')}"} | row


_SUMMARIES: Final[Mapping[str, Callable[[Any], Iterator[_Row]]]] = dict(
    zip(
        PARTS,
        (
            _writes_rows,
            _fetching_rows,
            _sharpening_rows,
            _drift_rows,
            _snapping_rows,
            _place_rows,
            _reach_rows,
        ),
        strict=True,
    )
)


if __name__ == "__main__":
    from analyses.framework.command import run_named

    run_named("failures")
