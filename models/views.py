"""A recurrent model shown to TransformerLens's utilities as an ordinary model.

:class:`StepView` is one iteration, :class:`UnrolledView` a whole run as one deep network. Both share weights
and hook points with the model they show: attaching a hook through a view attaches it to the model, under the
model's own context level, so that views and model nest. A hook function is given an object with the plain
name, so code that parses names works.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, cast

from jaxtyping import Float, Int
from torch import Tensor, nn
from transformer_lens import ActivationCache, HookedRootModule
from transformer_lens.hook_points import HookPoint

from models.config import RecurrentConfig
from models.hooks import layer_of
from models.memory import keep_freed_memory
from models.tokens import ModelInput, TokenAccess
from models.vocabulary import FactoredVocabulary
from models.weights import WeightAccess

if TYPE_CHECKING:
    from models.recurrent import RecurrentTransformer

Hook = tuple[str | Callable[[str], bool], Callable[..., Any]]


class ViewedHookPoint:
    """What a hook function attached through a view gets as ``hook``: the point under its plain name."""

    def __init__(self, name: str, point: HookPoint) -> None:
        self.name = name
        self.point = point

    @property
    def ctx(self) -> dict[Any, Any]:
        """The point's context, shared with the model."""
        return cast(Any, self.point).ctx

    def layer(self) -> int:
        """Index of the block in the view; raises ValueError where the point is in no block."""
        return layer_of(self.name)


class _View(WeightAccess, TokenAccess, HookedRootModule):
    """What both views share; ``_names`` maps plain names to the model's."""

    def __init__(
        self, model: RecurrentTransformer, cfg: RecurrentConfig, names: dict[str, str], n_repeats: int
    ) -> None:
        super().__init__()
        self.cfg = cfg
        self.embed = model.embed
        self.blocks = nn.ModuleList([block for _ in range(n_repeats) for block in model.blocks])
        self.ln_final = model.ln_final
        self.unembed = model.unembed
        self.training = self.blocks.training = model.training
        object.__setattr__(self, "original_model", model)
        self._names = names
        self.hook_dict = {plain: model.hook_dict[full] for plain, full in names.items()}
        modules = cast(Iterator[tuple[str, nn.Module]], self.named_modules())
        self.mod_dict = {**{name: module for name, module in modules if name}, **self.hook_dict}

    original_model: RecurrentTransformer

    @property
    def vocabulary(self) -> FactoredVocabulary:
        """What symbols the model reads and writes."""
        return self.cfg.vocabulary

    @contextmanager
    def hooks(
        self,
        fwd_hooks: Sequence[Hook] = (),
        bwd_hooks: Sequence[Hook] = (),
        reset_hooks_end: bool = True,
        clear_contexts: bool = False,
    ) -> Generator[_View]:
        """TransformerLens's ``hooks`` with plain names; gone after the context, also after an exception."""
        fwd, bwd = self._translated(fwd_hooks), self._translated(bwd_hooks)
        with self.original_model.hooks(fwd, bwd, reset_hooks_end, clear_contexts):
            yield self

    def add_hook(self, name: str | Callable[[str], bool], hook: Any, *args: Any, **kwargs: Any) -> None:
        """TransformerLens's ``add_hook`` with plain names."""
        for full, renamed in self._translated([(name, hook)]):
            self.original_model.add_hook(full, renamed, *args, **kwargs)

    def _translated(self, hooks: Sequence[Hook]) -> list[tuple[str, Callable[..., Any]]]:
        translated: list[tuple[str, Callable[..., Any]]] = []
        for name, hook in hooks:
            if isinstance(name, str):
                if name not in self._names:
                    known = ", ".join(sorted(self._names))
                    raise KeyError(f"{type(self).__name__} has no hook point {name!r}; there are {known}")
                plain_names = [name]
            else:
                plain_names = [plain for plain in self._names if name(plain)]
            translated += [(self._names[plain], _renamed(hook, plain)) for plain in plain_names]
        return translated

    def set_use_attn_result(self, use_attn_result: bool) -> None:
        """Whether ``attn.hook_result`` fires, here and in the model."""
        self.original_model.set_use_attn_result(use_attn_result)
        self.cfg.use_attn_result = use_attn_result

    def set_use_hook_mlp_in(self, use_hook_mlp_in: bool) -> None:
        """Whether ``hook_mlp_in`` fires, here and in the model."""
        self.original_model.set_use_hook_mlp_in(use_hook_mlp_in)
        self.cfg.use_hook_mlp_in = use_hook_mlp_in

    def set_use_split_qkv_input(self, use_split_qkv_input: bool) -> None:
        """Whether the split q, k and v inputs fire, here and in the model."""
        self.original_model.set_use_split_qkv_input(use_split_qkv_input)
        self.cfg.use_split_qkv_input = use_split_qkv_input

    def set_use_attn_in(self, use_attn_in: bool) -> None:
        """Whether ``hook_attn_in`` fires, here and in the model."""
        self.original_model.set_use_attn_in(use_attn_in)
        self.cfg.use_attn_in = use_attn_in

    def run_with_cache(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        *model_args: Any,
        return_cache_object: bool = True,
        remove_batch_dim: bool = False,
        **kwargs: Any,
    ) -> tuple[Any, ActivationCache | dict[str, Tensor]]:
        """TransformerLens's ``run_with_cache``: the output and an ``ActivationCache`` under plain names."""
        keep_freed_memory()
        out, cache = cast(
            tuple[Any, dict[str, Tensor]],
            super().run_with_cache(*model_args, remove_batch_dim=remove_batch_dim, **kwargs),
        )
        if not return_cache_object:
            return out, cache
        return out, ActivationCache(cache, self, has_batch_dim=not remove_batch_dim)

    def _state(self, input: ModelInput) -> Int[Tensor, "batch pos factor"]:
        return self.vocabulary.unpack(self.to_tokens(input)).to(self.W_E.device)


