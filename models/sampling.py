"""Random graphs with the distribution of the paper's generator (Altabaa et al. 2025)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from models.graph_errors import GraphArgumentError, UnknownOperationError, check_whole_number, clip
from models.operations import OPERATIONS
from models.parsing import Node, check_limits


def sample_nodes(
    n_nodes: int,
    ops: Sequence[str],
    n_leaves: int,
    max_operands: int,
    modulus: int,
    seed: int | np.random.Generator | None,
    max_depth: int | None,
    n_variables: int,
) -> tuple[Node, ...]:
    """The nodes of a random graph in text order; arguments and errors as for `ComputationGraph.sample`."""
    check_limits(modulus, n_variables, max_operands)
    check_whole_number("n_nodes", n_nodes, 1, n_variables)
    check_whole_number("n_leaves", n_leaves, 1)
    if n_leaves > n_nodes:
        problem = f"n_leaves is {n_leaves} and n_nodes is {n_nodes}, and leaves are nodes too"
        allowed = f"Allowed: n_leaves from 1 to n_nodes ({n_nodes}), or at least {n_leaves} nodes"
        raise GraphArgumentError(problem, allowed)
    if max_depth is not None:
        check_whole_number("max_depth", max_depth, 0 if n_leaves == n_nodes else 1)
    ops = _check_operations(ops)
    rng = _generator(seed)
    variables: list[int] = rng.permutation(n_variables)[:n_nodes].tolist()
    values: list[int] = rng.integers(0, modulus, n_leaves).tolist()
    choices: list[list[int]] = rng.integers(0, len(ops), (n_nodes, max_operands - 1)).tolist()
    uniforms: list[list[float]] = rng.random((n_nodes, max_operands + 1)).tolist()
    operands: list[list[int]] = [[] for _ in range(n_leaves)]
    depths = [0] * n_leaves
    eligible = list(range(n_leaves))
    for node in range(n_leaves, n_nodes):
        draw = uniforms[node]
        n_operands = 1 + int(draw[0] * min(max_operands, len(eligible)))
        for place in range(n_operands):  # the first places of a shuffle of the eligible nodes
            other = place + int(draw[place + 1] * (len(eligible) - place))
            eligible[place], eligible[other] = eligible[other], eligible[place]
        operands.append(eligible[:n_operands])
        depths.append(1 + max(depths[operand] for operand in operands[node]))
        if max_depth is None or depths[node] < max_depth:
            eligible.append(node)
    order = _generation_order(operands, depths)
    place_of = {node: place for place, node in enumerate(order)}
    return tuple(
        Node(
            variable=variables[node],
            name=f"x_{variables[node]}",
            operands=tuple([place_of[operand] for operand in operands[node]]),
            operations=tuple([ops[choice] for choice in choices[node][: max(0, len(operands[node]) - 1)]]),
            value=values[node] if node < n_leaves else None,
        )
        for node in order
    )


def _check_operations(ops: Sequence[str]) -> tuple[str, ...]:
    if isinstance(ops, str) or not ops:
        allowed = f"Allowed: a list of at least one of {', '.join(OPERATIONS)}"
        raise GraphArgumentError(f"ops is {ops!r}", allowed)
    for operation in ops:
        if operation not in OPERATIONS:
            problem = f"ops has {clip(repr(operation))}, which is not an operation"
            raise UnknownOperationError(problem, f"Allowed: {', '.join(OPERATIONS)}")
    if len(set(ops)) < len(ops):
        raise GraphArgumentError(f"ops is {tuple(ops)}", "Allowed: each operation once")
    return tuple(ops)


def _generator(seed: int | np.random.Generator | None) -> np.random.Generator:
    if seed is None or isinstance(seed, np.random.Generator):
        return np.random.default_rng(seed)
    return np.random.default_rng(check_whole_number("seed", seed, 0))


def _generation_order(operands: Sequence[Sequence[int]], depths: Sequence[int]) -> list[int]:
    """Nodes by depth; in one depth by the place of the operand that comes last, then as made.

    This is the order of Kahn's algorithm with a first-in, first-out queue, as in `networkx.topological_sort`.
    """
    generations: list[list[int]] = [[] for _ in range(max(depths) + 1)]
    for node, depth in enumerate(depths):
        generations[depth].append(node)
    place: dict[int, int] = {}
    for generation in generations:
        generation.sort(key=lambda node: max([place[operand] for operand in operands[node]], default=0))
        for node in generation:
            place[node] = len(place)
    return list(place)
