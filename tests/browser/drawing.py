"""A figure as Chromium draws it, as pixels."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
from PIL import Image
from plotly.offline import get_plotlyjs


def drawing_page(browser) -> Any:
    """An empty page with the drawing library."""
    page = browser.new_page(viewport={"width": 1460, "height": 900})
    page.set_content("<style>body {margin: 0}</style><div id='figure'></div>")
    page.add_script_tag(content=get_plotlyjs())
    return page


def drawn(page, figure, width: int) -> np.ndarray:
    """Int [row, column, channel]: the figure, drawn in a width as a page gives it."""
    spec = json.loads(figure.to_json())
    spec["layout"]["width"] = width
    page.set_viewport_size({"width": max(width, 300), "height": int(spec["layout"]["height"])})
    page.evaluate(
        "spec => {Plotly.purge('figure'); return Plotly.newPlot('figure', spec.data, spec.layout)}", spec
    )
    return np.array(Image.open(io.BytesIO(page.screenshot())).convert("RGB")).astype(int)


def count(pixels: np.ndarray, colour: str, within: int = 60) -> int:
    """Pixels whose channels differ from a #rrggbb colour by no more than that in all."""
    wanted = [int(colour[place : place + 2], 16) for place in (1, 3, 5)]
    return int((np.abs(pixels - wanted).sum(-1) <= within).sum())


def boxes(page, selector: str) -> list[dict[str, float]]:
    """Where the elements are, in pixels of the page."""
    return page.evaluate(
        "selector => [...document.querySelectorAll(selector)].map(one => {const box = one.getBoundingClientRect();"
        " return {left: box.left, right: box.right, top: box.top, bottom: box.bottom, width: box.width}})",
        selector,
    )


def heights(page) -> tuple[int, int, int, int]:
    """First and last row, first and last column of the first pair of axes."""
    return tuple(
        page.evaluate(
            "() => {const full = document.getElementById('figure')._fullLayout, x = full.xaxis, y = full.yaxis;"
            " return [y._offset, y._offset + y._length, x._offset, x._offset + x._length].map(Math.round)}"
        )
    )


def overlaps(page) -> int:
    """How many pairs of discs and names of a graph cover each other; line heights of texts touch, letters do not."""
    texts = boxes(page, ".scatterlayer .textpoint text")
    discs = [one for one in boxes(page, ".scatterlayer path.point") if one["width"] > 0]
    assert texts and discs
    # The discs are there twice, for the values and for the names; a value stands in its own disc.
    own = {(round(one["left"]), round(one["top"])): one for one in discs}
    names = [text for text in texts if not any(_inside(text, disc) for disc in own.values())]
    things = [*own.values(), *names]
    return sum(_covers(one, other) for place, one in enumerate(things) for other in things[place + 1 :])


def _inside(one: dict[str, float], other: dict[str, float]) -> bool:
    middle = (one["left"] + one["right"]) / 2, (one["top"] + one["bottom"]) / 2
    return other["left"] < middle[0] < other["right"] and other["top"] < middle[1] < other["bottom"]


def _covers(one: dict[str, float], other: dict[str, float]) -> bool:
    across = min(one["right"], other["right"]) - max(one["left"], other["left"])
    down = min(one["bottom"], other["bottom"]) - max(one["top"], other["top"])
    return across > 1 and down > 3
