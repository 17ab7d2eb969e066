"""All operand tuples of one equation, and what a model holds at its right-hand side for each of them.

A step is a function of the discrete state alone, so a state can be written down instead of run up to: leaves that show
their values, and one equation behind them whose operands they are. Only the operands' values vary. ``status`` says how
far the equation is:

    computing   all operands show their values, the right-hand side is EMPTY: this step has to compute it
    done        the right-hand side shows the true value already. Every site then holds the result because it was
                put in, so spectra of the result show nothing about how it is computed
    corrupted   it shows one and the same value (0), whatever the operands: nothing about the result is put in
    waiting     the last operand is EMPTY still (its leaf not copied): only the others vary, and EMPTY is right
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from interp.engine.sites import BY_DESTINATION, OUTSIDE_BLOCKS, Site, SiteError
from interp.fourier_analysis.characters import Characters, characters_of
from models.graph import ComputationGraph
from models.one_line import one_line
from models.parsing import Node
from models.recurrent import RecurrentTransformer
from models.vocabulary import FACTORS, FactoredVocabulary

STATUSES: Final = ("computing", "done", "corrupted", "waiting")
_VALUE: Final = FACTORS.index("value")
_N_LEAVES: Final = 6
"""Leaves of a graph in the paper's generator; those that are no operands have fixed values."""

Hook = tuple[str, Callable[..., Any]]


