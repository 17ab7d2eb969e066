# %% [markdown]
# # 5 · Your own looped model
#
# What notebooks 1 to 4 do with the models of this repository can be done with any looped torch model. It has to offer
# three functions and a module (`interp.LoopedModel`); the loop itself is run by `run_looped`, so every activation and
# every edit has a step.
#
# Here a tiny model is written, trained in seconds, adapted, and looked at. Nothing below imports `models`.

# %%
import time

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from interp import (
    ActivationDataset,
    StepEdit,
    code_usage_of,
    dynamics_of,
    fit_probe_grid,
    frontier_of,
    run_looped,
)

P, N, EMPTY, D = 5, 12, 5, 64  # modulus, nodes of a tree, the code for "not known yet", width

# %% [markdown]
# ## A task that takes steps
# A tree: every node has a digit and, but for the root, a parent among the nodes before it. A node's **total** is the
# sum of the digits on the way from the root, modulo 5. The slow algorithm knows the root in step 0 and in every step
# the nodes whose parent was known: a node of depth d is written by step d.


# %%
def draw(batch: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Digits and parents, int [batch, node]; the root's parent is N."""
    digits = torch.randint(P, (batch, N), generator=generator)
    parents = [
        torch.randint(i, (batch,), generator=generator) if i else torch.full((batch,), N) for i in range(N)
    ]
    return digits, torch.stack(parents, dim=1)


def slow_step(digits: Tensor, parents: Tensor, shown: Tensor) -> Tensor:
    """What one step of the slow algorithm makes of the totals that are shown, int [batch, node]."""
    above = torch.cat([shown, torch.zeros(len(shown), 1, dtype=torch.long)], dim=1).gather(1, parents)
    return torch.where(above == EMPTY, EMPTY, (above + digits) % P)


def slow_run(digits: Tensor, parents: Tensor, n_steps: int) -> Tensor:
    """Int [step + 1, batch, node], from all EMPTY."""
    states = [torch.full_like(digits, EMPTY)]
    for _ in range(n_steps):
        states.append(slow_step(digits, parents, states[-1]))
    return torch.stack(states)


digits, parents = draw(1, torch.Generator().manual_seed(7))
example = pd.DataFrame(slow_run(digits, parents, 6)[:, 0].numpy()).astype(str).replace("5", "·")
example.index = pd.Index(["start", *range(6)], name="step")
example.columns = [
    f"{i}: {'root' if p == N else f'under {p}'}, {d}"
    for i, (d, p) in enumerate(zip(digits[0], parents[0], strict=True))
]
example.T

# %% [markdown]
# ## The model
# One block, applied again and again: attention looks at other nodes, an MLP computes what the node shows next. Between
# steps the hidden state is snapped to one of six codes (0 to 4 and EMPTY). The text (digits, parents) is given to the
# block anew in every step.


# %%
class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.digit, self.parent, self.place = nn.Embedding(P, D), nn.Embedding(N + 1, D), nn.Embedding(N, D)
        self.total = nn.Embedding(P + 1, D)  # both embeds and reads out
        self.q, self.k, self.v = (nn.Linear(D, D, bias=False) for _ in range(3))
        self.pattern, self.looked_up = nn.Identity(), nn.Identity()  # so that these activations have names
        self.mlp = nn.Sequential(nn.Linear(2 * D, 2 * D), nn.ReLU(), nn.Linear(2 * D, D))

    def text(self, digits: Tensor, parents: Tensor) -> Tensor:
        return self.digit(digits) + self.parent(parents) + self.place.weight

    def forward(self, text: Tensor, shown: Tensor) -> Tensor:
        x = text + self.total(shown)
        pattern = self.pattern((self.q(x) @ self.k(x).mT / D**0.5).softmax(-1))
        return self.mlp(torch.cat([x, self.looked_up(pattern @ self.v(x))], dim=-1))

    def logits(self, hidden: Tensor) -> Tensor:
        return hidden @ self.total.weight.T


# %% [markdown]
# Trained on single steps: from a state of the slow algorithm, with a fifth of its codes replaced at random, to the
# state that follows.

# %%
torch.manual_seed(0)
block, generator, begin = Block(), torch.Generator().manual_seed(0), time.process_time()
optimiser = torch.optim.AdamW(block.parameters(), lr=1e-2)
schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=1e-2, total_steps=500)
for _ in range(500):
    digits, parents = draw(128, generator)
    at = torch.randint(7, (128,), generator=generator)
    shown = slow_run(digits, parents, 6)[at, torch.arange(128)]
    noise = torch.rand(shown.shape, generator=generator) < 0.2
    shown = torch.where(noise, torch.randint(P + 1, shown.shape, generator=generator), shown)
    logits = block.logits(block(block.text(digits, parents), shown))
    loss = nn.functional.cross_entropy(logits.flatten(0, 1), slow_step(digits, parents, shown).flatten())
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    schedule.step()
assert time.process_time() - begin < 60
print(
    f"{sum(weights.numel() for weights in block.parameters())} parameters, 500 steps of training, "
    f"last loss {loss.item():.4f}"
)

