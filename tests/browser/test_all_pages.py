"""Every page of the dashboard, opened on the bundled model: no exception, drawn in the time allowed, and its
words neither cut nor over each other at the width of a desktop, a tablet and a phone, no failing script, no request to
another machine, and nothing that keeps out who hears it or sees badly.

How long a page may take says something on an idle machine only: there ``RECURLENS_PAGE_SECONDS=5 python -m pytest
tests/browser/test_all_pages.py`` holds it to 5 seconds.
"""

from __future__ import annotations

import os
import time

import pytest
from playwright.sync_api import expect

from tests.browser.watching import DRAWN, at_rest, kept_out

pytestmark = pytest.mark.browser

SECONDS = float(os.environ.get("RECURLENS_PAGE_SECONDS", "60"))
"""For which a page that was opened before may take until its first chart is there."""
FEW = "model=discrete-corrected&n=7&graphs=5&seed=3"
ONE = "model=discrete-corrected&n=7&seed=3"
PAGES = {
    "trajectory": ONE,
    "patching": "model=discrete-corrected&clean=20=a;2=b;a%2Bb=total&corrupt=20=a;9=b;a%2Bb=total",
    "compare": f"{ONE}&other=discrete&other_edit=0.0%40all=off",
    "probing": f"{FEW}&kind=ridge&across=no",
    "codes": FEW,
    "lens": FEW,
    "dynamics": f"{FEW}&against=none",
    "failures": FEW,
    "atlas": f"{ONE}&graphs=2",
    "certificate": FEW,
    "interchange": "model=discrete-corrected&variables=own",
    "benchmark-circuits": "",
    "circuit": "model=discrete-corrected&n=7&graphs=2&seed=3&method=EAP-IG",
    "explain": ONE,
    "attention": ONE,
    "mechanism": f"{FEW}&part=changes",
    "story": ONE,
    "neurons": "model=discrete-corrected",
    "modularity": "model=discrete-corrected",
    "massive": FEW,
    "subnetwork": FEW,
    "degeneracy": FEW,
    "addition": FEW,
    "separation": FEW,
    "training": "model=discrete-corrected",
    "generalisation": "",
}


BESIDE = """
() => {
    const main = document.querySelector("[data-testid=stMain]");
    return main.scrollWidth - main.clientWidth;
}
"""
"""Pixels by which a page is wider than its window; figures and tables scroll by themselves."""
WIDTHS = (1440, 1024, 390)
SETTLING = 10
"""Seconds a page has to place everything anew when its width changes."""
CUT_OR_OVERLAPPING = """
() => {
    const found = [];
    const words = "[data-baseweb=select] *, button p, label p, [data-testid=stCaptionContainer] p";
    for (const element of document.querySelectorAll(words)) {
        const whole = element.children.length === 0 || element.tagName === "P";
        if (whole && element.clientWidth > 0 && element.scrollWidth > element.clientWidth + 1)
            found.push(`cut: ${element.textContent}`);
    }
    for (const plot of document.querySelectorAll(".js-plotly-plot")) {
        const boxes = [...plot.querySelectorAll("text")]
            .map(text => [text.textContent.trim(), text.getBoundingClientRect()])
            .filter(([text, box]) => text && box.width > 0)
            .sort((one, other) => one[1].top - other[1].top);
        boxes.forEach(([text, box], place) => {
            for (const [below, under] of boxes.slice(place + 1)) {
                if (under.top > box.bottom - 4) break;
                const across = Math.min(box.right, under.right) - Math.max(box.left, under.left);
                const down = Math.min(box.bottom, under.bottom) - under.top;
                if (across > 3 && down > 4) found.push(`one over the other: ${text} | ${below}`);
            }
        });
    }
    return found;
}
"""


def misplaced(page) -> list[str]:
    """Words that are cut, and words of one figure that lie over each other, as soon as there are none, or at last."""
    end = time.monotonic() + SETTLING
    while (found := page.evaluate(CUT_OR_OVERLAPPING)) and time.monotonic() < end:
        page.wait_for_timeout(250)
    return found


