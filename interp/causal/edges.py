"""Edge attribution inside one step: how much of an effect passes from one component's output into another's input.

An edge is (writer, reader, position). Writers add to the residual stream: the embedding, every head, every MLP.
Readers take from it: a head's q, k or v input, an MLP's input, the logits. All edges stay at their position; what
moves information between positions is the head between its v input and its output.

Sign and direction (denoising, as in TransformerLens): the run is the corrupt one, and a score is the change of the
metric when the writer's clean output replaces its corrupt one at that reader alone. With the two graphs exchanged the
same functions noise.

    exact      the metric of the run with ``write_clean - write_corrupt`` added to that reader's input, minus the
               corrupt run's
    EAP        ``(write_clean - write_corrupt) . d metric / d input`` with the gradient at the corrupt run (Syed et
               al. 2023); TransformerLens's ``attribution_patch`` on ``model.at_step(t)``
    EAP-IG     the same with the mean of the gradients at ``embed_corrupt + k / m (embed_clean - embed_corrupt)`` for
               k = 1..m (Hanna et al. 2024, section 3)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

import numpy as np
import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformer_lens.tools.analysis.attribution_patching import (
    EdgeAttributionConfig,
    Node,
    attribution_patch,
    cache_activation_and_gradient,
    capture_writer_outputs,
)

from interp.causal.agreement import Agreement, frame_of
from interp.causal.loop_edges import exact_loop_edges, loop_edge_attribution
from interp.causal.within_step import StepPair, edge_hooks
from interp.loop.either import also_for_loops
from models.one_line import one_line

Writer = Literal["embed", "head", "mlp"]
Reader = Literal["q", "k", "v", "mlp", "logits"]


@dataclass(frozen=True)
class Edge:
    """From a writer to a reader at one position; ``pos`` None is all positions together.

    Layers and heads are None where the component has none: ``Edge("head", 0, 3, "mlp", 1, None, 12)``.

    Examples:
        >>> from interp import Edge
        >>> print(Edge("head", 0, 3, "mlp", 1, None, 12))
        head 0.3 -> mlp 1 · pos 12
    """

    writer: Writer
    writer_layer: int | None
    writer_head: int | None
    reader: Reader
    reader_layer: int | None
    reader_head: int | None
    pos: int | None = None

    @property
    def names(self) -> tuple[str, str]:
        """Writer and reader in short: ``"head 0.3"``, ``"q 1.2"``, ``"mlp 1"``, ``"embed"``, ``"logits"``."""
        return (
            _name(self.writer, self.writer_layer, self.writer_head),
            _name(self.reader, self.reader_layer, self.reader_head),
        )

    @property
    def together(self) -> Edge:
        """The same edge at all positions."""
        return replace(self, pos=None)

    def to_dict(self) -> dict[str, Any]:
        """Columns of a table: ``writer``, ``reader``, ``pos``."""
        writer, reader = self.names
        return {"writer": writer, "reader": reader, "pos": self.pos}

    def __str__(self) -> str:
        where = "all positions" if self.pos is None else f"pos {self.pos}"
        return " -> ".join(self.names) + f" · {where}"


@one_line
@dataclass(frozen=True, eq=False)
class EdgeScores:
    """Estimated effects of the edges of one step.

    Attributes:
        pair: the step, its two inputs and the metric.
        method: ``"EAP"`` or ``"EAP-IG (m)"``.
        edges: one for each score.
        scores: float [edge]; estimated change of the metric.
    """

    pair: StepPair
    method: str
    edges: tuple[Edge, ...]
    scores: NDArray[np.float64]

    def together(self) -> EdgeScores:
        """Scores added up over the positions: the estimated effect of an edge at all positions at once."""
        sums: dict[Edge, float] = {}
        for edge, score in zip(self.edges, self.scores, strict=True):
            sums[edge.together] = sums.get(edge.together, 0.0) + float(score)
        return EdgeScores(self.pair, self.method, tuple(sums), np.array(list(sums.values())))

    def strongest(self, k: int = 20) -> list[tuple[Edge, float]]:
        """The ``k`` edges with the largest scores by magnitude, strongest first."""
        order = np.argsort(-np.abs(self.scores), kind="stable")[:k]
        return [(self.edges[i], float(self.scores[i])) for i in order]

    def to_frame(self) -> pd.DataFrame:
        """One row per edge: ``step``, ``writer``, ``reader``, ``pos``, ``score``."""
        frame = frame_of(self.edges, score=self.scores)
        frame.insert(0, "step", self.pair.step)
        return frame

    def compare(self, n: int | None = 1000, seed: int = 0, rows: int = 32) -> Agreement:
        """Beside exact edge patching of ``n`` edges drawn without replacement (None: all), ``rows`` at a time.

        Drawn are only edges that can have an effect: their writer differs between the runs, and in a causal model
        they are not behind the last position that the metric reads. All others have an effect of 0 by definition.
        """
        matters = _can_matter(self.pair, _writes(self.pair))
        chosen = [i for i, edge in enumerate(self.edges) if matters(edge)]
        if n is not None and n < len(chosen):
            drawn = np.random.default_rng(seed).choice(len(chosen), n, replace=False)
            chosen = [chosen[i] for i in sorted(map(int, drawn))]
        edges = tuple(self.edges[i] for i in chosen)
        return Agreement(self.method, edges, self.scores[chosen], exact_edges(self.pair, edges, rows))


@also_for_loops(loop_edge_attribution, graphs_by=StepPair)
def edge_attribution(pair: StepPair, ig_steps: int = 1) -> EdgeScores:
    """EAP (``ig_steps=1``) or EAP-IG (more; Hanna et al. 2024 take 5) of every edge at every position of a step.

    Of a looped model, in place of a pair, arguments and result are those of :func:`interp.loop_edge_attribution`: edges
    between sites, within a step and from step to step.

    Raises:
        ValueError: ``ig_steps`` below 1.
    """
    if ig_steps < 1:
        raise ValueError(f"ig_steps is {ig_steps}; allowed are 1 (EAP) and more (EAP-IG)")
    edges = tuple(edges_of(pair))
    if ig_steps == 1:
        config = EdgeAttributionConfig(granularity="edge")
        found = attribution_patch(pair.view, pair.clean, pair.corrupt, pair.scalar, config).edge_scores
        by_edge = {_edge(writer, reader): score for (writer, reader), score in found.items()}
        return EdgeScores(pair, "EAP", edges, np.array([by_edge[edge] for edge in edges]))
    writes, gradients = _writes(pair), _integrated_gradients(pair, ig_steps)
    tables = {
        (name, writer): _dot(write, gradients[name]) for name in gradients for writer, write in writes.items()
    }  # [pos], [pos, writer head], [pos, reader head] or [pos, writer head, reader head]
    scores: list[float] = []
    for edge in edges:
        index = [i for i in (edge.pos, edge.writer_head, edge.reader_head) if i is not None]
        scores.append(float(tables[_reader_hook(edge, pair), _writer_hook(edge)][tuple(index)]))
    return EdgeScores(pair, f"EAP-IG ({ig_steps})", edges, np.array(scores))


def edges_of(pair: StepPair) -> list[Edge]:
    """Every edge of a step: each reader with all writers before it, position by position."""
    cfg = pair.view.cfg
    kinds: tuple[Reader, ...] = ("q", "k", "v")
    edges: list[Edge] = []
    for pos in range(pair.clean.shape[1]):
        before: list[tuple[Writer, int | None, int | None]] = [("embed", None, None)]
        for layer in range(cfg.n_layers):
            for kind in kinds:
                edges += [
                    Edge(*writer, kind, layer, head, pos) for head in range(cfg.n_heads) for writer in before
                ]
            before.extend(("head", layer, head) for head in range(cfg.n_heads))
            edges += [Edge(*writer, "mlp", layer, None, pos) for writer in before]
            before.append(("mlp", layer, None))
        edges += [Edge(*writer, "logits", None, None, pos) for writer in before]
    return edges


@also_for_loops(exact_loop_edges, graphs_by=StepPair)
@torch.no_grad()
def exact_edges(pair: StepPair, edges: Sequence[Edge], rows: int = 32) -> NDArray[np.float64]:
    """The change of the metric when each edge alone is patched, float [edge]; ``rows`` edges a forward.

    Each forward has one more row, unpatched, that effects are measured from, so that rounding cancels.

    Of a looped model, in place of a pair, arguments and result are those of :func:`interp.exact_loop_edges`.
    """
    writes = _writes(pair)
    effects: list[float] = []
    with edge_hooks(pair.view):
        for start in range(0, len(edges), rows):
            chunk = edges[start : start + rows]
            by_hook: dict[str, list[tuple[int, Edge]]] = {}
            for row, edge in enumerate(chunk, start=1):
                by_hook.setdefault(_reader_hook(edge, pair), []).append((row, edge))
            hooks = [(name, _adding(patches, writes)) for name, patches in by_hook.items()]
            with pair.view.hooks(fwd_hooks=hooks):
                logits = cast(Tensor, pair.view(pair.corrupt.expand(len(chunk) + 1, -1)))
            unpatched, *patched = [float(value) for value in pair.metric(logits)]
            effects += [value - unpatched for value in patched]
    return np.array(effects)


def _adding(patches: list[tuple[int, Edge]], writes: dict[str, Tensor]) -> Callable[..., Tensor]:
    """A hook that adds to each row the change of its edge's writer, at the edge's position and reader head."""

    def add(read: Tensor, hook: Any) -> Tensor:
        read = read.clone()
        for row, edge in patches:
            where = slice(None) if edge.pos is None else edge.pos
            write = writes[_writer_hook(edge)][where]
            write = write if edge.writer_head is None else write[..., edge.writer_head, :]
            target = read[row, where] if edge.reader_head is None else read[row, where, edge.reader_head]
            target += write
        return read

    return add


def _writes(pair: StepPair) -> dict[str, Tensor]:
    """Clean minus corrupt output of every writer: [pos, d_model], for heads [pos, head, d_model]."""
    with edge_hooks(pair.view):
        clean, corrupt = (capture_writer_outputs(pair.view, tokens) for tokens in (pair.clean, pair.corrupt))
    return {name: (clean[name] - corrupt[name])[0] for name in clean}


def _integrated_gradients(pair: StepPair, ig_steps: int) -> dict[str, Tensor]:
    """Mean gradient at every reader's input along the way: [pos, d_model], for heads [pos, head, d_model]."""
    ends = [
        capture_writer_outputs(pair.view, tokens, "hook_embed")["hook_embed"]
        for tokens in (pair.corrupt, pair.clean)
    ]
    readers = _reader_hooks(pair)
    total: dict[str, Tensor] = {}
    for k in range(1, ig_steps + 1):
        point = ends[0] + k / ig_steps * (ends[1] - ends[0])

        def enter(embed: Tensor, hook: Any, point: Tensor = point) -> Tensor:
            return point.requires_grad_()

        with torch.enable_grad(), edge_hooks(pair.view), pair.view.hooks(fwd_hooks=[("hook_embed", enter)]):
            cache = cache_activation_and_gradient(pair.view, pair.corrupt, pair.scalar, readers)
        for name in readers:
            gradient = cache.gradients[name]
            if gradient is not None:
                total[name] = total.get(name, torch.zeros(())) + gradient[0] / ig_steps
    return total


