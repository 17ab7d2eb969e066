"""How long a reader waits for a page: a browser opens every page, moves the slider, and comes when others are there.

`python -m analyses.benchmarks.pages` prints a table, row by row as it measures: seconds until the first figure is drawn
when a page is opened at its bare address for the first time, and again; until the player shows the step that was asked
for; and both with graphs of 128 nodes. Beside each stands the processor time of the server, which says on a busy
machine, too, what a page costs. Results of bare addresses are those that ship or are in the cache of
`dashboards.precomputed`; `--empty` begins with an empty cache, and `--bare` leaves all but bare addresses out.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from json import dumps
from typing import Annotated, Any, Final

import typer
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from analyses.benchmarks.harness import JsonOption, machine
from analyses.benchmarks.served import CHROMIUM, FLAGS, Server, served
from analyses.catalogue import every_record
from models.files import write_text

_DRAWN: Final = ".js-plotly-plot .main-svg, [data-testid=stPageLink-NavLink]"
_PATIENCE: Final = 300_000
_MODEL: Final = "model=discrete-corrected"
_WORK: Final = "probing?model=compiled&n=16&graphs=61&seed="
_HEAD: Final = f"{'what':<32}{'seconds':>10}{'processor s (server)':>22}{'goal (idle)':>14}"
_SLIDE: Final = """
(player, step) => new Promise(shown => {
    const slider = player.querySelector("input[type=range]");
    const when = player.querySelector(".when");
    const began = performance.now();
    new MutationObserver((_, watcher) => {
        watcher.disconnect();
        requestAnimationFrame(() => setTimeout(() => shown((performance.now() - began) / 1000)));
    }).observe(when, {childList: true, characterData: true, subtree: true});
    slider.value = step;
    slider.dispatchEvent(new Event("input"));
})
"""


@dataclass(frozen=True)
class Wait:
    """What was done, seconds until it was to be seen, processor seconds of the server, and the most it should take."""

    what: str
    seconds: float
    processor: float
    goal: float


def names() -> list[str]:
    """Pages by their names in the address."""
    described = [record.page.name or record.name for record in every_record() if record.page]
    return ["start", "", "patching", *described, "attention", "training", "generalisation"]


def main(
    only: Annotated[str, typer.Option(help="Names of pages, between commas; trajectory is the first.")] = "",
    visitors: Annotated[int, typer.Option(min=0, help="Others that let the server work meanwhile.")] = 0,
    empty: Annotated[bool, typer.Option(help="Begin with an empty cache of results.")] = False,
    bare: Annotated[bool, typer.Option(help="Bare addresses alone: no slider, no 128 nodes.")] = False,
    json: JsonOption = None,
) -> None:
    """Measure, and print a table."""
    chosen = [name.replace("trajectory", "") for name in only.split(",")] if only else names()
    load = [os.getloadavg()[0]]
    waits: list[Wait] = []
    with tempfile.TemporaryDirectory() as folder:
        if empty:
            os.environ["RECURLENS_CACHE"] = folder
        with served() as server, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            others = [_work(browser, server, number) for number in range(visitors)]
            print(_HEAD)
            for wait in _measured(browser, server, chosen, bare):
                waits.append(wait)
                print(_row(wait, visitors), flush=True)
            for other in others:
                other.close()
            browser.close()
    load.append(os.getloadavg()[0])
    about: dict[str, Any] = machine() | {"processors": os.cpu_count(), "load": load, "visitors": visitors}
    print(f"Load {load[0]:.1f} to {load[1]:.1f} on {os.cpu_count()} processors, {visitors} others at work.")
    if json is not None:
        write_text(json, dumps({"waits": [asdict(one) for one in waits], "machine": about}, indent=2) + "\n")


def _row(wait: Wait, visitors: int) -> str:
    goal = wait.goal * (2 if visitors else 1)
    return f"{wait.what:<32}{wait.seconds:>10.2f}{wait.processor:>22.2f}{goal:>14.1f}"


def _work(browser: Browser, server: Server, number: int) -> BrowserContext:
    """Another reader, whose page computes for a long time."""
    context = browser.new_context()
    context.new_page().goto(f"{server.address}/{_WORK}{number}", timeout=_PATIENCE)
    return context


def _measured(browser: Browser, server: Server, chosen: list[str], bare: bool) -> Iterator[Wait]:
    context = browser.new_context(viewport={"width": 1440, "height": 1000})
    for name in chosen:
        title = name or "trajectory"
        yield _opened(context, server, f"{title}, first visit", name, 2.5)
        yield _opened(context, server, f"{title}, again", name, 0.8)
    if not bare:
        for nodes, goal in ((32, 0.3), (128, 0.5)):
            yield _slid(context, server, nodes, goal)
        yield _opened(context, server, "trajectory, 128 nodes", f"?{_MODEL}&n=128", 1.6)
        yield _opened(context, server, "attention, 128 nodes", f"attention?{_MODEL}&n=128", 2.5)
    context.close()


def _opened(context: BrowserContext, server: Server, what: str, address: str, goal: float) -> Wait:
    page = context.new_page()
    before, began = server.processor_seconds(), time.monotonic()
    page.goto(f"{server.address}/{address}", timeout=_PATIENCE)
    page.locator(_DRAWN).first.wait_for(state="attached", timeout=_PATIENCE)
    taken = time.monotonic() - began
    _settled(page)
    wait = Wait(what, taken, server.processor_seconds() - before, goal)
    page.close()
    return wait


def _slid(context: BrowserContext, server: Server, nodes: int, goal: float) -> Wait:
    """The slider of the player, moved to step 1."""
    page = context.new_page()
    page.goto(f"{server.address}/?{_MODEL}&n={nodes}&step=start", timeout=_PATIENCE)
    page.locator(".player .node").first.wait_for(timeout=_PATIENCE)
    _settled(page)
    before = server.processor_seconds()
    taken: float = page.locator(".player").evaluate(_SLIDE, 2)
    _settled(page)
    page.close()
    return Wait(f"slider, {nodes} nodes", taken, server.processor_seconds() - before, goal)


def _settled(page: Page) -> None:
    """Wait until the server has no more to say."""
    page.wait_for_timeout(300)
    page.locator("[data-test-script-state=notRunning]").wait_for(state="attached", timeout=_PATIENCE)


if __name__ == "__main__":
    typer.run(main)
