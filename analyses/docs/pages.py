"""What the site has besides the pages of this folder, made while MkDocs runs (`make docs`; a hook of mkdocs.yml).

Tutorials are the executed notebooks, cards and reports are files that lie elsewhere, and the reference has one page for
every room. Links that leave this folder are led to where the site has the file. A built page that would load something
from a network is an error.
"""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from analyses.glossary import as_markdown

ROOT: Final = Path(__file__).parents[2]
DOCS: Final = "analyses/docs"
PACKAGES: Final = ("models", "interp")
"""Those with public names."""
FRAMEWORK: Final = (
    *("framework.record", "framework.settings", "framework.command", "framework.pairs", "framework.sizes"),
    "studies",
)
_LINK: Final = re.compile(r"(?<=\]\()(?!https?:|#)([^)#\s]+)")
_ROLE: Final = re.compile(r":(?:class|func|meth|data|mod|attr|exc):<code>~?([\w.]+)</code>")
_ASSET: Final = re.compile(
    r"""<(?:script|img|link|iframe|source)\b[^>]*?\b(?:src|href)=["']?((?:https?:)?//[^"'\s>]+)"""
)
_IN_STYLE: Final = re.compile(r"(?:url\(|@import\s+)[\"']?((?:https?:)?//[^)\"'\s]+)")


@cache
def elsewhere() -> Mapping[str, str]:
    """Files of the repository that the site has, besides this folder's -> where it has them."""
    found = {"CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
    for path in sorted(ROOT.glob("models/zoo/*/README.md")):
        found[_named(path)] = f"zoo/{path.parent.name}.md"
    for path in sorted(ROOT.glob("analyses/reports/*.html")):
        found[_named(path)] = f"reports/{path.name}"
    for path in sorted(ROOT.glob("analyses/notebooks/[0-9]*.ipynb")):
        found[_named(path)] = f"tutorials/{path.stem}.md"
    return found


@cache
def reference() -> Mapping[str, str]:
    """Pages of the reference -> their text, in which mkdocstrings replaces every line that begins with `:::`."""
    rooms = [path.parent.name for path in sorted(ROOT.glob("interp/*/__init__.py"))]
    studies = [path.stem for path in sorted(ROOT.glob("analyses/*.py")) if path.stem != "__init__"]
    return {
        "glossary.md": f"# Glossary\n\n{as_markdown()}\n",
        "api/public.md": "\n\n".join(["# Public names", *map(_public_names, PACKAGES)]),
        "api/models.md": _page("models", ["models"], without="training"),
        "api/training.md": _page("models.training", ["models.training"]),
        **{f"api/{room}.md": _page(f"interp.{room}", [f"interp.{room}"]) for room in rooms},
        "api/analyses.md": _page("analyses", [f"analyses.{name}" for name in studies if name != "studies"]),
        "api/framework.md": _page("analyses.framework", [f"analyses.{name}" for name in FRAMEWORK]),
    }


def relinked(text: str, uri: str) -> str:
    """Markdown of the page `uri` with its relative links led to where the site has the files."""
    sources = {place: source for source, place in elsewhere().items()}
    folder = os.path.dirname(sources.get(uri, f"{DOCS}/{uri}"))

    def place(match: re.Match[str]) -> str:
        target = os.path.normpath(os.path.join(folder, match[1]))
        found = elsewhere().get(target)
        if found is None and target.startswith(f"{DOCS}/"):
            found = target.removeprefix(f"{DOCS}/")
        return match[1] if found is None else os.path.relpath(found, os.path.dirname(uri) or ".")

    return _LINK.sub(place, text)


def reference_to(name: str) -> str:
    """What autorefs makes a link to a name of, where it is documented; a public name is where it comes from."""
    package, _, rest = name.partition(".")
    first, *parts = rest.split(".")
    module = _public(package).get(first) if package in PACKAGES else None
    place = name if module is None else ".".join([module, first, *parts])
    return f'<autoref optional identifier="{place}"><code>{name}</code></autoref>'


def from_a_network(html: str) -> list[str]:
    """Addresses that a browser would load something from when it shows this page, or applies this style sheet."""
    return [*_ASSET.findall(html), *_IN_STYLE.findall(html)]


# -- called by MkDocs --------------------------------------------------------------------------------------------


def on_config(config: Any) -> Any:
    """Add the pages that are made here to the navigation."""
    places = [place for place in elsewhere().values() if place.endswith(".md")]
    config.nav += [
        {"Contributing": "contributing.md"},
        {"Changes": "changelog.md"},
        {"Tutorials": [place for place in places if place.startswith("tutorials/")]},
        {"Trained models": [{Path(place).stem: place} for place in places if place.startswith("zoo/")]},
        {"Reference": list(reference())},
    ]
    return config


def on_files(files: Any, config: Any) -> Any:
    """Add what is made here to the files of the site."""
    for file in _generated(config):
        files.append(file)
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Lead a page's links to where the site has the files."""
    return relinked(markdown, page.file.src_uri)


def on_page_content(html: str, page: Any, config: Any, files: Any) -> str:
    """Docstrings refer to names in Sphinx's way; make references of them, where the name has a place."""
    return _ROLE.sub(lambda found: reference_to(found[1]), html)


def on_post_build(config: Any) -> None:
    """Raises ValueError where a page would load something from a network."""
    built = [path for path in Path(config.site_dir).rglob("*") if path.suffix in (".html", ".css")]
    wrong = {str(path): found for path in built if (found := from_a_network(path.read_text()))}
    if wrong:
        raise ValueError(f"built pages load from a network: {wrong}")


def _generated(config: Any) -> Iterator[Any]:
    from mkdocs.structure.files import File  # pyright: ignore[reportMissingImports]
    from nbconvert import MarkdownExporter  # pyright: ignore[reportMissingImports]

    for place, text in reference().items():
        yield File.generated(config, place, content=text)
    for source, place in elsewhere().items():
        if not source.endswith(".ipynb"):
            yield File.generated(config, place, abs_src_path=str(ROOT / source))
            continue
        pictures = {"output_files_dir": Path(source).stem}
        text, made = MarkdownExporter().from_filename(str(ROOT / source), resources=pictures)
        yield File.generated(config, place, content=text)
        for name, picture in made["outputs"].items():
            yield File.generated(config, f"tutorials/{name}", content=picture)


def _named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _page(title: str, modules: list[str], without: str = "") -> str:
    options = f'\n    options: {{filters: ["!^_", "!^{without}$"]}}' if without else ""
    return "\n\n".join([f"# {title}", *(f"::: {module}{options}" for module in modules)])


@cache
def _public(package: str) -> Mapping[str, str]:
    """Public name of a package, as its `__init__.pyi` lists them -> the module that it comes from."""
    lines = ast.parse((ROOT / package / "__init__.pyi").read_text()).body
    return {
        alias.name: f"{package}.{line.module}"
        for line in lines
        if isinstance(line, ast.ImportFrom)
        for alias in line.names
    }


def _public_names(package: str) -> str:
    """A table of them, with the first sentence of each docstring."""
    rows = [f"## {package}", "", "| name | |", "|---|---|"]
    for name, module in _public(package).items():
        path = ROOT / f"{module.replace('.', '/')}.py"
        found = (
            ast.get_docstring(node)
            for node in ast.parse(path.read_text()).body
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name
        )
        about = next(found, None)  # of a name that a module only passes on there is none
        said = " ".join((about or "").split("\n\n")[0].split()).replace("|", "\\|")
        rows.append(f"| [`{name}`][{module}.{name}] | {said} |")
    return "\n".join(rows)
