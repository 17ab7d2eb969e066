"""The paper's own encoder checkpoints, read into our model: names and shapes differ, the computation does
not.

A checkpoint is a safetensors file with ``weight.<name>`` tensors and the sizes in its metadata (``n_layers``,
``n_heads``, ``d_model``, ``window``, ``positions``). It holds an encoder only; embedding and readouts of the
returned model are freshly initialised.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol, cast

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from models.config import RecurrentConfig
from models.recurrent import RecurrentTransformer
from models.storage import CheckpointError

_POSITIONS = {
    "deberta": "deberta",
    "rope": "rotary",
    "rotary": "rotary",
    "absolute": "absolute",
    "abs": "absolute",
    "nope": "none",
    "none": "none",
}


class _TensorFile(Protocol):
    """What is used of an open safetensors file, which comes without types."""

    def metadata(self) -> dict[str, str] | None: ...

    def keys(self) -> list[str]: ...

    def get_tensor(self, name: str, /) -> Tensor: ...


def load_paper_encoder(path: str | Path) -> RecurrentTransformer:
    """The encoder in ``path``, in evaluation mode; ``model.step(input)`` is its forward pass.

    Raises:
        CheckpointError: no such file, no metadata, an unknown position scheme, or a tensor that is missing.
    """
    try:
        with cast(AbstractContextManager[_TensorFile], safe_open(str(path), framework="pt")) as file:
            metadata = file.metadata() or {}
            names = file.keys()
            weights = {
                name.removeprefix("weight."): file.get_tensor(name)
                for name in names
                if name.startswith("weight.")
            }
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path} is no readable safetensors file: {error}") from error
    missing = [key for key in ("n_layers", "n_heads", "d_model", "positions") if key not in metadata]
    if missing:
        raise CheckpointError(f"{path}: the metadata lacks {missing}; it has {sorted(metadata)}")
    positions = _POSITIONS.get(metadata["positions"].lower())
    if positions is None:
        raise CheckpointError(
            f"{path}: positions={metadata['positions']!r} is not known; known are {sorted(_POSITIONS)}"
        )
    try:
        return convert_encoder(
            weights,
            n_layers=int(metadata["n_layers"]),
            n_heads=int(metadata["n_heads"]),
            positions=positions,
            bidirectional=metadata.get("causal", "true").lower() in ("false", "0", "no"),
        )
    except KeyError as error:
        raise CheckpointError(f"{path}: there is no tensor 'weight.{error.args[0]}'") from error


def convert_encoder(
    weights: Mapping[str, Tensor],
    n_layers: int,
    n_heads: int,
    positions: str,
    bidirectional: bool = False,
) -> RecurrentTransformer:
    """A model whose blocks, final LN and positions are ``weights`` (the paper's names, without a prefix).

    Raises:
        KeyError: a tensor that is missing.
    """
    d_model = weights["ln_final.weight"].shape[0]
    d_head = weights["blocks.layer_0.attn.q_proj.weight"].shape[0] // n_heads
    cfg = RecurrentConfig(
        n_layers=n_layers,
        n_heads=n_heads,
        d_model=d_model,
        d_head=d_head,
        d_mlp=weights["blocks.layer_0.mlp.fc.weight"].shape[0],
        positions=positions,
        attention_dir="bidirectional" if bidirectional else "causal",
        position_norm="pos_model.layer_norm.weight" in weights,
    )
    if positions == "deberta":
        rows = weights["pos_model.relpos_embeddings.weight"].shape[0]
        cfg.position_window = (rows + 1) // 2 if bidirectional else rows
    elif positions == "absolute":
        cfg.n_ctx = weights["pos_model.abspos_embeddings.weight"].shape[0]
    model = RecurrentTransformer(cfg)
    state = model.state_dict()

    def heads(name: str) -> Tensor:
        return torch.unflatten(weights[name], 0, (n_heads, d_head)).transpose(1, 2)

    for layer in range(n_layers):
        theirs, ours = f"blocks.layer_{layer}.", f"blocks.{layer}."
        for name in ("q", "k", "v"):
            state[f"{ours}attn.W_{name.upper()}"] = heads(f"{theirs}attn.{name}_proj.weight")
            state[f"{ours}attn.b_{name.upper()}"] = weights[f"{theirs}attn.{name}_proj.bias"].unflatten(
                0, (n_heads, d_head)
            )
            if positions == "deberta" and name != "v":
                state[f"{ours}attn.pos.W_{name.upper()}_pos"] = heads(
                    f"{theirs}attn.relpos_{name}_proj.weight"
                )
                bias = weights[f"{theirs}attn.relpos_{name}_proj.bias"]
                state[f"{ours}attn.pos.b_{name.upper()}_pos"] = bias.unflatten(0, (n_heads, d_head))
        state[f"{ours}attn.W_O"] = weights[f"{theirs}attn.o_proj.weight"].T.unflatten(0, (n_heads, d_head))
        state[f"{ours}attn.b_O"] = weights[f"{theirs}attn.o_proj.bias"]
        for norm in ("1", "2"):
            state[f"{ours}ln{norm}.w"] = weights[f"{theirs}ln_{norm}.weight"]
            state[f"{ours}ln{norm}.b"] = weights[f"{theirs}ln_{norm}.bias"]
        for name, linear in (("in", "fc"), ("out", "proj")):
            state[f"{ours}mlp.W_{name}"] = weights[f"{theirs}mlp.{linear}.weight"].T
            state[f"{ours}mlp.b_{name}"] = weights[f"{theirs}mlp.{linear}.bias"]
    state["ln_final.w"], state["ln_final.b"] = weights["ln_final.weight"], weights["ln_final.bias"]
    position = {"deberta": ("relative", "W_rel", "relpos"), "absolute": ("pos_embed", "W_pos", "abspos")}.get(
        positions
    )
    if position is not None:
        module, table, name = position
        state[f"{module}.{table}"] = weights[f"pos_model.{name}_embeddings.weight"]
        if cfg.position_norm:
            state[f"{module}.ln.w"] = weights["pos_model.layer_norm.weight"]
            state[f"{module}.ln.b"] = weights["pos_model.layer_norm.bias"]
    model.load_state_dict({name: tensor.contiguous() for name, tensor in state.items()})
    return model.eval()
