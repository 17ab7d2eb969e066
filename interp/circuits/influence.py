"""Influence on a target over a layered graph, and pruning by it, as circuit-tracer does (Ameisen et al. 2025).

A           magnitudes of the edges into a node, divided by their sum
influence   of a node, the sum over all paths to the target of the products of A
pruning     the smallest set of nodes that holds a share of all influence, then the smallest set of edges between
            them that holds a share of all edges' influence; at last what leads nowhere
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Links = Mapping[tuple[Any, Any], float]
"""(source, target) -> weight."""

NODE_SHARE = 0.8
EDGE_SHARE = 0.98
"""circuit-tracer's shares."""


def normalised(links: Links) -> dict[tuple[Any, Any], float]:
    """Magnitudes, divided by the sum of those into the same node."""
    total: dict[Any, float] = {}
    for (_, target), weight in links.items():
        total[target] = total.get(target, 0.0) + abs(weight)
    return {pair: abs(weight) / total[pair[1]] for pair, weight in links.items() if weight}


def influences(links: Links, target: Any) -> dict[Any, float]:
    """Node -> influence on the target, whose own is 1; of an acyclic graph."""
    shares = normalised(links)
    into: dict[Any, list[tuple[Any, float]]] = {}
    for (source, end), share in shares.items():
        into.setdefault(end, []).append((source, share))
    order: list[Any] = []
    seen: set[Any] = set()
    stack: list[tuple[Any, bool]] = [(target, False)]
    while stack:
        node, done = stack.pop()
        if done:
            order.append(node)
        elif node not in seen:
            seen.add(node)
            stack.append((node, True))
            stack += [(source, False) for source, _ in into.get(node, ())]
    found = dict.fromkeys(order, 0.0)
    found[target] = 1.0
    for node in reversed(order):
        for source, share in into.get(node, ()):
            found[source] += found[node] * share
    return found


def prune(
    links: Links, target: Any, node_share: float = NODE_SHARE, edge_share: float = EDGE_SHARE
) -> dict[tuple[Any, Any], float]:
    """The links that are left, with their weights as they are.

    Raises:
        ValueError: a share that is not in 0..1.
    """
    for name, share in (("node_share", node_share), ("edge_share", edge_share)):
        if not 0 < share <= 1:
            raise ValueError(f"{name} is {share}; allowed is a share above 0 and up to 1")
    influence = influences(links, target)
    nodes = _most(influence, node_share) | {target}
    inside = {pair: weight for pair, weight in links.items() if set(pair) <= nodes and weight}
    shares = normalised(links)
    kept = _most({pair: influence[pair[1]] * shares[pair] for pair in inside}, edge_share)
    left = {pair: weight for pair, weight in inside.items() if pair in kept}
    reached = influences(left, target)
    return {pair: weight for pair, weight in left.items() if pair[1] in reached}


def _most(scores: Mapping[Any, float], share: float) -> set[Any]:
    """The fewest keys that hold a share of the sum, largest first."""
    total, found, so_far = sum(scores.values()), set[Any](), 0.0
    for key, score in sorted(scores.items(), key=lambda item: -item[1]):
        if so_far >= share * total:
            break
        found.add(key)
        so_far += score
    return found
