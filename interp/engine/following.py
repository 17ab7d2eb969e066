"""One step of many runs that differ from a base run, computed only where they differ."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor
from transformer_lens.hook_points import HookPoint

from interp.engine.interventions import Edit, Recording
from interp.engine.sites import BY_DESTINATION, Place, Site
from interp.engine.writing import NamedHook, attached, write_hooks
from models.recurrent import RecurrentTransformer

WASTE = 0.25
"""Share of a batch's positions that may be computed in vain, so that rows with different starts run together."""


@dataclass(frozen=True, eq=False)
class Item:
    """A step to compute: the packed state int [pos] that enters (None: the base run's), and what is written in it."""

    entering: Tensor | None
    edits: tuple[Edit, ...]


@dataclass(frozen=True, eq=False)
class Result:
    """The packed state int [pos] that follows; logits [end - start, d_vocab] at the positions that were computed."""

    packed: Tensor
    logits: Tensor
    start: int

    def logits_at(self, positions: Tensor, base: Tensor) -> Tensor:
        """Logits at positions, from the base run's [pos, d_vocab] where nothing was computed."""
        read = base[positions].clone()
        inside = (positions >= self.start) & (positions < self.start + len(self.logits))
        read[inside] = self.logits[positions[inside] - self.start]
        return read


@dataclass(frozen=True, eq=False)
class Span:
    """Positions ``start`` to ``end`` (exclusive) from ``layer`` on: what of a step has to be computed."""

    layer: int
    start: int
    end: int


@dataclass(frozen=True, eq=False)
class BaseRun:
    """The base run's states and what is reused of its activations.

    states int [step + 1, pos, factor]; packed the same, [step + 1, pos]; ``recording`` holds the activations.
    """

    model: RecurrentTransformer
    recording: Recording
    states: Tensor
    packed: Tensor

    @classmethod
    def of(
        cls,
        model: RecurrentTransformer,
        recording: Recording,
        n_steps: int,
        further: Iterable[tuple[str, int]] = (),
    ) -> BaseRun:
        """Keep keys, values, z, residual streams and logits of all steps, and ``further`` activations, in one run."""
        states = recording.trajectory.states[: n_steps + 1, 0]
        names = ["hook_logits"]
        if model.resumable:
            for layer in range(model.cfg.n_layers):
                names += [
                    f"blocks.{layer}.{name}"
                    for name in ("hook_resid_pre", "attn.hook_k", "attn.hook_v", "attn.hook_z")
                ]
        recording.keep([*((name, step) for step in range(n_steps) for name in names), *further])
        return cls(model, recording, states, model.vocabulary.pack(states))

    def logits(self, t: int, positions: Tensor | None) -> Tensor:
        """Logits of step t, [position, d_vocab]."""
        logits = self.recording.activation("hook_logits", t)
        return logits if positions is None else logits[positions]

    def resid_pre(self, t: int, layer: int) -> Tensor:
        """What enters a block, [pos, d_model]."""
        return self.recording.activation(f"blocks.{layer}.hook_resid_pre", t)

    def past(self, t: int, layer: int, n: int) -> list[tuple[Tensor, Tensor]]:
        """Keys and values of the first n positions, [1, n, head, d_head], from ``layer`` on."""
        return [
            cast(
                "tuple[Tensor, Tensor]",
                tuple(
                    self.recording.activation(f"blocks.{index}.attn.hook_{name}", t)[None, :n]
                    for name in "kv"
                ),
            )
            for index in range(layer, self.model.cfg.n_layers)
        ]

    def enter(
        self, t: int, current: Tensor | None, edits: Sequence[Edit]
    ) -> tuple[Tensor | None, list[Edit]]:
        """Write the edits of the state itself: the packed state that enters step t (None: the base run's), and
        the edits that are left.
        """
        on_state = [edit for edit in edits if edit.place.site.name == "state"]
        if not on_state:
            return current, list(edits)
        state = self.states[t].clone() if current is None else self.model.vocabulary.unpack(current)
        for edit in on_state:
            edit.write(state)
        packed = self.model.vocabulary.pack(state)
        return packed, [edit for edit in edits if edit.place.site.name != "state"]

    def liftable(self, item: Item) -> bool:
        """Whether an item writes at one position of one layer before the last only, after its keys and values."""
        places = {(edit.place.layer, edit.place.pos) for edit in item.edits}
        return (
            self.model.resumable
            and item.entering is None
            and len(places) == 1
            and None not in next(iter(places))
            and next(iter(places))[0] < self.model.cfg.n_layers - 1
            and all(edit.place.local and edit.place.site.name not in BY_DESTINATION for edit in item.edits)
        )

    def span(self, t: int, item: Item) -> Span:
        """What has to be computed of step t for an item."""
        n_pos, n_layers = self.packed.shape[1], self.model.cfg.n_layers
        if not self.model.resumable:
            return Span(0, 0, n_pos)
        starts = [edit.place.pos or 0 for edit in item.edits]
        if item.entering is not None:
            differs = (item.entering != self.packed[t]).nonzero()
            return Span(0, min([int(differs[0]), *starts] if len(differs) else starts), n_pos)
        layer = min(max(min(edit.place.layer for edit in item.edits), 0), n_layers - 1)
        # A written pattern may look at keys after its own position, so it needs them all.
        stays = all(
            edit.place.local
            and edit.place.layer >= n_layers - 1
            and edit.place.pos is not None
            and edit.place.site.name not in BY_DESTINATION
            for edit in item.edits
        )
        ends = [cast(int, edit.place.pos) + 1 for edit in item.edits] if stays else [n_pos]
        return Span(layer, min(starts), max(ends))


