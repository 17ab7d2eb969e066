"""How far a change of a looped model's state spreads, and when it heals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from analyses.loops.inputs import tokens_of
from analyses.loops.opening import Opened
from interp.loop.protocol import LoopedError

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go


def cones(
    model: Opened, inputs: Any, n_steps: int | None, edits: int, seed: int
) -> tuple[go.Figure, pd.DataFrame, str]:
    """States set to zero at a position of a step, drawn at random: figure (first input), table and a sentence.

    Columns: ``step`` and ``pos`` of the edit, ``moved``: positions of all inputs whose state ever differs, ``reached``:
    of those that attention leads to, the share, ``outside``: differences where it does not, ``heal_step``.
    """
    import numpy as np
    import pandas as pd

    from interp import damage_cones
    from interp.figures.loop_panels import loop_panels_figure
    from interp.loop.protocol import parts_of, steps_of

    with model.running("cones"):
        count = steps_of(model.loop, inputs, n_steps, "cones")
        parts = {name: part for name, part in parts_of(model.loop.begin(inputs)[0]).items() if part.ndim > 2}
        if not parts:
            raise LoopedError("cones need a state [batch, pos, ...]; this loop has none")
        state, part = next(iter(parts.items()))
        n_pos = part.shape[1]
        generator = np.random.default_rng(seed)
        lines: list[dict[str, Any]] = []
        panels: dict[str, Any] = {}
        for cell in sorted(
            generator.choice(count * n_pos, min(edits, count * n_pos), replace=False).tolist()
        ):
            step, pos = divmod(cell, n_pos)
            cone = damage_cones(model.loop, inputs, step, pos, n_steps=count, state=state)
            lines.append({"step": step, "pos": pos, "moved": int(cone.does.any(0).sum())})
            lines[-1] |= {"reached": cone.reached, "outside": cone.outside, "heal_step": cone.heal_step}
            panel = np.full((count + 1, n_pos), np.nan)
            panel[step:] = cone.moved[:, 0].numpy()
            panels[f"step {step}, position {pos}"] = panel
    tokens = tokens_of(model, inputs, (part.shape[0], n_pos))[0][:n_pos]
    figure = loop_panels_figure(
        panels, tokens + [""] * (n_pos - len(tokens)), "How far a change of the state spreads",
        "Length of the difference from the run without, by state and position; a panel is a state set to zero there.",
        "difference", row_title="state",
    )  # fmt: skip
    healed = sum(line["heal_step"] is not None for line in lines)
    frame: Any = pd.DataFrame(lines)
    frame["heal_step"] = frame["heal_step"].astype("Int64")
    return (
        figure,
        frame,
        f"Of {len(lines)} states set to zero at a position {healed} heal before the run ends.",
    )
