"""Do loops with random weights come to cyclic fixed points? By norm, by input injection, three seeds.

    python -m analyses.benchmarks.loop_fixed_points [--seeds 3] [--steps 256] [--json FILE]

Blayney et al. 2026 (arXiv 2604.11791) find that each layer of a looped model's cycle comes to a fixed point of its own,
and that input injection decides about it: with it a pre-norm loop has cyclic fixed points, without it degenerate ones
alone. Here: 4 layers of `torch.nn.TransformerEncoderLayer` (d 64, 4 heads), all matrices drawn anew with variance
gain^2 / fan-in, 4 random inputs of 16 positions.

    norm        pre: as PyTorch has it, and no other; pre, last: and a norm at the end of each step; post
    injection   none; add: the input is added to the state before each step; linear: W [state; input], drawn so that W
                keeps the length of what it is given

Kinds and distances are those of `interp.loop_fixed_points`. `vector` compares states themselves, `direction` what a
layer behind a norm sees of them. Distances and residuals are means over seeds.
"""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal

import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
import torch
import typer
from torch import Tensor, nn

from analyses.options import at_least, run_alone, writable
from interp import fixed_points_of, loop_dynamics
from models.files import write_text

NORMS = ("pre", "pre, last", "post")
INJECTIONS = ("none", "add", "linear")
N_LAYERS, WIDTH, N_HEADS = 4, 64, 4


class RandomLoop:
    """A stack of PyTorch's encoder layers with random weights, applied again and again."""

    def __init__(self, norm: str, injection: str, seed: int, gain: float = 1.0) -> None:
        torch.manual_seed(seed)
        options: Any = {
            "dropout": 0.0,
            "activation": "gelu",
            "batch_first": True,
            "norm_first": norm != "post",
        }
        layers = [nn.TransformerEncoderLayer(WIDTH, N_HEADS, 4 * WIDTH, **options) for _ in range(N_LAYERS)]
        self.adapter = nn.Linear(2 * WIDTH, WIDTH, bias=False)
        self.last: nn.Module = nn.LayerNorm(WIDTH) if norm == "pre, last" else nn.Identity()
        self.layers = nn.ModuleList(layers)
        self.module: nn.Module = nn.ModuleList([self.layers, self.adapter, self.last]).eval()
        for weights in self.layers.parameters():
            if weights.ndim > 1:
                nn.init.normal_(weights, std=gain * weights.shape[1] ** -0.5)
        nn.init.normal_(self.adapter.weight, std=(2 * WIDTH) ** -0.5)
        self.injection = injection
        self.sites = {f"{layer}.resid_post": f"0.{layer}" for layer in range(N_LAYERS)}

    def begin(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """The state is the input at first; the context is what is injected."""
        return inputs, inputs

    def step(self, state: Tensor, step: int, context: Tensor) -> Tensor:
        """Injection, all layers, the last norm."""
        if self.injection == "add":
            state = state + context
        elif self.injection == "linear":
            state = self.adapter(torch.cat([state, context], -1))
        for layer in self.layers:
            state = layer(state)
        return self.last(state)

    def read(self, state: Tensor, context: Tensor) -> dict[str, Tensor]:
        """Nothing is shown."""
        return {}


def measure(seeds: int, n_steps: int, gain: float = 1.0) -> pd.DataFrame:
    """A line a norm, injection, seed and ``what``."""
    lines: list[dict[str, Any]] = []
    for norm, injection, seed in product(NORMS, INJECTIONS, range(seeds)):
        draw = torch.Generator().manual_seed(1_000 + seed)
        found = loop_dynamics(
            RandomLoop(norm, injection, seed, gain), torch.randn(4, 16, WIDTH, generator=draw), n_steps
        )
        whats: tuple[Literal["vector", "direction"], ...] = ("vector", "direction")
        for what in whats:
            points = fixed_points_of(found, what)
            table: Any = points.summary().set_index("point").loc[points.layers]
            line: dict[str, Any] = {"norm": norm, "injection": injection, "what": what, "seed": seed}
            line |= {"kind": points.kind(), "fixed": table.fixed.min(), "residual": table.residual.max()}
            line |= {
                "apart": table.apart.mean(),
                "by_input": table.by_input.min(),
                "length": table.norm.max(),
            }
            lines.append(line)
    return pd.DataFrame(lines)


def by_setting(frame: Any) -> pd.DataFrame:
    """Seeds together: the kinds in their order, and means."""
    groups = frame.groupby(["norm", "injection", "what"], sort=False)
    kinds = groups.kind.agg(" ".join).rename("kinds")
    numbers = groups[["fixed", "residual", "apart", "by_input", "length"]].mean()
    return pd.concat([kinds, numbers], axis=1).reset_index()


def main(
    seeds: Annotated[int, typer.Option("--seeds", callback=at_least(1), help="Of weights and inputs.")] = 3,
    steps: Annotated[int, typer.Option("--steps", callback=at_least(16), help="Of every run.")] = 256,
    gain: Annotated[float, typer.Option("--gain", help="Of the layers' matrices.")] = 1.0,
    json_file: Annotated[
        Path | None,
        typer.Option("--json", metavar="FILE", help="Where to write all lines.", callback=writable),
    ] = None,
) -> None:
    """Print a line a setting."""
    torch.set_num_threads(1)
    frame: Any = measure(seeds, steps, gain)
    table: Any = by_setting(frame)
    print(table.round(4).to_string(index=False))
    if json_file is not None:
        write_text(json_file, json.dumps(frame.to_dict("records"), indent=2) + "\n")


if __name__ == "__main__":
    run_alone(main)
