"""Boxes of a page that runs again by itself are set again, for a browser that had not drawn them."""

from __future__ import annotations

import pytest
from streamlit.testing.v1 import AppTest

from tests.pages import checked


def page(again: bool) -> None:
    import streamlit as st

    from dashboards.again import fill_again, note_filled, run_again

    fill_again()
    if "box" not in st.session_state:
        st.session_state["box"] = 7
        note_filled(["box"])
    st.number_input("Box", 0, 10, key="box")
    if not st.session_state.get("ran"):
        st.session_state["ran"] = True
        if again:
            run_again()


@pytest.mark.parametrize("again", [True, False])
def test_what_boxes_hold_is_told_once_more(again):
    app = checked(AppTest.from_function(page, args=(again,)).run())
    box = app.number_input(key="box")
    assert (box.value, box.proto.set_value) == (7, True)
    checked(box.set_value(3).run())
    assert app.number_input(key="box").value == 3
    app.session_state["ran"] = False
    checked(app.run())
    box = app.number_input(key="box")
    assert (box.value, box.proto.set_value) == (3, again)
