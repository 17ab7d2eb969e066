"""The Patching page as a browser draws it: a click on a cell, and cancelling a sweep."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

PAIR = "model=compiled&clean=20=a;2=b;a%2Bb=total&corrupt=20=a;9=b;a%2Bb=total"
LEAF = 4
"""The token `2` of `2 = b`, the first thing that differs."""


def test_a_click_on_a_cell_shows_its_run(page, app_address):
    page.goto(f"{app_address}/patching?{PAIR}")
    cells = page.locator(".st-key-patch-heatmap .scatterlayer path.point")
    expect(cells.first).to_be_attached(timeout=60_000)
    cells.nth(LEAF).click(force=True)
    expect(page.get_by_text("end as in the clean run")).to_be_visible(timeout=30_000)
    expect(page.locator(".st-key-patched-run .heatmaplayer")).to_have_count(3)
    page.wait_for_url(f"**cell={LEAF}", timeout=15_000)
    assert page.locator(".st-key-patched-run .legendtext").all_text_contents() == [
        "now as in the clean run",
        "clean and corrupt differ",
    ]


def test_a_sweep_can_be_cancelled(page, app_address):
    page.goto(f"{app_address}/patching?model=compiled&n=64&site=z")
    expect(page.get_by_text("Press Run the sweep to start it")).to_be_visible(timeout=60_000)
    page.get_by_role("button", name="Run the sweep").click()
    page.get_by_role("button", name="Cancel").click(timeout=30_000)
    expect(page.get_by_role("button", name="Cancel")).to_have_count(0, timeout=60_000)
    expect(page.get_by_text("Run the sweep", exact=True).nth(1)).to_be_visible()
