"""What the page says in plain sentences."""

from __future__ import annotations

from collections.abc import Sequence

from dashboards.messages import code
from interp.causal.beside_control import BesideControl
from interp.causal.head_off import HeadOffRun
from interp.causal.overwrite import OverwrittenRun
from interp.figures.scene import symbols_of
from interp.figures.template import state_label
from interp.statistics.counted import counted
from models.factors import FACTORS
from models.trajectory import Trajectory


def run_sentence(model: str, run: Trajectory) -> str:
    """Whether the run matches the symbolic oracle, how many steps it needed, and whether it was cut off."""
    graph = run.encoded.graphs[0]
    n_wrong = len(graph) - int(run.solved[0].sum())
    depth = max(graph.depths_by_node)
    if n_wrong:
        differ = "differs" if n_wrong == 1 else "differ"
        verdict = (
            f"**{n_wrong} of {counted(len(graph), 'node')} {differ} from the symbolic oracle** at the end"
        )
    else:
        verdict = f"all {len(graph)} nodes **match the symbolic oracle**"
    fixed_point, cycle = int(run.fixed_point[0]), int(run.cycle[0])
    if fixed_point >= 0:
        end = f"It took {counted(fixed_point + 1, 'step')}; after that nothing changes."
    elif cycle > 1:
        end = f"It never settles: the state repeats every {cycle} steps."
    elif bool(run.hit_bound[0]):
        end = f"It had not settled when it was **cut off at its bound of {counted(run.bound, 'step')}**."
    else:
        end = f"It ran for {counted(run.n_steps, 'step')}."
    did = "runs on" if n_wrong else "solves"
    return f"{code(model)} {did} a graph of depth {depth}: {verdict}. {end}"


def edit_sentences(result: BesideControl) -> tuple[str, str]:
    """What an edit did, and what is known of its control."""
    if isinstance(result, HeadOffRun):
        return head_off_sentence(result), HEAD_CONTROL
    if isinstance(result, OverwrittenRun):
        return overwrite_sentence(result), control_sentence(result)
    raise TypeError(f"no words for {type(result).__name__}")


HEAD_CONTROL = (
    "What the head adds to the residual stream was replaced by zeros, at every position, and nothing else. It is "
    "compared with the same run with the head."
)


def head_off_sentence(result: HeadOffRun) -> str:
    """Which head was off when, how far it spread, and from which step on the run is the original's again."""
    off, healed = result.off, result.healed_at
    when = "every step" if off.step is None else f"step {off.step}"
    begin = f"Without head {off.layer}.{off.head} in {when}"
    if healed == -1:
        return f"{begin} nothing changes."
    told = f"{begin} {counted(len(result.nodes), 'node')} showed another value than in the original run"
    if healed is not None:
        return f"{told}, and **step {healed} healed it**."
    still = int(result.changed[-1].sum())
    if not still:
        return f"{told}; at the end all nodes show the original's values, but the text does not."
    return (
        f"{told}; **it never healed**: at the end {counted(still, 'node')} still differ{'s' * (still == 1)}."
    )


def overwrite_sentence(result: OverwrittenRun) -> str:
    """What was overwritten, how far it spread, and from which step on the run is the original's again."""
    edit, original = result.edit, result.original
    symbols = symbols_of(original, edit.factor)
    what, before = _place(result), symbols[_shown(result)]
    when = "Before step 0" if edit.step == 0 else f"After step {state_label(edit.step)}"
    others = [node for node in result.nodes if node != edit.node]
    healed = result.healed_at
    if healed == -1:
        return f"{when} {what} shows {before} anyway, so nothing changes. Choose another value."
    spread = f"{counted(len(others), 'other node')} showed another value than in the original run"
    if healed is None:
        end = "**it never healed**"
        if not bool(result.changed[-1].any()):
            still = counted(int((result.run.states[-1] != result.control.states[-1]).sum()), "symbol")
            end = (
                f"at the end **all nodes show the original's values again**, but {still} elsewhere in the text did not "
                "heal"
            )
        return f"{when} {what} is {symbols[edit.value]} instead of {before}. {spread}, and {end}."
    whole = (
        "all that it shows is what the original shows"
        if result.hidden
        else "the whole state is the original's again"
    )
    return (
        f"{when} {what} is {symbols[edit.value]} instead of {before}. {spread}, "
        f"and **step {healed} healed it**: from there on {whole}."
    )


def control_sentence(result: OverwrittenRun) -> str:
    """What was done to the state, and what the same edit does that changes nothing."""
    what, shown = _place(result), symbols_of(result.original, result.edit.factor)[_shown(result)]
    anyway = (
        f"the {result.edit.factor} that {what} shows" if what.startswith("`") else "the symbol that is there"
    )
    done = (
        "This model passes on a hidden state, of which values are only read. The hidden state was kept, and moved at "
        f"{what} as little as it takes to be read as the new symbol"
        if result.hidden
        else "The symbol was replaced in the state that enters the next step, and nothing else"
    )
    differing = int(result.control_changed.any(0).sum())
    found = (
        "no node shows" if not differing else f"**{counted(differing, 'node')} show{'s' * (differing == 1)}**"
    )
    return (
        f"{done}. Control, the same edit with {anyway} anyway ({shown}): {found} another value than in the original "
        "run."
    )


def _place(result: OverwrittenRun) -> str:
    """What was overwritten: a node by its name, else the factor at a position of an equation."""
    edit, run = result.edit, result.original
    graph = run.encoded.graphs[0]
    if edit.factor == "value" and edit.position(run) == int(run.encoded.rhs[0, edit.node]):
        return code(graph.nodes[edit.node].name)
    return f"the {edit.factor} at position {edit.position(run)} (in {code(graph.equation(edit.node))})"


def _shown(result: OverwrittenRun) -> int:
    """The symbol id that stood there."""
    edit, run = result.edit, result.original
    return int(run.states[edit.step, 0, edit.position(run), FACTORS.index(edit.factor)])


def spans(flags: Sequence[bool], first_state: int) -> str:
    """The steps that are flagged, as `2`, `2 to 5` or `2, 4 to 6`."""
    parts: list[str] = []
    begin: int | None = None
    for index, flag in enumerate([*flags, False]):
        if flag and begin is None:
            begin = index
        elif not flag and begin is not None:
            first, last = state_label(first_state + begin), state_label(first_state + index - 1)
            parts.append(first if first == last else f"{first} to {last}")
            begin = None
    return ", ".join(parts)