def _dot(write: Tensor, gradient: Tensor) -> NDArray[np.float64]:
    """Inner products at every position; head axes, writer's first, where there are any."""
    left = "pwd" if write.ndim == 3 else "pd"
    right = "prd" if gradient.ndim == 3 else "pd"
    out = "p" + left[1:-1] + right[1:-1]
    return torch.einsum(f"{left},{right}->{out}", write, gradient).double().numpy()


def _can_matter(pair: StepPair, writes: dict[str, Tensor]) -> Callable[[Edge], bool]:
    """Whether an edge's writer differs at a position from which the metric's can be reached."""
    causal = pair.view.cfg.attention_dir == "causal"
    end = max(pair.metric.rows) + 1 if causal else pair.clean.shape[1]
    moved = {name: (write[:end] != 0).any(-1) for name, write in writes.items()}

    def matters(edge: Edge) -> bool:
        where = moved[_writer_hook(edge)]
        where = where if edge.pos is None else where[edge.pos : edge.pos + 1]
        return bool((where if edge.writer_head is None else where[..., edge.writer_head]).any())

    return matters


def _writer_hook(edge: Edge) -> str:
    if edge.writer == "embed":
        return "hook_embed"
    return f"blocks.{edge.writer_layer}." + {"head": "attn.hook_result", "mlp": "hook_mlp_out"}[edge.writer]


