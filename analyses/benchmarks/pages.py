"""How long a reader waits for a page: a browser opens every page, moves the slider, and comes when others are there.

`python -m analyses.benchmarks.pages` prints a table, row by row as it measures: seconds until the first figure is drawn
(of a page that asks before it computes, the button) when a page is opened at its bare address for the first time in a
new tab, then again by its link in the sidebar, and by its address in another tab, which loads Streamlit anew; until the
player shows the step that was asked for; and with graphs of 128 nodes. Beside each stands the processor time of the
server, which says on a busy machine, too, what a page costs. The last rows are the plain way: a Streamlit app of one
chart with three points, below which no page can be. Results of bare addresses are those that ship or are in the cache
of `dashboards.precomputed`; `--empty` begins with an empty cache, and `--bare` leaves all but bare addresses out.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import chain
from json import dumps
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from playwright.sync_api import Browser, BrowserContext, Page, ViewportSize, sync_playwright

from analyses.benchmarks.harness import JsonOption, machine
from analyses.benchmarks.served import CHROMIUM, FLAGS, Server, served, served_script
from analyses.catalogue import every_record
from models.files import write_text

_SIZE: Final[ViewportSize] = {"width": 1440, "height": 1000}
_FIGURES: Final = (
    ".js-plotly-plot:not(.st-key-to-come *) .main-svg, .player .node, button:has(p:text-is('Compute'))"
)
_LINKS: Final = "[data-testid=stPageLink-NavLink]"
"""Start has these and no figure."""
_PLAIN: Final = """
import plotly.graph_objects as go
import streamlit as st

def chart():
    st.plotly_chart(go.Figure(go.Scatter(y=[1, 3, 2])))

def other():
    st.write("another page")

st.set_page_config(layout="wide")
st.navigation([st.Page(chart, default=True), st.Page(other, url_path="other")]).run()
"""
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
            for wait in chain(_measured(browser, server, chosen, bare), _plain(browser, Path(folder))):
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


def _plain(browser: Browser, folder: Path) -> Iterator[Wait]:
    """What no page of Streamlit with a chart can be faster than."""
    script = folder / "plain.py"
    write_text(script, _PLAIN)
    with served_script(script) as server:
        context = browser.new_context(viewport=_SIZE)
        yield from _visits(context, server, "one chart", "", "other")
        context.close()


def _measured(browser: Browser, server: Server, chosen: list[str], bare: bool) -> Iterator[Wait]:
    context = browser.new_context(viewport=_SIZE)
    for name in chosen:
        yield from _visits(context, server, name or "trajectory", name, "" if name == "start" else "start")
    if not bare:
        for nodes, goal in ((32, 0.3), (128, 0.5)):
            yield _slid(context, server, nodes, goal)
        for name, address, goal in (("trajectory", "", 1.6), ("attention", "attention", 2.5)):
            page, wait = _opened(context, server, f"{name}, 128 nodes", f"{address}?{_MODEL}&n=128", goal)
            yield wait
            page.close()
    context.close()


def _visits(context: BrowserContext, server: Server, what: str, name: str, other: str) -> Iterator[Wait]:
    """The page of a name in a new tab, again from another page, and again in another tab."""
    page, wait = _opened(context, server, f"{what}, first visit", name, 2.5)
    yield wait
    page.locator(_to(other)).click()
    page.locator(_drawn(name)).first.wait_for(state="detached", timeout=_PATIENCE)
    _settled(page)
    yield _until_drawn(page, server, f"{what}, again by its link", name, 0.8, page.locator(_to(name)).click)
    page.close()
    page, wait = _opened(context, server, f"{what}, again in a new tab", name, 0.8)
    yield wait
    page.close()


def _opened(
    context: BrowserContext, server: Server, what: str, address: str, goal: float
) -> tuple[Page, Wait]:
    """A tab with the page at an address, and how long it took."""
    page = context.new_page()

    def go() -> None:
        page.goto(f"{server.address}/{address}", timeout=_PATIENCE)

    return page, _until_drawn(page, server, what, address, goal, go)


def _until_drawn(
    page: Page, server: Server, what: str, address: str, goal: float, act: Callable[[], None]
) -> Wait:
    before, began = server.processor_seconds(), time.monotonic()
    act()
    page.locator(_drawn(address)).first.wait_for(state="attached", timeout=_PATIENCE)
    taken = time.monotonic() - began
    _settled(page)
    return Wait(what, taken, server.processor_seconds() - before, goal)


def _drawn(address: str) -> str:
    """What is there when the first figure of a page is."""
    return _LINKS if address == "start" else _FIGURES


def _to(name: str) -> str:
    """The link of a page in the sidebar."""
    return f"[data-testid=stSidebarNavLink][href$='/{name}']"


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
