# %% [markdown]
# # 1 · From a graph to a trajectory
#
# A computational graph is written as equations, modulo 23. A recurrent Transformer reads all of them at once, and
# applies one block of layers again and again until nothing changes. Between two steps its hidden states are snapped to
# symbols, so a run is a short film of discrete states: a **trajectory**. This notebook makes one, looks at it, cuts it,
# and edits it.
#
# Two models are used throughout these notebooks. `compiled` is built by hand, without training: what each of its heads
# does is known, so it is the ground truth. `discrete-corrected` is trained, and has to be found out about.

# %%
import pandas as pd
import torch

from interp import overwrite_value
from interp.causal.overwrite import Overwrite
from interp.figures.graph import graph_figure
from interp.figures.trajectory import trajectory_figure
from models import ComputationGraph, load
from models.vocabulary import FACTORS

compiled = load("compiled")
trained = load("discrete-corrected")
pd.Series(
    {
        name: sum(weights.numel() for weights in model.parameters())
        for name, model in (("compiled", compiled), ("discrete-corrected", trained))
    },
    name="parameters",
).to_frame()

# %% [markdown]
# ## A graph
# `parse` takes what people type. The oracle knows every node's value, and its **depth**: 0 for a leaf, else one more
# than its deepest operand. No algorithm that computes one level per step can know a node earlier than in the step of
# its depth.

# %%
graph = ComputationGraph.parse("20 = a; 2 = b; a + b = c; c + a + b = d; d + c = total")
pd.DataFrame(
    {"equation": graph.equations, "true value": graph.values_by_node, "depth": graph.depths_by_node},
    index=[node.name for node in graph.nodes],
)

# %% [markdown]
# ## What the model reads
# Each token is four symbols, one of each **factor**: syntax, variable, operation, value. Before step 0 the value is
# EMPTY at every variable. The place where a node's value is to appear is its right-hand side, **rhs** for short.

# %%
vocabulary = trained.vocabulary
encoded = vocabulary.encode(graph)
tokens = pd.DataFrame(
    {
        factor: [vocabulary.symbols(factor)[code] for code in codes]
        for factor, codes in zip(FACTORS, encoded.factors[0].T.tolist(), strict=True)
    },
    index=pd.Index(vocabulary.token_strings(encoded.factors, graph)[0], name="token"),
)
tokens.insert(0, "rhs of", "")
tokens.iloc[encoded.rhs[0].tolist(), 0] = [node.name for node in graph.nodes]
assert (tokens.loc[tokens["rhs of"] != "", "value"] == "EMPTY").all()
tokens.head(12)

# %% [markdown]
# ## A run
# `run` steps until the discrete state stops changing. `values` has the value symbol at each node's rhs: row 0 is the
# state before step 0, row t + 1 what step t wrote. One level of the graph becomes known in each step.

# %%
run = compiled.run(graph)
signs = vocabulary.symbols("value")
assert torch.equal(run.solved_at, encoded.depths)  # every node in the step of its depth
assert run.fully_solved.all()
pd.DataFrame(
    [[signs[code] for code in row] for row in run.values[:, 0].tolist()],
    columns=[node.name for node in graph.nodes],
    index=pd.Index(["start", *range(run.n_steps)], name="step"),
)

# %% [markdown]
# ## The trained model, on 32 nodes
# Colour is the step that first wrote a node's true value. The columns are depths: on this graph the trained model, too,
# solves one column per step.

# %%
large = ComputationGraph.sample(n_nodes=32, seed=0)
run = trained.run(large)
assert torch.equal(run.solved_at, run.encoded.depths)
print(
    f"{run.n_steps} steps, the last that changed anything: {int(run.fixed_point)}; "
    f"deepest node: {max(large.depths_by_node)}"
)
print(f"least certain of all symbols it wrote at a rhs: probability {run.value_confidence.min():.4f}")
graph_figure(run)

# %%
trajectory_figure(run)

# %% [markdown]
# One graph is an anecdote. Over 64 new graphs, in which step is a node of each depth solved? Rows are depths, columns
# steps, and `compiled` has its counts on the diagonal alone.

# %%
graphs = [ComputationGraph.sample(n_nodes=32, seed=seed) for seed in range(1000, 1064)]


