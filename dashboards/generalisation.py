"""The Generalisation page: accuracy by graph size, ours beside the paper's, and error correction, live."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from analyses.catalogue.evaluate import EVALUATE
from analyses.correction import Correction, measure_correction, passes_states
from analyses.equal_budget import CORRUPTION, FIT_AT, FITS, Ablation, equal_budget
from analyses.evaluate import sample_sizes
from analyses.generalisation import our_curves, paper_curves, solved_by_step, to_frame
from analyses.mini_track import MINI_SIZES, TRAINED_UP_TO, Track, paper_at, read_track
from dashboards import messages
from dashboards.analysis_page import command_line, draw_code
from dashboards.cached import available, locked, operations
from dashboards.charts import chart
from dashboards.computing import computed
from dashboards.folded import folded
from dashboards.own_models import written
from interp.figures.generalisation import Curve, generalisation_figure, solved_by_step_figure
from models.compiled_names import compiled_operations
from models.loading import config


def generalisation_page() -> None:
    """Draw the page."""
    ours, paper, table = measured_curves()
    chart(generalisation_figure(ours, paper), "generalisation")
    messages.markdown(
        "Right of the dotted line graphs are larger than any in training. Solid: the bundled checkpoints, first stages "
        "left out, with 95 % intervals, as their cards say they were measured, at the step at which most graphs of a "
        "size are solved; the legend gives the minutes of training, all stages counted in. "
        "Dashed: the paper's models, which are larger and were trained far longer."
    )
    st.download_button(
        "Download the table (CSV)", table.to_csv(index=False), "generalisation.csv", "text/csv"
    )
    wide = table.pivot_table(index=["source", "method"], columns="n_nodes", values="fully_solved")
    folded("Table", lambda: st.dataframe(wide, width="stretch"))
    _ablation()
    _miniature()
    measured = [curve.name for curve in ours]
    if measured:
        first = measured.index("discrete-corrected") if "discrete-corrected" in measured else 0
        name = st.selectbox("Solved by step, for", measured, index=first)
        chart(solved_by_step_figure(solved_by_step(name)), "solved by step")
        draw_code(_curves_code(name), "python -m analyses.generalisation --out generalisation")
    _correction_form()


def _curves_code(name: str) -> str:
    """Lines of Python that draw both figures."""
    return "\n".join(
        [
            "from analyses.generalisation import our_curves, paper_curves, solved_by_step",
            "from interp.figures.generalisation import generalisation_figure, solved_by_step_figure",
            "",
            "generalisation_figure(our_curves(), paper_curves()).show()",
            f"solved_by_step_figure(solved_by_step({name!r})).show()",
        ]
    )


@st.cache_data(show_spinner=False)
def measured_curves() -> tuple[list[Curve], list[Curve], pd.DataFrame]:
    """Our curves, the paper's, and both as a table; the files ship with the package and do not change."""
    ours, paper = our_curves(), paper_curves()
    return ours, paper, to_frame(ours, paper)


@st.cache_data(show_spinner=False)
def ablation() -> Ablation:
    """One model of each method beside the paper's; the files ship with the package and do not change."""
    return equal_budget(paper_curves())


def _ablation() -> None:
    """Six methods, which of them fit, and whether the paper's order holds for those."""
    result = ablation()
    if not result.scores:
        return
    st.subheader("Six methods", anchor=False)
    st.dataframe(result.wide(), hide_index=True, width="stretch")
    messages.bullets(result.sentences())
    messages.caption(
        "Graphs fully solved at the step at which most are, trained on ADD on one thread; minutes of processor time, "
        "in brackets 95 % Wilson intervals, and beside them what is left when runs have settled. A method fits if it "
        f"solves {FITS:.0%} of graphs of {FIT_AT} nodes, a size in its training. A pair of methods that fit holds "
        "where the interval of the one that is better in the paper lies above the other's, is reversed where it lies "
        f"below, and is open where they overlap. Row {CORRUPTION}: discrete-corrected, taught to correct by the "
        "paper's corruption, a few values in 5 % of batches, instead of random states; it is in no pair."
    )


