# %% [markdown]
# # 7 · Is it the same circuit in every step?
#
# A looped model applies the same weights in every step. Whether it also uses the same *circuit* is another question: an
# edge between two heads may matter in the step that fetches a value and in no other. This notebook cuts edges, in all
# steps or in one, and asks which of them carry the answer.
#
# On `compiled` the edges are known from the weights, so that methods can be told right from wrong. `discrete-corrected`
# gets the same questions.

# %%
import numpy as np
import pandas as pd

from interp import (
    attribution_graph,
    delete_top_path,
    discover,
    pair_runs,
    sample_pairs,
    schedule,
    score_method,
    weight_edges,
)
from interp.circuits.benchmark import auroc, precision
from models import ComputationGraph, load
from models.compiled import compile_model

# %% [markdown]
# ## Edges that are known
# An edge leads from what writes to the residual stream (the embedding, a head, an MLP) to what reads from it (a head's
# q, k or v, an MLP, the logits). In `compiled` it can matter only where what is written is read. A small copy of it,
# with a twin of one head and a decoy that nothing reads beside it:

# %%
texts = [f"{leaf} = a; 1 = b; 2 = c; a + b - c = d; d = e" for leaf in (3, 0)]
pair = [ComputationGraph.parse(text, modulus=5, n_variables=16) for text in texts]
rows = []
for spare in (False, True):
    small = compile_model(("ADD", "SUB"), modulus=5, n_variables=16, spare_heads=spare)
    truth = weight_edges(small)
    runs = pair_runs(small, [tuple(pair)], "mean")
    for name in ("exact", "EAP", "EAP-IG", "attention", "random"):
        scores = np.abs(score_method(name).scores(runs, True, 0)[0])
        row = {"spare heads": spare, "method": name, "AUROC": auroc(scores, truth)}
        rows.append(row | {"precision": precision(scores, truth), "can matter": truth.sum()})
known = pd.DataFrame(rows)
assert (known[known.method.isin(["exact", "EAP", "EAP-IG"]) & ~known["spare heads"]].AUROC > 0.95).all()
known.round(3)

# %% [markdown]
# Cutting edges one by one ("exact") is right about all of them where every edge is needed. With the twin it is not:
# neither of two heads that do the same is needed, and a score that asks for need says so. Gradients do not ask.

# %% [markdown]
# ## A circuit of a trained model
# Two pairs to find it on, two others to judge it. The pairs differ in the value of a leaf; cut edges carry what they
# carry in the corrupt run.

# %%
model = load("discrete-corrected")
pairs = sample_pairs(4, "leaf-value", 12, seed=0)
found_on, judged_on = pair_runs(model, pairs[:2]), pair_runs(model, pairs[2:])
found = discover(found_on, judged_on, "EAP-IG", draws=3)
heads = ", ".join(f"{layer}.{head}" for layer, head in found.heads)
print(f"{found.unique_edges} of {len(found.graph.edges)} edges, heads {heads}")
print(f"f of the circuit {found.sufficiency:.3f}, of all others together {1 - found.necessity:.3f}")
assert found.reached
assert found.necessity > 0.95
found.figures()["faithfulness"]

# %%
found.figures()["edges"]

# %% [markdown]
# ## In every step?
# A circuit per step may choose its edges anew in every step. If steps used different edges it would need fewer of them
# for the same f, and the **sharing gap** would be above 0.

# %%
table = pd.DataFrame(
    {
        name: {
            "CPR": curve.cpr,
            "CMD": curve.cmd,
            "CPR over log k": curve.cpr_log,
            "edges for f = 0.95": curve.smallest(0.95),
        }
        for name, curve in found.curves.items()
    }
)
print(f"sharing gap {found.sharing_gap:+.3f}")
table.round(3)

# %% [markdown]
# And when is it at work? Cut in one step alone, it is felt at a node from the step of the node's depth on, because
# every step computes everything anew; the rest of the model, cut in one step, is not felt at all.

# %%
worked = schedule(judged_on, found.kept)
print(
    f"as the depths say: {worked.as_predicted:.1%} of {worked.without.size} cells; "
    f"undisturbed without all other edges: {worked.undisturbed:.1%}"
)
assert worked.as_predicted >= 0.95
frame = worked.to_frame()
frame.groupby(["depth", "step"]).without.mean().unstack().round(2)

# %% [markdown]
# ## One run as a graph
# What one value goes back to: codes of the states, and the heads and MLPs between them. Between steps nothing can be
# missing, because a state holds all that a step is given; inside a step edges need not add up, and completeness says
# how far they do. The control of the top path is random heads and MLPs apart from what the value is computed from.

# %%
explained = attribution_graph(model, ComputationGraph.sample(8, seed=1), draws=2)
deleted = delete_top_path(explained, draws=20)
print(f"completeness between steps {explained.between:.3f}, inside {explained.inside:.2f}")
print(f"without the top path the value changes: {deleted.changed}")
print(f"without random ones of its size apart from what it is computed from: in {deleted.changed_apart:.0%}")
print(f"without random ones anywhere: in {deleted.changed_at_random:.0%} of {deleted.draws}")
assert deleted.changed
explained.figure()

# %% [markdown]
# ## Same in the shell
# ```sh
# recurlens circuit --model discrete-corrected --n-nodes 12 --method EAP-IG
# recurlens attribution-graph --model discrete-corrected --n-nodes 8 --seed 1
# recurlens benchmark-circuits
# ```
