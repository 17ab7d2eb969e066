"""Error correction: corrupt some of the values a model has computed, and see whether and when they come right again.

A value is corrupted by replacing its symbol with a random other value (never EMPTY), at the state that enters
one step. One step later a node shows what its operands' CURRENT values give, so a corrupted node with a
corrupted operand cannot be right at once, whatever the model; `right_after_clean` counts the corrupted nodes
whose operands were all left alone, for which one step is enough (Altabaa et al. 2025)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from analyses.evaluate import batches
from analyses.studies import plain
from analyses.tables import table_of_rows
from models.one_line import one_line

if TYPE_CHECKING:
    from rich.table import Table

    from models.config import RecurrentConfig
    from models.graph import ComputationGraph
    from models.recurrent import RecurrentTransformer
    from models.vocabulary import EncodedGraphs

HORIZON = 3
"""Steps after the corruption that are looked at one by one."""


@one_line
@dataclass(frozen=True)
class SizeCorrection:
    """The graphs of one size.

    `corrupted`: values replaced; `clean_operands`: those of them whose operands were all left alone.
    `right_after`, `right_after_clean`: fraction of each showing the true value 1, 2, 3 steps later (nan where
    there is none). `collateral`: fraction of the values that were right and left alone and are wrong one step
    later although all their operands were left alone, too. `fully_solved`: fraction of graphs that end fully
    solved; `fully_solved_before`: the same without corruption.
    """

    n_nodes: int
    graphs: int
    corrupted: int
    clean_operands: int
    right_after: tuple[float, ...]
    right_after_clean: tuple[float, ...]
    collateral: float
    fully_solved: float
    fully_solved_before: float


@one_line
@dataclass(frozen=True)
class Correction:
    """Error correction of one model by size."""

    model: str
    fraction: float
    at_step: int | None
    sizes: tuple[SizeCorrection, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; a fraction of nothing is null."""
        return {
            "model": self.model,
            "corrupt": self.fraction,
            "at_step": self.at_step,
            "sizes": list(self.rows()),
        }

    def rows(self) -> Iterator[dict[str, Any]]:
        """One record per size, the fields of `SizeCorrection`."""
        return (plain(asdict(size)) for size in self.sizes)

    def verdict(self) -> str:
        """One sentence: how much was healed."""
        corrupted = sum(size.corrupted for size in self.sizes)
        graphs = sum(size.graphs for size in self.sizes)
        solved = sum(round(size.fully_solved * size.graphs) for size in self.sizes)
        return f"{corrupted} values corrupted; {solved} of {graphs} graphs fully solved in the end."

    def table(self) -> Table:
        """A rich table, a row for each size."""
        header = "nodes | graphs | corrupted | right after 1 | 2 | 3 steps | after 1, operands clean"
        header += " | collateral | fully solved"
        cells = "{n_nodes} | {graphs} | {corrupted} | {right_after[0]:.1%} | {right_after[1]:.1%}"
        cells += (
            " | {right_after[2]:.1%} | {right_after_clean[0]:.1%} | {collateral:.2%} | {fully_solved:.1%}"
        )
        title = f"{self.model}, {self.fraction:.0%} corrupted"
        return table_of_rows(title, header, cells, map(vars, self.sizes))


def passes_states(cfg: RecurrentConfig) -> bool:
    """Whether a model steps from one discrete state to the next until nothing changes."""
    return cfg.bottleneck == "discrete" and cfg.default_steps is None


