"""Many states at one right-hand side, ready to be run from the middle of a step.

What is intervened on at one position of a causal model reaches the readout there alone, so a forward pass takes that
position from the layer of the hook point on, with the keys and values of the positions before as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, cast

import torch
from torch import Tensor, nn

from models.recurrent import RecurrentTransformer
from models.views import StepView

_AT_ONCE: Final = 128


def places_of(model: RecurrentTransformer) -> tuple[str, ...]:
    """The residual stream at one position, in the order of the forward pass, as hook names within a step."""
    names = ["blocks.0.hook_resid_pre"]
    for layer in range(model.cfg.n_layers):
        names += [f"blocks.{layer}.hook_resid_mid", f"blocks.{layer}.hook_resid_post"]
    return tuple(names)


def head_place(layer: int, head: int) -> str:
    """One head's ``z`` as a place, ``blocks.1.attn.hook_z#0``."""
    return f"blocks.{layer}.attn.hook_z#{head}"


class HeadView(nn.Module):
    """A step of which hook functions see one head, [batch, pos, d_head], where there are all heads."""

    def __init__(self, view: StepView, head: int) -> None:
        super().__init__()
        self.step_view, self.head = view, head
        self.train(view.training)

    @contextmanager
    def hooks(self, fwd_hooks: Sequence[tuple[str, Callable[..., Any]]] = ()) -> Generator[HeadView]:
        """TransformerLens's ``hooks``, forward ones."""
        with self.step_view.hooks(fwd_hooks=[(name, self._at_head(hook)) for name, hook in fwd_hooks]):
            yield self

    def _at_head(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def run(activation: Tensor, hook: Any) -> Tensor | None:
            new = function(activation[:, :, self.head], hook=hook)
            if new is None:
                return None
            written = activation.clone()
            written[:, :, self.head] = new
            return written

        return run


@dataclass(frozen=True, eq=False)
class StateRows:
    """States at one position, with all that a step needs from ``layer`` on.

    Attributes:
        resid: float [row, d_model], what enters block ``layer`` at the position.
        past: for every layer from ``layer`` on, keys and values [row, pos, head, d_head] of the positions before.
    """

    model: RecurrentTransformer
    layer: int
    resid: Tensor
    past: tuple[tuple[Tensor, Tensor], ...]

    @classmethod
    def of(cls, model: RecurrentTransformer, states: Tensor, pos: int, layer: int = 0) -> StateRows:
        """Run states int [row, pos, factor] up to the position ``pos``.

        Raises:
            ValueError: a model that cannot be resumed within a step.
        """
        if not model.resumable:
            raise ValueError(
                "this model cannot be resumed within a step; allowed are causal models whose positions are told by "
                "distance"
            )
        layers = range(layer, model.cfg.n_layers)
        wanted = [f"blocks.{layer}.hook_resid_pre"]
        wanted += [f"blocks.{index}.attn.hook_{name}" for index in layers for name in "kv"]
        parts: dict[str, list[Tensor]] = {name: [] for name in wanted}
        view = model.at_step(0)
        packed = model.vocabulary.pack(states[:, : pos + 1])
        with torch.no_grad():
            for chunk in chunks_of(packed):
                _, cache = view.run_with_cache(chunk, names_filter=wanted)
                for name in wanted:
                    kept: Tensor = cache[name]
                    parts[name].append(kept[:, pos] if "resid" in name else kept[:, :pos].clone())
        found = {name: torch.cat(part) for name, part in parts.items()}
        past = tuple(
            (found[f"blocks.{index}.attn.hook_k"], found[f"blocks.{index}.attn.hook_v"]) for index in layers
        )
        return cls(model, layer, found[wanted[0]], past)

    def view(self, step: int, place: str) -> tuple[StepView | HeadView, str]:
        """The step as a model with hooks, for TransformerLens's tools, and the hook name of a place in it."""
        view = self.model.at_step(step)
        name, _, head = place.partition("#")
        return (HeadView(view, int(head)), name) if head else (view, name)

    def value_logits(self, step: int) -> Any:
        """A function from rows int [batch] to the values' logits [batch, value] of the step at the position."""
        values = self.model.vocabulary.slice("value")

        def run(rows: Tensor) -> Tensor:
            past = [(keys[rows], held[rows]) for keys, held in self.past]
            logits = self.model.resume(self.resid[rows, None], past, self.layer, step)
            return logits[:, 0, values]

        return run


def chunks_of(rows: Tensor) -> Sequence[Tensor]:
    """Parts of rows [row, ...] that run at once."""
    return cast(Any, rows).split(_AT_ONCE)


def layer_of_place(place: str) -> int:
    """The layer that a step has to be run from for a hook name of :func:`places_of`."""
    return int(place.split(".")[1])


def width_of_place(model: RecurrentTransformer, place: str) -> int:
    """Dimensions of a place: of a head's ``z``, or of the residual stream."""
    return model.cfg.d_head if "#" in place else model.cfg.d_model
