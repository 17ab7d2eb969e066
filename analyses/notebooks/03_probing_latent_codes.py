# %% [markdown]
# # 3 · Probing latent codes
#
# A probe asks what can be read from an activation by a linear classifier. A high accuracy alone says little: the input
# may give the answer away, the probe may memorise names, labels may be uneven. So every probe here comes with four
# controls, and is first tried where the answer is known.
#
# | control | what it says |
# |---|---|
# | majority | accuracy of the most frequent label |
# | shuffled | the same fit with permuted labels |
# | untrained | the same rows of an untrained model that enters **the same states**: what the state gives away |
# | control task | every variable name has a random label (Hewitt & Liang 2019): what the probe can memorise |

# %%
from dataclasses import replace

import numpy as np
import pandas as pd

from interp import fit_probe_grid, probe_transfer
from interp.data.labels import STATUSES
from interp.probing.probes import collect_with_untrained
from models import ComputationGraph, load
from models.compiled import compile_model

SITES = ["blocks.0.hook_resid_pre", "resid_mid", "resid_post"]  # every state of the residual stream once

# %% [markdown]
# ## Collect
# Activations at the right-hand side of every node, with labels from the oracle. The first model is the compiled one,
# made smaller (values modulo 5), so that few rows are enough for a probe. `status` is what the node does in a step: it
# waits for its operands, it is due (computing), or it is done.

# %%
small = compile_model(("ADD",), modulus=5, n_variables=32)
graphs = [ComputationGraph.sample(n_nodes=24, modulus=5, n_variables=32, seed=seed) for seed in range(120)]
data, control = collect_with_untrained(small, graphs, SITES, n_steps=5)
print(data)
counts = pd.DataFrame(
    {name: (data.step_labels["status"] == code).sum(1) for code, name in enumerate(STATUSES)},
    index=pd.RangeIndex(data.n_steps, name="step"),
)
print(counts)
data.frame(step=2)[
    ["graph", "node", "value", "depth", "n_operands", "operand_value_1", "status", "shown", "written"]
].iloc[20:26]

# %% [markdown]
# ## Where it is planted
# In `compiled` head 0 of layer 2 looks up the value of the **last** operand, and the MLP of that layer writes the sum.
# So in the step in which a node is computed, the last operand's value must be readable from `blocks.2.hook_resid_mid`
# on and nowhere before; the node's own value from `blocks.2.hook_resid_post` on. The label for it is made from others:

# %%
print(small.circuit.head(2, 0))
print(small.circuit.mlps[2])
width = data.labels["n_operands"].to_numpy()
operands = data.labels[["operand_value_1", "operand_value_2", "operand_value_3"]].to_numpy()
last = np.where(width > 0, operands[np.arange(len(width)), np.maximum(width, 1) - 1], -1)
data, control = (replace(given, labels=given.labels.assign(last_operand=last)) for given in (data, control))
shown = ["accuracy", "sd", "majority", "shuffled", "untrained", "control_task", "n_rows"]


def by_site(target: str, status: str, given=(data, control), steps=(1, 2, 3)) -> pd.DataFrame:
    """Accuracy and controls of every site, mean over the steps."""
    grid = fit_probe_grid(given[0], target, given[1], status=status, steps=steps, folds=3)
    return grid.to_frame().groupby("site", sort=False)[shown].mean().assign(target=target, status=status)


planted = by_site("last_operand", "computing")
at = "blocks.2.hook_resid_mid"
before = planted.loc[:"blocks.1.hook_resid_post", "accuracy"]
assert (planted.loc[at:, "accuracy"] > 0.98).all()
assert before.max() < 0.5
planted.round(3)

# %% [markdown]
# ## Computing and done
# The node's own value, in the step that computes it and after it. Done nodes show their value in the state, so it can
# be read at every site, **and just as well from the untrained model**: that accuracy says nothing about what the model
# does. In the step of computing the state shows EMPTY there, and both models start from the majority's level; only the
# compiled one ends at 1.

