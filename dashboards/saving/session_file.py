"""A session as one file: the address of every page as it was last shown, with its edit, to be opened again.

``recurlens.session.1``: ``page`` is the one that was open, ``pages`` the query parameters of each. What a page is told
by such a file it checks as it checks any address.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Final, cast

from analyses.inputs import InputError
from analyses.json_object import is_address, read_object
from models.graph_errors import clip

FORMAT: Final = "recurlens.session.1"
_OF_A_LOOP: Final = " of a loop"


@dataclass(frozen=True)
class SavedSession:
    """Query parameters of pages by their paths, and the path of the page that was open."""

    page: str
    pages: Mapping[str, Mapping[str, str]]

    def to_json(self) -> str:
        """As the text of a file."""
        about = {"format": FORMAT, "recurlens": version("recurlens"), "page": self.page}
        pages = {path: dict(params) for path, params in self.pages.items()}
        return json.dumps(about | {"pages": pages}, indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def of(cls, page: str, visited: Mapping[str, Mapping[str, str]]) -> SavedSession:
        """Of what a visitor has seen, the latest last; a page of a looped model is at the path of the page."""
        return cls(page, {name.removesuffix(_OF_A_LOOP): params for name, params in visited.items()})

    @classmethod
    def from_json(cls, text: str, paths: Collection[str]) -> tuple[SavedSession, list[str]]:
        """The session of a file, without pages that are not among `paths`, and a message for each of those.

        Raises InputError for what is no such file.
        """
        data = read_object(text)
        if data.get("format") != FORMAT:
            raise InputError(f"format is {clip(repr(data.get('format')))}; {FORMAT!r} is expected.")
        given = data.get("pages")
        if not isinstance(given, dict) or not all(map(is_address, cast("dict[str, Any]", given).values())):
            raise InputError("`pages` has to be an object of query parameters, texts by name, for each page.")
        pages = cast("dict[str, dict[str, str]]", given)
        unknown = [path for path in pages if path not in paths]
        known = {path: params for path, params in pages.items() if path in paths}
        if not known:
            raise InputError("it has no page that is here.")
        page = data.get("page")
        opened = page if isinstance(page, str) and page in paths else next(iter(known))
        return cls(opened, known), [
            f"There is no page {clip(path)!r} here; it was left out." for path in unknown
        ]
