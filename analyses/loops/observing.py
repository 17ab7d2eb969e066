"""What is seen of a looped model as it runs: symbols, readings on the way, motion, attention, codes, labels."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from analyses.inputs import InputError
from analyses.loops.inputs import Wanted, inputs_of, tokens_of
from analyses.loops.opening import Opened
from analyses.loops.study import LoopStudy
from interp.loop.protocol import LoopedError
from models.graph_errors import clip

if TYPE_CHECKING:
    from interp.codebook.codes import CodeUsage
    from interp.loop.result import LoopRun

MOST_SYMBOLS: Final = 64
"""Symbols of a factor up to which those are shown, too, that are never used."""


def study_run(model: Opened, wanted: Wanted, n_steps: int | None = None, row: int = 0) -> LoopStudy:
    """Run it: symbols by state and position, and how far every step moves the state.

    row: which input the figures show. With a task's `oracle_step` symbols are held against what should follow.

    Raises:
        InputError: inputs, a number of steps or a row that cannot be used.
    """
    import numpy as np

    from interp.figures.loop_codes import loop_codes_figure
    from interp.figures.loop_panels import loop_panels_figure

    run, inputs = _run(model, wanted, n_steps)
    tokens = tokens_of(model, inputs, _shape(run))
    _check_row(row, len(tokens))
    n_pos = min(len(tokens[row]), _shape(run)[1])
    expected = _expected(model, run, inputs, tokens)
    moves = _moves(run)
    summary, drawn = _by_step(run, expected, moves), {}
    for factor, codes in run.codes.items():
        shown = codes[:, row].reshape(len(codes), -1)[:, :n_pos].numpy()
        wrong = None
        if factor in expected and codes.ndim == 3:
            wrong = np.zeros(shown.shape, dtype=bool)
            wrong[1:] = (expected[factor] != codes[1:])[:, row].numpy()[:, :n_pos]
        drawn[factor] = loop_codes_figure(
            shown,
            symbols_of(model, factor),
            tokens[row][: shown.shape[1]],
            factor,
            wrong,
            _halted(run, row, n_pos),
        )
    shown_moves = {name: moved[:, row, :n_pos] for name, moved in moves.items()}
    if shown_moves:
        drawn["moves"] = loop_panels_figure(
            shown_moves,
            tokens[row][:n_pos],
            "How far a step moves the state",
            "Length of the change over length of the state, by position.",
            "relative<br>change",
        )
    if not drawn:
        raise InputError(
            f"{clip(model.title)} shows no symbols, and its state has no vectors: there is nothing to draw."
        )
    frame = run.to_frame()
    if frame.empty:
        frame = summary
    return LoopStudy(
        model.name, f"{model.title}, step by step", frame, summary, _said_of_run(model, run, expected), drawn,
        {"n_steps": run.n_steps, "tokens": [row[: _shape(run)[1]] for row in tokens]},
    )  # fmt: skip


def study_lens(
    model: Opened, wanted: Wanted, n_steps: int | None = None, factor: str | None = None, row: int = 0
) -> LoopStudy:
    """Every residual stream of every step, read as the loop reads its last state.

    factor: default: the one whose symbols change most.
    """
    import numpy as np

    from interp import loop_lens
    from interp.figures.loop_panels import loop_panels_figure

    inputs = inputs_of(model, wanted)
    chosen = factor or _liveliest(model, inputs, n_steps, "a lens")
    with model.running("lens"):
        lens = loop_lens(model.loop, inputs, n_steps, factor=chosen)
    tokens = tokens_of(model, inputs, (lens.target.shape[0], lens.target.shape[1]))
    _check_row(row, len(tokens))
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
    return LoopStudy(
        model.name, f"{model.title}: {chosen}, read on the way", frame, summary, said, {"by_position": figure},
        {"factor": chosen, "n_steps": int(np.max(summary["step"])) + 1},
    )  # fmt: skip


def study_dynamics(
    model: Opened, wanted: Wanted, n_steps: int | None = None, tolerance: float = 1e-3, row: int = 0
) -> LoopStudy:
    """How states and layers move, and where they come to rest.

    n_steps: default: as many as the loop says, and at least 3.
    """
    from interp import loop_dynamics
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
    shape = next(iter(motion.values())).shape[1:]
    tokens = tokens_of(model, inputs, (shape[0], shape[1]))
    _check_row(row, len(tokens))
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
    if "resid_post" not in kinds:
        said += f" Of layers nothing is known: {type(model.loop).__name__} has no sites['resid_post']."
    return LoopStudy(
        model.name, f"{model.title}: motion", frame, summary, said, {"motion": figure}, {"n_steps": count}
    )


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
    frame: Any = found.to_frame()
    first = next(iter(found.patterns.values()))
    count, batch, n_dest = first.shape[0], first.shape[2], first.shape[-2]
    at = count - 1 if step is None else step
    if not 0 <= at < count:
        raise InputError(f"--step is {at}: it must be from 0 to {count - 1}.")
    tokens = tokens_of(model, inputs, (batch, n_dest))
    _check_row(row, batch)
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
    summary = frame.groupby(["site", "head"], sort=False)[["entropy", "change"]].mean().reset_index()
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


def study_codes(model: Opened, wanted: Wanted, n_steps: int | None = None) -> LoopStudy:
    """Which symbols are used, how they follow each other, and, with an oracle, which steps are legal."""
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
    return LoopStudy(model.name, f"{model.title}: codes", frame, summary, said, drawn)


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
    """What can be read linearly at every step and site, beside shuffled labels.

    target: a column of the task's labels; default: one that the loop reads too, else the first. sites: kinds of sites.
    """
    from analyses.own_probe import probe_name
    from interp import collect_loop, fit_probe_grid
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
        data = collect_loop(model.loop, inputs, labels, sites or ["resid_post"], n_steps)
        grid = fit_probe_grid(data, named, kind=chosen, folds=folds, seed=seed)
        frame = grid.to_frame()
        best = grid.by_site()
    read, chance = frame["accuracy"].max(), frame.loc[frame["accuracy"].idxmax()]
    said = (
        f"{named} is read best at step {chance['step']}, {chance['site']}: {read:.1%} of {chance['n_rows']} positions, "
        f"{chance['shuffled']:.1%} with shuffled labels, {chance['majority']:.1%} by the most frequent class."
    )
    return LoopStudy(
        model.name, f"{model.title}: {named}, by probe", frame, best.reset_index(drop=True), said,
        {"probes": grid.figure()}, {"target": named},
    )  # fmt: skip


def study_accuracy(model: Opened, wanted: Wanted, n_steps: int | None = None) -> LoopStudy:
    """How much of what the task's labels say is shown, state by state."""
    import pandas as pd
    import torch

    from interp.figures.loop_panels import loop_panels_figure
    from interp.loop.protocol import need
    from interp.loop.task import OPTIONAL

    run, inputs = _run(model, wanted, n_steps)
    with model.running("accuracy"):
        if model.task is None:
            raise LoopedError("accuracy needs a task with `labels`, and this loop comes without a task")
        labels = need(model.task, "labels", "accuracy", OPTIONAL)(inputs)
    factors = [name for name in labels.columns if name in run.codes]
    if not factors:
        raise InputError(
            f"Accuracy needs labels under the name of a factor that is read ({', '.join(run.codes) or 'none'}); the "
            f"task of {clip(model.title)} has {', '.join(labels.columns)}."
        )
    row, pos = (torch.tensor(labels[name].to_numpy()) for name in ("row", "pos"))
    lines: list[dict[str, Any]] = []
    for factor in factors:
        truth = torch.tensor(labels[factor].to_numpy())
        for state, codes in enumerate(run.codes[factor]):
            right = float((codes[row, pos] == truth).float().mean())
            lines.append({"factor": factor, "state": state, "right": right})
    frame: Any = pd.DataFrame(lines)
    shares = frame.pivot(index="factor", columns="state", values="right").loc[factors]
    figure = loop_panels_figure(
        {"share of positions that are right": shares.to_numpy()}, [str(state) for state in shares.columns],
        "What is right, state by state", "State t + 1 is what step t wrote.", "share",
        rows=factors, row_title="factor", column_title="state",
    )  # fmt: skip
    ends = ", ".join(f"{factor} {shares.loc[factor].iloc[-1]:.1%}" for factor in factors)
    said = f"After {run.n_steps} steps {ends} of {len(labels)} positions are right."
    return LoopStudy(model.name, f"{model.title}: accuracy", frame, frame, said, {"accuracy": figure})