def evaluate_items(base: BaseRun, t: int, items: Sequence[Item], tokens: int) -> list[Result]:
    """Step t of every item, in their order."""
    items = _lifted(base, t, items, tokens)
    spans = [base.span(t, item) for item in items]
    results: dict[int, Result] = {}
    for batch in batches(spans, tokens):
        span = Span(
            spans[batch[0]].layer, min(spans[i].start for i in batch), max(spans[i].end for i in batch)
        )
        logits = _run(base, t, [items[i] for i in batch], span)
        snapped = base.model.vocabulary.pack(base.model.discretise(logits).cpu())
        following = base.packed[t + 1].repeat(len(batch), 1)
        following[:, span.start : span.end] = snapped
        for row, index in enumerate(batch):
            results[index] = Result(following[row], logits[row].cpu(), span.start)
    return [results[index] for index in range(len(items))]


class _Kept:
    """A hook that keeps what it sees."""

    activation: Tensor

    def take(self, activation: Tensor, hook: HookPoint) -> None:
        """The hook function."""
        self.activation = activation.clone()


def _lifted(base: BaseRun, t: int, items: Sequence[Item], tokens: int) -> list[Item]:
    """Items whose edits touch one position of one layer before the last, as edits of what enters the next layer.

    Until the next layer's attention nothing else changes, so the layer is computed at that position alone.
    """
    lifted, indices = list(items), [i for i, item in enumerate(items) if base.liftable(item)]
    places = [items[i].edits[0].place for i in indices]
    spans = [Span(place.layer, cast(int, place.pos), cast(int, place.pos) + 1) for place in places]
    for batch in batches(spans, tokens):
        span, chosen = spans[batch[0]], [indices[i] for i in batch]
        name = f"blocks.{span.layer}.hook_resid_post"
        kept = _Kept()
        _run(base, t, [items[i] for i in chosen], span, [(name, kept.take)])
        site = Site("resid_pre", t, span.layer + 1, span.start)
        place = Place(site, site.hook_name, span.layer + 1, span.start)
        for index, value in zip(chosen, kept.activation[:, 0], strict=True):
            lifted[index] = Item(None, (Edit(place, t, value),))
    return lifted


def batches(spans: Sequence[Span], tokens: int) -> Iterator[list[int]]:
    """Indices of spans that run together: of one layer and end, similar starts, ``tokens`` positions at most."""
    order = sorted(range(len(spans)), key=lambda i: (spans[i].layer, spans[i].end, spans[i].start))
    batch: list[int] = []
    for index in order:
        if batch:
            span, first = spans[index], spans[batch[0]]
            length = first.end - first.start
            apart = (span.layer, span.end) != (first.layer, first.end)
            if apart or span.start - first.start > WASTE * length or (len(batch) + 1) * length > tokens:
                yield batch
                batch = []
        batch.append(index)
    if batch:
        yield batch


def _run(base: BaseRun, t: int, items: Sequence[Item], span: Span, watch: Sequence[NamedHook] = ()) -> Tensor:
    """Logits [row, end - start, d_vocab] of the span; ``watch`` are further hooks, after those that write."""
    model = base.model
    edits = [item.edits for item in items]
    hooks = [*write_hooks(model.vocabulary, edits, span.start, span.end), *watch]
    entering = [base.packed[t] if item.entering is None else item.entering for item in items]
    with attached(model, t, hooks):
        if not model.resumable:
            state = model.vocabulary.unpack(torch.stack(entering)).to(model.W_E.device)
            no_graph = ~base.recording.encoded.mask.to(state.device)
            return model.transition(state, t, no_graph.expand(len(items), -1))
        if all(item.entering is None for item in items):
            resid = base.resid_pre(t, span.layer)[span.start : span.end]
            resid = resid.expand(len(items), -1, -1)
        else:
            part = torch.stack(entering)[:, span.start : span.end]
            resid = model.embed_state(model.vocabulary.unpack(part).to(model.W_E.device))
        return model.resume(resid, base.past(t, span.layer, span.start), span.layer, t)
