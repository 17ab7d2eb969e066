"""Small pieces of the browser's own language: files of a folder, made into a component of a page once."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from streamlit.components.v2 import component


@cache
def component_of(folder: Path, name: str) -> Any:
    """What mounts NAME.html with NAME.css and NAME.js, of a folder, on a page."""
    html, css, js = (
        (folder / f"{name}.{kind}").read_text(encoding="utf-8") for kind in ("html", "css", "js")
    )
    return component(f"recurlens_{name}", html=html, css=css, js=js)
