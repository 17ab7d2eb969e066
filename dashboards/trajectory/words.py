"""What the page says in plain sentences."""

from __future__ import annotations

from collections.abc import Sequence

from interp.causal.overwrite import OverwrittenRun
from interp.figures.template import state_label
from models.trajectory import Trajectory


def run_sentence(model: str, run: Trajectory) -> str:
    """Whether the run matches the symbolic oracle, how many steps it needed, and whether it was cut off."""
    graph = run.encoded.graphs[0]
    n_wrong = len(graph) - int(run.solved[0].sum())
    depth = max(graph.depths_by_node)
    if n_wrong:
        differ = "differs" if n_wrong == 1 else "differ"
        verdict = (
            f"**{n_wrong} of {_count(len(graph), 'node')} {differ} from the symbolic oracle** at the end"
        )
    else:
        verdict = f"all {len(graph)} nodes **match the symbolic oracle**"
    fixed_point, cycle = int(run.fixed_point[0]), int(run.cycle[0])
    if fixed_point >= 0:
        end = f"It took {_count(fixed_point + 1, 'step')}; after that nothing changes."
    elif cycle > 1:
        end = f"It never settles: the state repeats every {cycle} steps."
    elif bool(run.hit_bound[0]):
        end = f"It had not settled when it was **cut off at its bound of {_count(run.bound, 'step')}**."
    else:
        end = f"It ran for {_count(run.n_steps, 'step')}."
    did = "runs on" if n_wrong else "solves"
    return f"`{model}` {did} a graph of depth {depth}: {verdict}. {end}"


def overwrite_sentence(result: OverwrittenRun) -> str:
    """What was overwritten, how far it spread, and from which step on the run is the original's again."""
    edit, original = result.edit, result.original
    symbols = original.vocabulary.symbols("value")
    name = original.encoded.graphs[0].nodes[edit.node].name
    before = symbols[int(original.values[edit.state, 0, edit.node])]
    when = "Before step 0" if edit.state == 0 else f"After step {state_label(edit.state)}"
    others = [node for node in result.nodes if node != edit.node]
    healed = result.healed_at
    if healed == -1:
        return f"{when} `{name}` is {before} anyway, so nothing changes. Choose another value."
    spread = f"{_count(len(others), 'other node')} showed another value than in the original run"
    if healed is None:
        return f"{when} `{name}` is {symbols[edit.value]} instead of {before}. {spread}, and **it never healed**."
    return (
        f"{when} `{name}` is {symbols[edit.value]} instead of {before}. {spread}, "
        f"and **step {healed} healed it**: from there on the whole state is the original's again."
    )


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


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
