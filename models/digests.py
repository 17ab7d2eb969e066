"""What a model in memory is known by."""

from __future__ import annotations

import hashlib

from models.recurrent import RecurrentTransformer


def model_digest(model: RecurrentTransformer) -> str:
    """SHA-256 of configuration and weights, in hexadecimal; equal for equal models, wherever they come from."""
    digest = hashlib.sha256(model.cfg.to_json().encode())
    for name, weight in sorted(model.state_dict().items()):
        digest.update(f"{name} {tuple(weight.shape)} {weight.dtype}".encode())
        digest.update(weight.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
