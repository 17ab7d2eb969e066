"""The hook point of a recurrence step: TransformerLens's own, and which step and layer it is of."""

from __future__ import annotations

from transformer_lens.hook_points import HookPoint

from models.hook_names import layer_of, split_step


class StepHookPoint(HookPoint):
    """A HookPoint of one recurrence step, named ``steps.{step}.{TransformerLens name}``."""

    @property
    def step(self) -> int:
        """Index of the recurrence step this point belongs to."""
        return split_step(self._full_name())[0]

    @property
    def plain_name(self) -> str:
        """The name without its step, as TransformerLens would call it."""
        return split_step(self._full_name())[1]

    def layer(self) -> int:
        """Index of the block within its step; raises ValueError where the point is in no block."""
        return layer_of(self.plain_name)

    def _full_name(self) -> str:
        if self.name is None:
            raise ValueError("this hook point has no name yet: call setup() on the model that owns it")
        return self.name
