"""The Training page: what was learnt when, from the snapshots of a model's training run."""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

import streamlit as st

from analyses.training_dynamics import TrainingStudy
from dashboards import messages
from dashboards.analysis_page import draw_code, draw_figures, draw_files
from dashboards.cached import available
from dashboards.own_models import grouped, label_of, written
from dashboards.results import as_result
from dashboards.selection import Selection
from dashboards.session import PageSession, default_model
from models.snapshots import snapshot_files
from models.storage import CheckpointError

INTRO = (
    "Weights were kept on the way through training. On each snapshot: which heads look at operands' names and look up "
    "their values, whether neurons are tuned to frequencies, how many nodes are right, and when each of these appears."
)


@dataclass(frozen=True)
class TrainingView:
    """What the page shows."""

    model: str

    @property
    def carried(self) -> tuple[str, ...]:
        """Nothing."""
        return ()

    def selected(self) -> Selection:
        """Its model."""
        return Selection(self.model)

    def with_selection(self, chosen: Selection) -> TrainingView:
        """The same of a model that is chosen."""
        return TrainingView(chosen.model or self.model)

    def to_params(self) -> dict[str, str]:
        """As query parameters."""
        return {"model": self.model}


def _parse(given: Mapping[str, str]) -> tuple[TrainingView, list[str]]:
    return TrainingView(given.get("model", default_model())), []


def _fill(view: TrainingView) -> None:
    st.session_state["training_model"] = view.model


SESSION: PageSession[TrainingView] = PageSession("training", _parse, _fill, "training_model")


def training_page() -> None:
    """Draw the page."""
    _, problems = SESSION.read()
    st.markdown(INTRO)
    st.sidebar.selectbox(
        "Model",
        grouped(available()),
        key="training_model",
        format_func=label_of,
        help="Whose training run is shown.",
    )
    view = SESSION.show(replace(SESSION.current(), model=st.session_state["training_model"]))
    for problem in problems:
        messages.error(problem)
    try:
        files = snapshot_files(view.model)
    except CheckpointError as error:
        messages.info(f"{error}.")
        return
    study = bundled(view.model)
    if study is None:
        messages.info(
            f"{view.model} has {len(files)} snapshots that were not measured beforehand. "
            "This measures them in a minute or two:"
        )
        st.code(_command(view.model), language="bash")
        return
    _draw(study)


@st.cache_resource(show_spinner="Reading what was measured ...", max_entries=4)
def bundled(model: str) -> TrainingStudy | None:
    """The result that ships with the package; None where there is none."""
    return TrainingStudy.bundled(model)


def _draw(study: TrainingStudy) -> None:
    messages.text(study.verdict())
    result = as_result(study, study.figures(), time.perf_counter())
    draw_figures("training", result.figures)
    draw_files("training", result, expanded=True)
    code = [
        "from analyses.training_dynamics import TrainingStudy",
        "",
        f"study = TrainingStudy.bundled({study.model!r})",
        "print(study.verdict())",
        *(f'study.figures()["{name}"].show()' for name in result.figures),
    ]
    draw_code("\n".join(code), _command(study.model), "What was measured, again, as a command:")


def _command(model: str) -> str:
    return f"recurlens training-dynamics --model {shlex.quote(written(model))}"