# %% [markdown]
# ## The adapter
# All that the toolkit needs to know: how a run begins, what a step is, how a hidden state is read.


# %%
class TreeSums:
    """The block as an `interp.LoopedModel`; `snap=False` leaves the discretisation out."""

    def __init__(self, block: Block, snap: bool = True) -> None:
        self.module, self.snap = block, snap

    def begin(self, inputs: tuple[Tensor, Tensor]) -> Tensor:
        self.text = self.module.text(*inputs)
        return self.module.total.weight[EMPTY].expand_as(self.text)

    def step(self, hidden: Tensor, step: int) -> Tensor:
        if self.snap:
            return self.module(self.text, self.read(hidden)["total"].argmax(-1))
        x = self.text + hidden
        pattern = self.module.pattern((self.module.q(x) @ self.module.k(x).mT / D**0.5).softmax(-1))
        return self.module.mlp(torch.cat([x, self.module.looked_up(pattern @ self.module.v(x))], dim=-1))

    def read(self, hidden: Tensor) -> dict[str, Tensor]:
        return {"total": self.module.logits(hidden)}


model = TreeSums(block)
trees = draw(300, torch.Generator().manual_seed(1))
truth = slow_run(*trees, n_steps=12)
depth = (truth == EMPTY).sum(0) - 1  # the state before step d + 1 is the first that shows a node of depth d
run = run_looped(model, trees, n_steps=12, names=["pattern", "looked_up", "mlp"])
for name, activation in run.activations.items():
    print(f"{name:10} {tuple(activation.shape)}  [step, batch, node, ...]")
codes = run.codes["total"]
on_time = (codes[1:] == truth[1:]).float().mean()
print(
    f"{on_time:.2%} of all codes, of all steps, are the slow algorithm's, "
    f"on {len(codes[0])} new trees of depth up to {depth.max()}"
)
assert on_time > 0.98

# %% [markdown]
# ## When: the frontier
# One level of the tree becomes right in each step. This is a statement about steps; of the module by name nothing of
# the kind can be said.

# %%
right = (codes == truth[-1]).numpy()
frontier = frontier_of(right, depth.numpy())
print(frontier.speed())
frontier.figure()

# %% [markdown]
# ## Where it looks
# Attention from every node to its parent (the root has none), by step, and by what is known when the step begins. It
# looks at the parent in every step, known or not: where it looks is the text's doing, and what it finds there the
# step's.

# %%
others = trees[1] < N
to_parent = run.activations["pattern"].gather(-1, trees[1].clamp(max=N - 1).expand(12, -1, -1)[..., None])[
    ..., 0
]
steps = np.arange(12)[:, None, None]
status = (
    np.sign(steps - depth.numpy()[None]) + 1
)  # 0 waiting, 1 computing, 2 done: index into interp.data.labels.STATUSES
looks = pd.DataFrame(
    {
        name: [
            to_parent[step][others & torch.tensor(status[step] == code)].mean().item() for step in range(7)
        ]
        for code, name in enumerate(("parent not known", "parent known, node not", "both known"))
    },
    index=pd.RangeIndex(7, name="step"),
)
assert looks.min().min() > 0.9
looks.round(3)

# %% [markdown]
# ## Probing, step by step
# What does the attention hand on? A dataset from plain arrays, one row per node, and a probe for every step: it reads
# the **parent's total** from `looked_up`. Controls come with it. The untrained block enters the same states as the
# trained one: its hidden states are set to those by an edit in every step.

# %%
some = slice(0, 120)
inputs = tuple(part[some] for part in trees)
known_by = {
    "graph": np.repeat(np.arange(120), N),
    "name": np.tile(np.arange(N), 120),
    "node": np.tile(np.arange(N), 120),
}
above = torch.where(trees[1] < N, truth[-1].gather(1, trees[1].clamp(max=N - 1)), -1)[some]
labels = pd.DataFrame(known_by | {"depth": depth[some].flatten(), "parent_total": above.flatten()})


