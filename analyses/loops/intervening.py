"""What is changed in a looped model as it runs, and what comes of it: patches, estimates of them, ablation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from analyses.inputs import InputError
from analyses.loops.inputs import LoopPair, Wanted, pair_of, tokens_of
from analyses.loops.metrics import chosen_positions, loop_metric
from analyses.loops.opening import Opened
from analyses.loops.study import LoopStudy
from interp.loop.protocol import parts_of
from models.bounds import index_of
from models.graph_errors import clip

if TYPE_CHECKING:
    from interp.causal.loop_metrics import Metric

TOGETHER = "together"


def study_patches(
    model: Opened,
    wanted: Wanted,
    n_steps: int | None = None,
    sites: Sequence[str] | None = None,
    step: str = "all",
    pos: str = "all",
    metric: str = "logit_diff",
    factor: str | None = None,
    read: Sequence[str] | None = None,
) -> LoopStudy:
    """What a clean activation restores in the corrupt run: at every site, step and position.

    sites: sites, kinds of them, addresses or states; default: what enters the layers, or the state. step: "all",
    "0,2" or "0:4". pos: "all" by themselves, or "together". read: positions that the metric reads.

    Raises:
        InputError: what cannot be used; runs that end alike.
    """
    from interp import loop_patch_sweep

    pair = pair_of(model, wanted, n_steps)
    measure = _metric(pair, metric, factor, read)
    names = sites_named(model, pair.clean, sites)
    count = pair.runs[0].n_steps
    steps = _steps(step, count)
    with model.running("patching"):
        sweep = loop_patch_sweep(
            model.loop, pair.clean, pair.corrupt, names, measure, count, steps,
            pos="all" if _together(pos) else "each",
        )  # fmt: skip
    frame = sweep.to_frame()
    figure = _sweep_figure(model, pair, frame, "What a clean activation restores", count)
    summary = frame.groupby(["site", "call", "step"], sort=False)["effect"].agg(["max", "min"]).reset_index()
    return LoopStudy(
        model.name, f"{model.title}: patches, effects over positions", frame, summary,
        _said_of_patches(frame, pair), {"effect": figure},
        {"metric": metric, "clean": float(sweep.clean.mean()), "corrupt": float(sweep.corrupt.mean())},
    )  # fmt: skip


def study_attribution(
    model: Opened,
    wanted: Wanted,
    n_steps: int | None = None,
    sites: Sequence[str] | None = None,
    metric: str = "logit_diff",
    factor: str | None = None,
    edges: bool = False,
) -> LoopStudy:
    """All patches of a sweep estimated by one gradient, beside the patches themselves.

    edges: what sites give each other instead (`analyses.loops.edges`).
    """
    import numpy as np

    from interp import loop_attribution, loop_patch_sweep
    from interp.figures.loop_panels import loop_panels_figure

    pair = pair_of(model, wanted, n_steps)
    if metric == "accuracy":
        raise InputError(
            "--metric is 'accuracy': it has no gradient; it must be logit_diff, prob, or FILE.py:FUNCTION."
        )
    measure = _metric(pair, metric, factor, None)
    if edges:
        from analyses.loops.edges import study_edges

        return study_edges(model, pair, measure, metric, sites)
    names = [name for name in sites_named(model, pair.clean, sites) if _is_float(model, pair, name)]
    if not names:
        raise InputError(
            "Attribution needs activations that are floats, and the state of this loop is none: give --sites."
        )
    count = pair.runs[0].n_steps
    with model.running("attribution"):
        estimated = loop_attribution(model.loop, pair.clean, pair.corrupt, names, measure, count, pos="each")
        exact = loop_patch_sweep(model.loop, pair.clean, pair.corrupt, names, measure, count, pos="each")
    cells = {cell: index for index, cell in enumerate(exact.cells)}
    order = [cells[cell] for cell in estimated.cells]
    frame: Any = estimated.to_frame().rename(columns={"effect": "estimate"}).drop(columns="patched")
    frame["effect"] = exact.effect.mean(1).numpy()[order]
    one, other = frame["estimate"].to_numpy(), frame["effect"].to_numpy()
    apart = one.std() > 0 and other.std() > 0
    agreement = float(np.corrcoef(one, other)[0, 1]) if apart else float("nan")
    tokens = _tokens(model, pair)
    panels = {}
    for (site, call), part in frame.groupby(["site", "call"], sort=False):
        title = _titled(frame, site, call)
        for name in ("estimate", "effect"):
            panels[f"{title}: {'exact' if name == 'effect' else name}"] = _grid(
                part, name, count, len(tokens)
            )
    figure = loop_panels_figure(
        panels, tokens, "Patches, estimated by gradients and exact",
        "1 restores the clean run, 0 does nothing; a panel is a site.", "effect",
    )  # fmt: skip
    said = (
        f"{len(frame)} patches: estimate and exact effect correlate by {agreement:.3f}."
        if apart
        else f"{len(frame)} patches: all {'estimates' if one.std() == 0 else 'effects'} are the same, there is nothing "
        "to correlate (through rounding or snapping there is no gradient)."
    )
    summary = frame.groupby(["site", "call", "step"], sort=False)[["estimate", "effect"]].max().reset_index()
    return LoopStudy(
        model.name, f"{model.title}: attribution, maxima over positions", frame, summary, said, {"attribution": figure},
        {"metric": metric, "correlation": agreement if apart else None},
    )  # fmt: skip


def study_cross_step(
    model: Opened,
    wanted: Wanted,
    n_steps: int | None = None,
    site: str | None = None,
    metric: str = "logit_diff",
    factor: str | None = None,
) -> LoopStudy:
    """What an activation of one step does in another, for all pairs of steps and every call of the site."""
    from interp import loop_cross_step
    from interp.figures.loop_panels import loop_panels_figure

    pair = pair_of(model, wanted, n_steps)
    measure = _metric(pair, metric, factor, None)
    name = sites_named(model, pair.clean, None if site is None else [site])[0]
    count = pair.runs[0].n_steps
    with model.running("cross-step patching"):
        found = [loop_cross_step(model.loop, pair.clean, pair.corrupt, name, measure, count)]
        calls = 1 if name.startswith("state") else _calls(model, pair, name)
        found += [
            loop_cross_step(model.loop, pair.clean, pair.corrupt, name, measure, count, call)
            for call in range(1, calls)
        ]
    import pandas as pd

    frame: Any = pd.concat([one.to_frame().assign(call=one.call) for one in found], ignore_index=True)
    panels = {name if calls == 1 else f"{name} {one.call}": one.effect.mean(-1).numpy() for one in found}
    figure = loop_panels_figure(
        panels, [str(step) for step in range(count)], "What a step's activation does in another step",
        "Row: the step of the clean run that it is taken from. Column: the step of the corrupt run that gets it.",
        "effect", row_title="from step", column_title="into step",
    )  # fmt: skip
    apart: Any = frame.assign(steps_later=frame["target"] - frame["source"])
    summary = apart.groupby(["call", "steps_later"])["effect"].agg(["mean", "max", "min"]).reset_index()
    same, others = (apart.loc[(apart["steps_later"] == 0) == own, "effect"].max() for own in (True, False))
    said = f"{name}: in its own step an activation restores {same:.2f} at most (1: the clean run)"
    said += f", in another {others:.2f}." if count > 1 else "; there is one step."
    return LoopStudy(
        model.name,
        f"{model.title}: {name} across steps",
        frame,
        summary,
        said,
        {"cross_step": figure},
        {"site": name, "metric": metric},
    )


def sites_named(model: Opened, inputs: Any, names: Sequence[str] | None) -> list[str]:
    """Sites of the loop: a kind (`mlp_out`) stands for all of its sites, `state` for all parts of the state.

    names: None: what enters the layers, where the loop says, else the state.
    """
    from interp.loop.protocol import STATE

    there = getattr(model.loop, "sites", None) or {}
    kinds: dict[str, list[str]] = {}
    for name in there:
        kinds.setdefault(name.rsplit(".", 1)[-1], []).append(name)
    with model.running("beginning a run"):
        parts = [*parts_of(model.loop.begin(inputs)[0])]
    if names is None:
        return kinds.get("resid_pre", parts)
    found: list[str] = []
    for name in names:
        if name == STATE:
            found += parts
        elif name.partition(".")[0] == STATE and name not in parts:
            raise InputError(f"There is no {clip(name)!r}: the state of this loop has {', '.join(parts)}.")
        else:
            found += [name] if name in there else kinds.get(name, [name])
    return [*dict.fromkeys(found)]


def _metric(pair: LoopPair, name: str, factor: str | None, read: Sequence[str] | None) -> Metric:
    indices = [index_of(one) for one in read or ()]
    if None in indices:
        raise InputError(
            f"--read is {','.join(read or ())!r}: of a looped model it names positions, such as 4,6."
        )
    where = chosen_positions(pair.differs, factor, [index for index in indices if index is not None])
    measure = loop_metric(name, *pair.symbols, where)
    ends = [measure({factor: logits[-1] for factor, logits in run.logits.items()}) for run in pair.runs]
    if bool((ends[0] == ends[1]).any()):
        raise InputError(
            f"--metric {clip(name)} is {float(ends[0][0]):.4g} of the clean and of the corrupt run: there is no "
            "effect to measure."
        )
    return measure


def _steps(text: str, count: int) -> list[int]:
    from analyses.catalogue.patching import numbers

    chosen = numbers(text, "--step", ("all",))
    if chosen == "all":
        return [*range(count)]
    beyond = [step for step in chosen if step >= count]
    if beyond:
        raise InputError(f"--step has {beyond[0]}: this run has steps 0 to {count - 1}.")
    return [*chosen]


def _together(pos: str) -> bool:
    if pos not in ("all", TOGETHER):
        raise InputError(
            f"--pos is {clip(pos)!r}: of a looped model it must be all (each by itself) or {TOGETHER}."
        )
    return pos == TOGETHER


def _is_float(model: Opened, pair: LoopPair, name: str) -> bool:
    return name not in pair.runs[0].states or pair.runs[0].states[name].is_floating_point()


def _calls(model: Opened, pair: LoopPair, name: str) -> int:
    from interp.loop.running import run_loop

    run = run_loop(model.loop, pair.clean, pair.runs[0].n_steps, record=[name], read=False)
    return run.calls[name].shape[1]


def _tokens(model: Opened, pair: LoopPair) -> list[str]:
    state = next(iter(pair.runs[0].states.values()))
    shape = (state.shape[1], state.shape[2] if state.ndim > 2 else 1)
    row = tokens_of(model, pair.clean, shape)[0][: shape[1]]
    return row + [""] * (shape[1] - len(row))


def _titled(frame: Any, site: str, call: int) -> str:
    return f"{site} {call}" if frame.loc[frame["site"] == site, "call"].nunique() > 1 else site


def _grid(part: Any, column: str, count: int, n_pos: int) -> Any:
    """[step, pos] of one site and call, nan where there was no patch."""
    import numpy as np

    grid = np.full((count, max(n_pos, int(part["pos"].max()) + 1)), np.nan)
    grid[part["step"], part["pos"]] = part[column]
    return grid


def _sweep_figure(model: Opened, pair: LoopPair, frame: Any, title: str, count: int) -> Any:
    import numpy as np

    from interp.figures.loop_panels import loop_panels_figure

    together = bool((frame["pos"] < 0).all())
    tokens = ["all"] if together else _tokens(model, pair)
    panels = {}
    for (site, call), part in frame.groupby(["site", "call"], sort=False):
        panels[_titled(frame, site, call)] = _grid(
            part.assign(pos=0) if together else part, "effect", count, len(tokens)
        )
    widest = max(panel.shape[1] for panel in panels.values())
    panels = {
        name: np.pad(panel, ((0, 0), (0, widest - panel.shape[1])), constant_values=np.nan)
        for name, panel in panels.items()
    }
    return loop_panels_figure(
        panels, tokens + [""] * (widest - len(tokens)), title,
        "1 restores the clean run, 0 does nothing; a panel is a site (and its call).", "effect",
    )  # fmt: skip


def _said_of_patches(frame: Any, pair: LoopPair) -> str:
    best = frame.loc[frame["effect"].abs().idxmax()]
    n = sum(int(at.sum()) for at in pair.differs.values())
    where = "all positions" if best["pos"] < 0 else f"position {best['pos']}"
    big = int((frame["effect"].abs() >= 0.5).sum())
    ends = f"{n} {'symbol ends' if n == 1 else 'symbols end'} otherwise once the input is corrupted."
    if not pair.shown:
        (factor, where_most), *_ = pair.differs.items()
        ends = (
            f"No symbol ends otherwise once the input is corrupted: measured is {factor} at position "
            f"{int(where_most[0].nonzero()[0])}, the symbols that move apart most."
        )
    return (
        f"{ends} Of {len(frame)} patches {big} have an effect of 0.5 "
        f"or more; the strongest, {best['effect']:.2f}, is that of {best['site']} at step {best['step']}, {where}."
    )
