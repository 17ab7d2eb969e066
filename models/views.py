"""A recurrent model shown to TransformerLens's utilities as an ordinary model.

:class:`StepView` is one iteration, :class:`UnrolledView` a whole run as one deep network. Both share weights
and hook points with the model they show: attaching a hook through a view attaches it to the model, under the
model's own context level, so that views and model nest. A hook function is given an object with the plain
name, so code that parses names works. Hook points are submodules of the view under their plain names, so that
tools which walk a module tree reach them: ``dict(view.named_modules())["blocks.0.attn.hook_z"]``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, Self, cast

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformer_lens import ActivationCache, HookedRootModule
from transformer_lens.hook_points import HookPoint, NamesFilter

from models.config import RecurrentConfig
from models.hook_names import aliases_of, layer_of
from models.memory import keep_freed_memory
from models.shown import shown, tree_of
from models.step_tree import Hook, HookNameError
from models.tokens import ModelInput, TokenAccess
from models.vocabulary import FactoredVocabulary
from models.weights import WeightAccess

if TYPE_CHECKING:
    from models.recurrent import RecurrentTransformer


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
        self,
        model: RecurrentTransformer,
        cfg: RecurrentConfig,
        names: dict[str, str],
        n_repeats: int,
        padding: Bool[Tensor, "*batch pos"] | None,
    ) -> None:
        super().__init__()
        self.cfg = cfg
        object.__setattr__(self, "original_model", model)
        self._names = names
        self._aliases = aliases_of(names)
        self.padding = padding
        points = {plain: model.hook_dict[full] for plain, full in names.items()}
        self.hook_dict = points | {alias: points[plain] for alias, plain in self._aliases.items()}
        blocks = nn.ModuleList([block for _ in range(n_repeats) for block in model.blocks])
        parts = {"embed": model.embed, "blocks": blocks, "ln_final": model.ln_final, "unembed": model.unembed}
        for name, part in ({"pos_embed": model.pos_embed, "relative": model.relative} | parts).items():
            if part is not None:
                self.add_module(name, part)
        for name, branch in tree_of(points).items():
            is_point = isinstance(branch, HookPoint)
            self.add_module(name, branch if is_point else shown(cast(Any, self)._modules.get(name), branch))
        of_model = {id(module) for module in model.modules()}
        for module in self.modules():
            if id(module) not in of_model:
                module.training = model.training
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
                if name not in self.hook_dict:
                    known = ", ".join(sorted(self._names))
                    raise HookNameError(
                        f"{type(self).__name__} has no hook point {name!r}; there are {known}"
                    )
                wanted = {self._aliases.get(name, name): name}
            else:
                # A point that has two names is hooked once, under its own if that is meant.
                wanted = {plain: alias for alias, plain in self._aliases.items() if name(alias)}
                wanted |= {plain: plain for plain in self._names if name(plain)}
            translated += [(self._names[plain], _renamed(hook, called)) for plain, called in wanted.items()]
        return translated

    def _set_flag(self, **flag: bool) -> None:
        """Here and in the model, whose blocks read it; an unrolled view has a configuration of its own."""
        for name, value in flag.items():
            setattr(self.original_model.cfg, name, value)
            setattr(self.cfg, name, value)

    def get_caching_hooks(self, names_filter: NamesFilter = None, *args: Any, **kwargs: Any) -> Any:
        """TransformerLens's ``get_caching_hooks``; without a filter every point is kept once, under its own name."""
        if names_filter is None:
            names_filter = self._names.__contains__
        return cast(Any, super()).get_caching_hooks(names_filter, *args, **kwargs)

    def add_caching_hooks(
        self,
        names_filter: NamesFilter = None,
        incl_bwd: bool = False,
        device: Any = None,
        remove_batch_dim: bool = False,
        cache: dict[str, Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """TransformerLens's ``add_caching_hooks`` (so too ``cache_some``): the cache they fill, by plain names."""
        kept, fwd, bwd = self.get_caching_hooks(names_filter, incl_bwd, device, remove_batch_dim, cache)
        for direction, hooks in (("fwd", fwd), ("bwd", bwd)):
            for name, hook in hooks:
                self.add_hook(name, hook, dir=direction)
        return kept

    def train(self, mode: bool = True) -> Self:
        """Here and in the model, whose modules the view shows."""
        self.original_model.train(mode)
        return super().train(mode)

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
        if kwargs.get("names_filter") is None:
            for suffix in ("", "_grad"):
                names = {alias: plain + suffix for alias, plain in self._aliases.items()}
                cache |= {alias + suffix: cache[name] for alias, name in names.items() if name in cache}
        if not return_cache_object:
            return out, cache
        return out, ActivationCache(cache, self, has_batch_dim=not remove_batch_dim)

    def forward(
        self, input: ModelInput, return_type: Literal["logits", "state"] | None = "logits"
    ) -> Float[Tensor, "batch pos d_vocab"] | Int[Tensor, "batch pos factor"] | None:
        """Logits [batch, pos, d_vocab] of the view's last step, or the state they are snapped to; None with
        ``return_type=None``.
        """
        if return_type not in ("logits", "state", None):
            raise ValueError(f"return_type must be 'logits', 'state' or None, got {return_type!r}")
        logits, state = self._run(self.original_model.entering_state(input))
        return {"logits": logits, "state": state, None: None}[return_type]

    def _padding_of(self, state: Int[Tensor, "batch pos factor"]) -> Bool[Tensor, "batch pos"]:
        """Where no graph is: as the view was told, else as the state says."""
        if self.padding is None:
            return self.original_model.is_padding(state)
        rows = len(self.padding) if self.padding.ndim == 2 else 1
        if self.padding.shape[-1] != state.shape[1] or rows not in (1, len(state)):
            raise ValueError(
                f"this view was given the padding of {rows} x {self.padding.shape[-1]} positions, the input has "
                f"{len(state)} x {state.shape[1]}; make another view for it, with its own padding or none"
            )
        return self.padding.to(state.device).expand(state.shape[:2])

    def _run(
        self, state: Int[Tensor, "batch pos factor"]
    ) -> tuple[Float[Tensor, "batch pos d_vocab"], Int[Tensor, "batch pos factor"]]:
        """Logits and following state of the last step, entered by ``state``."""
        raise TypeError(f"{type(self).__name__} does not say what it runs")


def _renamed(hook: Callable[..., Any], plain: str) -> Callable[..., Any]:
    """``hook`` as the model calls it, given the point under its plain name."""

    def renamed(activation: Any, *, hook: HookPoint) -> Any:
        return given(activation, hook=ViewedHookPoint(plain, hook))

    given = hook
    return renamed


class StepView(_View):
    """One recurrence step as an ordinary TransformerLens model.

    ``view(tokens)`` takes the packed ids [batch, pos] of the state that enters the step and returns its
    logits [batch, pos, d_vocab]. In a continuous model a step is entered by a hidden state instead: there
    ``tokens`` is the state that enters step 0, and the steps before this one are run first.

    A run of a bidirectional model looks where its graph has tokens, whatever it writes there; packed ids do not
    always say where that is, so ``padding`` does (see :meth:`models.RecurrentTransformer.at_step`).
    """

    def __init__(
        self, model: RecurrentTransformer, step: int, padding: Bool[Tensor, "*batch pos"] | None = None
    ) -> None:
        if step < 0:
            raise ValueError(f"step must be 0 or more, got {step}")
        model.grow_steps(step + 1)
        prefix = f"steps.{step}."
        names = {plain: prefix + plain for plain in model.plain_hook_names()}
        super().__init__(model, model.cfg, names, n_repeats=1, padding=padding)
        self.step = step

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return StepView, (self.original_model, self.step, self.padding)

    def _run(
        self, state: Int[Tensor, "batch pos factor"]
    ) -> tuple[Float[Tensor, "batch pos d_vocab"], Int[Tensor, "batch pos factor"]]:
        model, padding = self.original_model, self._padding_of(state)
        if model.cfg.bottleneck == "continuous" and self.step:
            *_, last = model.iterate(state, self.step + 1, padding=padding)
            return last
        logits = model.transition(state, self.step, padding)
        return logits, torch.where(padding[..., None], state, model.discretise(logits))


class UnrolledView(_View):
    """``n_steps`` steps as one TransformerLens model of ``n_steps * n_layers`` blocks.

    Block ``t * n_layers + l`` is layer l at step t; ``hook_embed`` and ``hook_state`` are those of step 0,
    ``ln_final`` and ``hook_logits`` those of the last step. What lies between two steps keeps its own name
    (``steps.1.hook_logits``). The residual stream is not continuous there in a discrete model: it is read
    out, snapped and embedded anew.
    """

    def __init__(
        self, model: RecurrentTransformer, n_steps: int, padding: Bool[Tensor, "*batch pos"] | None = None
    ) -> None:
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
        super().__init__(model, cfg, names, n_repeats=n_steps, padding=padding)
        self.n_steps = n_steps

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return UnrolledView, (self.original_model, self.n_steps, self.padding)

    def _run(
        self, state: Int[Tensor, "batch pos factor"]
    ) -> tuple[Float[Tensor, "batch pos d_vocab"], Int[Tensor, "batch pos factor"]]:
        *_, last = self.original_model.iterate(state, self.n_steps, padding=self._padding_of(state))
        return last