def _renamed(hook: Callable[..., Any], plain: str) -> Callable[..., Any]:
    def call(activation: Any, hook_point: HookPoint) -> Any:
        return hook(activation, hook=ViewedHookPoint(plain, hook_point))

    def full(activation: Any, *, hook: HookPoint) -> Any:
        return call(activation, hook)

    return full


class StepView(_View):
    """One recurrence step as an ordinary TransformerLens model.

    ``view(tokens)`` takes the packed ids [batch, pos] of the state that enters the step and returns its
    logits [batch, pos, d_vocab]. In a continuous model a step is entered by a hidden state instead: there
    ``tokens`` is the state that enters step 0, and the steps before this one are run first.
    """

    def __init__(self, model: RecurrentTransformer, step: int) -> None:
        if step < 0:
            raise ValueError(f"step must be 0 or more, got {step}")
        model.grow_steps(step + 1)
        prefix = f"steps.{step}."
        names = {plain: prefix + plain for plain in model.plain_hook_names()}
        super().__init__(model, model.cfg, names, n_repeats=1)
        self.step = step

    def forward(
        self, input: ModelInput, return_type: Literal["logits", "state"] | None = "logits"
    ) -> Float[Tensor, "batch pos d_vocab"] | Int[Tensor, "batch pos factor"] | None:
        """The step's logits, or the state they are snapped to; None with ``return_type=None``."""
        model, state = self.original_model, self._state(input)
        if model.cfg.bottleneck == "continuous" and self.step:
            *_, (logits, _) = model.iterate(state, self.step + 1)
        else:
            logits = model.transition(state, self.step)
        if return_type is None:
            return None
        if return_type not in ("logits", "state"):
            raise ValueError(f"return_type must be 'logits', 'state' or None, got {return_type!r}")
        return logits if return_type == "logits" else model.discretise(logits)


class UnrolledView(_View):
    """``n_steps`` steps as one TransformerLens model of ``n_steps * n_layers`` blocks.

    Block ``t * n_layers + l`` is layer l at step t; ``hook_embed`` and ``hook_state`` are those of step 0,
    ``ln_final`` and ``hook_logits`` those of the last step. What lies between two steps keeps its own name
    (``steps.1.hook_logits``). The residual stream is not continuous there in a discrete model: it is read
    out, snapped and embedded anew.
    """

    def __init__(self, model: RecurrentTransformer, n_steps: int) -> None:
        if n_steps < 1:
            raise ValueError(f"n_steps must be 1 or more, got {n_steps}")
        model.grow_steps(n_steps)
        n_layers = model.cfg.n_layers
        names: dict[str, str] = {}
        for step in range(n_steps):
            for plain in model.plain_hook_names():
                full = f"steps.{step}.{plain}"
                if plain.startswith("blocks."):
                    _, layer, rest = plain.split(".", 2)
                    names[f"blocks.{step * n_layers + int(layer)}.{rest}"] = full
                elif plain.startswith(("ln_final.", "hook_logits")):
                    names[plain if step == n_steps - 1 else full] = full
                else:
                    names[plain if step == 0 else full] = full
        cfg = dataclasses.replace(model.cfg, n_layers=n_steps * n_layers)
        super().__init__(model, cfg, names, n_repeats=n_steps)
        self.n_steps = n_steps

    def forward(
        self, input: ModelInput, return_type: Literal["logits", "state"] | None = "logits"
    ) -> Float[Tensor, "batch pos d_vocab"] | Int[Tensor, "batch pos factor"] | None:
        """The last step's logits [batch, pos, d_vocab], or the state they are snapped to."""
        *_, (logits, state) = self.original_model.iterate(self._state(input), self.n_steps)
        if return_type is None:
            return None
        if return_type not in ("logits", "state"):
            raise ValueError(f"return_type must be 'logits', 'state' or None, got {return_type!r}")
        return logits if return_type == "logits" else state
