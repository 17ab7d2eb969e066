"""Attribution against exact patching on looped models of other packages: how well first order tells.

    python -m analyses.benchmarks.loop_attribution [--pairs 3] [--seeds 3] [--json FILE]

Clean and corrupt inputs differ in one token. Nodes: every position of every named site, in each step and call, put from
the clean run into the corrupt one. Edges: every pair of sites, steps and calls, within a step and from step to step.
A correlation (Pearson's) is over all of them in one pair and model, of the change of the metric, the difference of two
symbols' logits at the last position; what is printed are the medians over pairs and seeds, and the least. `near`: the
token in place of another has an embedding at a hundredth of the distance.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
import torch
import typer
from torch import Tensor

from analyses.benchmarks.foreign import VOCABULARY, albert, hrm_text, x_transformer
from analyses.options import at_least, run_alone, writable
from interp import (
    exact_loop_edges,
    logit_difference,
    loop_attribution,
    loop_edge_attribution,
    loop_patch_sweep,
)
from models import as_loop
from models.files import write_text

MODELS: dict[str, tuple[Callable[[int], Any], tuple[str, ...], int]] = {
    "ALBERT": (lambda seed: albert(seed=seed), ("0.attn_out", "0.mlp_out"), 6),
    "HRM-Text": (
        hrm_text,
        ("L.0.attn_out", "L.0.mlp_out", "H.0.attn_out", "H.0.mlp_out"),
        2,
    ),
    "x-transformers, looped": (
        lambda seed: x_transformer(depth=1, looped=True, seed=seed, pre_and_post_norm=True),
        ("0.attn_out", "1.mlp_out"),
        4,
    ),
    "x-transformers, tied": (
        lambda seed: x_transformer(depth=4, weight_tie_layers=True, seed=seed),
        ("0.attn_out", "1.mlp_out"),
        4,
    ),
}
"""How a model is made, its sites in the order in which a step calls them, and its steps."""


def correlations(pairs: int, seeds: int) -> pd.DataFrame:
    """A line per model, pair, seed and distance: ``nodes``, ``edges`` and ``edges_ig`` (EAP-IG with 8 parts)."""
    lines: list[dict[str, Any]] = []
    for name, (make, sites, n_steps) in MODELS.items():
        for seed in range(seeds):
            model = make(seed)
            words = _embedding(model)
            loop = as_loop(model)
            draw = torch.Generator().manual_seed(seed)
            for pair in range(pairs):
                clean = torch.randint(0, VOCABULARY - 2, (1, 5), generator=draw)
                corrupt = clean.clone()
                corrupt[0, 1] = VOCABULARY - 1
                metric = logit_difference("token", 4, 1, 2)
                far = words[-1].clone()
                for distance in ("near", "far"):
                    if distance == "near":
                        words[-1] = words[clean[0, 1]] + 0.01 * (far - words[clean[0, 1]])
                    arguments: Any = (loop, clean, corrupt, sites, metric, n_steps)
                    exact, estimate = (
                        method(*arguments, pos="each") for method in (loop_patch_sweep, loop_attribution)
                    )
                    line: dict[str, Any] = {"model": name, "seed": seed, "pair": pair, "distance": distance}
                    line["nodes"] = _correlation(
                        exact.patched - exact.corrupt, estimate.patched - estimate.corrupt
                    )
                    by_edge = exact_loop_edges(*arguments)
                    for column, parts in (("edges", 1), ("edges_ig", 8)):
                        found = loop_edge_attribution(*arguments, ig_steps=parts)
                        score = {
                            edge: float(one[0]) for edge, one in zip(found.edges, found.scores, strict=True)
                        }
                        line[column] = _correlation(
                            by_edge.scores[:, 0], torch.tensor([score[edge] for edge in by_edge.edges])
                        )
                    lines.append(line)
                    words[-1] = far
    return pd.DataFrame(lines)


def _embedding(model: Any) -> Tensor:
    """The table of word embeddings, to be written to."""
    table = model.token_emb.emb if hasattr(model, "token_emb") else model.get_input_embeddings()
    return table.weight.data


def _correlation(one: Tensor, other: Tensor) -> float:
    return float(np.corrcoef(one.flatten().double().numpy(), other.flatten().double().numpy())[0, 1])


def main(
    pairs: Annotated[int, typer.Option("--pairs", callback=at_least(1), help="A model.")] = 3,
    seeds: Annotated[int, typer.Option("--seeds", callback=at_least(1), help="Of weights.")] = 3,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Where to write them.", callback=writable)
    ] = None,
) -> None:
    """Print medians, and the least."""
    torch.set_num_threads(1)
    frame: Any = correlations(pairs, seeds)
    columns = ["nodes", "edges", "edges_ig"]
    grouped = frame.groupby(["model", "distance"], sort=False)[columns]
    print(grouped.agg(["median", "min"]).round(3).to_string())
    if json_file is not None:
        write_text(json_file, json.dumps(frame.to_dict("records"), indent=2) + "\n")


if __name__ == "__main__":
    run_alone(main)
