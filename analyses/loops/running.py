"""A run of a looped model: what it writes step by step, and how much of that is what its task expects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from analyses.inputs import InputError
from analyses.loops.inputs import Wanted, inputs_of, tokens_of
from analyses.loops.opening import Opened
from analyses.loops.study import LoopStudy
from interp.loop.protocol import LoopedError
from models.graph_errors import clip

if TYPE_CHECKING:
    from interp.loop.result import LoopRun


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
    check_row(row, len(tokens))
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


def check_row(row: int, count: int) -> None:
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
    """A line per step: positions whose symbols change, are as the oracle says, have halted; the mean motion."""
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