def symbols_of(model: Opened, factor: str) -> list[str]:
    """What codes of a factor stand for; empty where the task does not say."""
    symbols = getattr(model.task, "symbols", None)
    if symbols is None:
        return []
    with model.running("symbols"):
        return [*map(str, symbols(factor))]


def _run(model: Opened, wanted: Wanted, n_steps: int | None) -> tuple[LoopRun, Any]:
    from interp.loop.protocol import steps_of
    from interp.loop.running import run_loop

    inputs = inputs_of(model, wanted)
    with model.running("running"):
        return run_loop(model.loop, inputs, steps_of(model.loop, inputs, n_steps, "a run")), inputs


def _shape(run: LoopRun) -> tuple[int, int]:
    """Rows and positions, 1 where there are none."""
    state = next((state for state in run.states.values() if state.ndim > 2), next(iter(run.states.values())))
    return (state.shape[1], state.shape[2] if state.ndim > 2 else 1)


def _check_row(row: int, count: int) -> None:
    if row >= count:
        raise InputError(f"--row is {row}: there are rows 0 to {count - 1}.")


def _moves(run: LoopRun) -> dict[str, Any]:
    """Of every state of vectors, how far each step moves it over its length, float [step, batch, pos]."""
    moves = {}
    for name, state in run.states.items():
        if state.ndim == 4 and state.is_floating_point():
            length = state[1:].float().norm(dim=-1)
            moved = (state[1:] - state[:-1]).float().norm(dim=-1)
            moves[name] = (moved / length.clamp_min(1e-12)).where(moved > 0, 0.0).numpy()
    return moves


