"""One node, followed from page to page: by links, and through the navigation."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

GRAPH = "model=compiled&text=20=a;2=b;a%2Bb=total;total%2Bb=end"


def test_a_node_is_followed_from_page_to_page(page, app_address):
    page.goto(f"{app_address}/?{GRAPH}&step=3")
    node = page.locator(".player .node").nth(2)
    expect(node).to_be_visible(timeout=120_000)
    node.click()
    links = page.locator(".st-key-node-links-home")
    expect(links.get_by_text("total in")).to_be_visible(timeout=60_000)
    links.get_by_role("link", name="Story").click()
    expect(page.get_by_text("What happened at one node?")).to_be_visible(timeout=60_000)
    page.wait_for_url("**/story?**node=2**", timeout=60_000)
    expect(page.locator(".st-key-node-links-story").get_by_text("total in")).to_be_visible(timeout=60_000)
    page.get_by_role("link", name="Lens", exact=True).first.click()
    page.wait_for_url("**/lens?**node=2**", timeout=60_000)
    assert "text=" in page.url
    expect(page.get_by_text("Kept for other pages: step 3, node 2.")).to_be_visible(timeout=60_000)
    page.get_by_role("link", name="Trajectory", exact=True).first.click()
    inspector = page.get_by_role("region", name="Inspector")
    expect(inspector.get_by_role("heading")).to_have_text("a ADD b = total", timeout=60_000)
    expect(page.locator(".when")).to_have_text("after step 3 of 3")


def test_a_run_that_is_compared_with_itself_offers_others(page, app_address):
    page.goto(f"{app_address}/compare?{GRAPH}")
    expect(page.get_by_text("Both runs are the same in every state.")).to_be_visible(timeout=120_000)
    page.get_by_role("button", name="with another value of a after step 1").click()
    expect(page.get_by_text("The runs differ first after step 1, at a")).to_be_visible(timeout=60_000)
    page.wait_for_function("() => new URLSearchParams(location.search).get('other_edit') === 'a@1=21'")
    expect(page.get_by_role("textbox", name="Edit of the second run")).to_have_value("a@1=21")
    expect(page.locator(".st-key-compare-it")).to_have_count(0)
