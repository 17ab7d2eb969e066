"""A checkpoint of one's own, uploaded; and what every model is and which pages do not show it."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
import streamlit as st
from streamlit.navigation.page import StreamlitPage

from analyses.catalogue import every_record
from analyses.framework.record import OnLoops
from analyses.inputs import InputError
from analyses.loops.offered import offered
from dashboards import messages
from dashboards.cached import available, every_model, shared
from dashboards.folded import folded
from dashboards.opening.checkpoints import LARGEST_MB, take_checkpoint
from dashboards.own_models import AS_TEXT, grouped, kind_of


def models_section(pages: Mapping[str, StreamlitPage]) -> None:
    """Upload a checkpoint, go to its run, and a table of all models."""
    messages.markdown(
        "`config.json` and `model.safetensors` of a checkpoint, as two files or one zip, as `recurlens train` writes "
        "them. The loader checks them. They are kept until the server ends, in a temporary folder."
    )
    given = st.file_uploader(
        "A checkpoint",
        type=["zip", "json", "safetensors"],
        accept_multiple_files=True,
        max_upload_size=LARGEST_MB,
        key="open_checkpoint",
    )
    if given:
        _take([(one.name, one.getvalue()) for one in given], pages["trajectory"])
    folded(
        "All models, by kind, and the pages that do not show them",
        lambda: st.dataframe(models_frame(), hide_index=True, height="content"),
    )


def _take(files: list[tuple[str, bytes]], page: StreamlitPage) -> None:
    """Take the files, or of several zips, and what was given before one, the latest."""
    zips = [index for index, (name, _) in enumerate(files) if name.lower().endswith(".zip")]
    if zips:
        files = files[zips[-1] + 1 :] or [files[zips[-1]]]
    try:
        name = take_checkpoint(files)
    except InputError as error:
        messages.error(str(error))
        return
    cfg = shared(name).model.cfg
    messages.info(
        f"{name} is in the choice of models of every page: n_layers {cfg.n_layers}, n_heads {cfg.n_heads}, "
        f"d_model {cfg.d_model}, operations {', '.join(cfg.ops)}."
    )
    if name in available():
        st.page_link(page, label="See it run", query_params={"model": name}, icon=":material/open_in_new:")
    else:
        messages.info(f"The page Failures shows it; on the others it is not offered, because {AS_TEXT}.")


def models_frame() -> pd.DataFrame:
    """A row per model: its kind, and the pages that do not show it, with the reason."""
    names = grouped(dict.fromkeys([*every_model(), *offered()]))
    return pd.DataFrame(
        [{"model": name, "kind": kind_of(name), "not shown on": _lacks(name)} for name in names]
    )


def _lacks(name: str) -> str:
    if name in offered():
        needs: dict[str, list[str]] = {}
        for record in every_record():
            if record.page is not None and record.page.model and not isinstance(record.loop, OnLoops):
                needs.setdefault(record.loop, []).append(record.page.title)
        return "; ".join(f"{', '.join(titles)} (needs {what})" for what, titles in needs.items())
    return "" if name in available() else f"all but Failures ({AS_TEXT})"
