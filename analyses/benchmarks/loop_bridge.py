"""HRM-Text through TransformerLens's bridge and through ours: which of a module's calls can be seen.

    python -m analyses.benchmarks.loop_bridge [--seed 0]

The model is `transformers`' own class, small, with random weights; nothing is downloaded. The bridge is built around
it by what `TransformerBridge.boot_transformers` uses for a model that was loaded before. Every site is compared with
what a hook on the module itself sees, call by call. All run without a cache of keys, whose memory layout alone changes
the last bits.
"""

from __future__ import annotations

import copy
from typing import Annotated, Any

import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
import torch
import typer
from torch import Tensor

from analyses.benchmarks.foreign import VOCABULARY, hrm_text
from analyses.options import run_alone
from interp import run_loop
from models import as_loop

NAMES = {
    "resid_post": "hook_resid_post",
    "attn_out": "hook_attn_out",
    "mlp_out": "hook_mlp_out",
    "pattern": "attn.hook_pattern",
}
"""A site's kind -> its name in the bridge."""


@torch.no_grad()
def side_by_side(seed: int = 0) -> pd.DataFrame:
    """A line per site: how often its module is called, what each side keeps, and which calls those are.

    Columns ``site``, ``calls``; ``bridge``: activations in its cache under this name, ``bridge_is``: the calls, counted
    from 1, that these equal to the last bit; ``ours`` and ``ours_is`` as well; ``logits``: the largest difference of
    each side's logits from the model's own.
    """
    from transformer_lens.model_bridge.sources._bridge_builder import build_bridge_from_module

    model = hrm_text(seed)
    ids = torch.randint(0, VOCABULARY, (2, 8), generator=torch.Generator().manual_seed(seed))
    loop = as_loop(model)
    sites = [site for site in loop.sites if site.rsplit(".", 1)[-1] in NAMES]
    seen: dict[str, list[Tensor]] = {site: [] for site in sites}

    def keep(site: str, item: int) -> Any:
        def hook(module: Any, given: Any, output: Any) -> None:
            seen[site].append(output[item] if isinstance(output, tuple) else output)

        return hook

    handles = [
        model.get_submodule(path).register_forward_hook(keep(site, int(item or 0)))
        for site in sites
        for path, _, item in [loop.sites[site].partition(":")]
    ]
    own = model(ids, use_cache=False).logits
    for handle in handles:
        handle.remove()
    ours = run_loop(loop, ids, loop.n_steps, record=sites, keep_logits=True)
    bridge: Any = build_bridge_from_module(copy.deepcopy(model), "HrmTextForCausalLM", hf_config=model.config)
    logits, cache = bridge.run_with_cache(ids, use_cache=False)
    lines: list[dict[str, Any]] = []
    for site in sites:
        level, layer, kind = site.split(".")
        kept = cache[f"{level}_blocks.{layer}.{NAMES[kind]}"]
        mine = ours[site].flatten(0, 1)[ours.calls[site].flatten()]
        lines.append(
            {
                "site": site,
                "calls": len(seen[site]),
                "bridge": 1,
                "bridge_is": _which([kept], seen[site]),
                "ours": len(mine),
                "ours_is": _which(list(mine), seen[site]),
            }
        )
    frame = pd.DataFrame(lines)
    frame.attrs["bridge_logits"] = float((logits - own).abs().max())
    frame.attrs["our_logits"] = float((ours.logits["token"][-1] - own).abs().max())
    return frame


def _which(kept: list[Tensor], calls: list[Tensor]) -> str:
    """The calls that what was kept equals, counted from 1; ``?`` for what equals none."""
    equal = [[number for number, call in enumerate(calls, start=1) if torch.equal(one, call)] for one in kept]
    return " ".join("/".join(map(str, numbers)) or "?" for numbers in equal)


def main(seed: Annotated[int, typer.Option("--seed", help="Of weights and ids.")] = 0) -> None:
    """Print the table."""
    frame: Any = side_by_side(seed)
    print(frame.to_string(index=False))
    print(
        f"largest difference of logits from the model's own: bridge {frame.attrs['bridge_logits']}, "
        f"ours {frame.attrs['our_logits']}"
    )


if __name__ == "__main__":
    run_alone(main)
