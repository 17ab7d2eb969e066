# %% [markdown]
# # 8 · What neighbouring papers ask
#
# Other papers stand beside the one that these models are from, each with a question about small Transformers that it
# asks of models of its own. A model whose steps are exact can answer too. Seven questions, a cell each, and each with
# what says no if the answer is no: untrained weights, shuffled weights, or a set of the same size and strength.
#
# Cells are small, so that the notebook runs in seconds; the page *Neighbours* of the documentation has three seeds, all
# controls and the numbers.

# %%
import pandas as pd

from interp.neighbours.addition import addition
from interp.neighbours.degeneracy import all_parts, degeneracy
from interp.neighbours.massive import massive_activations
from interp.neighbours.modularity import modularity
from interp.neighbours.pruning import prune_neurons
from interp.neighbours.separation import head_separation
from interp.neighbours.subnetwork import minimal_subnetwork
from models import ComputationGraph, load
from models.compiled import compile_model
from models.snapshots import snapshots

model = load("discrete-corrected")
graphs = [ComputationGraph.sample(8, seed=seed) for seed in range(4)]

# %% [markdown]
# A small copy of the compiled model adds modulo 5; which of its heads and neurons do what is known.

# %%
known = compile_model(("ADD",), modulus=5, n_variables=16)
small = [ComputationGraph.sample(8, ("ADD",), 3, modulus=5, seed=seed, n_variables=16) for seed in range(12)]
planted = {f"{head.layer}.{head.head}" for head in known.circuit.heads if head.kind != "idle"}

# %% [markdown]
# ## Do periodic neurons carry the sum?
# *To grok or not to grok* (2310.13061): neurons whose tuning is one wave (IPR near 1) generalise, the others memorise.
# Trained neurons are more periodic than untrained ones. But pruned in that order they do no better than others of equal
# energy: that period decides is not shown.

# %%
pruned = prune_neurons(model, points=10, draws=6)
assert pruned.of_neurons.mean() > 2 * pruned.of_untrained.mean()
assert pruned.halved("highest") < pruned.halved("random") < pruned.halved("weakest")
assert not pruned.periodic_carry
print(pruned.sentence())
pruned.figures()["pruning"]

# %% [markdown]
# ## Is the MLP made of modules?
# *Modular Training of Neural Networks aids Interpretability* (2502.02470). Every matrix is a little more clustered than
# the same weights shuffled. Little is the word: a matrix of four planted blocks has 1.

# %%
modules = modularity(model, shuffles=2, draws=2)
table = modules.to_frame()
assert (table.inside > table.shuffled_most).all()
assert table.inside.max() < 0.5
table.round(2)

# %% [markdown]
# ## Are there massive activations?
# *Hidden Dynamics of Massive Activations* (2508.03616) finds them a thousand times the median. Here there are none.

# %%
massive = massive_activations(model, graphs)
assert not massive.own.massive.any()
print(massive.sentence())

# %% [markdown]
# ## What is the least that one step needs?
# *Bigram Subnetworks* (2504.15471): a mask, trained under a pressure that closes it. On the known model it is what was
# planted, and random sets of its size do not do.

# %%
least = minimal_subnetwork(known, small, [0.1], 80, whole_mlps=True, n_steps=16, draws=4)
assert least.found.heads() == planted
assert least.found.written == 1 > least.random.max()
print(least.sentence())

# %% [markdown]
# ## How is a sum made?
# *Understanding Addition in Transformers* (2310.13121) and papers on modular addition: parallel streams, neurons of one
# frequency, phases that add. The known model has a table instead of waves, and the test says so: reduced to one wave an
# operand it answers hardly anything. Its first two operands meet a layer earlier, so that only the last is moved alone.

# %%
summed = addition(known, small[:2])
assert not len(summed.wrong)
assert summed.ideal.pairs < 0.5 < summed.streams.moved[2]
summed.summary().round(3)

# %% [markdown]
# ## How degenerate is the loss of a step?
# *Using Degeneracy in the Loss Landscape* (2405.10927): the local learning coefficient counts the weights that matter.
# On the known model the largest of the heads are planted ones.

# %%
flat = degeneracy(known, small, chains=1, n_steps=8, plateau=False, length=0.3)
heads = pd.Series({name: float(flat.parts[name].mean()) for name in all_parts(known) if "." in name})
assert set(heads.nlargest(5).index) <= planted
heads.sort_values(ascending=False).head(10).round(3).to_frame("coefficient")

# %% [markdown]
# ## How do heads separate in training?
# *Clustering Head* (2410.24050): a head as a point in a plane, over training. The slider of the page is here a curve.

# %%
kept = list(snapshots("discrete-corrected"))[::-4][::-1]
apart = head_separation(model, graphs[:2], kept)
assert apart.separation[-1] > 0.9 > apart.separation[0]
print(apart.sentence())
apart.figures()["separation"]

# %% [markdown]
# ## Same in the shell
# ```sh
# recurlens neurons --model discrete-corrected
# recurlens modularity --model discrete-corrected
# recurlens massive --model discrete-corrected --n-nodes 16 --graphs 8
# recurlens subnetwork --model discrete-corrected --n-nodes 8
# recurlens addition --model discrete-corrected --n-nodes 32 --graphs 32
# recurlens degeneracy --model discrete-corrected --n-nodes 8
# recurlens separation --model discrete-corrected --n-nodes 16 --graphs 4
# ```
