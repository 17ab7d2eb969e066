"""The documentation: README is short, links lead to files that exist, and what its commands write is ignored by git."""

from __future__ import annotations

import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from analyses.docs import pages

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "analyses" / "docs"
PAGES = [*ROOT.glob("*.md"), *DOCS.rglob("*.md")]
LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)(?:#[^)]*)?\)")
OUTPUT = re.compile(r"--(?:out|json) ([\w./-]+)")


def commands(text: str) -> list[str]:
    """The lines of a text's blocks of shell."""
    return [line for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]


def test_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) < 150


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_that_exist(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    assert [link for link in LINK.findall(text) if not (page.parent / link).exists()] == []


def test_every_page_is_linked_from_another() -> None:
    linked = {
        (page.parent / link).resolve() for page in PAGES for link in LINK.findall(page.read_text()) if link
    }
    assert [page for page in DOCS.rglob("*.md") if page.resolve() not in linked | {DOCS / "index.md"}] == []


def test_git_ignores_what_the_commands_write() -> None:
    written = {
        found
        for page in PAGES
        for command in commands(page.read_text())
        for found in OUTPUT.findall(command)
        if found != "."
    }
    assert {"patched", "run.json", "report.html"} <= written
    ignored = subprocess.run(
        ["git", "check-ignore", *written], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if ignored.returncode == 128:
        pytest.skip("not a git repository")
    assert set(ignored.stdout.split()) == written


# -- the site (`make docs`), without building it ------------------------------------------------------------------


def entries(nav: Any) -> Iterator[str]:
    """Every page of a navigation as mkdocs.yml writes it."""
    if isinstance(nav, str):
        yield nav
    for entry in nav.values() if isinstance(nav, dict) else nav if isinstance(nav, list) else ():
        yield from entries(entry)


def test_the_navigation_has_every_page_of_the_folder_and_no_other() -> None:
    listed = list(entries(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]))
    assert sorted(listed) == sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))


def test_the_navigation_gets_the_pages_that_are_made_from_the_sources() -> None:
    class Config:
        nav: list[Any] = []  # noqa: RUF012

    made = set(entries(pages.on_config(Config()).nav))
    assert made == {*pages.reference(), *pages.elsewhere().values()} - {
        place for place in pages.elsewhere().values() if place.endswith(".html")
    }
    assert {"contributing.md", "zoo/discrete-corrected.md", "tutorials/02_patching_a_step.md"} <= made
    assert {"api/causal.md", "api/engine.md", "api/analyses.md", "api/framework.md", "api/public.md"} <= made


def test_the_reference_names_modules_that_exist() -> None:
    for text in pages.reference().values():
        for module in re.findall(r"^::: (\S+)", text, re.MULTILINE):
            path = ROOT / module.replace(".", "/")
            assert path.with_suffix(".py").exists() or (path / "__init__.py").exists()
    public = pages.reference()["api/public.md"]
    assert "| [`patch_sweep`][interp.causal.patching.patch_sweep] | " in public
    assert "| [`load`][models.loading.load] | " in public


def test_links_are_led_to_where_the_site_has_the_files() -> None:
    cards = "[card](../../models/zoo/discrete/README.md), [other](speed.md), [far](https://example.org/x.md)"
    assert pages.relinked(cards, "model.md") == (
        "[card](zoo/discrete.md), [other](speed.md), [far](https://example.org/x.md)"
    )
    assert pages.relinked("[speed](../speed.md)", "decisions/0002-replay.md") == "[speed](../speed.md)"
    assert pages.relinked("[on](analyses/docs/model.md)", "contributing.md") == "[on](model.md)"
    assert (
        pages.relinked("[report](../reports/compiled.html)", "algorithm.md")
        == "[report](reports/compiled.html)"
    )


def test_names_in_docstrings_lead_to_where_they_are_documented() -> None:
    html = pages.on_page_content(
        "a :class:<code>interp.Replay</code> of :func:<code>~x.y</code>", None, None, None
    )
    assert 'identifier="interp.engine.replay.Replay"><code>interp.Replay</code>' in html
    assert 'identifier="x.y"><code>x.y</code>' in html
    assert 'identifier="models.recurrent.RecurrentTransformer.run"' in pages.reference_to(
        "models.RecurrentTransformer.run"
    )
    assert pages.reference_to("interp.causal.pairs").count('"interp.causal.pairs"') == 1


@pytest.mark.parametrize(
    "html",
    [
        '<script src="https://cdn.example.org/a.js"></script>',
        '<link rel="stylesheet" href="//fonts.example.org/b">',
        "<img alt='x' src='http://example.org/c.png'>",
        "@import 'https://example.org/d.css';",
        "body { background: url(https://example.org/e.png) }",
    ],
)
def test_what_a_page_would_load_from_a_network_is_found(html: str, tmp_path: Path) -> None:
    assert len(pages.from_a_network(html)) == 1
    assert (
        pages.from_a_network('<a href="https://arxiv.org/abs/2510.14095">paper</a> <img src="x.png">') == []
    )
    (tmp_path / "page.html").write_text(html)

    class Config:
        site_dir = str(tmp_path)

    with pytest.raises(ValueError, match=r"load from a network: .*page\.html"):
        pages.on_post_build(Config())


def test_one_version_is_given_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == project["version"]
    newest = re.search(r"^## \[(\d+\.\d+\.\d+)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest is not None
    assert newest[1] == project["version"]
