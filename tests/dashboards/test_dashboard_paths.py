"""Other spellings of the pages' paths."""

from __future__ import annotations

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from dashboards import paths


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("http://host/", ""),
        ("http://host/base/trajectory/?model=a/b", "trajectory"),
        ("http://host/Patching%20", "Patching "),
        ("", ""),
    ],
)
def test_the_last_segment_of_an_address(address, expected):
    assert paths.last_segment(address) == expected


@pytest.mark.parametrize(
    ("asked", "hidden"),
    [
        ("", ["first"]),
        ("second", ["first"]),
        ("SECOND", ["first", "SECOND"]),
        ("First", ["first", "First"]),
        ("x", ["first"]),
    ],
)
def test_every_spelling_of_a_page_leads_to_it(asked, hidden, monkeypatch):
    monkeypatch.setattr(type(st.context), "url", f"http://host/{asked}")

    def app() -> None:
        import streamlit as st

        from dashboards.paths import with_spellings

        def one() -> None: ...

        def two() -> None: ...

        pages = [st.Page(one, title="First", url_path="home", default=True), st.Page(two, url_path="second")]
        found = with_spellings(pages, default="first")
        st.session_state["hidden"] = [page.url_path for page in found if page.visibility == "hidden"]
        st.navigation(found)

    ran = AppTest.from_function(app).run()
    assert not ran.exception
    assert ran.session_state["hidden"] == hidden
