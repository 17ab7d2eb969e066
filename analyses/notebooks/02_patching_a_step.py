# %% [markdown]
# # 2 · Patching a step
#
# Activation patching puts an activation of one run into another and watches what becomes of the answer. In a looped
# model a hook's name is not a place: `blocks.0.attn.hook_z` is computed in every step. Here a place is a `Site`, and a
# site has a step.
#
# First on `compiled`, where what must come out is known; then on `discrete-corrected`.

# %%
import pandas as pd

from interp import Site, cross_step_matrix, make_pair, patch_sweep, record, run_interventions
from interp.causal.pairs import leaf_value
from interp.engine.interventions import SetFrom
from models import ComputationGraph, load

compiled = load("compiled")
trained = load("discrete-corrected")

# %% [markdown]
# ## A pair
# Two texts that differ in one leaf's value. Nodes that depend on it may differ, all others must not.

# %%
graph = ComputationGraph.parse("20 = a; 2 = b; 5 = e; a + b = c; c * a - b = d; d + c = total; e + a = f")
pair = leaf_value(graph, "b", value=9)
names = [node.name for node in graph.nodes]
print(pair)
pd.DataFrame(
    {
        "equation": graph.equations,
        "depth": graph.depths_by_node,
        "clean": pair.clean.values_by_node,
        "corrupt": pair.corrupt.values_by_node,
        "differs": [index in pair.differing for index in range(len(graph))],
    },
    index=names,
)

# %% [markdown]
# ## One patch
# Head 0 of layer 2 looks up the last operand: `compiled` was built so. Take what it gives at node `c` in step 1 of the
# clean run (it looks up b), and put it into the corrupt run at the same place. Then c is computed with the clean b in
# this one step. In the next step c is right by the corrupt text again, and what has read it in between is not.

# %%
print(compiled.circuit.head(2, 0))
clean, corrupt = record(compiled, pair.clean, n_steps=6), record(compiled, pair.corrupt, n_steps=6)
site = Site("z", step=1, layer=2, head=0, pos="rhs:c")
(replay,) = run_interventions(compiled, corrupt, [SetFrom(site, clean)])
signs = compiled.vocabulary.symbols("value")
shown = pd.DataFrame(
    [[signs[code] for code in row] for row in replay.values.tolist()],
    columns=names,
    index=pd.Index(["start", *range(6)], name="step"),
)
for step, node in replay.changed.nonzero().tolist():
    shown.iloc[step, node] += " ←"
print("← differs from the corrupt run")
reached = {names[node] for node in replay.changed.any(0).nonzero().flatten().tolist()}
assert replay.changed[2].tolist() == [name == "c" for name in names]  # the state that step 1 wrote: c alone
assert reached == {"c", "d", "total"}
shown

# %% [markdown]
# ## A sweep
# Every head, at every right-hand side, in every step. 0 is the corrupt run's answer, 1 the clean run's.
#
# **What must come out.** What differs between the two texts is values, so only heads that move values can have an
# effect, and only at nodes whose operand, the one that the head serves, differs. At the leaf itself it is the head that
# copies the number given. `model.circuit` says which head that is; the set is written down before the sweep.

# %%
planted = {
    (0, compiled.circuit.with_role("name:last").head, "b")
}  # the head that also copies a leaf's number
for index, node in enumerate(graph.nodes):
    for head in compiled.circuit.heads:
        if head.kind != "lookup":
            continue
        for from_the_end in head.operands:
            if from_the_end < len(node.operands) and node.operands[-1 - from_the_end] in pair.differing:
                planted.add((head.layer, head.head, names[index]))

sites = Site.grid(compiled, graph, "z", n_steps=6, pos="rhs")
sweep = patch_sweep(compiled, clean, corrupt, sites)
effects = sweep.to_frame()
effects["node"] = [names[int(pos.split(":")[1])] for pos in effects.pos]
found = effects[effects.normalised.abs() > 1e-6]
assert set(zip(found.layer, found["head"], found.node, strict=True)) == planted
print(
    f"{len(sites)} patches in {sweep.n_steps} steps; places with an effect: {len(planted)} planted, "
    f"the same {len(planted)} found"
)
found.pivot_table(index=["layer", "head", "node"], columns="step", values="normalised").map(
    "{:.3f}".format
).replace("nan", "")

# %% [markdown]
# The step axis shows when a place is used: the patch at the leaf in step t is one step's work, and reaches, after k
# more steps, nodes that are k edges away. By name alone all these columns would be one.

# %%
sweep.figure()

