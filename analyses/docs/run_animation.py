"""Draws `images/run.gif`, the animation of the documentation: `python -m analyses.docs.run_animation`.

One run of `discrete-corrected`, one frame for each state: the graph above, the values step by step below. It needs the
extra `png`, and Chrome or Chromium.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, Final

import plotly.graph_objects as go
import plotly.io as pio
from PIL import Image

from interp.figures.graph import graph_figure
from interp.figures.trajectory import trajectory_figure
from models import ComputationGraph, Trajectory, load

WIDTH: Final = 760
SCALE: Final = 1.25
"""Pixels of the animation for one of the figures'."""
COLOURS: Final = 96
MILLISECONDS: Final = 900
LAST_MILLISECONDS: Final = 3000
"""How long a frame is shown, and the last."""
PATH: Final = Path(__file__).parent / "images" / "run.gif"


def draw(path: Path = PATH, n_nodes: int = 16, seed: int = 1) -> Path:
    """Write the animation of a sampled graph's run; returns its path."""
    graph = ComputationGraph.sample(n_nodes, seed=seed)
    run = load("discrete-corrected").run(graph)
    with tempfile.TemporaryDirectory() as folder:
        frames = [
            _stacked((graph_figure(run, state, width=WIDTH), _so_far(run, state)), Path(folder))
            for state in range(len(run.states))
        ]
    palette = frames[-1].quantize(COLOURS, dither=Image.Dither.NONE)
    shown = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    times = [MILLISECONDS] * (len(shown) - 1) + [LAST_MILLISECONDS]
    shown[0].save(path, save_all=True, append_images=shown[1:], duration=times, loop=0, optimize=True)
    return path


def _so_far(run: Trajectory, state: int) -> go.Figure:
    """The values by step, those of later states covered."""
    figure = trajectory_figure(run, state=state)
    return figure.add_shape(
        type="rect",
        x0=-0.5,
        x1=len(run.encoded.graphs[0]) - 0.5,
        y0=state + 0.55,
        y1=len(run.states) - 0.5,
        fillcolor="white",
        line_width=0,
    )


def _stacked(figures: tuple[go.Figure, ...], folder: Path) -> Image.Image:
    """The figures below each other, as one picture."""
    files: list[str | Path] = [folder / f"{number}.png" for number in range(len(figures))]
    layouts: list[Any] = [figure.layout for figure in figures]
    heights: list[int | None] = [int(layout.height) for layout in layouts]
    pio.write_images(list(figures), files, width=WIDTH, height=heights, scale=SCALE)
    parts = [Image.open(file).convert("RGB") for file in files]
    picture = Image.new("RGB", (parts[0].width, sum(part.height for part in parts)), "white")
    top = 0
    for part in parts:
        picture.paste(part, (0, top))
        top += part.height
    return picture


if __name__ == "__main__":
    print(draw())
