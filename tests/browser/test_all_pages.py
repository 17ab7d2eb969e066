"""Every page of the dashboard, opened twice on the bundled model: no exception, and drawn in the time allowed.

How long a page may take says something on an idle machine only: there ``RECURLENS_PAGE_SECONDS=5 python -m pytest
tests/browser/test_all_pages.py`` holds it to 5 seconds.
"""

from __future__ import annotations

import os
import time

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

SECONDS = float(os.environ.get("RECURLENS_PAGE_SECONDS", "60"))
"""For which a page that was opened before may take until its first chart is there."""
FEW = "model=discrete-corrected&n=7&graphs=5&seed=3"
ONE = "model=discrete-corrected&n=7&seed=3"
PAGES = {
    "trajectory": ONE,
    "patching": "model=discrete-corrected&clean=20=a;2=b;a%2Bb=total&corrupt=20=a;9=b;a%2Bb=total",
    "probing": f"{FEW}&kind=ridge&across=no",
    "codes": FEW,
    "lens": FEW,
    "dynamics": f"{FEW}&against=none",
    "attention": ONE,
    "mechanism": f"{FEW}&part=changes",
    "story": ONE,
    "training": "model=discrete-corrected",
    "generalisation": "",
}


def opened(page, address: str, patience: float) -> float:
    """Seconds until the first chart of a page is drawn; there must be no exception then."""
    begin = time.monotonic()
    page.goto(address)
    expect(page.locator(".js-plotly-plot .main-svg").first).to_be_attached(timeout=1000 * patience)
    taken = time.monotonic() - begin
    expect(page.locator("[data-testid=stException]")).to_have_count(0)
    expect(page.locator("[data-testid=stAlertContentError]")).to_have_count(0)
    return taken


@pytest.mark.parametrize("name", PAGES)
def test_a_page_opens_in_time_when_warm(browser, app_address, name):
    address = f"{app_address}/{'' if name == 'trajectory' else name}?{PAGES[name]}"
    page = browser.new_page(viewport={"width": 1440, "height": 1300})
    mistakes: list[str] = []
    page.on("pageerror", lambda error: mistakes.append(str(error)))
    opened(page, address, patience=150)
    # The best of five: what else the machine does is not the page's.
    taken: list[float] = []
    while len(taken) < 5 and min(taken, default=SECONDS) >= SECONDS:
        taken.append(opened(page, address, patience=60))
    assert mistakes == []
    assert min(taken) < SECONDS
    page.close()


def test_no_page_is_left_out(browser, app_address):
    page = browser.new_page(viewport={"width": 1440, "height": 1300})
    page.goto(f"{app_address}/training")
    links = page.locator("[data-testid=stSidebarNavLink]")
    expect(links).to_have_count(len(PAGES), timeout=60_000)
    assert sorted(text.strip().lower() for text in links.all_text_contents()) == sorted(PAGES)
    page.close()