def dataset(adapted: TreeSums, edits: list[StepEdit], name: str) -> ActivationDataset:
    recorded = run_looped(adapted, inputs, 7, ["looked_up", "mlp"], edits)
    arrays = {site: activation.flatten(1, 2).numpy() for site, activation in recorded.activations.items()}
    return ActivationDataset.from_arrays(
        arrays, labels, {"status": status[:7, some].reshape(7, -1)}, name, modulus=P
    )


torch.manual_seed(1)
untrained = Block()
untrained.total.load_state_dict(block.total.state_dict())  # reads out the same codes
same_states = [StepEdit("hidden", step, lambda _, step=step: run.hidden[step, some]) for step in range(7)]
data = dataset(model, [], "tree sums")
control = dataset(TreeSums(untrained), same_states, "untrained")
options = {
    "target": "parent_total",
    "untrained": control,
    "sites": ["looked_up"],
    "steps": [0, 1, 2, 3, 4],
    "folds": 3,
}
found = {
    status: fit_probe_grid(data, status=status, **options) for status in ("waiting", "computing", "done")
}
table = pd.concat([grid.to_frame() for grid in found.values()])
shown = ["status", "step", "accuracy", "sd", "majority", "shuffled", "untrained", "control_task", "n_rows"]
table = table.dropna(subset=["accuracy"])[shown].set_index(["status", "step"]).round(3)
table

# %% [markdown]
# The parent's total can be read as soon as the parent has one (computing, done), and while it has none it cannot, with
# one exception: in step 0. There the parent of some nodes is the root, whose total is its own digit, and digits are in
# the text; without the children of the root it is gone. In every later step there are nodes of both kinds, and a probe
# that does not know the step mixes them. The same probe without steps, all of them together as one:

# %%
flat = ActivationDataset.from_arrays(
    {"looked_up": data.activations["looked_up"].reshape(1, -1, D)},
    pd.concat([labels] * 7),
    model="all steps together",
)
pooled = fit_probe_grid(flat, target="parent_total", folds=3)
by_status = table.groupby("status").accuracy.mean()
deeper = data.select(depth=list(range(2, int(depth.max()) + 1)))
first = fit_probe_grid(deeper, "parent_total", status="waiting", sites=["looked_up"], steps=[0], folds=3)
print(
    f"step 0, waiting, without the children of the root: {first.mean.item():.3f} "
    f"(majority {first.majority_mean.item():.3f})"
)
assert first.mean.item() < first.majority_mean.item() + 0.1
print(f"all steps together: accuracy {pooled.mean.item():.3f}; by status: {by_status.round(3).to_dict()}")
assert by_status["computing"] > 0.95
assert by_status["waiting"] < pooled.mean.item() < by_status["computing"]

# %% [markdown]
# ## Editing a step
# In the state that enters step 3, the root of the first tree gets a wrong total. What must come out is known: the slow
# algorithm run on from the same edited state. The root is right again one step later, and the error travels down the
# tree, one level per step, and out.

# %%
wrong = (truth[-1, 0, 0] + 1) % P


def set_root(hidden: Tensor) -> Tensor:
    hidden[0, 0] = block.total.weight[wrong]
    return hidden


edited = run_looped(model, trees, n_steps=12, edits=[StepEdit("hidden", 3, set_root)]).codes["total"]
expected = [edited[3]]
for _ in range(9):
    expected.append(slow_step(*trees, expected[-1]))
agreement = (edited[3:] == torch.stack(expected)).float().mean()
changed = edited != codes
report = [
    {
        "state entering step": step,
        "nodes changed": int(nodes.sum()),
        "their depths": sorted(set(depth[0][nodes].tolist())),
    }
    for step, nodes in enumerate(changed[:, 0])
    if nodes.any()
]
print(
    f"as the slow algorithm from the edited state: {agreement:.2%} of all codes; "
    f"codes changed in other trees: {int(changed[:, 1:].sum())}"
)
assert agreement > 0.98
assert not changed[:, 1:].any()
assert [row["their depths"] for row in report] == [[level] for level in range(len(report))]
pd.DataFrame(report).set_index("state entering step")

# %% [markdown]
# **Patching** is an edit with what another run recorded, at the same step or another. In the corrupt text the root has
# another digit. What the attention gives in step i of the clean run, put in at step j of the corrupt run: what step j
# writes, but at the root, must then be what step i of the clean run wrote.