@st.cache_data(show_spinner=False)
def miniature() -> tuple[Track, list[str]]:
    """The bundled results of the miniature track, and a sentence for each of its sizes that the table shows."""
    track, paper = read_track(), paper_curves()
    return track, [track.sentence(n_nodes, paper_at(n_nodes, paper)) for n_nodes in MINI_SIZES]


def _miniature() -> None:
    """The same six methods on the small task, three seeds each."""
    track, sentences = miniature()
    st.subheader("The miniature track, three seeds each", anchor=False)
    messages.markdown(
        "Modulus 7, two operands, 64 variables, 0.14 million weights, trained on at most "
        f"{TRAINED_UP_TO} nodes for 6 minutes: an evening repeats it (`recurlens train --preset mini`). Bars go from "
        "the lowest seed to the highest. The paper's curves (dashed) stand at the same multiple of the largest "
        "training size."
    )
    chart(track.figure(paper_curves()), "miniature track")
    st.dataframe(track.wide(MINI_SIZES), hide_index=True, width="stretch")
    messages.bullets(sentences)


def _correctable() -> list[str]:
    """Models that pass a discrete state from step to step."""
    return [
        name for name in available() if compiled_operations(name) is not None or passes_states(config(name))
    ]


def _correction_form() -> None:
    st.subheader("Error correction, live", anchor=False)
    with st.form("correction"):
        columns = st.columns(4)
        model = columns[0].selectbox("Model", _correctable())
        n_nodes = columns[1].number_input("Nodes", 6, 128, 32)
        graphs = columns[2].number_input("Graphs", 1, 64, 16)
        share = columns[3].slider("Share of values corrupted", 0.05, 1.0, 0.1, 0.05)
        submitted = st.form_submit_button("Corrupt and run")
    wanted = (model, int(n_nodes), int(graphs), float(share))
    if submitted:
        st.session_state["correction wanted"] = wanted
    elif st.session_state.get("correction wanted") != wanted:
        return
    result = computed(
        "correction",
        ("correction", *wanted),
        lambda progress: correction(*wanted),
        f"corrupting and running {wanted[2]} graphs of {wanted[1]} nodes",
        asked=submitted,
    )
    if result is None:
        return
    (size,) = result.sizes
    after = ", ".join(f"**{fraction:.1%}**" for fraction in size.right_after)
    messages.markdown(
        f"**{size.corrupted}** values corrupted in the last state of {size.graphs} graphs. Right again after "
        f"1, 2, 3 steps: {after}; after one step, among the {size.clean_operands} whose operands were left alone: "
        f"**{size.right_after_clean[0]:.1%}**. Graphs fully solved in the end: **{size.fully_solved:.1%}** "
        f"(before: {size.fully_solved_before:.1%}). A node with a corrupted operand cannot be right at once, "
        "because a step reads its operands' current values."
    )
    draw_code(*_correction_code(*wanted), title="View the code that measured the correction")


def _correction_code(model: str, n_nodes: int, graphs: int, share: float) -> tuple[str, str]:
    """Lines of Python that measure the correction, and the command."""
    code = [
        "from analyses.correction import measure_correction",
        "from analyses.evaluate import sample_sizes",
        "from analyses.inputs import load_model",
        "",
        f"model = load_model({written(model)!r})",
        f"graphs = sample_sizes(model, [{n_nodes}], {graphs}, model.vocabulary.ops, seed=0)",
        f"print(measure_correction(model, graphs, {share!r}, name={model!r}))",
    ]
    options = {"corrupt": share}
    sampled = f"--sizes {n_nodes} --graphs {graphs} --seed 0 --ops {','.join(operations(model))}"
    return "\n".join(code), command_line(EVALUATE, model, options, sampled)


@st.cache_data(show_spinner=False, max_entries=32)
def correction(model: str, n_nodes: int, graphs: int, share: float) -> Correction:
    """Corrupt `share` of the known values of sampled graphs and run on; see `analyses.correction`."""
    with locked(model) as loaded:
        drawn = sample_sizes(loaded, [n_nodes], graphs, loaded.vocabulary.ops, seed=0)
        return measure_correction(loaded, drawn, share, name=model)