def _reader_hook(edge: Edge, pair: StepPair) -> str:
    if edge.reader == "logits":
        return f"blocks.{pair.view.cfg.n_layers - 1}.hook_resid_post"
    rest = "hook_mlp_in" if edge.reader == "mlp" else f"attn.hook_{edge.reader}_input"
    return f"blocks.{edge.reader_layer}.{rest}"


def _reader_hooks(pair: StepPair) -> list[str]:
    layers: Iterable[int] = range(pair.view.cfg.n_layers)
    inputs = ("attn.hook_q_input", "attn.hook_k_input", "attn.hook_v_input", "hook_mlp_in")
    return [f"blocks.{layer}.{name}" for layer in layers for name in inputs] + [
        f"blocks.{pair.view.cfg.n_layers - 1}.hook_resid_post"
    ]


def _edge(writer: Node, reader: Node) -> Edge:
    """A pair of TransformerLens's nodes as an edge."""
    kind = {"embed": "embed", "attn_head_out": "head", "mlp_out": "mlp"}[writer.kind]
    read = {"q_input": "q", "k_input": "k", "v_input": "v", "mlp_in": "mlp", "logits": "logits"}[reader.kind]
    return Edge(
        cast(Writer, kind),
        writer.layer,
        writer.head,
        cast(Reader, read),
        None if read == "logits" else reader.layer,
        reader.head,
        reader.position,
    )


def _name(kind: str, layer: int | None, head: int | None) -> str:
    return (
        f"{kind} " + ".".join(str(i) for i in (layer, head) if i is not None) if layer is not None else kind
    )
