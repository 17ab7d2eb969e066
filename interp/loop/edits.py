"""What is put in place of an activation or a state, and in which steps and calls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, cast

from torch import Tensor

from interp.loop.protocol import LoopedError


@dataclass(frozen=True, eq=False)
class Put:
    """An edit to ``value`` [batch, ...], all of it or, with ``at``, at one place of an axis.

    Examples:
        >>> import torch
        >>> Put(torch.ones(1, 2), at=1)(torch.zeros(1, 2)).tolist()
        [[0.0, 1.0]]
    """

    value: Tensor
    at: int | None = None
    axis: int = 1

    def __call__(self, found: Tensor) -> Tensor:
        """What stands there instead."""
        if self.at is None:
            return self.value
        found.select(self.axis, self.at).copy_(self.value.select(self.axis, self.at))
        return found


@dataclass(frozen=True, eq=False)
class Fill:
    """An edit to ``value`` everywhere: it is repeated over the axes that it does not have."""

    value: Tensor

    def __call__(self, found: Tensor) -> Tensor:
        """What stands there instead."""
        return self.value.to(found).expand_as(found)


@dataclass(frozen=True)
class StepEdit:
    """Replace the activation ``name`` by ``edit(activation)``: in one step, in ``"all"``, or where a predicate holds.

    ``name`` is a site of the loop, an address (``"blocks.0.attn:1"``), or a state (``"state"``, ``"state.H"``), which
    is edited as it enters the step. ``edit`` is given a copy, and must return a tensor of the same shape; its dtype
    becomes that of the activation. ``call`` counts the calls of the module within a step.

    Examples:
        >>> import torch
        >>> from interp import StepEdit
        >>> off = StepEdit("mlp", step=2, edit=torch.zeros_like)
        >>> off.edit(torch.ones(1, 2)).tolist()
        [[0.0, 0.0]]
        >>> later = StepEdit("mlp", step=lambda step: step >= 2, edit=torch.zeros_like)
        >>> [later.acts(step, call=0) for step in range(4)]
        [False, False, True, True]
    """

    name: str
    step: int | Literal["all"] | Callable[[int], bool]
    edit: Callable[[Tensor], Tensor]
    call: int | Literal["all"] = "all"

    def acts(self, step: int, call: int) -> bool:
        """Whether it acts in this call of this step."""
        return self.call in ("all", call) and self.acts_in(step)

    def acts_in(self, step: int) -> bool:
        """Whether it acts in this step, in whatever call."""
        return self.step in ("all", step) if not callable(self.step) else bool(self.step(step))

    @property
    def where(self) -> str:
        """The address in words."""
        step = "a predicate of the step" if callable(self.step) else f"step {self.step}"
        return f"{self.name!r} at {step}" + ("" if self.call == "all" else f", call {self.call}")

    def applied(self, tensor: Tensor, grad: bool) -> Tensor:
        """What it makes of an activation.

        Raises:
            LoopedError: no tensor of the same shape.
        """
        given = cast(Any, self.edit(tensor if grad else tensor.detach().clone()))
        if not isinstance(given, Tensor) or given.shape != tensor.shape:
            what = tuple(given.shape) if isinstance(given, Tensor) else type(given).__name__
            raise LoopedError(
                f"the edit of {self.where} gave {what}; allowed is a tensor of the shape it was given, "
                f"{tuple(tensor.shape)}"
            )
        return given.to(tensor)