# %%
corrupt = ((trees[0] + (torch.arange(N) == 0)) % P, trees[1])
corrupt_truth = slow_run(*corrupt, n_steps=8)
agrees, unpatched = np.zeros((7, 7)), np.zeros((7, 7))
for i, j in np.ndindex(7, 7):
    patch = StepEdit("looked_up", j, lambda _, i=i: run.activations["looked_up"][i])
    written = run_looped(model, corrupt, n_steps=j + 1, edits=[patch]).codes["total"][j + 1]
    agrees[i, j] = (written == truth[i + 1])[:, 1:].float().mean()
    unpatched[i, j] = (corrupt_truth[j + 1] == truth[i + 1])[:, 1:].float().mean()
assert agrees.min() > 0.98
print(
    f"as predicted: {agrees.min():.2%} of the nodes or more in each of 49 cells; "
    f"without patch {unpatched.mean():.2%} would be, on average"
)

# %% [markdown]
# An edit by name alone would be made in every step. Take from the attention what it gives (set `looked_up` to its
# mean), in one step and in all of them:

# %%
mean = run.activations["looked_up"].mean((0, 1, 2))
rows = {}
for which in [*range(0, 8, 2), "every step"]:
    chosen = range(12) if which == "every step" else [which]
    edits = [StepEdit("looked_up", step, mean.expand_as) for step in chosen]
    ablated = run_looped(model, trees, n_steps=12, edits=edits).codes["total"]
    by_state = (ablated == truth[-1]).float().mean((1, 2))
    rows[which] = {
        "right at the end": by_state[-1].item(),
        "lowest after the ablation": by_state[1 + min(chosen) :].min().item(),
    }
ablations = pd.DataFrame(rows).T.rename_axis("off in step")
assert ablations.loc["every step", "right at the end"] < 0.5
assert (ablations["right at the end"].drop("every step") > 0.98).all()
ablations.round(3)

# %% [markdown]
# Needed in every step, and each single step can be missed: the loop makes up for it. Only the step axis tells these two
# apart.
#
# ## Codes
# Which codes are used, and what they follow each other by; `expected` is the slow algorithm's answer to each state, so
# that an illegal transition can be counted.

# %%
usage = code_usage_of(
    codes[..., None].numpy(),
    {"total": [*map(str, range(P)), "EMPTY"]},
    variables={"total": truth[-1].flatten().numpy(), "depth": depth.flatten().numpy()},
    expected=torch.stack([slow_step(*trees, state) for state in codes[:-1]])[..., None].numpy(),
)
transitions = usage.transitions("total")
print(
    f"illegal transitions: {transitions.n_illegal} of {transitions.counts.sum()}; "
    f"dead codes: {int(usage.dead('total').all(0).sum())}"
)
print(
    "bits that code and true total share, by state:",
    usage.mutual_information("total", corrected=True).round(2).tolist(),
)
assert transitions.illegal_share().mean() < 0.02
usage.figure("total")

# %% [markdown]
# ## Dynamics, with and without the snap
# The same weights, with the snap left out: the hidden state itself enters the next step. It was not trained so.
# `dynamics_of` says how the states move, for any array [step + 1, ..., d].

# %%
loose = run_looped(TreeSums(block, snap=False), trees, n_steps=40)
snapped = run_looped(model, trees, n_steps=40)
rows = []
for name, looped in (("snapped", snapped), ("not snapped", loose)):
    motion = dynamics_of(looped.hidden)
    for step in (0, 3, 6, 12, 24, 39):
        rows.append(
            {
                "run": name,
                "step": step,
                "relative update, median": np.median(motion.relative[step]),
                "nodes that moved": (motion.residual[step] > 0).mean(),
                "totals right": (looped.codes["total"][step + 1] == truth[-1]).float().mean().item(),
            }
        )
moves = pd.DataFrame(rows).set_index(["run", "step"])
assert moves.loc[("snapped", 39), "nodes that moved"] == 0
assert moves.loc[("snapped", 39), "totals right"] > 0.98
assert moves.loc[("not snapped", 39), "totals right"] < 0.8
assert moves.loc[("not snapped", 39), "relative update, median"] < 0.01
moves.round(3)

# %% [markdown]
# Without the snap the states come to rest as well, and about half of the totals are wrong: the snap is part of what was
# trained, and not only a way of reading.
#
# Your own model needs no more than the adapter above. `interp.as_looped` is the one for this repository's models.
