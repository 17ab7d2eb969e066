"""A small model on disk, with snapshots, that commands and damaged checkpoints begin from."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import torch
from safetensors.torch import save_file

from models.config import RecurrentConfig
from models.recurrent import RecurrentTransformer

NAME = "../tiny"
TEXT = "1 = a; 2 = b; a + b = c"


def tiny_config(positions: str = "relative_bias") -> RecurrentConfig:
    """Two layers, values modulo 5."""
    small = {
        "n_layers": 2,
        "d_model": 16,
        "n_heads": 2,
        "d_head": 8,
        "d_mlp": 16,
        "n_ctx": 64,
        "position_window": 8,
    }
    task = {"modulus": 5, "n_variables": 16, "ops": ("ADD", "SUB"), "method": "discrete"}
    return RecurrentConfig.from_dict({**small, **task, "positions": positions})


@cache
def _model(positions: str) -> RecurrentTransformer:
    torch.set_num_threads(1)
    return RecurrentTransformer(tiny_config(positions)).eval()


def save_tiny(folder: Path, positions: str = "relative_bias", snapshots: int = 0) -> Path:
    """Write the model, and some snapshots of it in half precision; returns the folder."""
    model = _model(positions)
    model.save_pretrained(folder)
    halves = {name: weight.half() for name, weight in model.state_dict().items()}
    for step in range(snapshots):
        (folder / "snapshots").mkdir(exist_ok=True)
        save_file(halves, folder / "snapshots" / f"step_{step + 1:07d}.safetensors")
    return folder
