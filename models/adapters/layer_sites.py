"""The sites of a Transformer layer, wherever it stands in a model."""

from __future__ import annotations


def layer_sites(layer: str, path: str, attn: str, mlp: str, pattern: bool = True) -> dict[str, str]:
    """``resid_pre``, ``attn_out``, ``pattern`` (where attention gives it as item 1), ``mlp_out``, ``resid_post``.

    Args:
        layer: what the names begin with, such as ``"L.0."``.
        path: the layer's name among the modules; ``attn`` and ``mlp``: the names in it.
    """
    sites = {
        f"{layer}resid_pre": f"{path}.in",
        f"{layer}attn_out": f"{path}.{attn}",
        f"{layer}pattern": f"{path}.{attn}:1",
        f"{layer}mlp_out": f"{path}.{mlp}",
        f"{layer}resid_post": path,
    }
    return sites if pattern else {name: at for name, at in sites.items() if not name.endswith("pattern")}
