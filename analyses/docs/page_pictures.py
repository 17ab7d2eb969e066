"""Draws the pictures of pages in this folder: `python -m analyses.docs.page_pictures`, or the names of some.

A browser opens every page at its address, waits until all its figures are drawn, and takes what is to be seen in a
window of 1440 pixels. It needs the extra `test`, and Chrome or Chromium.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer
from playwright.sync_api import Page, expect, sync_playwright

from analyses.benchmarks.served import CHROMIUM, FLAGS, served

FOLDER: Final = Path(__file__).parent / "images"
PAGES: Final = {
    "trajectory": ("?model=discrete-corrected&n=32", 1120),
    "patching": ("patching?model=discrete-corrected&n=16&layer=1&cell=285", 1400),
    "probing": ("probing", 1300),
    "codes": ("codes", 1300),
    "lens": ("lens", 1130),
    "dynamics": ("dynamics", 1320),
    "attention": ("attention?model=discrete-corrected&n=16&step=2", 1330),
    "mechanism": ("mechanism", 1250),
    "story": ("story", 1500),
    "training": ("training", 1300),
    "generalisation": ("generalisation", 1500),
}
"""Picture -> address of the page after the server's, and pixels from its top."""
WIDTH: Final = 1440
PATIENCE: Final = 300_000


def draw(page: Page, server: str, name: str) -> Path:
    """Write the picture of a page; returns its path."""
    address, height = PAGES[name]
    page.set_viewport_size({"width": WIDTH, "height": height})
    page.goto(f"{server}/{address}", timeout=PATIENCE)
    expect(page.locator(".figure-words").first).to_be_attached(timeout=PATIENCE)
    expect(page.locator("[data-test-script-state=notRunning]")).to_be_attached(timeout=PATIENCE)
    count = page.locator(".figure-words").count()
    expect(page.locator(".js-plotly-plot")).to_have_count(count, timeout=PATIENCE)
    page.wait_for_timeout(3000)  # what moves in the player, and fades
    path = FOLDER / f"{name}.png"
    page.screenshot(path=path)
    return path


def main(names: Annotated[list[str] | None, typer.Argument(help="Some of the pictures.")] = None) -> None:
    """Draw them."""
    unknown = [name for name in names or () if name not in PAGES]
    if unknown:
        raise typer.BadParameter(f"{unknown[0]!r}; allowed are {', '.join(PAGES)}")
    with served() as server, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page()
        for name in names or PAGES:
            print(draw(page, server.address, name).name, flush=True)
        browser.close()


if __name__ == "__main__":
    typer.run(main)
