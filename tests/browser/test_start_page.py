"""The Start page leads to what it promises, also on a phone in the dark, and its words are at hand on every page."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from analyses.glossary import GLOSSARY
from dashboards.start import EXAMPLES
from interp.figures.theme import DARK_PAPER
from tests.browser.watching import DRAWN, kept_out

pytestmark = pytest.mark.browser


def test_the_way_in_leads_to_an_edited_run_and_the_words_come_along(page, app_address):
    page.set_viewport_size({"width": 390, "height": 800})
    page.emulate_media(color_scheme="dark")
    page.goto(f"{app_address}/start")
    links = page.get_by_test_id("stPageLink-NavLink")
    expect(links).to_have_count(len(EXAMPLES), timeout=60_000)
    for link in links.all():
        assert link.evaluate(
            "link => [...link.querySelectorAll('p')].every(p => p.scrollWidth <= p.clientWidth + 1)"
        )
    page.get_by_role("link", name="An edited run").click()
    expect(page.get_by_text("healed it")).to_be_visible(timeout=120_000)
    expect(page.locator(".player .said")).to_contain_text("differ from the other run", timeout=60_000)
    expect(page.locator(f"{DRAWN} .main-svg").first).to_be_attached(timeout=60_000)
    assert page.locator(DRAWN).first.evaluate("plot => plot._fullLayout.paper_bgcolor") == DARK_PAPER
    assert kept_out(page) == []
    page.get_by_test_id("stExpandSidebarButton").click()
    page.get_by_role("button", name="Glossary").click()
    expect(page.get_by_text("Right-hand side", exact=True)).to_be_visible()
    assert page.get_by_test_id("stPopoverBody").locator("li").count() == len(GLOSSARY)
