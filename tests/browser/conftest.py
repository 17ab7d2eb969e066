"""The app on a free port and a headless Chromium; without one on PATH its tests are deselected, and it is said."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from analyses.benchmarks.served import CHROMIUM, FLAGS, served
from tests.browser.watching import watched

_left_out: list[str] = []


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "browser: opens the dashboard in headless Chromium")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if CHROMIUM is not None:
        return
    out = [item for item in items if item.get_closest_marker("browser")]
    if out:
        _left_out.extend(item.nodeid for item in out)
        config.hook.pytest_deselected(items=out)
        items[:] = [item for item in items if item not in out]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _left_out:
        terminalreporter.write_line(f"{len(_left_out)} browser tests deselected: no chromium on PATH.")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Headless Chromium."""
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)


@pytest.fixture(scope="session")
def window(browser: Browser, app_address: str) -> tuple[Page, list[str]]:
    """A tab, and what went wrong in it. To compile the app's scripts takes longer than most pages: it is done once."""
    page = browser.new_page()
    return page, watched(page, app_address)


@pytest.fixture
def page(window: tuple[Page, list[str]]) -> Iterator[Page]:
    """The tab as if it were new: wide, light, nothing kept. No script may have failed at the end of a test, and nothing
    may have been asked of another machine.
    """
    one, mistakes = window
    one.set_viewport_size({"width": 1440, "height": 1300})
    one.emulate_media(color_scheme="light")
    mistakes.clear()
    yield one
    if one.url.startswith("http"):
        one.evaluate("() => {localStorage.clear(); sessionStorage.clear()}")
    assert mistakes == []


@pytest.fixture(scope="session")
def app_address(root: Path) -> Iterator[str]:
    """The address of a server that is up until the session ends."""
    with served(root) as server:
        yield server.address