@one_line
@dataclass(frozen=True, eq=False)
class OperandGrid:
    """States that differ in the values of the operands alone.

    Attributes:
        characters: what the equation computes in; its ``n_operands`` are the operands that vary, one axis each.
        graph: the equation, last, behind its leaves.
        status: one of :data:`STATUSES`.
        state: int [pos, factor], the state with all varying operands at ``characters.values[0]``.
        shown: int [axis, 2], where the value of an operand stands: its leaf's number, its leaf's right-hand side.
        rhs: position of the equation's right-hand side, the last.
        truth: int [axis 1, ..., axis n], the symbol that is right at the right-hand side after the step.
    """

    characters: Characters
    graph: ComputationGraph
    status: str
    state: Tensor
    shown: Tensor
    rhs: int
    truth: NDArray[np.int64]

    @property
    def shape(self) -> tuple[int, ...]:
        """The number of values of every operand."""
        return self.truth.shape

    def __len__(self) -> int:
        """The number of tuples."""
        return self.truth.size

    def states(self, rows: NDArray[np.int64]) -> Tensor:
        """Int [row, pos, factor] of tuples given by their number, the last operand varying fastest."""
        values = torch.tensor(self.characters.values)
        states = self.state.repeat(len(rows), 1, 1)
        for positions, axis in zip(self.shown, np.unravel_index(rows, self.shape), strict=True):
            states[:, positions, _VALUE] = values[torch.tensor(axis)][:, None]
        if self.status == "done":
            states[:, self.rhs, _VALUE] = torch.tensor(self.truth.ravel()[rows])
        return states

    def batches(self, tokens: int) -> Iterator[NDArray[np.int64]]:
        """All rows, in batches of about ``tokens`` positions."""
        size = max(1, tokens // len(self.state))
        for start in range(0, len(self), size):
            yield np.arange(start, min(start + size, len(self)))


def operand_grid(
    model: RecurrentTransformer,
    ops: str | Sequence[str] = "ADD",
    n_operands: int | None = None,
    status: str = "computing",
    seed: int = 0,
) -> OperandGrid:
    """The grid of an equation behind six leaves (the operands' count, if larger); names, the operands' order among the
    leaves and the other leaves' values are drawn with ``seed``.

    Args:
        ops: one operation for all gaps, or one for each. n_operands: default 2, or one more than ``ops`` are given.

    Raises:
        ValueError: a status, operation or number of operands that is not allowed.
        VocabularyError: an operation the model does not have.
    """
    operations = _operations(ops, n_operands)
    vocabulary = model.vocabulary
    characters = characters_of(operations, vocabulary.modulus)
    if status not in STATUSES:
        raise ValueError(f"status is {status!r}; allowed are {', '.join(STATUSES)}")
    n = characters.n_operands
    if status == "waiting" and n < 3:
        raise ValueError(
            "status 'waiting' with 2 operands leaves one that varies; allowed: 3 operands or more"
        )
    graph, leaves = _graph(vocabulary, characters, seed)
    encoded = vocabulary.encode(graph)
    state, rhs = encoded.factors[0].clone(), int(encoded.rhs[0, -1])
    known = encoded.rhs[0, :-1]
    state[known, _VALUE] = encoded.values[0, :-1]
    shown = torch.stack([known[leaves] - 2, known[leaves]], 1)
    truth = characters.results()
    if status == "waiting":
        state[shown[-1, 1], _VALUE] = vocabulary.empty
        characters, shown = characters.without_last(), shown[:-1]
        truth = np.full([characters.order] * (n - 1), vocabulary.empty)
    if status == "corrupted":
        state[rhs, _VALUE] = 0
    return OperandGrid(characters, graph, status, state, shown, rhs, truth)


def hook_names(model: RecurrentTransformer, at: Sequence[str]) -> list[str]:
    """Short names (every layer) and full ones (``blocks.1.mlp.hook_post``) as hook names, in the order of the pass.

    Raises:
        SiteError: no such site, or one that is no vector at a position.
    """
    found: set[str] = set()
    for name in at:
        one = name.removeprefix("hook_") in OUTSIDE_BLOCKS or name.startswith(("blocks.", "steps."))
        sites = [Site(name)] if one else [Site(name, layer=layer) for layer in range(model.cfg.n_layers)]
        for site in sites:
            if site.name in (*BY_DESTINATION, "state"):
                raise SiteError(
                    f"{name!r} is no vector at a position; allowed are activations such as 'mlp_post'"
                )
            if site.layer is not None and site.layer >= model.cfg.n_layers:
                raise SiteError(f"{name!r}: the model has layers 0..{model.cfg.n_layers - 1}")
            found.add(site.hook_name)
    return [name for name in model.plain_hook_names() if name in found]


@torch.no_grad()
def collect_grid(
    model: RecurrentTransformer,
    grid: OperandGrid,
    names: Sequence[str],
    step: int = 0,
    tokens: int = 8192,
    edits: Callable[[NDArray[np.int64]], Sequence[Hook]] | None = None,
) -> dict[str, NDArray[np.float32]]:
    """Hook name -> float32 [axis 1, ..., axis n, unit] at the right-hand side; heads side by side, of the logits those
    of the value factor.

    Args:
        names: as :func:`hook_names` gives them. step: whose hooks are used; the weights are the same at all steps.
        tokens: positions in one forward pass, about.
        edits: rows of a batch -> forward hooks, names without step, that act before anything is kept.
    """
    kept: dict[str, NDArray[np.float32]] = {}
    values = model.vocabulary.slice("value")

    def keeper(name: str, rows: NDArray[np.int64]) -> Callable[[Tensor, Any], None]:
        def keep(activation: Tensor, hook: Any) -> None:
            wanted = activation[:, grid.rhs].flatten(1)
            wanted = wanted[:, values] if name == "hook_logits" else wanted
            if name not in kept:
                kept[name] = np.empty((len(grid), wanted.shape[1]), dtype=np.float32)
            kept[name][rows] = wanted.float().cpu().numpy()

        return keep

    for rows in grid.batches(tokens):
        hooks = [*(edits(rows) if edits else ()), *((name, keeper(name, rows)) for name in names)]
        with model.hooks(fwd_hooks=[(f"steps.{step}.{name}", hook) for name, hook in hooks]):
            model.transition(grid.states(rows).to(model.W_E.device), step)
    return {name: kept[name].reshape(*grid.shape, -1) for name in names}


def _operations(ops: str | Sequence[str], n_operands: int | None) -> tuple[str, ...]:
    if isinstance(ops, str):
        count = 2 if n_operands is None else n_operands
        operations = (ops,) * (count - 1)
    else:
        operations, count = tuple(ops), len(ops) + 1 if n_operands is None else n_operands
    if count not in (2, 3) or len(operations) != count - 1:
        raise ValueError(
            f"{len(operations)} operations and n_operands={n_operands}; allowed: 2 or 3 operands, one operation fewer"
        )
    return operations


def _graph(
    vocabulary: FactoredVocabulary, characters: Characters, seed: int
) -> tuple[ComputationGraph, list[int]]:
    """The graph, and which leaf each operand is."""
    rng = np.random.default_rng(seed)
    n = characters.n_operands
    n_leaves = max(n, min(_N_LEAVES, vocabulary.n_variables - 1))
    names: list[int] = rng.permutation(vocabulary.n_variables)[: n_leaves + 1].tolist()
    operands: list[int] = rng.permutation(n_leaves)[:n].tolist()
    values: list[int] = rng.integers(vocabulary.modulus, size=n_leaves).tolist()
    for leaf in operands:
        values[leaf] = characters.values[0]
    nodes = [Node(name, f"x_{name}", value=value) for name, value in zip(names[:-1], values, strict=True)] + [
        Node(names[-1], f"x_{names[-1]}", tuple(operands), characters.operations)
    ]
    return ComputationGraph(tuple(nodes), vocabulary.modulus, vocabulary.n_variables), operands
