"""What the tests of the pages read from a page that ran: no exception, its address, its sentences, its figures."""

from __future__ import annotations

import json
import re

from streamlit.testing.v1 import AppTest


def checked(app: AppTest) -> AppTest:
    assert not app.exception, app.exception
    return app


def address(app: AppTest) -> dict[str, str]:
    return {name: value[0] if isinstance(value, list) else value for name, value in app.query_params.items()}


def shown(markdown: str) -> str:
    """What a reader sees of escaped text."""
    return re.sub(r"\\([^a-zA-Z0-9\s])", r"\1", markdown.replace("\u2060", ""))


def sentences(app: AppTest) -> str:
    return "\n".join(shown(element.value) for element in app.markdown)


def figure(app: AppTest, key: str) -> dict:
    specs = {chart.proto.id.rsplit("-", 1)[-1]: chart.proto.spec for chart in app.get("plotly_chart")}
    return json.loads(specs[key])


def trace(spec: dict, name: str) -> dict:
    return next(trace for trace in spec["data"] if trace.get("name") == name)