def opened(page, address: str, patience: float) -> float:
    """Seconds until the first chart of a page is drawn; there must be no exception then."""
    begin = time.monotonic()
    page.goto(address)
    chart = page.locator(f"{DRAWN} .main-svg").first
    asks = page.get_by_role("button", name="Compute", exact=True)
    expect(chart.or_(asks).first).to_be_attached(timeout=1000 * patience)
    if asks.count():
        asks.click()
    expect(chart).to_be_attached(timeout=1000 * patience)
    taken = time.monotonic() - begin
    expect(page.locator("[data-testid=stException]")).to_have_count(0)
    expect(page.locator("[data-testid=stAlertContentError]")).to_have_count(0)
    return taken


@pytest.mark.parametrize("name", PAGES)
def test_a_page_opens_in_time_when_warm_and_fits(page, app_address, name):
    address = f"{app_address}/{'' if name == 'trajectory' else name}?{PAGES[name]}"
    # Again where the first visit, which computes, took longer; the best of five: what else runs is not the page's.
    taken = [opened(page, address, patience=150)]
    while len(taken) <= 5 and min(taken) >= SECONDS:
        taken.append(opened(page, address, patience=60))
    assert min(taken) < SECONDS
    at_rest(page)
    described = page.locator(".figure-words").all_text_contents()
    expect(page.locator(".js-plotly-plot")).to_have_count(len(described), timeout=60_000)
    assert all(len(words) > 20 for words in described)
    for width in WIDTHS:
        if width != WIDTHS[0]:
            page.set_viewport_size({"width": width, "height": 1300})
            page.wait_for_timeout(700)  # plotly draws anew a moment after the width has changed
        assert misplaced(page) == [], f"at {width} pixels"
        assert page.evaluate(BESIDE) <= 0, f"at {width} pixels"
    at_rest(page)
    expect(page.locator("[data-stale=true]")).to_have_count(0)  # what is drawn anew is pale for a moment
    assert kept_out(page) == []


def test_no_page_is_left_out(page, app_address):
    page.goto(f"{app_address}/training")
    links = page.locator("[data-testid=stSidebarNavLink]")
    expect(links).to_have_count(len(PAGES) + 2, timeout=60_000)
    ends = links.evaluate_all("links => links.map(link => new URL(link.href).pathname.slice(1))")
    assert sorted(end or "trajectory" for end in ends) == sorted([*PAGES, "start", "open"])


@pytest.mark.parametrize(
    ("path", "heading", "end"),
    [
        ("trajectory?model=compiled&n=8&seed=2", "A graph solves itself", "/?model=compiled&n=8&seed=2"),
        ("Lens/", "Where inside a step does the answer appear?", "/lens"),
    ],
)
def test_a_page_is_found_by_its_own_path_however_it_is_spelled(page, app_address, path, heading, end):
    page.goto(f"{app_address}/{path}")
    expect(page.locator("h2", has_text=heading)).to_be_visible(timeout=60_000)
    page.wait_for_url(lambda url: url.startswith(app_address + end), timeout=60_000)
    expect(page.get_by_text("Page not found")).to_have_count(0)


@pytest.mark.parametrize("name", ["trajectory", "story", "attention", "lens", "patching", "mechanism"])
def test_a_page_that_is_come_back_to_shows_what_it_showed(page, app_address, name):
    path = "" if name == "trajectory" else name
    opened(page, f"{app_address}/{path}?{PAGES[name]}", patience=150)
    at_rest(page)
    shown = page.locator(".figure-words").all_text_contents()
    address = page.url
    assert shown
    page.locator("[data-testid=stSidebarNavLink][href$='/generalisation']").click()
    expect(page.get_by_role("heading", name="Does it generalise to larger graphs?")).to_be_visible(
        timeout=60_000
    )
    at_rest(page)
    page.locator(f"[data-testid=stSidebarNavLink][href$='/{path}']").click()
    page.wait_for_url(address, timeout=60_000)
    expect(page.locator(".figure-words")).to_have_text(shown, timeout=60_000)
    expect(page.locator(f"{DRAWN} .main-svg").first).to_be_attached(timeout=60_000)