# %% [markdown]
# ## A cross-step cell
# The same weights run in every step, so an activation of one step can be put in at another. One cell: the output of the
# last layer at the right-hand sides in step 1 of the clean run, put in at step 3 of the corrupt run. In step 1 the
# clean run knew a, b, e, c and f, and had written nothing at d and total.

# %%
cell = [SetFrom(Site("resid_post", step=3, layer=2, pos=f"rhs:{name}"), clean, step=1) for name in names]
(replay,) = run_interventions(compiled, corrupt, [cell])
written = replay.values[4]  # the state that step 3 wrote
assert written.tolist() == clean.trajectory.values[2, 0].tolist()
print(
    "written by the patched step 3:",
    dict(zip(names, (signs[code] for code in written.tolist()), strict=True)),
)

# %% [markdown]
# All cells together are a matrix, and the graph alone predicts it: a right-hand side carries its node's value from the
# step of its depth on. Below, measured and predicted, for a sampled graph; first the model that was built to follow the
# prediction, then the trained one, for which it is a hypothesis. Only cells where an effect is predicted are counted;
# "by no effect" is what predicting none there would score, which the prediction has to beat.

# %%
drawn = make_pair(ComputationGraph.sample(n_nodes=32, seed=0), "leaf-value", seed=0)
by_hand = cross_step_matrix(compiled, drawn.clean, drawn.corrupt, "resid_post", layer=2, pos="rhs")
by_training = cross_step_matrix(trained, drawn.clean, drawn.corrupt, "resid_post", layer=1, pos="rhs")
print(f"compiled            {by_hand}")
print(f"discrete-corrected  {by_training}")
assert by_hand.matched() == 1.0
assert by_training.matched() > by_training.matched_by_nothing()
by_training.figure()

# %% [markdown]
# ## What the trained model uses
# Every head at all positions at once, in every step. The answer that is to be restored is the value of all nodes that
# differ.

# %%
runs = record(trained, drawn.clean), record(trained, drawn.corrupt)
sites = Site.grid(trained, drawn.clean, "z", n_steps=runs[0].n_steps, pos=["all"])
heads = patch_sweep(trained, *runs, sites)
print(drawn, "·", len(drawn.differing), "nodes differ")
heads.figure()

# %%
table = heads.to_frame()
table["layer.head"] = table.layer.astype(str) + "." + table["head"].astype(str)
by_head = table.pivot(index="step", columns="layer.head", values="normalised")
ranked = by_head.abs().max().sort_values(ascending=False)
summary = pd.DataFrame(
    {
        "strongest effect": ranked.round(3),
        "in step": by_head.abs().idxmax()[ranked.index],
        "mean over the steps": by_head.mean()[ranked.index].round(3),
    }
)
assert summary.index[0] == "0.0"
assert by_head["0.0"].min() > 0.9
assert by_head.loc[:4, by_head.columns.str.startswith("1.")].abs().max().max() < 0.01
summary.head(6)

# %% [markdown]
# On this pair head 0.0 brings the answer back whichever step it is patched in (above 0.9 of it in each, asserted),
# while no head of layer 1 has an effect in steps 0 to 4 (below 0.01). Why can one step be enough, when `compiled`
# computes the leaf anew from the text? Look at the states after the patch in step 2:

# %%
(replay,) = run_interventions(trained, runs[1], [SetFrom(Site("z", step=2, layer=0, head=0), runs[0])])
clean_states, corrupt_states = (run.trajectory.states[:, 0] for run in runs)
tokens = trained.vocabulary.token_strings(runs[1].encoded.factors, drawn.corrupt)[0]
rows = []
for step in (2, 3):
    state = replay.states[step]
    rows.append(
        {
            "state": f"entering step {step}",
            "tokens unlike the clean run": int((state != clean_states[step]).any(-1).sum()),
            "tokens unlike the corrupt run": int((state != corrupt_states[step]).any(-1).sum()),
        }
    )
assert replay.states[3:].equal(clean_states[3:])
first = int((replay.states[3] != corrupt_states[3]).any(-1).nonzero()[0])
print(
    f"first token that is unlike the corrupt run's after step 2: {tokens[first]!r} at position {first}, "
    f"before {tokens[first + 1]!r} {tokens[first + 2]!r}"
)
pd.DataFrame(rows).set_index("state")

# %% [markdown]
# From step 3 on the state is the clean run's, token for token, the leaf's number in the text included: the trained
# model writes its text anew in every step, and here head 0.0 carries what differs in it. So one patch rewrites the text
# that all later steps read.
#
# Patching shows where what **differs** between two texts passes, which is not all that a head is for. [Notebook
# 3](03_probing_latent_codes.ipynb) asks what can be read from an activation.
