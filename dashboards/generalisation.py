"""The Generalisation page: accuracy by graph size, ours beside the paper's, and error correction, live."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from analyses.correction import Correction, measure_correction
from analyses.evaluate import sample_sizes
from analyses.generalisation import our_curves, paper_curves, solved_by_step, to_frame
from dashboards.cached import available, locked, operations
from interp.figures.generalisation import Curve, generalisation_figure, solved_by_step_figure

CHART = {"displayModeBar": False}


def generalisation_page() -> None:
    """Draw the page."""
    ours, paper, table = measured_curves()
    st.plotly_chart(generalisation_figure(ours, paper), theme=None, config=CHART, key="generalisation")
    st.markdown(
        "Right of the dotted line graphs are larger than any in training. Solid: the bundled checkpoints, with "
        "95 % intervals, as their cards say they were measured. Dashed: the paper's models, which are larger and "
        "were trained far longer."
    )
    st.download_button(
        "Download the table (CSV)", table.to_csv(index=False), "generalisation.csv", "text/csv"
    )
    with st.expander("Table"):
        wide = table.pivot_table(index=["source", "method"], columns="n_nodes", values="fully_solved")
        st.dataframe(wide, width="stretch")
    measured = [curve.name for curve in ours]
    if measured:
        name = st.selectbox("Solved by step, for", measured)
        st.plotly_chart(
            solved_by_step_figure(solved_by_step(name)), theme=None, config=CHART, key="solved by step"
        )
    _correction_form()


@st.cache_data(show_spinner=False)
def measured_curves() -> tuple[list[Curve], list[Curve], pd.DataFrame]:
    """Our curves, the paper's, and both as a table; the files ship with the package and do not change."""
    ours, paper = our_curves(), paper_curves()
    return ours, paper, to_frame(ours, paper)


def _correction_form() -> None:
    st.subheader("Error correction, live", anchor=False)
    with st.form("correction"):
        columns = st.columns(4)
        model = columns[0].selectbox("Model", available())
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
