"""What a reader takes along: figures as files, a link, a session; and what opens it again."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import expect

from models.config import RecurrentConfig
from models.recurrent import RecurrentTransformer
from tests.browser.watching import DRAWN, at_rest, scrolled_to

pytestmark = pytest.mark.browser

TINY = {"n_layers": 1, "d_model": 16, "n_heads": 2, "d_head": 8, "d_mlp": 16, "positions": "none"}
GRAPH = "model=compiled&text=20=a;2=b;a%2Bb=total;total%2Bb=end"


@pytest.fixture
def page(page):
    """The tab of a reader who lets it copy."""
    context = page.context
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    context.set_default_timeout(120_000)
    yield page
    context.set_default_timeout(30_000)
    context.clear_permissions()


def saved(page, label: str) -> tuple[str, bytes]:
    """Name and bytes of the file that a button gives."""
    with page.expect_download(timeout=120_000) as download:
        page.get_by_role("button", name=label, exact=True).click()
    return download.value.suggested_filename, Path(download.value.path()).read_bytes()


def opening(page, app_address: str):
    """The places for files of the page Open, once they take what they are given."""
    page.goto(f"{app_address}/open")
    places = page.locator("input[type=file]")
    expect(places).to_have_count(3, timeout=120_000)
    at_rest(page)
    return places


def test_a_run_and_its_heatmap_are_saved_as_they_are_drawn(page, app_address, browser, tmp_path):
    page.goto(f"{app_address}/?{GRAPH}&step=1")
    expect(page.get_by_role("button", name="Save figure")).to_have_count(2, timeout=120_000)
    expect(page.locator(f"{DRAWN} .main-svg").first).to_be_attached(timeout=120_000)
    for number, stem in enumerate(("recurlens-player", "recurlens-heatmap")):
        page.get_by_role("button", name="Save figure").nth(number).click()
        name, content = saved(page, "PNG")
        picture = Image.open(io.BytesIO(content))
        assert name == f"{stem}.png" and picture.format == "PNG" and picture.width > 1000
        assert len(picture.convert("RGB").getcolors(10**6) or ()) > 50, "something is drawn"
        name, content = saved(page, "SVG")
        assert name == f"{stem}.svg" and content.startswith(b"<svg") and b"var(--" not in content
        assert b">total<" in content and b">22<" in content
        name, content = saved(page, "HTML")
        assert name == f"{stem}.html" and b'src="http' not in content
        (tmp_path / name).write_bytes(content)
        name, content = saved(page, "Data (CSV)")
        rows = list(csv.DictReader(io.StringIO(content.decode())))
        assert name == f"{stem}.csv" and len(rows) > 15
        name, content = saved(page, "Data (JSON)")
        assert name == f"{stem}.json" and json.loads(content)
        page.keyboard.press("Escape")
        expect(page.get_by_role("button", name="PNG")).to_have_count(0)
    mistakes: list[str] = []
    other = browser.new_page()
    other.on("pageerror", lambda error: mistakes.append(str(error)))
    other.goto((tmp_path / "recurlens-player.html").as_uri())
    other.get_by_role("button", name="Next step").click()
    expect(other.locator(".said")).to_have_text("Step 2 writes end = 1.")
    other.goto((tmp_path / "recurlens-heatmap.html").as_uri())
    expect(other.locator(".js-plotly-plot .heatmaplayer").first).to_be_attached(timeout=120_000)
    other.close()
    assert mistakes == []


def test_a_link_and_a_session_show_the_same_to_someone_else(page, app_address, browser, tmp_path):
    page.goto(f"{app_address}/?{GRAPH}&step=1&edit=total%401%3D7")
    expect(page.get_by_text("healed it")).to_be_visible(timeout=120_000)
    page.get_by_role("button", name="Copy link").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    link = page.evaluate("navigator.clipboard.readText()")
    assert "edit=total" in link
    name, content = saved(page, "Save session")
    (tmp_path / name).write_bytes(content)
    name, content = saved(page, "Download the run (JSON)")
    (tmp_path / name).write_bytes(content)
    (tmp_path / "damaged.json").write_bytes(content[:-200])
    other = browser.new_page(viewport={"width": 1440, "height": 1300})
    other.goto(link)
    expect(other.get_by_text("healed it")).to_be_visible(timeout=120_000)
    given = opening(other, app_address).first
    given.set_input_files(tmp_path / "damaged.json")
    expect(other.get_by_text("damaged.json cannot be opened: it is no JSON")).to_be_visible(timeout=120_000)
    given.set_input_files(tmp_path / "recurlens-run.json")
    expect(other.get_by_text("shows the same values in all 5 states")).to_be_visible(timeout=120_000)
    given.set_input_files(tmp_path / "recurlens-session.json")
    expect(other.get_by_text("The pages of the session")).to_be_visible(timeout=120_000)
    other.get_by_role("main").get_by_role("link", name="Trajectory", exact=True).click()
    expect(other.get_by_text("healed it")).to_be_visible(timeout=120_000)
    assert "edit=total" in other.url
    other.close()


def test_a_checkpoint_and_graphs_of_ones_own_are_seen(page, app_address, tmp_path):
    RecurrentTransformer(RecurrentConfig.from_dict({**TINY, "ops": ["ADD"]})).save_pretrained(
        tmp_path / "mine"
    )
    whole = Path(shutil.make_archive(str(tmp_path / "mine"), "zip", tmp_path / "mine"))
    (tmp_path / "broken.zip").write_bytes(whole.read_bytes()[:-400])
    (tmp_path / "two.txt").write_text("20 = a; 2 = b; a + b = c\n\n5 = first; first = second")
    given = opening(page, app_address)
    page.get_by_role("tab", name="A model of your own").click()
    given.nth(1).set_input_files(tmp_path / "broken.zip")
    expect(page.get_by_text("broken.zip cannot be unpacked")).to_be_visible(timeout=120_000)
    page.get_by_role("button", name="Remove broken.zip").or_(
        page.get_by_label("Remove broken.zip")
    ).first.click()
    given.nth(1).set_input_files(whole)
    expect(page.get_by_text("is in the choice of models of every page: n_layers 1")).to_be_visible(
        timeout=120_000
    )
    page.get_by_role("tab", name="Graphs of your own").click()
    given.nth(2).set_input_files(tmp_path / "two.txt")
    expect(page.get_by_text("two.txt has 2 graphs.")).to_be_visible(timeout=120_000)
    page.get_by_role("tab", name="A model of your own").click()
    page.get_by_role("link", name="See it run").click()
    expect(page.get_by_text("symbolic oracle")).to_be_visible(timeout=120_000)
    assert "model=mine-" in page.url
    page.get_by_role("radio", name="Type").or_(
        page.get_by_role("button", name="Type", exact=True)
    ).first.click()
    choice = page.get_by_role("combobox", name="From a file of yours")
    expect(choice).to_be_visible(timeout=120_000)
    at_rest(page)
    scrolled_to(choice)
    choice.fill("graph 2")
    # The player's menus have options, too.
    found = page.get_by_role("listbox").get_by_role("option")
    expect(found).to_have_text(["two.txt: graph 2"], timeout=30_000)
    choice.press("Enter")
    page.wait_for_url("**text=5+%3D+first**", timeout=120_000)
    expect(page.locator("[data-testid=stException]")).to_have_count(0)
