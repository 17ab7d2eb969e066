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


WHILE_PANDAS_IS_IMPORTED = """
import sys, threading, time
import plotly.graph_objects as go
import streamlit as st
from dashboards.chart_to_come import chart_to_come
st.empty().plotly_chart(go.Figure(layout={"xaxis": {"visible": False}}), key="all else is imported")
assert "pandas" not in sys.modules
thread = threading.Thread(target=__import__, args=("pandas",))
thread.start()
while "pandas" not in sys.modules:
    time.sleep(0)
with chart_to_come():
    print("drawn")
thread.join()
"""


def test_a_chart_waits_for_a_module_that_another_thread_imports(root):
    """`recurlens dashboard` imports what pages need while the first of them may be drawn."""
    code = [sys.executable, "-c", WHILE_PANDAS_IS_IMPORTED]
    ran = subprocess.run(code, cwd=root, capture_output=True, text=True, check=False)
    assert ran.stdout.strip() == "drawn", ran.stderr[-2000:]
