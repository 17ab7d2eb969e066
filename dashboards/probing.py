"""What the choices of the Probing page mean: sampled graphs are probed, typed ones are read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import plotly.graph_objects as go

from analyses.catalogue.probe_reading import PROBE_READING
from analyses.catalogue.probing import PROBING as RECORD
from analyses.probe_reading import ProbeReadingStudy, study_reading
from analyses.probing import ProbingStudy, study_probes
from dashboards.analysis_page import command_line, graphs_of, page_of
from dashboards.cached import shared
from dashboards.graph_view import AnalysisView

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
    record = RECORD if view.text is None else PROBE_READING
    return command_line(record, view.model, options(view), graphs_of(record, view))


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


PROBING = page_of(RECORD, line=line, study_of=study_of, options=options, figures=figures, shown=shown)
