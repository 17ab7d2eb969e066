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
                    raise HookNameError(
                        f"{type(self).__name__} has no hook point {name!r}; there are {known}"
                    )
                plain_names = [name]
            else:
                plain_names = [plain for plain in self._names if name(plain)]
            translated += [(self._names[plain], _renamed(hook, plain)) for plain in plain_names]
        return translated

    def _set_flag(self, **flag: bool) -> None:
        """Here and in the model, whose blocks read it; an unrolled view has a configuration of its own."""
        for name, value in flag.items():
            setattr(self.original_model.cfg, name, value)
            setattr(self.cfg, name, value)

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
    """

    def __init__(self, model: RecurrentTransformer, step: int) -> None:
        if step < 0:
            raise ValueError(f"step must be 0 or more, got {step}")
        model.grow_steps(step + 1)
        prefix = f"steps.{step}."
        names = {plain: prefix + plain for plain in model.plain_hook_names()}
        super().__init__(model, model.cfg, names, n_repeats=1)
        self.step = step

    def _run(
        self, state: Int[Tensor, "batch pos factor"]
    ) -> tuple[Float[Tensor, "batch pos d_vocab"], Int[Tensor, "batch pos factor"]]:
        model = self.original_model
        if model.cfg.bottleneck == "continuous" and self.step:
            *_, last = model.iterate(state, self.step + 1)
            return last
        logits = model.transition(state, self.step)
        return logits, model.discretise(logits)


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

    def _run(
        self, state: Int[Tensor, "batch pos factor"]
    ) -> tuple[Float[Tensor, "batch pos d_vocab"], Int[Tensor, "batch pos factor"]]:
        *_, last = self.original_model.iterate(state, self.n_steps)
        return last
