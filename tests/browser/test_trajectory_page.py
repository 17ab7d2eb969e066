"""The Trajectory page as a browser draws it, used as a person uses it: play, click, change a symbol, share."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.browser.watching import at_rest, watched

pytestmark = pytest.mark.browser

GRAPH = "model=compiled&text=20=a;2=b;a%2Bb=total;total%2Bb=end"


@pytest.fixture
def opened(page, app_address):
    """Opens the page at an address."""

    def open_page(address: str, page=page):
        page.goto(address if address.startswith("http") else f"{app_address}/?{address}")
        expect(page.get_by_text("symbolic oracle")).to_be_visible(timeout=60_000)
        expect(page.locator(".player .node").first).to_be_visible(timeout=90_000)
        return page

    return open_page


def values(page) -> str:
    return " ".join(page.locator(".player .node .value").all_text_contents())


def button(page, name: str):
    return page.get_by_role("button", name=name, exact=True)


def test_the_run_plays_to_its_end_and_says_where_it_is(opened):
    page = opened(f"{GRAPH}&step=start")
    assert values(page) == "• • • •"
    button(page, "Next step").click()
    expect(page.locator(".when")).to_have_text("after step 0 of 3")
    page.wait_for_url("**step=0**", timeout=60_000)
    assert values(page) == "20 2 • •"
    page.get_by_label("Speed").select_option("4")
    button(page, "Play").click()
    expect(button(page, "Pause")).to_be_visible()
    expect(page.locator(".when")).to_have_text("after step 3 of 3", timeout=60_000)
    expect(button(page, "Play")).to_be_visible()
    page.wait_for_url("**step=3**", timeout=60_000)
    assert values(page) == "20 2 22 1"
    at_rest(page)
    page.locator(".player input[type=range]").press("ArrowLeft")
    page.locator(".player input[type=range]").press("ArrowLeft")
    page.wait_for_url("**step=1**", timeout=60_000)
    assert values(page) == "20 2 22 •"
    button(page, "Previous step").click()
    expect(page.locator(".said")).to_have_text("Step 0 writes a = 20, b = 2.")


def test_a_node_is_clicked_or_reached_by_keys_and_its_steps_too(opened):
    page = opened(f"{GRAPH}&step=1")
    page.locator(".player .node").nth(2).click()
    inspector = page.get_by_role("region", name="Inspector")
    expect(inspector.get_by_role("heading")).to_have_text("a ADD b = total")
    expect(inspector).to_contain_text(
        "Shows 22; the true value is 22. Depth 1, solved at step 1. Reads a, b."
    )
    rows = inspector.locator("tbody tr")
    assert rows.count() == 5
    assert re.match(r"1\s*variable.*total.*22", rows.nth(2).inner_text().replace("\n", " "))
    rows.nth(0).click()
    expect(page.locator(".when")).to_have_text("start of 3")
    page.wait_for_url("**step=start**", timeout=60_000)
    at_rest(page)
    page.locator(".player .node").nth(2).press("ArrowLeft")
    page.locator(".player .node:focus").press("Enter")
    expect(inspector.get_by_role("heading")).to_have_text("20 = a")
    page.wait_for_url("**at=2**", timeout=60_000)


def test_a_symbol_is_changed_heals_and_the_link_shows_the_same(opened, browser, app_address):
    page = opened(f"{GRAPH}&step=1")
    page.locator(".player .node").nth(2).click()
    page.get_by_label("New symbol").select_option("7")
    page.get_by_role("button", name="Change after step 1").click()
    expect(page.get_by_text("healed it")).to_be_visible(timeout=90_000)
    page.wait_for_url("**edit=total%401%3D7**", timeout=60_000)
    expect(page.locator(".player .node").nth(2).locator(".value")).to_have_text("7")
    assert page.locator(".player .node.wrong").count() == 1
    assert page.locator(".player .node.differs").count() == 1
    button(page, "Next step").click()
    expect(page.locator(".said")).to_have_text(
        "Step 2 writes total = 22, end = 9. 1 of 4 nodes differ from the other run."
    )
    assert values(page) == "20 2 22 9"
    button(page, "Original").click()
    assert values(page) == "20 2 22 1"
    page.wait_for_url("**shown=original**", timeout=60_000)
    other = browser.new_page()
    mistakes = watched(other, app_address)
    opened(page.url, other)
    assert values(other) == "20 2 22 1"
    button(other, "Edited").click()
    assert values(other) == "20 2 22 9"
    button(other, "Next step").click()
    expect(other.locator(".said")).to_contain_text("Both runs show the same values.")
    assert other.locator(".player .node").nth(3).locator(".mark").text_content() == "↺"
    # The server has to know the last step before the next is asked for.
    at_rest(other)
    other.get_by_role("button", name="Undo the change").click()
    expect(other.get_by_text("healed it")).to_have_count(0, timeout=90_000)
    other.wait_for_url(lambda url: "edit" not in url, timeout=60_000)
    other.close()
    assert mistakes == []


@pytest.mark.parametrize("width", [1440, 1024, 390])
def test_a_large_graph_fits_the_page(page, opened, width):
    """Columns that do not fit are folded; nothing is drawn beside the graph, nothing is cut."""
    page.set_viewport_size({"width": width, "height": 900})
    opened("model=compiled&n=128&seed=0")
    if width < 700:
        page.keyboard.press("Escape")
    stage = page.locator(".player .stage svg").bounding_box()
    boxes = page.locator(".player .node .disc").evaluate_all(
        "discs => discs.map(disc => {const box = disc.getBoundingClientRect();"
        " return [box.left, box.right, box.top, box.bottom]})"
    )
    assert len(boxes) == 128
    assert min(box[0] for box in boxes) >= stage["x"]
    assert max(box[1] for box in boxes) <= stage["x"] + stage["width"]
    middles = {(round((left + right) / 2), round((top + bottom) / 2)) for left, right, top, bottom in boxes}
    assert len(middles) == 128
    button(page, "Zoom in").click()
    assert page.locator(".player .stage").get_attribute("class") == "stage zoomed"
    button(page, "Whole graph").click()
    assert page.locator(".player .stage").get_attribute("class") == "stage"


def test_a_mistake_in_the_equations_is_a_message(page, app_address):
    page.goto(f"{app_address}/?model=compiled&text=20=a;a%2Bb=c")
    expect(page.get_by_text("'b' is not defined by any equation")).to_be_visible(timeout=60_000)
    expect(page.get_by_text("Traceback")).to_have_count(0)
