"""The Generalisation page: accuracy by graph size, ours beside the paper's, and error correction, live."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from analyses.correction import Correction, measure_correction, passes_states
from analyses.equal_budget import BUDGET, Ablation, equal_budget
from analyses.evaluate import sample_sizes
from analyses.generalisation import our_curves, paper_curves, solved_by_step, to_frame
from dashboards.cached import available, locked, operations
from interp.figures.generalisation import Curve, generalisation_figure, solved_by_step_figure
from models.loading import COMPILED, config

CHART = {"displayModeBar": False}


def generalisation_page() -> None:
    """Draw the page."""
    ours, paper, table = measured_curves()
    st.plotly_chart(
        generalisation_figure(ours, paper, BUDGET), theme=None, config=CHART, key="generalisation"
    )
    st.markdown(
        "Right of the dotted line graphs are larger than any in training. Solid: the bundled checkpoints, with "
        "95 % intervals, as their cards say they were measured; those with open circles were trained for "
        f"{BUDGET:g} minutes each, those with diamonds for as long as the legend says. Dashed: the paper's models, "
        "which are larger and were trained far longer."
    )
    st.download_button(
        "Download the table (CSV)", table.to_csv(index=False), "generalisation.csv", "text/csv"
    )
    with st.expander("Table"):
        wide = table.pivot_table(index=["source", "method"], columns="n_nodes", values="fully_solved")
        st.dataframe(wide, width="stretch")
    _ablation()
    measured = [curve.name for curve in ours]
    if measured:
        first = measured.index("discrete-corrected") if "discrete-corrected" in measured else 0
        name = st.selectbox("Solved by step, for", measured, index=first)
        st.plotly_chart(
            solved_by_step_figure(solved_by_step(name)), theme=None, config=CHART, key="solved by step"
        )
    _correction_form()


@st.cache_data(show_spinner=False)
def measured_curves() -> tuple[list[Curve], list[Curve], pd.DataFrame]:
    """Our curves, the paper's, and both as a table; the files ship with the package and do not change."""
    ours, paper = our_curves(), paper_curves()
    return ours, paper, to_frame(ours, paper)


@st.cache_data(show_spinner=False)
def ablation() -> Ablation:
    """Our models of one equal budget beside the paper's; the files ship with the package and do not change."""
    return equal_budget(paper_curves())


def _ablation() -> None:
    """Six methods at one equal budget, and whether the paper's order holds."""
    result = ablation()
    if not result.scores:
        return
    st.subheader(f"Six methods, {BUDGET:g} minutes each", anchor=False)
    st.dataframe(result.wide(), hide_index=True, width="stretch")
    st.markdown("\n".join(f"- {line}" for line in result.sentences()))
    st.caption(
        "Graphs fully solved, trained on ADD on one thread, in minutes of processor time; in brackets 95 % Wilson "
        "intervals. A pair of methods holds "
        "where the interval of the one that is better in the paper lies above the other's, is reversed where it lies "
        "below, and is open where they overlap."
    )


def _correctable() -> list[str]:
    """Models that pass a discrete state from step to step."""
    return [name for name in available() if name == COMPILED or passes_states(config(name))]


def _correction_form() -> None:
    st.subheader("Error correction, live", anchor=False)
    with st.form("correction"):
        columns = st.columns(4)
        model = columns[0].selectbox("Model", _correctable())
        n_nodes = columns[1].number_input("Nodes", 6, 128, 32)
        graphs = columns[2].number_input("Graphs", 1, 64, 16)
        share = columns[3].slider("Share of values corrupted", 0.05, 1.0, 0.1, 0.05)
        if not st.form_submit_button("Corrupt and run"):
            return
    result = correction(model, int(n_nodes), int(graphs), float(share))
    (size,) = result.sizes
    after = ", ".join(f"**{fraction:.1%}**" for fraction in size.right_after)
    st.markdown(
        f"**{size.corrupted}** values corrupted in the last state of {size.graphs} graphs. Right again after "
        f"1, 2, 3 steps: {after}; after one step, among the {size.clean_operands} whose operands were left alone: "
        f"**{size.right_after_clean[0]:.1%}**. Graphs fully solved in the end: **{size.fully_solved:.1%}** "
        f"(before: {size.fully_solved_before:.1%}). A node with a corrupted operand cannot be right at once, "
        "because a step reads its operands' current values."
    )


@st.cache_data(show_spinner="Corrupting and running ...", max_entries=32)
def correction(model: str, n_nodes: int, graphs: int, share: float) -> Correction:
    """Corrupt `share` of the known values of sampled graphs and run on; see `analyses.correction`."""
    ops = operations(model)
    with locked(model) as loaded:
        drawn = sample_sizes(loaded, [n_nodes], graphs, ops, seed=0)
        return measure_correction(loaded, drawn, share, name=model)
