"""The Trajectory page as a browser draws it."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

NODES = "graph => graph.data.find(trace => trace.name === 'nodes').text.join(' ')"


def test_the_page_is_drawn_and_the_slider_moves_it(browser, app_address):
    page = browser.new_page(viewport={"width": 1440, "height": 1300})
    mistakes: list[str] = []
    page.on("pageerror", lambda error: mistakes.append(str(error)))
    page.goto(f"{app_address}/?model=compiled&text=20=a;2=b;a%2Bb=total")
    expect(page.get_by_text("match the symbolic oracle")).to_be_visible(timeout=60_000)
    graph = page.locator(".st-key-graph .js-plotly-plot")
    expect(page.locator(".st-key-heatmap .heatmaplayer")).to_be_attached(timeout=30_000)
    assert graph.evaluate(NODES) == "20 2 22"
    assert page.locator(".st-key-graph .legendtext").all_text_contents() == ["0", "1"]

    page.locator(".st-key-step [role=slider], .st-key-step input").first.focus()
    for _ in range(2):
        page.keyboard.press("ArrowLeft")
    page.wait_for_url("**step=0**", timeout=15_000)
    page.wait_for_function(
        f"({NODES})(document.querySelector('.st-key-graph .js-plotly-plot')) === '20 2 •'", timeout=15_000
    )
    assert mistakes == []
    page.close()


def test_a_mistake_in_the_equations_is_a_message(browser, app_address):
    page = browser.new_page()
    page.goto(f"{app_address}/?model=compiled&text=20=a;a%2Bb=c")
    expect(page.get_by_text("'b' is not defined by any equation")).to_be_visible(timeout=60_000)
    expect(page.get_by_text("Traceback")).to_have_count(0)
    page.close()
