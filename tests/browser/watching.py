"""What is wrong with a page that a reader may not notice: scripts that fail, requests to other machines, and what
keeps readers out who hear a page, or see it badly (axe-core).
"""

from __future__ import annotations

from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, Page, expect

NOT_OURS = {
    "[data-testid=stSidebarNav]": "Streamlit wraps the items of its navigation, rules `list` and `listitem`",
    ".js-plotly-plot": "plotly's drawing has no roles; what a figure shows stands beside it in words",
    "[data-testid=stDataFrame]": "Streamlit draws tables on a canvas; the same is there as a file",
}
"""What is left out of the check, and why."""
RULES_LEFT_OUT = {
    "scrollable-region-focusable": "Streamlit gives a figure's box no tab stop; browsers give one to what scrolls",
}
"""Rules that are not held, and why; everything else is."""
DRAWN = ".js-plotly-plot:not(.st-key-to-come *)"
"""Figures, without the empty one that is there while the first of a tab is computed (`dashboards.chart_to_come`)."""
_ELSEWHERE = "_stcore/"
"""Streamlit asks for its own addresses below the page first, where there are none, and then at the root."""


def at_rest(page: Page) -> None:
    """Wait until the page has been run to its end: before that, what was found may be replaced, and focus is lost."""
    expect(page.locator("[data-test-script-state=notRunning]")).to_be_attached(timeout=120_000)


def scrolled_to(element: Locator) -> None:
    """Bring an element into view and wait until all know: a menu closes when what it hangs on is scrolled."""
    element.scroll_into_view_if_needed()
    element.evaluate("() => new Promise(seen => requestAnimationFrame(() => requestAnimationFrame(seen)))")


def watched(page: Page, address: str) -> list[str]:
    """A list that fills with errors of scripts, errors in the console, and requests to anywhere but `address`."""
    mistakes: list[str] = []

    def asked(request: Any) -> None:
        if not request.url.startswith((address, address.replace("http", "ws", 1), "data:", "blob:")):
            mistakes.append(request.url)

    def said(message: Any) -> None:
        if message.type == "error" and _ELSEWHERE not in message.location.get("url", ""):
            mistakes.append(message.text)

    page.on("pageerror", lambda error: mistakes.append(str(error)))
    page.on("console", said)
    page.on("request", asked)
    return mistakes


def kept_out(page: Page) -> list[str]:
    """Serious and critical findings of axe-core: rule, element, and what is wrong."""
    context = {"exclude": [[selector] for selector in NOT_OURS]}
    found = Axe().run(page, context, {"resultTypes": ["violations"]}).response["violations"]
    return [
        f"{rule['id']}: {node['html'][:200]} {[one['message'] for one in node['any']]}"
        for rule in found
        if rule["impact"] in ("serious", "critical") and rule["id"] not in RULES_LEFT_OUT
        for node in rule["nodes"]
    ]
