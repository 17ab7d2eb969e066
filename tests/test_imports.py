"""Imports go one way: between the packages, and between the rooms of `interp`."""

import ast
from collections.abc import Iterator
from pathlib import Path

import networkx as nx
import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("models", "interp", "analyses", "dashboards")


def imports(path: Path) -> Iterator[str]:
    """Modules that a file imports, wherever in it; those for the type checker alone are left out."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body.clear()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_imports_none_that_builds_on_it(package: str) -> None:
    above = PACKAGES[PACKAGES.index(package) + 1 :]
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in (ROOT / package).rglob("*.py")
        for name in imports(path)
        if name.split(".")[0] in above
    ]
    assert wrong == []


def test_the_rooms_of_interp_form_no_circle() -> None:
    """Figures stand apart: they read what rooms measured, and rooms call them only inside `figure()` methods."""
    rooms = [
        path.parent.name for path in (ROOT / "interp").glob("*/__init__.py") if path.parent.name != "figures"
    ]
    arrows = nx.DiGraph()
    for room in rooms:
        for path in (ROOT / "interp" / room).glob("*.py"):
            arrows.add_edges_from(
                (room, name.split(".")[1])
                for name in imports(path)
                if name.startswith("interp.") and name.split(".")[1] in rooms and name.split(".")[1] != room
            )
    assert arrows.number_of_edges() > 5
    assert list(nx.simple_cycles(arrows)) == []


def test_what_all_rooms_share_imports_no_room() -> None:
    rooms = {path.parent.name for path in (ROOT / "interp").glob("*/__init__.py")} - {"figures"}
    wrong = [
        f"{path.name} imports {name}"
        for path in (ROOT / "interp").glob("*.py")
        if path.name != "__init__.py"
        for name in imports(path)
        if name.startswith("interp.") and name.split(".")[1] in rooms
    ]
    assert wrong == []
