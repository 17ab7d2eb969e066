"""What was typed is shown as text by a real browser; a long analysis shows its progress and can be cancelled."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

HOSTILE = (
    "![x](http://127.0.0.1:9/x.png) a*b*c <img src=http://127.0.0.1:9/y.png> $x$ :red[danger] :smile: "
    ":material/home: [here](http://e.vil) https://e.vil www.e.vil me@e.vil a -> b -- c >= d `k` ~~z~~ _l_ # h"
)


def test_a_hostile_address_is_text(page, app_address):
    fetched: list[str] = []
    page.on("request", lambda request: fetched.append(request.url))
    page.goto(f"{app_address}/lens?model=compiled&n=7&graphs=3&factor={quote(HOSTILE)}")
    alert = page.locator("[data-testid=stAlertContentError]").first
    expect(alert).to_be_visible(timeout=120_000)
    assert f"factor={HOSTILE} in the address was ignored" in alert.inner_text().replace("\u2060", "")
    assert alert.locator("img, a, em, strong, code, del, .katex, [style*=color]").count() == 0
    assert not [url for url in fetched if url.startswith("http://127.0.0.1:9/")]


def test_a_long_analysis_can_be_watched_and_cancelled(page, app_address):
    page.goto(f"{app_address}/probing?model=compiled&n=16&graphs=61&seed=77")
    cancel = page.get_by_role("button", name="Cancel")
    expect(cancel).to_be_visible(timeout=120_000)
    expect(page.get_by_text("s so far")).to_be_visible(timeout=30_000)
    cancel.click()
    expect(page.get_by_text("Cancelled: analysing 61 graphs.")).to_be_visible(timeout=60_000)
    expect(page.get_by_role("button", name="Compute")).to_be_visible()
