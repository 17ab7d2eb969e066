"""The 23 colours of values: the search that made them, and how far apart they are for whom.

`python -m analyses.benchmarks.colours --seconds 150` prints the best set that it finds. Every restart draws 23 colours
of the grid of :mod:`interp.figures.palette` and moves one at a time to where the sum of exp(-distance / t) over all
others is least, while t falls; the set whose smallest distance is largest is kept. Distances under normal vision count
a sixth less, so that they end a little larger. The set is put in an order in which each is far from those before it.
"""

from __future__ import annotations

import time

import numpy as np
import typer
from numpy.typing import NDArray

from interp.figures.palette import VISIONS, Floats, candidates, coordinates, distances, nearest_distance
from interp.figures.template import KEPT_FREE, VALUE_COLOURS

Places = NDArray[np.int64]
_NORMAL = 1 / 1.2
"""Weight of distances under normal vision."""


def search(n: int, seconds: float, seed: int) -> list[str]:
    """The best ``n`` colours found in some time, in order."""
    tried = candidates()
    seen, kept = coordinates(tried), coordinates(KEPT_FREE)
    weights = np.array([_NORMAL if vision == "normal" else 1.0 for vision in VISIONS])[:, None]
    table = np.stack([_weighted(seen, seen[:, [place]], weights) for place in range(len(tried))])
    fixed = np.stack([_weighted(seen, kept[:, [place]], weights) for place in range(len(KEPT_FREE))])
    draw = np.random.default_rng(seed)
    best, chosen, end = 0.0, np.arange(n), time.monotonic() + seconds
    while time.monotonic() < end:
        found = _settled(table, fixed, draw.choice(len(tried), n, replace=False), draw)
        between = table[np.ix_(found, found)] + np.where(np.eye(n) > 0, np.inf, 0)
        nearest = float(min(between.min(), fixed[:, found].min()))
        if nearest > best:
            best, chosen = nearest, found
    return _ordered([tried[place] for place in chosen])


def _weighted(seen: Floats, other: Floats, weights: Floats) -> Floats:
    return (np.linalg.norm(seen - other, axis=-1) * weights).min(0)


def _settled(table: Floats, fixed: Floats, places: Places, draw: np.random.Generator) -> Places:
    """The colours after single moves, each to the best place for one while the others stay."""
    for t in np.geomspace(8, 0.7, 16):
        held, own = np.exp(-fixed / t).sum(0), np.exp(-table[places] / t)
        for _ in range(6):
            moved = False
            for index in draw.permutation(len(places)):
                place = int((held + own[:index].sum(0) + own[index + 1 :].sum(0)).argmin())
                if place != places[index]:
                    places[index], own[index], moved = place, np.exp(-table[place] / t), True
            if not moved:
                break
    return places


def _ordered(colours: list[str]) -> list[str]:
    done: list[str] = []
    while colours:
        far = nearest_distance(coordinates(colours), coordinates([*done, *KEPT_FREE, "#ffffff"]))
        done.append(colours.pop(int(far.argmax())))
    return done


def report(colours: tuple[str, ...]) -> dict[str, float]:
    """Vision -> smallest distance among the colours and from those that mean something else."""
    every = [*colours, *KEPT_FREE]
    own = np.arange(len(every)) < len(colours)
    pairs = (own[:, None] | own) & ~np.eye(len(every), dtype=bool)
    return {vision: float(distances(every, vision)[pairs].min()) for vision in VISIONS}


def main(seconds: float = 150, seed: int = 5) -> None:
    """Search, and print what is found beside what is in use."""
    for name, colours in (
        ("in use", VALUE_COLOURS),
        ("found", tuple(search(len(VALUE_COLOURS), seconds, seed))),
    ):
        told = ", ".join(f"{vision} {distance:.1f}" for vision, distance in report(colours).items())
        typer.echo(f"{name}: {' '.join(colours)}\nsmallest distance: {told}")


if __name__ == "__main__":
    typer.run(main)