def _expected(model: Opened, run: LoopRun, inputs: Any, tokens: list[list[str]]) -> dict[str, Any]:
    """Factor -> int [step, batch, pos], what the task's own step makes of every state; what is shown, at padding."""
    import torch

    oracle = getattr(model.task, "oracle_step", None)
    if oracle is None or not run.codes:
        return {}
    with model.running("the task's own step"):
        steps = [
            oracle({name: codes[t] for name, codes in run.codes.items()}, inputs) for t in range(run.n_steps)
        ]
    lengths = torch.tensor([len(row) for row in tokens])
    found: dict[str, Any] = {}
    for name in steps[0]:
        if name in run.codes:
            shown = run.codes[name][1:]
            real = torch.arange(shown.shape[-1]) < lengths[:, None]
            found[name] = torch.where(real, torch.stack([step[name] for step in steps]), shown)
    return found


def _by_step(run: LoopRun, expected: dict[str, Any], moves: dict[str, Any]) -> Any:
    """A line a step: positions whose symbols change, are as the oracle says, have halted; the mean motion."""
    import numpy as np
    import pandas as pd

    lines: list[dict[str, Any]] = []
    for step in range(run.n_steps):
        line: dict[str, Any] = {"step": step}
        for factor, codes in run.codes.items():
            line[f"{factor} changes"] = int((codes[step + 1] != codes[step]).sum())
            if factor in expected:
                line[f"{factor} not as expected"] = int((codes[step + 1] != expected[factor][step]).sum())
        line |= {f"{name} moves": float(np.mean(moved[step])) for name, moved in moves.items()}
        if run.halted_at is not None:
            stopped = (run.halted_at >= 0) & (run.halted_at <= step + 1)
            line["halted"] = float(stopped.float().mean())
        lines.append(line)
    return pd.DataFrame(lines)


def _said_of_run(model: Opened, run: LoopRun, expected: dict[str, Any]) -> str:
    rows, positions = _shape(run)
    parts = [
        f"{model.title}: {run.n_steps} steps on {rows} {'input' if rows == 1 else 'inputs'} of {positions} positions."
    ]
    changed = [
        step
        for step in range(run.n_steps)
        if any(bool((c[step + 1] != c[step]).any()) for c in run.codes.values())
    ]
    if run.codes:
        parts.append(
            f"The last step that changes a symbol is {changed[-1]}."
            if changed
            else "No step changes a symbol."
        )
    else:
        parts.append("It reads no symbols (`read` gives none), so that only motion is shown.")
    if expected:
        wrong = sum(int((run.codes[name][1:] != codes).sum()) for name, codes in expected.items())
        parts.append(
            "Every step writes what the task's own step does." if wrong == 0
            else f"{wrong} symbols are not what the task's own step writes."
        )  # fmt: skip
    if run.halted_at is not None:
        parts.append(f"{float((run.halted_at >= 0).float().mean()):.0%} have halted by the end.")
    return " ".join(parts)


def _halted(run: LoopRun, row: int, n_pos: int) -> list[int]:
    if run.halted_at is None or run.halted_at.ndim != 2:
        return []
    return [int(state) for state in run.halted_at[row, :n_pos]]


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
