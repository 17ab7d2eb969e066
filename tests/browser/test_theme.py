"""Pages follow the browser from light to dark while they are open, figures and the player too."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from interp.figures.theme import DARK_PAPER
from tests.browser.watching import DRAWN

pytestmark = pytest.mark.browser

PAPERS = f"""
() => [...document.querySelectorAll("{DRAWN}")].map(plot => plot._fullLayout?.paper_bgcolor)
"""
"""Colours of the ground of all figures."""


def papers(page: Page, dark: bool) -> None:
    """Wait until all figures have the ground of a theme."""
    expect(page.locator(f"{DRAWN} .main-svg").first).to_be_attached(timeout=120_000)
    page.wait_for_function(
        f"([papers, dark]) => papers.length > 0 && ({PAPERS})().every(paper => (paper === '{DARK_PAPER}') === dark)",
        arg=[[1], dark],
        timeout=120_000,
    )


def ground(page: Page) -> str:
    return page.locator("[data-testid=stApp]").evaluate("app => getComputedStyle(app).backgroundColor")


def test_figures_follow_when_the_browser_turns_dark_and_light_again(page, app_address):
    page.goto(f"{app_address}/?model=compiled&text=20=a;2=b;a%2Bb=c&step=1")
    papers(page, dark=False)
    light = ground(page)
    page.emulate_media(color_scheme="dark")
    papers(page, dark=True)
    assert ground(page) != light
    page.emulate_media(color_scheme="light")
    papers(page, dark=False)
    assert ground(page) == light
    expect(page.locator("[data-testid=stException]")).to_have_count(0)
