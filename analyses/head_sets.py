"""What `recurlens ablate --keep` and `--by-token` find: which heads suffice, and what a head is for token by token.

The measurements are `interp.causal.sufficiency` and `interp.causal.by_token`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from analyses.inputs import bad_input, load_model
from analyses.studies import StudyOf, plain, records
from analyses.tables import table_of
from models.one_line import one_line

if TYPE_CHECKING:
    from rich.table import Table

    from interp.causal.ablation import Component
    from interp.causal.by_token import ByToken
    from interp.causal.sufficiency import Sufficiency
    from models.graph import ComputationGraph

LEAST_BROKEN = 0.1
"""Share of tokens from which on the sentence names what breaks."""


@one_line
@dataclass(frozen=True)
class SufficiencyStudy(StudyOf):
    """What a set of heads of `model` (its name) solves alone."""

    result: Sufficiency

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values: what was run, and a record for every set."""
        result = self.result
        return {
            "model": self.model,
            "method": result.method,
            "graphs": [graph.to_text() for graph in result.graphs],
            "n_steps": result.n_steps,
            "graphs_without": result.solved_without,
            "graphs_solved": result.solved,
            "graphs_solved_at_random": plain(result.solved_at_random),
            "sets": records(self.to_frame()),
        }

    def table(self) -> Table:
        """A rich table, a row per set."""
        title = f"{self.model}: all other heads replaced ({self.result.method}), MLPs kept"
        columns = ("heads kept", "", "in common", "nodes right", "graphs solved")
        table = table_of(title, columns, ("heads kept", ""))
        for row in records(self.to_frame()):
            kind = "random" if row["random"] else "asked about"
            solved = f"{row['graphs_solved']} of {row['graphs']}"
            table.add_row(row["kept"], kind, str(row["shared"]), f"{row['nodes_right']:.1%}", solved)
        return table

    def verdict(self) -> str:
        """One sentence: what the set solves, and random ones."""
        result, n_random = self.result, len(self.result.sets) - 1
        solved = f"{result.count} of {len(result.graphs)} graphs"
        sets = "one random set" if n_random == 1 else f"{n_random} random sets"
        control = (
            f"of {sets} of as many heads {result.solved_at_random:.1%} of graphs are solved, mean over sets"
        )
        every = round(result.solved_without * len(result.graphs))
        return (
            f"{len(result.heads)} heads alone, MLPs kept, solve {solved} (all heads: {every}); "
            f"{control if n_random else 'no other set has as many heads'}."
        )


@one_line
@dataclass(frozen=True)
class ByTokenStudy(StudyOf):
    """What heads of `model` (its name) are for, by kind of token."""

    result: ByToken

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        rows = records(self.to_frame())
        return {"model": self.model, "method": self.result.method, "rows": rows}

    def table(self) -> Table:
        """A rich table of the frame."""
        rows = records(self.to_frame())
        broken = [name for name in rows[0] if name.startswith("broken_")]
        columns = ["head", "token", "looks at", "attention", "positions back", "attention"]
        columns += [name.replace("_", " ") for name in broken]
        table = table_of(f"{self.model}: heads by kind of token", columns, ("head", "token"))
        for row in rows:
            shares = [f"{row[name]:.1%}" for name in broken]
            looks = (
                row["looks_at"],
                f"{row['attention']:.2f}",
                str(row["back"]),
                f"{row['back_attention']:.2f}",
            )
            table.add_row(row["head"], row["token"], *looks, *shares)
        return table

    def verdict(self) -> str:
        """One sentence per head: where it looks mostly, and what breaks in a step without it."""
        rows = records(self.to_frame())
        said = []
        for head in dict.fromkeys(row["head"] for row in rows):
            own = [row for row in rows if row["head"] == head]
            total = sum(row["tokens"] for row in own)
            backs = {row["back"] for row in own}
            weight = {
                back: sum(row["tokens"] * row["back_attention"] for row in own if row["back"] == back) / total
                for back in backs
            }
            back = max(weight, key=lambda one: weight[one])
            broken = [
                f"{name.removeprefix('broken_')} at {row['token']} {share:.0%}"
                for row in own
                for name, share in row.items()
                if name.startswith("broken_") and share >= LEAST_BROKEN
            ]
            said.append(
                f"head {head}, {back} back in {weight[back]:.0%} of its attention, breaks "
                f"{', '.join(broken) or 'nothing'}"
            )
        return f"In a step without it ({self.result.method}): {'; '.join(said)}."


def study_sufficiency(
    graphs: Sequence[ComputationGraph],
    heads: Sequence[Component],
    method: str,
    model: str,
    draws: int,
    n_steps: int | None,
    seed: int,
    exact: str = "states",
) -> SufficiencyStudy:
    """Keep heads of the model of a name or path; as `interp.causal.sufficiency.keep_only`.

    Raises InputError for no graph, and for heads, a method or steps that cannot be used.
    """
    from interp.causal.sufficiency import keep_only
    from interp.engine.sparse.tally import check_exactness

    loaded = load_model(model)
    with bad_input():
        mode = check_exactness(exact)
        found = keep_only(loaded, graphs, heads, method, draws, n_steps, seed, exact=mode)
    return SufficiencyStudy(model, found)


def study_by_token(
    graphs: Sequence[ComputationGraph],
    heads: Sequence[Component] | None,
    method: str,
    model: str,
    n_steps: int | None,
    seed: int,
    exact: str = "states",
) -> ByTokenStudy:
    """Heads (None: all) of the model of a name or path; as `interp.causal.by_token.by_token`.

    Raises InputError for no graph, and for heads, a method or steps that cannot be used.
    """
    from interp.causal.by_token import by_token
    from interp.causal.sufficiency import all_heads
    from interp.engine.sparse.tally import check_exactness

    loaded = load_model(model)
    wanted = all_heads(loaded) if heads is None else heads
    with bad_input():
        mode = check_exactness(exact)
        return ByTokenStudy(model, by_token(loaded, graphs, wanted, method, n_steps, seed, mode))
