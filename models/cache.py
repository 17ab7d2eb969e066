"""Activations of a run, each with a step axis.

A TransformerLens cache has one tensor per name; here ``cache["blocks.1.attn.hook_z"]`` is
[step, batch, pos, head, d_head], and ``cache.at_step(t)`` is TransformerLens's own ``ActivationCache`` of
step t. Keeping everything of a long run costs gigabytes, so steps, names and positions are filtered while the
model runs, and the default keeps the residual stream, the heads' outputs and the states.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import torch
from jaxtyping import Bool, Int
from torch import Tensor
from transformer_lens import ActivationCache

from models.hook_names import own_name, split_step
from models.hooks import StepHookPoint
from models.one_line import in_one_line
from models.step_tree import HookNameError

if TYPE_CHECKING:
    from models.recurrent import RecurrentTransformer

NamesFilter = str | Sequence[str] | Callable[[str], bool] | None
PositionsFilter = Literal["rhs"] | slice | Sequence[int] | Tensor | None

DEFAULT_NAMES = (
    "hook_state",
    "hook_embed",
    "hook_resid_pre",
    "hook_resid_mid",
    "hook_resid_post",
    "hook_z",
    "hook_attn_out",
    "hook_mlp_out",
)
"""Short names kept when no filter is given."""


class StepCache(Mapping[str, Tensor]):
    """Hook name without step -> activations [step, batch, ...]; ``steps`` says which step each row of axis 0
    is.

    Keys are full names (``"blocks.1.attn.hook_z"``); TransformerLens's short forms (``"z", 1``) work on
    :meth:`at_step`'s cache. Tensors are detached and belong to the cache alone.

    Examples:
        >>> from models import load
        >>> _, cache = load("compiled").run_with_cache("20 = a; 2 = b; a + b = c", steps=[0, 1])
        >>> cache.steps, cache["blocks.2.hook_resid_post"].shape  # [step, batch, pos, d_model]
        ((0, 1), torch.Size([2, 1, 13, 194]))
        >>> cache.at_step(1)["resid_post", 2].shape  # TransformerLens's own cache
        torch.Size([1, 13, 194])
    """

    def __init__(
        self,
        model: RecurrentTransformer,
        tensors: dict[str, Tensor],
        steps: Sequence[int],
        padding: Bool[Tensor, "batch pos"] | None = None,
    ) -> None:
        self._model = model
        self._tensors = tensors
        self._padding = padding
        self.steps = tuple(steps)

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._tensors:
            raise KeyError(f"{name!r} was not kept; the cache holds {', '.join(self._tensors)}")
        return self._tensors[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    def __repr__(self) -> str:
        size = f"{self.n_bytes / 2**20:.1f} MiB"
        return in_one_line("StepCache", size, steps=list(self.steps), names=list(self._tensors))

    @property
    def n_bytes(self) -> int:
        """Memory of all tensors, in bytes."""
        return sum(tensor.numel() * tensor.element_size() for tensor in self._tensors.values())

    def at_step(self, step: int) -> ActivationCache:
        """The activations of one step as TransformerLens's cache, with its methods.

        Its ``model`` is the step's view, in a bidirectional model with the run's padding.

        Raises:
            KeyError: a step that was not kept.
        """
        if step not in self.steps:
            raise KeyError(f"step {step} was not kept; the cache holds steps {list(self.steps)}")
        row = self.steps.index(step)
        padding = self._padding if self._model.cfg.attention_dir == "bidirectional" else None
        view = self._model.at_step(step, padding)
        return ActivationCache({name: tensor[row] for name, tensor in self._tensors.items()}, view)

    def to(self, device: torch.device | str) -> StepCache:
        """The same cache on another device."""
        tensors = {name: tensor.to(device) for name, tensor in self._tensors.items()}
        return StepCache(self._model, tensors, self.steps, self._padding)


class StepRecorder:
    """Collects what a run's hooks see, for :meth:`models.RecurrentTransformer.run_with_cache`.

    Args:
        plain_names: the hook names every step has.
        names: which of them to keep: full or short names, a predicate, ``"all"``, or None for
            :data:`DEFAULT_NAMES`.
        positions: which positions to keep: ``"rhs"`` (every node's; rows of smaller graphs are padded with
            position 0), a slice, indices, or int [batch, k] with own positions for every graph. Scores and
            patterns are filtered on their destination axis.
        rhs: int [batch, node], needed for ``"rhs"``.

    Raises:
        HookNameError: a name no step has. ValueError: ``"rhs"`` without graphs.
    """

    def __init__(
        self,
        plain_names: Sequence[str],
        names: NamesFilter,
        positions: PositionsFilter,
        rhs: Int[Tensor, "batch node"] | None,
    ) -> None:
        self._wanted = frozenset(_select(plain_names, names))
        if isinstance(positions, str):
            if positions != "rhs":
                raise ValueError(
                    f"positions={positions!r} is not known; "
                    "allowed are 'rhs', a slice, indices, int [batch, k]"
                )
            if rhs is None:
                raise ValueError(
                    "positions='rhs' needs graphs as input; packed ids do not say where the nodes are"
                )
            positions = rhs.clamp_min(0)
        elif positions is not None and not isinstance(positions, slice | Tensor):
            positions = torch.tensor(list(positions))
        self._positions = positions
        self._kept: dict[str, dict[int, Tensor]] = {}

    def matcher(self, steps: Sequence[int] | None) -> Callable[[str], bool]:
        """A predicate on hook names that is true for what is to be kept."""
        wanted_steps = None if steps is None else frozenset(steps)

        def matches(name: str) -> bool:
            step, plain = split_step(name)
            return plain in self._wanted and (wanted_steps is None or step in wanted_steps)

        return matches

    def keep(self, activation: Tensor, hook: StepHookPoint) -> None:
        """The hook function."""
        kept = self._at_positions(activation.detach(), hook.plain_name)
        self._kept.setdefault(hook.plain_name, {})[hook.step] = kept

    def _at_positions(self, activation: Tensor, name: str) -> Tensor:
        if self._positions is None:
            return activation
        axis = 2 if name.endswith(("hook_attn_scores", "hook_pattern")) else 1
        if isinstance(self._positions, slice):
            return activation[(slice(None),) * axis + (self._positions,)].clone()
        index = self._positions.to(activation.device)
        if index.ndim == 1:
            return activation.index_select(axis, index)
        shape = [index.shape[0], *[1] * (activation.ndim - 1)]
        shape[axis] = index.shape[1]
        sizes = [index.shape[1] if i == axis else size for i, size in enumerate(activation.shape)]
        return activation.gather(axis, index.reshape(shape).expand(sizes))

    def cache(
        self,
        model: RecurrentTransformer,
        steps: Sequence[int],
        padding: Bool[Tensor, "batch pos"] | None = None,
    ) -> StepCache:
        """What was kept of ``steps``, stacked; points that never fired (their flag is off) are left out."""
        tensors: dict[str, Tensor] = {}
        while self._kept:
            name, by_step = self._kept.popitem()
            tensors[name] = by_step[steps[0]].new_empty(len(steps), *by_step[steps[0]].shape)
            for row, step in enumerate(
                steps
            ):  # each given up as soon as it is copied, so that none is there twice
                tensors[name][row] = by_step.pop(step)
        order = {name: index for index, name in enumerate(model.plain_hook_names())}
        in_order = dict(sorted(tensors.items(), key=lambda item: order[item[0]]))
        return StepCache(model, in_order, steps, padding)


def _select(plain_names: Sequence[str], names: NamesFilter) -> list[str]:
    if names is None:
        names = DEFAULT_NAMES
    if names == "all":
        return list(plain_names)
    if callable(names):
        return [name for name in plain_names if names(name)]
    selected: list[str] = []
    for given in [names] if isinstance(names, str) else names:
        wanted = own_name(given)
        found = [name for name in plain_names if name == wanted or name.rpartition(".")[2] == wanted]
        if not found:
            known = ", ".join(sorted(plain_names))
            raise HookNameError(f"no step has a hook point {wanted!r}; there are {known}")
        selected += found
    return selected
