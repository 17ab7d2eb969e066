"""What the page says in plain sentences."""

from __future__ import annotations

from torch import Tensor

from dashboards.messages import code
from interp.causal.pairs import Pair
from interp.causal.patching import PatchSweep
from interp.engine.sites import Site, position_of
from interp.statistics.counted import counted
from models.trajectory import Trajectory


def pair_sentence(pair: Pair, clean: Trajectory, corrupt: Trajectory) -> str:
    """What is edited, how many values that changes, and whether the model gets both graphs right."""
    edits = "; ".join(
        f"{code(pair.clean.equation(node))} becomes {code(pair.corrupt.equation(node))}"
        for node in pair.changed_nodes
    )
    verdicts = []
    for name, run in (("clean", clean), ("corrupt", corrupt)):
        wrong = int((~run.solved[0]).sum())
        if wrong:
            verdicts.append(
                f"in the {name} run **{wrong} of {len(pair.clean)} nodes end with a wrong value**"
            )
    right = "The model solves both graphs." if not verdicts else f"But {' and '.join(verdicts)}."
    n_differ = len(pair.differing)
    return f"{edits}. **{counted(n_differ, 'true value')}** of {len(pair.clean)} differ. {right}"


def sweep_sentence(sweep: PatchSweep, n_done: int) -> str:
    """What was measured, and between which ends."""
    names = [sweep.clean_graph.nodes[node].name for node in sweep.nodes]
    read = ", ".join(code(name) for name in names[:6]) + (
        f" and {len(names) - 6} more" if len(names) > 6 else ""
    )
    ends = f"{sweep.metric} is {sweep.clean:.4g} in the clean run and {sweep.corrupt:.4g} in the corrupt one"
    return f"{counted(n_done, 'patched run')} in {sweep.seconds:.2f} s; {ends}, read at {read}."


def cell_sentence(
    sweep: PatchSweep, index: int, patched: Tensor, clean: Trajectory, corrupt: Trajectory
) -> str:
    """Which patch, what it does to the metric, and at which nodes it ends otherwise than the run without it.

    patched: int [state, node], the value symbols of the patched run.
    """
    site = sweep.sites[index]
    base, source = (corrupt, clean) if sweep.direction == "denoise" else (clean, corrupt)
    end, base_end, source_end = patched[-1], base.values[-1, 0], source.values[-1, 0]
    apart = base_end != source_end
    taken, n_apart = int((apart & (end == source_end)).sum()), int(apart.sum())
    others = int(((end != base_end) & (end != source_end)).sum())
    words = ("corrupt", "clean") if sweep.direction == "denoise" else ("clean", "corrupt")
    effect = f"{sweep.metric} {sweep.raw[index]:.4g}"
    if sweep.raw[index] == sweep.raw[index] and sweep.clean != sweep.corrupt:
        effect += f" ({sweep.normalised[index]:.1%} of the way from corrupt to clean)"
    text = (
        f"**Patched:** {site_words(site, base)}, of the {words[0]} run, taken from the {words[1]} run: {effect}. "
        f"Of the {counted(n_apart, 'node')} at which the two runs end differently, **{taken}** "
        f"{'ends' if taken == 1 else 'end'} as in the {words[1]} run"
    )
    return text + (f"; {counted(others, 'node')} with neither run's value." if others else ".")


def site_words(site: Site, run: Trajectory) -> str:
    """`resid_pre of layer 0, at step 2, position 20 (x_7 in 20 = x_7)`."""
    parts = [site.name if site.layer is None else f"{site.name} of layer {site.layer}"]
    parts += [] if site.head is None else [f"head {site.head}"]
    parts.append("at every step" if site.step == "all" else f"at step {site.step}")
    position = position_of(site.pos, run.encoded)
    if position is None:
        return ", ".join([*parts, "all positions"])
    graph = run.encoded.graphs[0]
    token = run.vocabulary.token_strings(run.states[0], graph)[0][position]
    # A separator belongs to the equation before it.
    node = sum(int(end) + 1 < position for end in run.encoded.rhs[0])
    parts.append(f"position {position} ({code(token)} in {code(graph.equation(node))})")
    return ", ".join(parts)
