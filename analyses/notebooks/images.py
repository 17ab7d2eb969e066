"""Plotly figures of a notebook as PNG, which GitHub shows; no browser is needed while a notebook runs.

A notebook is executed with figures as plotly's JSON. Afterwards all of them are drawn by one browser at once. The
digest of a figure's JSON is kept with its PNG: a figure that has not changed keeps the picture it had, byte for byte,
also where no browser is. Where there is none, figures without a picture stay JSON, which Jupyter draws and GitHub
does not.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import plotly.graph_objects as go
import plotly.io as pio
from nbformat import NotebookNode
from PIL import Image

PLOTLY: Final = "application/vnd.plotly.v1+json"
PNG: Final = "image/png"
DIGEST: Final = "figure_sha256"
WIDTH: Final = 1000
HEIGHT: Final = 450
"""Pixels, of a figure that does not say how large it is."""
SCALE: Final = 1.5
"""Pixels of the PNG for one of the figure's."""
COLOURS: Final = 192
"""Size of the PNG's palette, which makes it a third as large."""


def with_pictures(notebook: NotebookNode, previous: NotebookNode | None = None) -> int:
    """Replace the JSON of every figure by a PNG, in place; returns how many figures are left as JSON.

    previous: the notebook as it was, whose pictures are kept where the figure is the same.
    """
    known = {} if previous is None else dict(_pictures(previous))
    outputs = [output for output in _outputs(notebook) if PLOTLY in output.data]
    digests = [digest(output.data[PLOTLY]) for output in outputs]
    missing = {
        key: output.data[PLOTLY] for key, output in zip(digests, outputs, strict=True) if key not in known
    }
    known |= dict(zip(missing, _drawn(list(missing.values())), strict=False))
    for key, output in zip(digests, outputs, strict=True):
        if key in known:
            output.data = NotebookNode({PNG: known[key], "text/plain": "a plotly figure"})
            output.metadata = NotebookNode({DIGEST: key, PNG: _size(known[key])})
    return sum(key not in known for key in digests)


def digest(figure: dict[str, Any]) -> str:
    """Of a figure's data and layout, at the scale pictures are made."""
    shown = {"data": figure["data"], "layout": figure["layout"], "made": [WIDTH, HEIGHT, SCALE, COLOURS]}
    return hashlib.sha256(json.dumps(shown, sort_keys=True).encode()).hexdigest()[:16]


def _size(png: str) -> dict[str, int]:
    """How large Jupyter shows the picture: as large as the figure."""
    width, height = Image.open(io.BytesIO(base64.b64decode(png))).size
    return {"width": round(width / SCALE), "height": round(height / SCALE)}


def _outputs(notebook: NotebookNode) -> Iterator[Any]:
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            if "data" in output:
                yield output


def _pictures(notebook: NotebookNode) -> Iterator[tuple[str, str]]:
    for output in _outputs(notebook):
        if DIGEST in output.metadata and PNG in output.data:
            yield output.metadata[DIGEST], output.data[PNG]


def _drawn(figures: Sequence[dict[str, Any]]) -> list[str]:
    """The PNG of every figure, base64; none where kaleido or a browser is missing."""
    if not figures:
        return []
    with tempfile.TemporaryDirectory() as folder:
        files: list[str | Path] = [Path(folder) / f"{number}.png" for number in range(len(figures))]
        plots = [go.Figure(data=figure["data"], layout=figure["layout"]) for figure in figures]
        size = {
            side: [figure["layout"].get(side, default) for figure in figures]
            for side, default in (("width", WIDTH), ("height", HEIGHT))
        }
        try:
            pio.write_images(plots, files, scale=SCALE, **size)
        except (ImportError, RuntimeError, ValueError) as error:
            print(f"figures stay JSON: {str(error).strip().splitlines()[0]}")
            return []
        return [_palette(Path(file).read_bytes()) for file in files]


def _palette(png: bytes) -> str:
    """The picture with a palette of its own, base64."""
    small = io.BytesIO()
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    picture.quantize(COLOURS, dither=Image.Dither.NONE).save(small, "PNG", optimize=True)
    return base64.b64encode(small.getvalue()).decode()
