"""How a model does it, one part at a time, each with its control: `python -m analyses.mechanism --help`.

The parts are those of `recurlens report` (`analyses.reporting.mechanism`), for graphs of one's own and without the
claims table: `heads`, `subspaces`, `composition`, `changes`, `fourier`, `ablation`. The control is an untrained model
of the same shape, beside the random subspaces, rotations, relabellings and neurons that the figures hold themselves.
`--out` receives `mechanism.csv`, `.parquet`, `.json`, `.html`, `.png`, further figures as `mechanism_NAME.html`, and
`config.yaml`, from which `--config` repeats the run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from analyses.inputs import InputError, bad_input, load_model
from analyses.studies import records
from analyses.tables import table_of_fields
from interp.statistics.counted import counted
from models.one_line import one_line

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go
    from rich.table import Table

    from models.graph import ComputationGraph
    from models.recurrent import RecurrentTransformer

PARTS: Final = ("heads", "subspaces", "composition", "changes", "fourier", "ablation")
WITH_GRAPHS: Final = ("heads", "changes")
"""Parts that are measured on graphs; the others look at weights, or at all tuples of operands."""
VARIATIONS: Final = 8
"""Of one thing of an equation, at most."""


@one_line
@dataclass(frozen=True, eq=False)
class MechanismStudy:
    """One part of the study of `model` (its name).

    Attributes:
        part: one of :data:`PARTS`. sentence: what was found. frame: the whole table, with a column `trained` that is
        False in the control's rows where there are any. summary: a few columns of it. charts: by name.
    """

    model: str
    part: str
    sentence: str
    frame: pd.DataFrame
    summary: pd.DataFrame
    charts: Mapping[str, go.Figure]

    def to_frame(self) -> pd.DataFrame:
        """The whole table."""
        return self.frame

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "model": self.model,
            "part": self.part,
            "verdict": self.verdict(),
            "rows": records(self.frame),
        }

    def table(self) -> Table:
        """A rich table of the summary."""
        rows = [
            {str(name): f"{cell:.3f}" if isinstance(cell, float) else cell for name, cell in row.items()}
            for row in self.summary.to_dict("records")
        ]
        return table_of_fields(f"{self.model}: {self.part}", rows, list(map(str, self.summary.columns)))

    def verdict(self) -> str:
        """What was found, beside the control."""
        return f"{self.model}: {self.sentence}"

    def figure(self) -> go.Figure:
        """The first one; where there is none, an empty one whose title says why."""
        from interp.figures.template import make_figure, title_of

        none = make_figure([], {"title": title_of(f"{self.model}: {self.part}", self.sentence)})
        return next(iter(self.charts.values()), none)

    def figures(self) -> Mapping[str, go.Figure]:
        """All by name."""
        return self.charts


def study_mechanism(
    graphs: Sequence[ComputationGraph],
    model: str = "compiled",
    part: str = "heads",
    operation: str | None = None,
    seed: int = 0,
) -> MechanismStudy:
    """Measure one part.

    graphs: what heads and changes are measured on; the other parts need none. operation: of the Fourier parts; default
    the model's first that has characters.

    Raises:
        InputError: a part, operation, model or graphs that cannot be used, or a model that has nothing for this part.
    """
    from analyses.reporting.parts import (
        NotApplicableError,
        check_operations,
        need_levels,
        need_states,
        need_steps,
    )
    from interp.fourier_analysis.characters import with_characters

    if part not in PARTS:
        raise InputError(f"There is no part {part!r}: use one of {', '.join(PARTS)}.")
    if part in WITH_GRAPHS and not graphs:
        raise InputError(f"There are no graphs, and {part} are measured on some.")
    loaded = load_model(model)
    known = loaded.vocabulary.ops
    (operation,) = check_operations(loaded, (operation or next(iter(with_characters(known)), known[0]),))
    needed = {"heads": need_levels, "fourier": need_states, "ablation": need_states, "changes": need_steps}
    with bad_input(NotApplicableError):
        if part in needed:
            needed[part](loaded)
        return MechanismStudy(model, part, *_MAKERS[part](loaded, graphs, operation, seed))


_Found = tuple[str, "pd.DataFrame", "pd.DataFrame", dict[str, "go.Figure"]]


def _heads(
    model: RecurrentTransformer, graphs: Sequence[ComputationGraph], operation: str, seed: int
) -> _Found:
    from interp.mechanism.heads import head_roles
    from interp.progress import phase

    with phase(0.0, len(graphs) / (len(graphs) + 1)):
        found = head_roles(model, graphs, VARIATIONS, seed)
    with phase(len(graphs) / (len(graphs) + 1), 1.0):
        other = head_roles(model.untrained(seed + 1), graphs[:1], VARIATIONS, seed)
    kinds = {one: [role.kind for role in result.heads] for one, result in (("own", found), ("other", other))}
    named = {one: sum(kind in ("lookup", "offset") for kind in own) for one, own in kinds.items()}
    counts = {kind: kinds["own"].count(kind) for kind in dict.fromkeys(kinds["own"])}
    listed = _listed([f"{count} are {kind}" for kind, count in counts.items()])
    sentence = (
        f"of {len(found.heads)} heads {listed}. So {named['own']} are lookup heads (they look at an operand's "
        "right-hand side) or offset heads (at a fixed distance); in the control, a model with untrained weights, "
        f"{named['other']} are. Clustering finds {counted(len(found.groups.groups), 'group')}, stability "
        f"{found.groups.stability:.2f} (0 is chance)."
    )
    if model.cfg.born_distances:
        sentence += (
            " How far back each first-layer head looks was set before training, not learnt: head j starts with a "
            f"bias of {model.cfg.born_distances:g} at distance j. The control starts with the same bias."
        )
    frame = _both(found.to_frame(), other.to_frame())
    summary = frame.loc[frame["trained"], ["layer", "head", "kind", "roles", "offset", "mass", "group"]]
    return sentence, frame, summary, {"heads": found.figure(), "heads_untrained": _untrained(other.figure())}


def _subspaces(
    model: RecurrentTransformer, graphs: Sequence[ComputationGraph], operation: str, seed: int
) -> _Found:
    from interp.mechanism.subspaces import factor_subspaces

    found, other = factor_subspaces(model, seed), factor_subspaces(model.untrained(seed + 1), seed)
    frame = _both(found.to_frame(), other.to_frame())
    same = frame[(frame["source"] == frame["target"]) & (frame["source"] != "everything")]
    largest: Any = same.groupby(["circuit", "trained"])["norm_ratio"].max()
    sentence = "largest operator norm from a factor to the same factor, over random subspaces: " + "; ".join(
        f"{circuit} {largest[circuit, True]:.1f} times (untrained {largest[circuit, False]:.1f})"
        for circuit in ("OV", "QK")
    )
    figures = {
        "ov": found.figure("OV"),
        "ov_untrained": _untrained(other.figure("OV")),
        "qk": found.figure("QK"),
        "overlap": found.overlap_figure(),
    }
    return f"{sentence}.", frame, found.overlap_frame(), figures


def _composition(
    model: RecurrentTransformer, graphs: Sequence[ComputationGraph], operation: str, seed: int
) -> _Found:
    from interp.mechanism.composition import head_composition

    if model.cfg.n_layers < 2:
        raise InputError("A model of one layer has no later heads that earlier ones could feed.")
    found, other = head_composition(model, seed), head_composition(model.untrained(seed + 1), seed)
    frame = _both(found.to_frame(), other.to_frame())
    ratio = frame["score"] / frame["chance"]
    strongest = {own: ratio[frame["trained"] == own].max() for own in (True, False)}
    sentence = (
        f"the strongest pair of heads composes {strongest[True]:.1f} times as much as with a random rotation between "
        f"them (untrained {strongest[False]:.1f} times)."
    )
    top = frame[frame["trained"]].assign(ratio=ratio).nlargest(12, "ratio").drop(columns="trained")
    figures = {"composition": found.figure(), "composition_untrained": _untrained(other.figure())}
    return sentence, frame, top, figures


def _changes(
    model: RecurrentTransformer, graphs: Sequence[ComputationGraph], operation: str, seed: int
) -> _Found:
    from interp.mechanism.block_change import block_changes

    found = block_changes(model, graphs)
    other = block_changes(model.untrained(seed + 1), graphs, found.n_steps)
    frame = _both(*(one.to_frame().astype({"step": str}) for one in (found, other)))
    mine, theirs = (one.of("computing").mean(0) for one in (found, other))
    sentence = "mean relative change at nodes being computed: " + "; ".join(
        f"layer {layer} attention {mine[layer, 0]:.0%}, MLP {mine[layer, 1]:.0%} (untrained {theirs[layer, 0]:.0%}, "
        f"{theirs[layer, 1]:.0%})"
        for layer in range(len(mine))
    )
    figures = {"changes": found.figure(), "changes_untrained": _untrained(other.figure())}
    overall = frame.query("step == 'all'").drop(columns="step")
    return f"{sentence}.", frame, overall, figures


def _fourier(
    model: RecurrentTransformer, graphs: Sequence[ComputationGraph], operation: str, seed: int
) -> _Found:
    from interp.fourier_analysis.fourier import fourier
    from interp.fourier_analysis.fourier_figure import cells_figure, neurons_figure

    found = fourier(model, operation, 2, seed=seed)
    layer, frame = found.main_layer, found.to_frame()
    figures = {
        "fourier": found.figure(),
        "cells": cells_figure(found.site(f"blocks.{layer}.hook_mlp_out")),
        "neurons": neurons_figure(found.neurons(layer)),
    }
    columns = ["trained", "site", "accuracy", "energy", "diagonal_share", "single_frequency_share", "gini"]
    summary = frame.filter(columns)
    return f"over pairs of operands of {operation}, {found.verdict()}.", frame, summary, figures


def _ablation(
    model: RecurrentTransformer, graphs: Sequence[ComputationGraph], operation: str, seed: int
) -> _Found:
    import pandas as pd

    from interp.fourier_analysis.fourier import fourier
    from interp.fourier_analysis.frequency_ablation import ablate_frequencies
    from interp.fourier_analysis.neuron_rerun import neuron_run
    from interp.fourier_analysis.operand_tuples import operand_grid
    from interp.fourier_analysis.own_frequency import own_frequency
    from interp.fourier_analysis.phases import phase_sum
    from interp.fourier_analysis.tuning_curve import tuning_curve

    spectra = fourier(model, operation, 2, ("mlp_post", "mlp_out"), control=False, draws=0, seed=seed)
    grid = operand_grid(model, operation, 2, seed=seed)
    frames: list[pd.DataFrame] = []
    sentences: list[str] = []
    figures: dict[str, go.Figure] = {}
    for layer in spectra.layers_that_matter:
        run = neuron_run(model, grid, layer)
        own, phases, curve = (
            own_frequency(run, seed=seed),
            phase_sum(model, grid, layer, seed=seed),
            tuning_curve(run),
        )
        groups = ablate_frequencies(run, seed=seed)
        sentences += [own.verdict(), phases.verdict(), curve.verdict()]
        found = {"own": own, "phases": phases, "curve": curve}
        for name, one in (found | ({"ablation": groups} if groups.groups else {})).items():
            frames.append(one.to_frame().assign(layer=layer, test=name))
            figures[f"{name}_{layer}"] = one.figure()
    frame = pd.concat(frames, ignore_index=True)
    columns = ["layer", "part", "whose", "draw", "accuracy", "energy_share"]
    return "; ".join(sentences) + ".", frame, frame.query("test == 'own'").filter(columns), figures


def _listed(parts: Sequence[str]) -> str:
    """``a, b and c``."""
    return " and ".join(filter(None, (", ".join(parts[:-1]), parts[-1])))


def _both(own: pd.DataFrame, untrained: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    return pd.concat([own.assign(trained=True), untrained.assign(trained=False)], ignore_index=True)


def _untrained(figure: go.Figure) -> go.Figure:
    drawn: Any = figure
    return drawn.update_layout(title={"text": f"Control, untrained weights. {drawn.layout.title.text}"})


_MAKERS: Final[Mapping[str, Callable[..., _Found]]] = {
    "heads": _heads,
    "subspaces": _subspaces,
    "composition": _composition,
    "changes": _changes,
    "fourier": _fourier,
    "ablation": _ablation,
}


if __name__ == "__main__":
    from analyses.framework.command import run_named

    run_named("mechanism")
