"""Draws `images/page.webp`, the animation in the README: `python -m analyses.docs.page_animation`.

A browser opens the Trajectory page as a reader would: it plays a run, clicks a node, replaces its value after a step,
and follows how the mistake spreads and heals. The clock of the browser is held between two pictures, so that a busy
machine draws the same as an idle one. It needs the extra `test`, and Chrome or Chromium.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright

from analyses.benchmarks.served import CHROMIUM, FLAGS, served

PATH: Final = Path(__file__).parent / "images" / "page.webp"
GRAPH: Final = "model=discrete-corrected&n=16&seed=1&step=start"
NODE: Final = "x_84"
VALUE: Final = "5"
WIDTH, HEIGHT = 1000, 620
EVERY: Final = 100
"""Milliseconds between two pictures while something moves."""
STEP: Final = 1100
"""Milliseconds that the player takes for a step."""
QUALITY: Final = 60
PATIENCE: Final = 300_000


@dataclass
class Film:
    """Pictures of a page, and how long each is shown; one that shows the same as the last prolongs it."""

    page: Page
    pictures: list[Image.Image] = field(default_factory=list[Image.Image])
    times: list[int] = field(default_factory=list[int])

    def hold(self, milliseconds: int) -> None:
        """Show what there is for so long."""
        picture = self._picture()
        if self.pictures and picture.tobytes() == self.pictures[-1].tobytes():
            self.times[-1] += milliseconds
        else:
            self.pictures.append(picture)
            self.times.append(milliseconds)

    def move(self, milliseconds: int) -> None:
        """Let so much time pass on the page, and show it."""
        for _ in range(milliseconds // EVERY):
            self.page.clock.run_for(EVERY)
            self.hold(EVERY)

    def save(self, path: Path) -> None:
        """Write the film as an animated WebP file."""
        first, *rest = self.pictures
        first.save(
            path, save_all=True, append_images=rest, duration=self.times, loop=0, quality=QUALITY, method=4
        )

    def _picture(self) -> Image.Image:
        box = self.page.locator(".player").bounding_box()
        if box is None:
            raise RuntimeError("the page shows no player")
        clip = {"x": box["x"] - 8, "y": box["y"] - 4, "width": box["width"] + 16, "height": HEIGHT}
        shot = self.page.screenshot(clip=clip, timeout=PATIENCE)  # pyright: ignore[reportArgumentType]
        picture = Image.open(io.BytesIO(shot)).convert("RGB")
        return picture.resize(
            (WIDTH, round(picture.height * WIDTH / picture.width)), Image.Resampling.LANCZOS
        )


def draw(path: Path = PATH) -> Path:
    """Write the animation; returns its path."""
    for page in _opened():
        film = Film(page)
        page.clock.install()
        _pause(page)
        film.hold(1200)
        _press(page, "Play")
        film.move(250 + 5 * STEP)
        film.hold(900)
        for _ in range(3):
            _press(page, "Previous step")
            film.hold(250)
        page.locator(".player .node", has_text=NODE).first.dispatch_event("click")
        film.hold(1300)
        page.get_by_label("New symbol").select_option(VALUE)
        film.hold(800)
        page.clock.resume()
        page.get_by_role("button", name="Change after step 1").click()
        expect(page.locator(".player .node.wrong")).to_have_count(1, timeout=PATIENCE)
        page.wait_for_timeout(3000)
        _pause(page)
        film.hold(1500)
        for _ in range(4):
            _press(page, "Next step")
            film.move(STEP)
        film.hold(2500)
        film.save(path)
    return path


def _opened() -> Iterator[Page]:
    """The page, once it is drawn."""
    with served() as server, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1480, "height": 900}, device_scale_factor=1)
        page.set_default_timeout(PATIENCE)
        page.goto(f"{server.address}/?{GRAPH}", timeout=PATIENCE)
        expect(page.locator(".player .node").first).to_be_visible(timeout=PATIENCE)
        expect(page.locator(".js-plotly-plot .main-svg").first).to_be_attached(timeout=PATIENCE)
        page.wait_for_timeout(2000)
        yield page
        browser.close()


def _pause(page: Page) -> None:
    """Hold the browser's clock where it is."""
    page.clock.pause_at(page.evaluate("Date.now() / 1000") + 1)


def _press(page: Page, name: str) -> None:
    """Press a button of the player, at once: a click with the mouse would wait for the clock."""
    page.get_by_role("button", name=name, exact=True).dispatch_event("click")


if __name__ == "__main__":
    print(draw())
