"""What the tests of the pages read from a page that ran: no exception, its address, its sentences, its figures."""

from __future__ import annotations

import base64
import json
import re

import numpy as np
from streamlit.testing.v1 import AppTest

from dashboards.folded import key_of


def checked(app: AppTest) -> AppTest:
    assert not app.exception, app.exception
    return app


def unfolded(app: AppTest) -> AppTest:
    """With every box open that is drawn when it is opened."""
    measured = "View the code that measured"
    labels = ["Table", "View the code that drew this", "View the code that draws the edited run"]
    labels += [f"{measured} the edges", f"{measured} the correction", "Both graphs, and what differs"]
    for label in [*labels, "All models, by kind, and the pages that do not show them"]:
        app.session_state[key_of(label)] = True
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


def played(app: AppTest) -> dict:
    """What the player was given: scene, step, position, run."""
    given = [json.loads(one.proto.json or "{}") for one in app.get("bidi_component")]
    (one,) = (data for data in given if "scene" in data)
    return one


def shown_values(app: AppTest, run: int = -1) -> list[str]:
    """What every node of the player shows in its state: a number, or a dot where it is not computed."""
    data = played(app)
    scene, symbols = data["scene"], data["scene"]["symbols"]["value"]
    codes = codes_of(scene, run)
    state = min(data["step"], len(codes) - 1)
    values = [int(codes[state, node["rhs"], 3]) for node in scene["nodes"]]
    return ["•" if value == scene["empty"] else symbols[value] for value in values]


def codes_of(scene: dict, run: int = -1) -> np.ndarray:
    """The codes of a run of a scene, int [state, pos, factor]."""
    one = scene["runs"][run]
    packed = np.frombuffer(base64.b64decode(one["codes"]), "<u2")
    return packed.reshape(one["n_states"], scene["n_positions"], len(scene["factors"])).astype(int)


def downloads(app: AppTest) -> list[str]:
    """Labels of the downloads of a page, without those of the session and of single figures."""
    labels = [shown(button.proto.label) for button in app.get("download_button")]
    return [label for label in labels if label not in ("Save session", "HTML", "Data (CSV)", "Data (JSON)")]
