# %% [markdown]
# # 4 · Codebook usage over steps
#
# The state between two steps is made of codes: symbols of four factors. This notebook asks which codes are used in
# which step and what they say, how they follow each other, how clearly the model decides for them, and what becomes of
# a code that somebody else has set.
#
# On `compiled` every answer is known beforehand and asserted; `discrete-corrected` (additions only) gets the same
# questions. Where both make no mistakes there is little to see of what a mistake looks like, so a third one comes:
# the same model early in its training, a snapshot that errs.

# %%
import numpy as np
import pandas as pd

from interp import code_interventions, code_usage, snap_margins
from models import ComputationGraph, load
from models.snapshots import snapshots

EARLY = "discrete-corrected, step 2521"
additions = [ComputationGraph.sample(n_nodes=32, seed=seed) for seed in range(2000, 2032)]
mixed = [
    ComputationGraph.sample(n_nodes=32, seed=seed, ops=("ADD", "SUB", "MUL")) for seed in range(2000, 2016)
]
studied = {"compiled": mixed, "discrete-corrected": additions, EARLY: additions[:16]}
models = {
    "compiled": load("compiled"),
    "discrete-corrected": load("discrete-corrected"),
    EARLY: dict(snapshots("discrete-corrected"))[2521],
}
runs = {name: models[name].run(graphs) for name, graphs in studied.items()}
usages = {name: code_usage(models[name], run) for name, run in runs.items()}
at_rhs = {name: usage.select(role="rhs") for name, usage in usages.items()}
pd.DataFrame(
    {
        name: {
            "graphs": len(runs[name].encoded),
            "fully solved": int(runs[name].fully_solved.sum()),
            "steps": runs[name].n_steps,
            "tokens": len(usages[name]),
            "right-hand sides": len(at_rhs[name]),
        }
        for name in studied
    }
)

# %% [markdown]
# ## What is used
# The histogram of the value factor at right-hand sides, state by state: a number per code. EMPTY goes, values come.

# %%
at_rhs["discrete-corrected"].figure("value")

# %% [markdown]
# In bits: the entropy of the codes, and what they share with the node's true value. Both are biased upwards in small
# samples (the plug-in estimate sees every chance coincidence), so the Miller-Madow correction and the same number for
# shuffled truths stand beside them. `purity_constant` is what a model has that writes the same code everywhere.

# %%
columns = [
    "state",
    "used",
    "dead",
    "entropy",
    "entropy_corrected",
    "information",
    "information_corrected",
    "information_shuffled",
    "purity",
    "purity_constant",
]
frames = {name: usage.to_frame() for name, usage in at_rhs.items()}
tables = {name: frame[frame.factor == "value"][columns].set_index("state") for name, frame in frames.items()}
last = tables["discrete-corrected"].iloc[-1]
truth = runs["discrete-corrected"].encoded.values.flatten().bincount().numpy()
share = truth[truth > 0] / truth.sum()
entropy_of_the_truth = -(share * np.log2(share)).sum()
print(
    f"last state: information {last.information:.3f} bits, of {entropy_of_the_truth:.3f} that the true values have"
)
assert tables["discrete-corrected"].information.iloc[0] == 0  # all EMPTY: nothing is known
tables["discrete-corrected"].round(3)

# %% [markdown]
# What the state should show in each step is known as well: EMPTY up to a node's depth, then its value (`shown`). If
# codes and schedule agree, the codes have all of its bits in every state, and no others:

# %%
table = pd.DataFrame(
    {
        (name, what): pd.Series(values)
        for name, usage in at_rhs.items()
        for what, values in (
            ("bits of the codes", usage.entropy("value")),
            ("shared with the schedule", usage.mutual_information("value", "shown")),
        )
    }
).rename_axis("state")
assert np.allclose(*table["compiled"].dropna().to_numpy().T)
table.round(3)

# %% [markdown]
# ## How they follow each other
# `transitions` counts code before and code after, token by token. A transition is **illegal** if it is not what one
# step of the symbolic algorithm makes of that very state. `commit` is the step that wrote a token's last code, so on
# time means: in the step of the node's depth.

