"""Where the pages are found: by their own paths, and by every other spelling of them.

Streamlit shows its default page at `/` alone and every other page at exactly its own path. A link to `/trajectory`, or
to `/Patching`, is led to the page that is meant, with its query parameters.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import unquote, urlsplit

import streamlit as st
from streamlit.navigation.page import StreamlitPage


def with_spellings(pages: Sequence[StreamlitPage], default: str) -> list[StreamlitPage]:
    """The pages, and hidden ones that lead to them.

    default: the path of the page at `/`, whose own path leads there too. A path that differs from that of a page only
    in case, spaces or trailing slashes leads to that page.
    """
    by_path = {page.url_path or default: page for page in pages}
    asked = last_segment(st.context.url or "")
    meant = {path.lower(): path for path in by_path}.get(asked.strip().lower())
    aliases = {default: by_path[default]}
    if meant is not None and asked not in by_path:
        aliases[asked] = by_path[meant]
    return [*pages, *(_leading_to(page, path) for path, page in aliases.items())]


def last_segment(address: str) -> str:
    """The end of an address's path: of `http://host/base/trajectory/?model=a` it is `trajectory`."""
    return unquote(urlsplit(address).path).rstrip("/").rpartition("/")[2]


def _leading_to(page: StreamlitPage, path: str) -> StreamlitPage:
    def lead() -> None:
        st.switch_page(page, query_params=st.query_params.to_dict())

    return st.Page(lead, title=page.title, url_path=path, visibility="hidden")
