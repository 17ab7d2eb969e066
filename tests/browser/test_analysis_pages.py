"""The pages Probing, Codes, Lens and Dynamics as a browser draws them."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.watching import DRAWN, at_rest

pytestmark = pytest.mark.browser

FEW = "model=compiled&n=7&graphs=5&seed=3"
TITLES = "charts => charts.map(chart => chart.layout.title.text)"


@pytest.mark.parametrize(
    ("page_name", "query", "title", "button", "next_title", "next_address"),
    [
        ("probing", "kind=ridge&across=no", "What can be read where: value", None, None, None),
        (
            "codes",
            "",
            "Codes of the factor value, by state",
            "Snap margins",
            "Snap margins",
            "**show=margins**",
        ),
        ("lens", "", "Lens on the value", "What writes it", "logit", "**show=attribution**"),
        ("dynamics", "against=none", "Drift over long runs", "Frontier", "Frontier", "**show=frontier**"),
    ],
)
def test_a_page_is_drawn_and_shows_other_figures(
    page, app_address, page_name, query, title, button, next_title, next_address
):
    page.goto(f"{app_address}/{page_name}?{FEW}&{query}")
    charts = page.locator(DRAWN)
    expect(page.get_by_text("View the code that drew this")).to_be_visible(timeout=150_000)
    expect(charts.first.locator(".main-svg").first).to_be_attached(timeout=30_000)
    assert title in charts.evaluate_all(TITLES)[0]
    expect(page.get_by_text("Traceback")).to_have_count(0)
    if button is not None:
        page.get_by_role("radio", name=button).or_(page.get_by_role("button", name=button)).first.click()
        page.wait_for_url(next_address, timeout=30_000)
        page.wait_for_function(
            "title => document.querySelector('.js-plotly-plot')?.layout?.title?.text?.includes(title)",
            arg=next_title,
            timeout=30_000,
        )


def test_my_own_graph_is_read_by_probes(page, app_address):
    page.goto(f"{app_address}/probing?model=compiled&text=20=a;2=b;a%2Bb=total&kind=ridge")
    expect(page.get_by_text("View the code that drew this")).to_be_visible(timeout=150_000)
    expect(page.locator(".js-plotly-plot .heatmaplayer")).to_have_count(3, timeout=30_000)
    at_rest(page)
    equations = page.get_by_role("textbox", name="Equations")
    equations.fill("20 = a; a + b = total")
    equations.press("Control+Enter")
    expect(page.get_by_text("'b' is not defined by any equation")).to_be_visible(timeout=60_000)
    expect(page.get_by_text("Traceback")).to_have_count(0)