def depth_by_step(model):
    run = model.run(graphs)
    return run, pd.crosstab(
        pd.Series(run.encoded.depths.flatten().numpy(), name="depth"),
        pd.Series(run.solved_at.flatten().numpy(), name="solved at step (-1: never)"),
    )


run, table = depth_by_step(compiled)
assert torch.equal(run.solved_at, run.encoded.depths)
run, table = depth_by_step(trained)
on_time = (run.solved_at == run.encoded.depths).float().mean()
print(f"compiled: every one of {run.solved.numel()} nodes in the step of its depth")
print(
    f"discrete-corrected: {on_time:.2%} of the nodes; {run.fully_solved.sum()} of {len(graphs)} graphs fully solved"
)
table

# %% [markdown]
# ## The discrete state is all there is
# Everything that enters a step is in the state. So a run can be cut at any step and resumed from what was stored, and
# the rest is not nearly but **exactly** the same.

# %%
whole = trained.run(large)
resumed = trained.run(large, initial_state=whole.states[4], n_steps=whole.n_steps - 4)
assert torch.equal(resumed.states, whole.states[4:])
print(
    f"states {tuple(whole.states.shape)} [step + 1, batch, pos, factor]; "
    f"resumed at step 4: {resumed.n_steps} more steps, equal"
)

# %% [markdown]
# It can also be edited. Here a node of depth 3 is overwritten with a wrong value after step 4, when nodes that depend
# on it are being computed. Frames mark what differs from the undisturbed run (red: also wrong). The model computes
# every node from its operands anew in every step: the node itself is right again one step later, and the error passes
# on to deeper nodes until it leaves at the deep end.

# %%
node = max(range(len(large)), key=lambda index: (large.depths_by_node[index] == 3, index))
wrong = (large.values_by_node[node] + 1) % large.modulus
edited = overwrite_value(trained, whole, Overwrite(node, step=5, value=wrong))
seen = edited.changed
print(
    f"overwritten: {large.nodes[node].name} = {wrong} instead of {large.values_by_node[node]}, "
    "in the state after step 4"
)
print("nodes that differ from the undisturbed run, by step:", dict(enumerate(seen.sum(1).tolist(), start=4)))
print(f"everything as before from step {edited.healed_at} on")
assert seen[0].sum() == 1
assert not seen[1, node]
assert not seen[-1].any()  # healed, all of it
trajectory_figure(edited.run, first_state=5, changed=seen)

# %% [markdown]
# ## Activations have a step axis
# `run_with_cache` keeps activations of the steps asked for, and every one of them has `step` as its first axis. One
# step alone is an ordinary TransformerLens model, `model.at_step(t)`: fed with the state that entered step t it gives
# the same activations.

# %%
logits, cache = trained.run_with_cache(large, names=["hook_resid_post", "hook_pattern"])
print({name: tuple(tensor.shape) for name, tensor in cache.items()})
_, of_one_step = trained.at_step(3).run_with_cache(vocabulary.pack(whole.states[3]))
name = "blocks.1.hook_resid_post"
difference = (cache[name][3] - of_one_step[name]).abs().max().item()
assert difference < 1e-4
print(f"step 3, {name}: from the run and from at_step(3), largest difference {difference:.0e}")

# %% [markdown]
# With a step axis one can ask what a step is for. How far does the hidden state after layer 1 move from one step to the
# next, relative to its length, at right-hand sides? Nodes that are due in this step move most, in every step.

# %%
resid = cache["blocks.1.hook_resid_post"][:, 0, whole.encoded.rhs[0]]
moved = (resid[1:] - resid[:-1]).norm(dim=-1) / resid[:-1].norm(dim=-1)
depth = torch.tensor(large.depths_by_node)
groups = {"due in this step": torch.eq, "not yet": torch.gt, "solved before": torch.lt}
table = pd.DataFrame(
    [
        {name: moved[step - 1][which(depth, step)].mean().item() for name, which in groups.items()}
        for step in range(1, max(large.depths_by_node) + 1)
    ],
    index=pd.RangeIndex(1, max(large.depths_by_node) + 1, name="step"),
)
assert (table["due in this step"] > 2 * table[["not yet", "solved before"]].max(axis=1)).all()
table.round(3)