def corrupt_values(
    state: Tensor, encoded: EncodedGraphs, fraction: float, modulus: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Replace a share of the values that `state` shows.

    state: int [batch, pos, factor]; of every graph's nodes that show a value, `fraction` (rounded, at least
    one) get a random other value. Returns the new state and bool [batch, node], which nodes were changed.
    """
    rows = torch.arange(len(state))[:, None]
    rhs = encoded.rhs.clamp_min(0)
    shown = state[rows, rhs, 3]
    known = (encoded.rhs >= 0) & (shown < modulus)
    count = (fraction * known.sum(-1)).round().clamp_min(1)[:, None]
    lottery = torch.rand(known.shape, generator=generator).masked_fill(~known, 2.0)
    chosen = (lottery.argsort(-1).argsort(-1) < count) & known
    other = (shown + torch.randint(1, modulus, known.shape, generator=generator)) % modulus
    state = state.clone()
    row, node = chosen.nonzero(as_tuple=True)
    state[row, rhs[row, node], 3] = other[row, node]
    return state, chosen


def measure_correction(
    model: RecurrentTransformer,
    graphs: Sequence[ComputationGraph],
    fraction: float,
    at_step: int | None = None,
    seed: int = 0,
    name: str = "",
) -> Correction:
    """Corrupt `fraction` of the known values in the state entering `at_step` (None: the last state of each run).

    Raises ValueError for a model that passes no discrete state from step to step, a fraction outside (0, 1], a
    negative step, or an empty list.
    """
    if not passes_states(model.cfg):
        raise ValueError(
            f"Values are corrupted in the discrete state between two steps, and a model of method {model.cfg.method!r} "
            "has none. Allowed: discrete, discrete-corrected, and the compiled model"
        )
    if not 0 < fraction <= 1:
        raise ValueError(f"The share to corrupt is {fraction}. Allowed: above 0 and at most 1")
    if at_step is not None and at_step < 1:
        raise ValueError(
            f"The step to corrupt at is {at_step}. Allowed: 1 or more; nothing is known before step 0"
        )
    if not graphs:
        raise ValueError("There is nothing to corrupt: the list of graphs is empty.")
    generator = torch.Generator().manual_seed(seed)
    tallies: dict[int, _Tally] = {}
    for batch in batches(graphs):
        run = model.run([graphs[index] for index in batch])
        entering = run.states[-1 if at_step is None else min(at_step, run.n_steps)]
        state, chosen = corrupt_values(entering, run.encoded, fraction, model.vocabulary.modulus, generator)
        healed = model.run(run.encoded, initial_state=state)
        was_right = run.right[-1 if at_step is None else min(at_step, run.n_steps)]
        tally = tallies.setdefault(len(graphs[batch[0]]), _Tally())
        tally.add(
            run.encoded.operand_nodes, chosen, was_right, healed.right, run.fully_solved, healed.fully_solved
        )
    sizes = tuple(tallies[n_nodes].summary(n_nodes) for n_nodes in sorted(tallies))
    return Correction(name, fraction, at_step, sizes)


class _Tally:
    """Counts over the batches of one size."""

    def __init__(self) -> None:
        self.graphs = self.corrupted = self.clean = self.bystanders = self.collateral = 0
        self.solved = self.solved_before = 0
        self.right, self.right_clean = [0] * HORIZON, [0] * HORIZON

    def add(
        self,
        operand_nodes: Tensor,
        chosen: Tensor,
        was_right: Tensor,
        right: Tensor,
        before: Tensor,
        after: Tensor,
    ) -> None:
        touched = chosen.gather(1, operand_nodes.clamp_min(0).flatten(1)).view(operand_nodes.shape)
        clean = ~(touched & (operand_nodes >= 0)).any(-1)
        self.graphs += len(chosen)
        self.corrupted += int(chosen.sum())
        self.clean += int((chosen & clean).sum())
        for later in range(HORIZON):
            shown = right[min(later + 1, len(right) - 1)]
            self.right[later] += int((chosen & shown).sum())
            self.right_clean[later] += int((chosen & clean & shown).sum())
        bystander = was_right & ~chosen & clean
        self.bystanders += int(bystander.sum())
        self.collateral += int((bystander & ~right[min(1, len(right) - 1)]).sum())
        self.solved_before += int(before.sum())
        self.solved += int(after.sum())

    def summary(self, n_nodes: int) -> SizeCorrection:
        def share(part: int, whole: int) -> float:
            return part / whole if whole else float("nan")

        return SizeCorrection(
            n_nodes=n_nodes,
            graphs=self.graphs,
            corrupted=self.corrupted,
            clean_operands=self.clean,
            right_after=tuple(share(count, self.corrupted) for count in self.right),
            right_after_clean=tuple(share(count, self.clean) for count in self.right_clean),
            collateral=share(self.collateral, self.bystanders),
            fully_solved=share(self.solved, self.graphs),
            fully_solved_before=share(self.solved_before, self.graphs),
        )