# %%
transitions = {name: usage.transitions("value") for name, usage in usages.items()}
rows = {}
for name, found in transitions.items():
    rows[name] = {
        "transitions": int(found.counts.sum()),
        "illegal": found.n_illegal,
        "illegal, other factors": sum(
            usages[name].transitions(factor).n_illegal for factor in ("syntax", "variable", "operation")
        ),
        "changes back": int(found.reversions.sum()),
        "committed on time": found.on_time(),
    }
assert rows["compiled"]["illegal"] == 0
assert rows["compiled"]["illegal, other factors"] == 0
assert rows["compiled"]["changes back"] == 0
assert rows["compiled"]["committed on time"] == 1.0
pd.DataFrame(rows).map("{:g}".format)

# %% [markdown]
# Where does the snapshot write what it should not? By the number of operands of the node:

# %%
usage, run = at_rhs[EARLY], runs[EARLY]
illegal = usage.of("value")[1:] != usage.expected[..., usage.factors.index("value")]
width = [
    len(additions[graph].nodes[node].operands)
    for graph, node in zip(usage.tokens["graph"], usage.tokens["node"], strict=True)
]
by_width = pd.DataFrame(
    {"operands": width, "illegal": illegal.mean(0), "wrong at the end": ~run.solved.flatten().numpy()}
)
shares = by_width.groupby("operands").agg(
    nodes=("illegal", "size"), illegal=("illegal", "mean"), wrong=("wrong at the end", "mean")
)
assert shares.illegal.idxmax() == 3
assert shares.illegal[3] > 2 * shares.illegal.loc[:2].max()
shares.round(4)

# %% [markdown]
# It errs most at nodes with three operands. Nodes with fewer end wrong far more often
# (`wrong`) than a step was illegal there (`illegal`): most are computed rightly from operands that are wrong. Judged by
# the final value alone the two could not be told apart.

# %%
at_rhs[EARLY].transitions("value").figure()

# %% [markdown]
# ## How clearly
# A code is the argmax of logits: the hidden state is snapped. The **boundary distance** says how far it is from where
# another code would have won, in units of its own length. In `compiled` it is nearly the same everywhere. Of a trained
# model one can ask when it decides closely, and whether its mistakes are among the close decisions.

# %%
margins = {name: snap_margins(models[name], run) for name, run in runs.items()}
pd.concat(
    {
        name: found.token_frame("value")
        .groupby(["legal", "status"])
        .boundary.describe(percentiles=[0.05, 0.5])[["count", "min", "5%", "50%"]]
        for name, found in margins.items()
    },
    names=["model"],
).round(4)

# %%
snaps = margins[EARLY].token_frame("value")
closest = snaps.nsmallest(len(snaps) // 100, "boundary")
print(
    f"of all {len(snaps)} snaps at right-hand sides {(~snaps.legal).mean():.2%} are illegal; "
    f"of the 1 % closest to a boundary {(~closest.legal).mean():.2%}"
)
assert (~closest.legal).mean() > (~snaps.legal).mean()
margins[EARLY].figure()

# %% [markdown]
# ## A code that somebody else has set
# Four kinds of edits: another value at a right-hand side, another number at a leaf, another name at an operand, another
# operation. Then **one** step, and the question what it should have written, which the oracle answers for the very
# state that was edited. Agreement is also counted over **affected** values alone, those that the edit changes: there a
# model that ignores edits scores 0.

# %%
found = {name: code_interventions(models[name], run, per_kind=4) for name, run in runs.items()}
assert found["compiled"].exact == 1.0
assert found["compiled"].affected_agreement == 1.0
for name, edits in found.items():
    print(
        f"{name}: {len(edits)} edits, next state exact {edits.exact:.1%}, "
        f"affected values right {edits.affected_agreement:.1%}"
    )
pd.concat({name: edits.by_kind().set_index("kind") for name, edits in found.items()}, names=["model"]).round(
    3
)

# %% [markdown]
# `exact_without` is the same step from the state without the edit: what is lost is the difference to that column.
# The trained models know additions only, so they have no other operation to set.

# %%
found[EARLY].figure()
