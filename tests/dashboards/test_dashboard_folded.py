"""Boxes that are drawn when they are opened, and what is not imported or sent before it is needed."""

from __future__ import annotations

import ast
import subprocess
import sys

from streamlit.testing.v1 import AppTest

from dashboards.folded import key_of
from tests.pages import checked, sentences


def page() -> None:
    import streamlit as st

    from dashboards.folded import folded

    folded("Numbers", lambda: st.markdown("one two three"))
    folded("Letters", lambda: st.markdown("a b c"), expanded=True)


def test_a_box_is_drawn_when_it_is_opened():
    app = checked(AppTest.from_function(page).run())
    assert sentences(app) == "a b c"
    app.session_state[key_of("Numbers")] = True
    assert sentences(checked(app.run())) == "one two three\na b c"


def test_the_first_page_does_not_wait_for_pytorch(root):
    """What the entry point of the dashboard imports before it draws a page."""
    tree = ast.parse((root / "dashboards" / "app.py").read_text())
    lines = [ast.unparse(node) for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    code = "\n".join([*lines, "print(sorted({'torch', 'transformer_lens', 'pandas'} & set(sys.modules)))"])
    ran = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert "from dashboards.start import start_page, words" in lines
    assert ran.stdout.strip() == "[]"


def chart() -> None:
    import streamlit as st

    from dashboards.chart_to_come import chart_to_come

    with chart_to_come():
        st.markdown(str(len(st.session_state)))
    with chart_to_come():
        st.markdown("at work")


def test_no_chart_stays_of_one_that_is_to_come():
    app = checked(AppTest.from_function(chart).run())
    assert not app.get("plotly_chart") and "at work" in sentences(app)
    assert not checked(app.run()).get("plotly_chart")
