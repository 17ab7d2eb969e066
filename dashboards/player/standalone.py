"""A run that plays in any browser: the player with one scene as a page that needs nothing else."""

from __future__ import annotations

import json
from dataclasses import asdict
from html import escape
from typing import Any

from dashboards.player.component import HERE, Place


def standalone_page(title: str, scene: dict[str, Any], place: Place) -> str:
    """HTML of the player with a scene (`interp.figures.scene`) at a place; symbols cannot be changed there."""
    html, css, js = ((HERE / f"player.{kind}").read_text(encoding="utf-8") for kind in ("html", "css", "js"))
    data = {"key": "one", "scene": scene, "editable": [], "turn": 0, **asdict(place)}
    # Within a script, "</" could end it.
    given = json.dumps(data).replace("</", "<\\/")
    mount = js.replace("export default function", "function mount", 1)
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>body {{ margin: 16px; }}\n{css}</style></head>'
        f'<body>{html}<script type="module">{mount}\nconst told = () => {{}};\n'
        f"mount({{ parentElement: document.body, data: {given}, setStateValue: told, setTriggerValue: told }});"
        "</script></body></html>\n"
    )
