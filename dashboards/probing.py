"""The Probing page: what can be read from the hidden state, by step and site, beside what reads as much by chance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import plotly.graph_objects as go

from analyses.probe_reading import ProbeReadingStudy, study_reading
from analyses.probing import ProbingStudy, study_probes
from dashboards.analysis_page import Analysis, analysis_page, command_line
from dashboards.cached import shared
from dashboards.graph_inputs import AnalysisView, Setting

TARGET = Setting(
    "target",
    "Target",
    {
        "value": "value of the node",
        "depth": "depth of the node",
        "operand_value_1": "value of its first operand",
        "operand_value_2": "value of its second operand",
        "n_operands": "number of its operands",
        "shown": "what it shows before the step",
    },
    "What the probes are trained to tell, at right-hand sides.",
)
STATUS = Setting(
    "status",
    "Nodes",
    {
        "computing": "computing in the step",
        "waiting": "waiting",
        "done": "done before the step",
        "all": "all",
    },
    "By the depth of a node: at step t those of depth t are computed, those above wait.",
)
KIND = Setting("kind", "Probe", {"logistic": "logistic regression", "ridge": "ridge classifier"})
SITES = Setting(
    "sites",
    "Sites",
    {
        "post": "after every layer",
        "residual": "whole residual stream",
        "added": "attn_out and mlp_out",
        "heads": "every head",
    },
    "Where the hidden state is taken from. Fewer sites are faster.",
)
ACROSS = Setting(
    "across",
    "Across steps",
    {"yes": "yes", "no": "no"},
    "Also whether a probe of one step reads another, after the last layer.",
)
_SITES = {"post": ("resid_post",), "residual": None, "added": ("attn_out", "mlp_out"), "heads": ("z",)}


def options(view: AnalysisView) -> dict[str, Any]:
    """Arguments of the study."""
    settings, sites = dict(view.settings), _sites(view)
    common = {"target": settings["target"], "sites": sites, "kind": settings["kind"]}
    if view.text is not None:
        return common | {"status": settings["status"]}
    return common | {"statuses": (settings["status"],), "transfer": _transfer(view)}


def line(view: AnalysisView) -> str:
    """The command: `probe` of sampled graphs, `probe-reading` of typed ones."""
    command = "probe" if view.text is None else "probe-reading"
    sites, transfer = _sites(view), _transfer(view)
    given = "".join(f" --{name} {view.setting(name)}" for name in ("target", "status", "kind"))
    given += "" if sites is None else f" --sites {','.join(sites)}"
    given += "" if transfer is None else f" --transfer {transfer}"
    return command_line(command, view, given)


def _sites(view: AnalysisView) -> tuple[str, ...] | None:
    """The sites of a view, that of :func:`_transfer` among them."""
    sites, transfer = _SITES[view.setting("sites")], _transfer(view)
    return sites if sites is None or transfer is None or "resid_post" in sites else (*sites, transfer)


def _transfer(view: AnalysisView) -> str | None:
    """The site whose probes are tested across steps."""
    if view.text is not None or view.setting("across") == "no":
        return None
    return f"blocks.{shared(view.model).model.cfg.n_layers - 1}.hook_resid_post"


def study_of(view: AnalysisView) -> Any:
    """Sampled graphs are what probes are fitted on; typed ones are what they read."""
    return study_probes if view.text is None else study_reading


def figures(study: ProbingStudy | ProbeReadingStudy) -> Mapping[str, go.Figure]:
    """Those of the study, by names that do not depend on the view."""
    if isinstance(study, ProbingStudy):
        across = {"transfer": study.transfers[0].figure()} if study.transfers else {}
        return {"probes": study.figure()} | across
    return study.figures()


def shown(view: AnalysisView) -> dict[str, str]:
    """Names of the figures of a view, and their code."""
    if view.text is None:
        return {"probes": "study.figure()", "transfer": "study.transfers[0].figure()"}
    names = ["reading", *(f"reading_{index}" for index in range(1, 9))]
    return {name: f'study.figures()["{name}"]' for name in names}


PROBING = Analysis(
    name="probing",
    line=line,
    intro="A linear probe a step and site, fitted on some graphs and tested on others, beside what it reads with "
    "shuffled labels, in an untrained model, and for random labels of names. Of your own graphs: what probes that were "
    "fitted on sampled graphs read in them.",
    study_of=study_of,
    settings=(TARGET, STATUS, KIND, SITES, ACROSS),
    options=options,
    at_once=1000,
    shown=shown,
    figures=figures,
)


def probing_page() -> None:
    """Draw the page."""
    analysis_page(PROBING)