# %%
own = pd.concat([by_site("value", status) for status in ("waiting", "computing", "done")])
table = own.set_index("status", append=True)[["accuracy", "untrained", "majority"]].unstack()
assert own.query("status == 'done'").untrained.min() > 0.95
computing = own.query("status == 'computing'")
assert computing.accuracy.iloc[-1] > 0.98
assert computing.untrained.max() < 0.4
table.swaplevel(axis=1)[["waiting", "computing", "done"]].loc[own.index.unique()].round(2)

# %% [markdown]
# In between, at `blocks.2.hook_resid_mid`, the value of a computing node is partly readable: a node with one operand
# has its operand's value. Those alone:

# %%
one = tuple(given.select(n_operands=1) for given in (data, control))
several = tuple(given.select(n_operands=[2, 3]) for given in (data, control))
split = {
    "one operand": by_site("value", "computing", one, (1,)),
    "two or three": by_site("value", "computing", several, (1,)),
}
assert split["one operand"].accuracy[at] > 0.95
assert split["two or three"].accuracy[at] < 0.5
pd.DataFrame({name: found.accuracy for name, found in split.items()}).loc["blocks.1.hook_resid_mid":].round(3)

# %% [markdown]
# ## The trained model
# The same questions to `discrete-corrected`, with 23 values. Where does it compute?

# %%
trained = load("discrete-corrected")
graphs = [ComputationGraph.sample(n_nodes=32, seed=seed) for seed in range(3000, 3056)]
collected = collect_with_untrained(trained, graphs, SITES, n_steps=5)
grids = {
    status: fit_probe_grid(collected[0], "value", collected[1], status=status, steps=[1, 3], folds=3)
    for status in ("waiting", "computing", "done")
}
frame = pd.concat([grid.to_frame() for grid in grids.values()])
mean = frame.groupby(["site", "status"], sort=False)[["accuracy", "untrained", "majority"]].mean().unstack()
mean.swaplevel(axis=1)[["waiting", "computing", "done"]].loc[list(grids["done"].sites)].round(2)

# %%
computing = frame.query("status == 'computing'").groupby("site", sort=False).accuracy.mean()
assert computing.iloc[-1] > 0.95
assert computing.loc["blocks.0.hook_resid_post"] < 0.15
waiting = frame.query("status == 'waiting'")
assert waiting.accuracy.max() < 0.15
print(
    f"computing: {computing.loc['blocks.0.hook_resid_post']:.2f} after layer 0, "
    f"{computing.loc['blocks.1.hook_resid_mid']:.2f} after the attention of layer 1, "
    f"{computing.iloc[-1]:.2f} after its MLP"
)
grids["computing"].figure()

# %% [markdown]
# The result appears in layer 1: after layer 0 a computing node's value is at the level of the controls, after the MLP
# of layer 1 it is there. Before a node's operands are known it is at no site (asserted), as it must be.
#
# One control is high at one place: at `blocks.0.hook_resid_pre` the control task is solved well. That is the embedding,
# where the variable's name stands: a probe there can memorise a label for each name, so an accuracy there would have
# had to be read with care.

# %%
task = (
    frame.query("status == 'computing'")
    .groupby("site", sort=False)[["accuracy", "control_task", "selectivity"]]
    .mean()
)
assert task.control_task.idxmax() == "blocks.0.hook_resid_pre"
task.round(2)

# %% [markdown]
# ## One code for all steps
# Fitted at step i, tested at step j on other graphs: is a value written in the same way in every step? The angles are
# between the subspaces that the probes read; on the diagonal, between two probes of one step that were fitted to half
# of the graphs each, which is what refitting alone does.

# %%
transfer = probe_transfer(
    collected[0],
    "blocks.1.hook_resid_post",
    "value",
    collected[1],
    steps=[0, 1, 2, 3, 4],
    status="computing",
    folds=3,
)
accuracy = transfer.accuracy[0]
off = ~np.eye(len(accuracy), dtype=bool)
print(
    f"accuracy at the own step {accuracy[~off].mean():.3f}, at other steps {accuracy[off].mean():.3f}, "
    f"untrained {transfer.accuracy[2][off].mean():.3f}"
)
assert accuracy[off].mean() > 0.9
transfer.figure()
