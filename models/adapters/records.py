"""Which adapter shows a model as a loop: one line a class, by the name of the model's class."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final

ADAPTERS: Final = {
    "AlbertForMaskedLM": "models.adapters.albert:AlbertLoop",
    "AlbertForPreTraining": "models.adapters.albert:AlbertLoop",
    "AlbertModel": "models.adapters.albert:AlbertLoop",
    "HrmTextForCausalLM": "models.adapters.hrm_text:HrmTextLoop",
    "OpenMythos": "models.adapters.open_mythos:OpenMythosLoop",
    "OuroForCausalLM": "models.adapters.ouro:OuroLoop",
    "RavenForCausalLM": "models.adapters.huginn:HuginnLoop",
    "RecurrentTransformer": "models.recurrent_loop:RecurrentLoop",
    "TransformerWrapper": "models.adapters.x_transformers:loop_of_wrapper",
}
"""Class of a model -> its adapter."""


def as_loop(model: Any) -> Any:
    """A model as an `interp.Loop`: itself where it is one, else through the adapter of its class.

    Raises:
        TypeError: a model that is no loop, and whose class has no adapter.

    Examples:
        >>> from models import as_loop, load
        >>> loop = as_loop(load("compiled"))
        >>> loop.n_heads, loop.sites["1.pattern"]
        (6, 'blocks.1.attn.hook_pattern')
    """
    adapters = [ADAPTERS[base.__name__] for base in type(model).__mro__ if base.__name__ in ADAPTERS]
    if adapters:
        module, _, name = adapters[0].partition(":")
        return getattr(import_module(module), name)(model)
    missing = [name for name in ("module", "begin", "step", "read") if not hasattr(model, name)]
    if missing:
        raise TypeError(
            f"{type(model).__name__} is no loop: it has no {', '.join(missing)}; allowed are objects with module, "
            f"begin, step and read, and models of {', '.join(ADAPTERS)} (interp.watch takes what cannot be taken apart)"
        )
    return model
