"""The text on the Attention page: a token that is pointed at, or reached by the keys, tells where heads look."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser

SHOWN = "attention?model=compiled&text=20=a;2=b;a%2Bb=c&step=1&layer=2&head=0"


@pytest.fixture
def text(page: Page, app_address: str) -> Page:
    page.goto(f"{app_address}/{SHOWN}")
    expect(page.locator(".looking .token")).to_have_count(13, timeout=120_000)
    expect(page.locator("[data-test-script-state=notRunning]")).to_be_attached(timeout=120_000)
    return page


def said(page: Page) -> str:
    return page.locator(".looking .said").inner_text()


def test_a_right_hand_side_tells_where_the_head_looks_from_there(text):
    expect(text.locator(".looking .token.chosen")).to_have_text(re.compile("^c"))
    assert re.match(r"From c: 2\.0 at b \(\d+\) (1\.00|0\.9\d)", said(text)), (
        "the second operand, which is planted"
    )
    expect(text.locator(".looking .bars")).to_have_count(1)
    text.locator(".looking .token").nth(8).hover()  # the name of the first operand
    expect(text.locator(".looking .said")).to_contain_text("No head looks at a from")
    expect(text.locator(".looking .bars")).to_have_count(0)


def test_the_keys_go_from_token_to_token(text):
    text.locator(".looking .token.chosen").focus()
    for _ in range(6):
        text.keyboard.press("ArrowLeft")
    expect(text.locator(".looking .token.chosen")).to_have_text(re.compile(r"^\[sep\]|^b"))
    assert text.locator(".looking .token:focus").count() == 1
    assert text.locator(".looking .token[tabindex='0']").count() == 1
    text.keyboard.press("ArrowRight")
    assert text.locator(".looking .token.chosen").evaluate(
        "token => token === token.getRootNode().activeElement"
    )
