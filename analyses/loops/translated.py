"""The tuned lens of a looped model beside the plain one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from analyses.loops.opening import Opened

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go


def tuned_lens(
    model: Opened, inputs: Any, n_steps: int | None, factor: str, kl_steps: int, seed: int
) -> tuple[go.Figure, pd.DataFrame, str]:
    """Figure, table and a sentence; of the positions that answer, where the task says which."""
    from interp import fit_tuned_lens
    from interp.figures.loop_panels import loop_panels_figure

    answers = getattr(model.task, "answers", None)
    with model.running("tuned lens"):
        lens = fit_tuned_lens(
            model.loop, inputs, n_steps, factor, where=None if answers is None else answers(inputs), kl_steps=kl_steps,
            seed=seed,
        )  # fmt: skip
    calls = dict(lens.points)
    names = [f"{site} {call}" if calls[site] else site for site, call in lens.points]
    figure = loop_panels_figure(
        {"plain": lens.kl_plain.numpy(), "tuned": lens.kl.numpy()},
        names,
        f"{factor}: how far is the lens from what the step shows?",
        f"KL(the step's readout || lens) in nats, on {len(lens.held_out)} inputs that translators were not fitted on.",
        "nats", column_title="point",
    )  # fmt: skip
    tuned, plain = float(lens.kl.mean()), float(lens.kl_plain.mean())
    said = f" A tuned lens is {tuned:.3g} nats away where the plain one is {plain:.3g}"
    return figure, lens.to_frame(), f"{said} ({len(lens.held_out)} held-out inputs)."
