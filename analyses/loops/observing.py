"""What is read from the runs of a looped model: readings on the way, motion, attention, codes, labels."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from analyses.inputs import InputError
from analyses.loops.cones import cones
from analyses.loops.inputs import Wanted, inputs_of, tokens_of
from analyses.loops.opening import Opened
from analyses.loops.running import check_row, symbols_of
from analyses.loops.study import LoopStudy
from analyses.loops.translated import tuned_lens
from interp.loop.protocol import LoopedError

if TYPE_CHECKING:
    from interp.codebook.codes import CodeUsage
    from interp.mechanism.loop_attention import LoopAttention

SHARES: Final = ("own", "previous", "duplicate", "induction")
MOST_SYMBOLS: Final = 64
"""Symbols of a factor up to which those are shown, too, that are never used."""


def study_lens(
    model: Opened,
    wanted: Wanted,
    n_steps: int | None = None,
    factor: str | None = None,
    row: int = 0,
    tuned: bool = False,
    kl_steps: int = 0,
    seed: int = 0,
) -> LoopStudy:
    """Every residual stream of every step, read as the loop reads its last state.

    factor: default: the one whose symbols change most. tuned: also a tuned lens, fitted on three quarters of the inputs
    (kl_steps, seed: of the fit) and read on the others.
    """
    import numpy as np

    from interp import loop_lens
    from interp.figures.loop_panels import loop_panels_figure

    inputs = inputs_of(model, wanted)
    chosen = factor or _liveliest(model, inputs, n_steps, "a lens")
    with model.running("lens"):
        lens = loop_lens(model.loop, inputs, n_steps, factor=chosen)
    tokens = tokens_of(model, inputs, (lens.target.shape[0], lens.target.shape[1]))
    check_row(row, len(tokens))
    n_pos = min(len(tokens[row]), lens.target.shape[1])
    frame, summary = lens.to_frame(), lens.summary()
    calls = dict(lens.points)
    panels = {
        f"{site} {call}" if calls[site] else site: lens.log_prob[:, index, row, :n_pos].exp().numpy()
        for index, (site, call) in enumerate(lens.points)
    }
    last = summary[summary["step"] == summary["step"].max()]
    early = next((line for line in summary.to_dict("records") if line["best"] >= 0.9), None)
    said = f"What the last state shows of {chosen} is read from {len(panels)} points of every step"
    said += (
        f"; in 90% of positions first at step {early['step']}, {early['site']}."
        if early
        else f"; in {last['best'].max():.0%} of positions at most in the last step."
    )
    figure = loop_panels_figure(
        panels,
        tokens[row][:n_pos],
        f"{chosen}: how likely is, on the way, what the last state shows?",
        "Probability of that symbol where the residual stream is read as the last state is; a panel is a layer point.",
        "probability",
    )
    drawn, more = {"by_position": figure}, {}
    if tuned or kl_steps:
        if not tuned:
            raise InputError("--kl-steps fits the tuned lens, so it needs --tuned.")
        drawn["tuned"], more["tuned"], judged = tuned_lens(
            model, inputs, n_steps, lens.factor, kl_steps, seed
        )
        said += judged
    return LoopStudy(
        model.name, f"{model.title}: {chosen}, read on the way", frame, summary, said, drawn,
        {"factor": chosen, "n_steps": int(np.max(summary["step"])) + 1}, more,
    )  # fmt: skip


def study_dynamics(
    model: Opened, wanted: Wanted, n_steps: int | None = None, tolerance: float = 1e-3, row: int = 0
) -> LoopStudy:
    """How states and layers move, and where they come to rest.

    n_steps: default: as many as the loop says, and at least 3.
    """
    from interp import fixed_points_of, loop_dynamics
    from interp.figures.loop_panels import loop_panels_figure
    from interp.loop.protocol import has, sites_of, steps_of

    inputs = inputs_of(model, wanted)
    with model.running("dynamics"):
        count = max(3, steps_of(model.loop, inputs, None, "dynamics")) if n_steps is None else n_steps
        kinds = [name.rsplit(".", 1)[-1] for name in (model.loop.sites if has(model.loop, "sites") else ())]
        if "resid_post" in kinds:
            sites_of(model.loop, "resid_post", "dynamics of layers")
        found = loop_dynamics(model.loop, inputs, count, kind="resid_post" if "resid_post" in kinds else None)
        if not found.points:
            raise LoopedError(
                "dynamics needs a state, or sites['resid_post'], of vectors [batch, pos, d]; there is none"
            )
        frame, summary = found.to_frame(), found.summary(tolerance)
        motion = {point: found.motion(point).relative for point in found.points}
        points = fixed_points_of(found, window=min(8, count - 2))
        kind = points.kind(tolerance)
        limits: Any = points.summary(tolerance)
        summary = summary.merge(limits[["point", "rate", "by_input", "by_pos"]], on="point")
    shape = next(iter(motion.values())).shape[1:]
    tokens = tokens_of(model, inputs, (shape[0], shape[1]))
    check_row(row, len(tokens))
    n_pos = min(len(tokens[row]), shape[1])
    figure = loop_panels_figure(
        {point: moved[:, row, :n_pos] for point, moved in motion.items()},
        tokens[row][:n_pos],
        "How far does a step move the state?",
        "Length of the update over length of the state, by position; a panel is a state, or what a layer gives.",
        "relative<br>update",
    )
    state = summary.iloc[0]
    said = (
        f"After {count} steps {state['fixed']:.0%} of positions of {state['point']} are at a fixed point and "
        f"{state['cycle']:.0%} in a longer cycle (tolerance {tolerance:g}); the last step moves it by "
        f"{state['relative']:.2g} of its length."
    )
    said += {
        "cyclic": " Layers come to fixed points that are apart: a cyclic one.",
        "degenerate": " All layers, or all inputs, come to one point: a degenerate fixed point.",
        "none": "",
    }[kind]
    if "resid_post" not in kinds:
        said += f" Of layers nothing is known: {type(model.loop).__name__} has no sites['resid_post']."
    return LoopStudy(
        model.name, f"{model.title}: motion", frame, summary, said, {"motion": figure},
        {"n_steps": count, "kind": kind},
    )  # fmt: skip


def study_attention(
    model: Opened, wanted: Wanted, n_steps: int | None = None, step: int | None = None, row: int = 0
) -> LoopStudy:
    """Where every head looks at every step, and how that changes.

    step: whose patterns are drawn; default: the last.
    """
    from interp import loop_attention
    from interp.figures.loop_panels import loop_panels_figure

    inputs = inputs_of(model, wanted)
    with model.running("attention"):
        found = loop_attention(model.loop, inputs, n_steps)
        frame: Any = _head_statistics(found, inputs)
    first = next(iter(found.patterns.values()))
    count, batch, n_dest = first.shape[0], first.shape[2], first.shape[-2]
    at = count - 1 if step is None else step
    if not 0 <= at < count:
        raise InputError(f"--step is {at}: it must be from 0 to {count - 1}.")
    tokens = tokens_of(model, inputs, (batch, n_dest))
    check_row(row, batch)
    n_pos = min(len(tokens[row]), n_dest)
    looks = {}
    for site, pattern in found.patterns.items():
        call = int(found.calls[site][at].nonzero().max()) if bool(found.calls[site][at].any()) else None
        for head in range(pattern.shape[3]) if call is not None else ():
            looks[f"{site}, head {head}"] = (
                pattern[at, call, row, head, :n_pos, :n_pos].float() * n_pos
            ).numpy()
    by_head = {
        site: lines[lines["call"] == lines["call"].max()]
        .pivot(index="head", columns="step", values="entropy")
        .to_numpy()
        for site, lines in frame.groupby("site", sort=False)
    }
    drawn = {
        "pattern": loop_panels_figure(
            looks, tokens[row][:n_pos], f"Where the heads look in step {at}",
            "From a position (row) to a position (column), in multiples of an even spread.", "times<br>even",
            rows=tokens[row][:n_pos], row_title="from", column_title="to",
        ),
        "entropy": loop_panels_figure(
            by_head, [str(index) for index in sorted(frame["step"].unique())], "How widely every head looks",
            "Entropy of its attention in bits, mean over inputs and positions.", "bits",
            row_title="head", column_title="step",
        ),
    }  # fmt: skip
    shares = [name for name in SHARES if name in frame]
    summary = frame.groupby(["site", "head"], sort=False)[["entropy", "change", *shares]].mean().reset_index()
    late = frame[frame["step"] == frame["step"].max()]
    said = (
        f"{len(summary)} heads over {count} steps; in the last the mean entropy is {late['entropy'].mean():.2f} bits, "
        f"and attention differs from the call before by {late['change'].mean():.3f} (0 to 1)."
    )
    return LoopStudy(
        model.name,
        f"{model.title}: attention, means over steps",
        frame,
        summary,
        said,
        drawn,
        {"n_steps": count},
    )


def _head_statistics(attention: LoopAttention, inputs: Any) -> Any:
    """A line per site, step, call and head, with shares by what stands at a position, where it is known what does."""
    from interp.mechanism.loop_head_statistics import statistics_of

    try:
        return statistics_of(attention, inputs).to_frame()
    except LoopedError:
        return attention.to_frame()


def study_codes(
    model: Opened, wanted: Wanted, n_steps: int | None = None, edits: int = 0, seed: int = 0
) -> LoopStudy:
    """Which symbols are used, how they follow each other, and, with an oracle, which steps are legal.

    edits: how many states are set to zero at one position, each in a run of its own that is followed to its end.
    """
    import pandas as pd

    from interp import loop_code_usage
    from interp.codebook.codes_figure import information_figure

    inputs = inputs_of(model, wanted)
    with model.running("codes"):
        whole = loop_code_usage(model.loop, inputs, n_steps, task=_labelled(model))
        usage = _used_alone(model, whole)
        frame = usage.to_frame()
        transitions = {factor: usage.transitions(factor) for factor in usage.factors}
    oracle = _labelled(model) is not None and getattr(model.task, "oracle_step", None) is not None
    lines = []
    for factor in usage.factors:
        unused: Any = whole.dead(factor).all(0)
        line: dict[str, Any] = {"factor": factor, "symbols": len(unused), "never used": int(unused.sum())}
        line["perplexity"] = float(usage.perplexity(factor)[-1])
        line |= {"illegal steps": transitions[factor].n_illegal} if oracle else {}
        lines.append(line)
    summary: Any = pd.DataFrame(lines)
    drawn: dict[str, Any] = {}
    for factor in usage.factors:
        drawn[f"usage_{factor}"] = usage.figure(factor)
        drawn[f"transitions_{factor}"] = transitions[factor].figure()
        if _labelled(model) is not None:
            drawn[f"information_{factor}"] = information_figure(usage, factor)
    said = "; ".join(
        f"{line['factor']}: {line['symbols'] - line['never used']} of {line['symbols']} symbols are used"
        for line in lines
    )
    if oracle:
        illegal = sum(line["illegal steps"] for line in lines)
        said += f". {illegal} transitions are not what the task's step says."
    else:
        said += ". The task has no `oracle_step`, so that transitions are counted, not judged."
    more = {}
    if edits:
        drawn["cones"], more["cones"], spread = cones(model, inputs, n_steps, edits, seed)
        said += f" {spread}"
    return LoopStudy(model.name, f"{model.title}: codes", frame, summary, said, drawn, more=more)


def _used_alone(model: Opened, usage: CodeUsage) -> CodeUsage:
    """The same, of a factor with many symbols with those alone that there are: tables of all pairs have to be small."""
    import numpy as np

    codes, symbols = usage.codes.copy(), dict(usage.symbols)
    expected = None if usage.expected is None else usage.expected.copy()
    for index, factor in enumerate(usage.factors):
        named = symbols_of(model, factor)
        names = [named[code] if code < len(named) else text for code, text in enumerate(symbols[factor])]
        if len(names) > MOST_SYMBOLS:
            parts = [codes[..., index].ravel(), *([] if expected is None else [expected[..., index].ravel()])]
            kinds = np.unique(np.concatenate(parts))
            codes[..., index] = np.searchsorted(kinds, codes[..., index])
            if expected is not None:
                expected[..., index] = np.searchsorted(kinds, expected[..., index])
            names = [names[kind] for kind in kinds]
        symbols[factor] = tuple(names)
    return replace(usage, codes=codes, symbols=symbols, expected=expected)


def study_probes(
    model: Opened,
    wanted: Wanted,
    n_steps: int | None = None,
    target: str | None = None,
    sites: list[str] | None = None,
    kind: str = "logistic",
    folds: int = 5,
    seed: int = 0,
) -> LoopStudy:
    """What can be read linearly at every step and site, beside shuffled labels, scrambled weights and a control task.

    target: a column of the task's labels; default: one that the loop reads too, else the first. sites: kinds of sites.
    """
    from analyses.own_probe import probe_name
    from interp import fit_loop_probes
    from interp.loop.protocol import need
    from interp.loop.task import OPTIONAL

    chosen = probe_name(kind)
    inputs = inputs_of(model, wanted)
    with model.running("probes"):
        if model.task is None:
            raise LoopedError("probes need a task with `labels`, and this loop comes without a task")
        labels = need(model.task, "labels", "a probe", OPTIONAL)(inputs)
        named = target or _target(model, inputs, labels)
        if named not in labels.columns:
            known = ", ".join(name for name in labels.columns if name not in ("row", "pos"))
            raise LoopedError(f"target is {named!r}; allowed are {known}")
        kinds = sites or ["resid_post"]
        grid = fit_loop_probes(
            model.loop, inputs, labels, named, kinds, n_steps, seed=seed, kind=chosen, folds=folds
        )
        frame = grid.to_frame()
        best = grid.by_site()
    read, chance = frame["accuracy"].max(), frame.loc[frame["accuracy"].idxmax()]
    said = (
        f"{named} is read best at step {chance['step']}, {chance['site']}: {read:.1%} of {chance['n_rows']} positions, "
        f"{chance['shuffled']:.1%} with shuffled labels, {chance['untrained']:.1%} with scrambled weights, "
        f"{chance['majority']:.1%} by the most frequent class."
    )
    return LoopStudy(
        model.name, f"{model.title}: {named}, by probe", frame, best.reset_index(drop=True), said,
        {"probes": grid.figure()}, {"target": named},
    )  # fmt: skip


def _liveliest(model: Opened, inputs: Any, n_steps: int | None, what: str) -> str | None:
    """The factor whose symbols change most often."""
    from interp.loop.protocol import steps_of
    from interp.loop.running import run_loop

    with model.running(what):
        run = run_loop(model.loop, inputs, steps_of(model.loop, inputs, n_steps, what), keep_logits=True)
    if not run.logits:
        raise InputError(
            f"A lens reads what the last state shows, and {type(model.loop).__name__} reads nothing (`read` gives no "
            "logits): its model has no head."
        )
    counts = {
        name: int((run.codes[name][1:] != run.codes[name][:-1]).sum())
        for name in run.logits
        if name in run.codes
    }
    return max(counts, key=lambda name: counts[name], default=None)


def _labelled(model: Opened) -> Any:
    return model.task if getattr(model.task, "labels", None) is not None else None


def _target(model: Opened, inputs: Any, labels: Any) -> str:
    """A label that the loop reads too, or else the first."""
    columns = [name for name in labels.columns if name not in ("row", "pos")]
    state, context = model.loop.begin(inputs)
    read = model.loop.read(state, context)
    usual = [*read, "next", "depth", "level"]
    found = [name for name in usual if name in columns] or columns
    if not found:
        raise LoopedError("the labels of this task have no columns beside row and pos")
    return found[0]
