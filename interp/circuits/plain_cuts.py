"""The reference for :class:`interp.circuits.cut_runs.CutRuns`: one full run from step 0 for every cut, edge by edge."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from interp.causal.within_step import edge_hooks
from interp.circuits.cut_runs import Cut, CutRuns
from models.hooks import StepHookPoint


@torch.no_grad()
def measure_plainly(runs: CutRuns, cut: Cut) -> float:
    """The metric at the end of the run with a cut, bool [edge] or [step, edge]."""
    graph, model = runs.graph, runs.model
    cuts = np.broadcast_to(cut, (runs.n_steps, len(graph.edges)))
    written: dict[tuple[str, int | None, int | None], Tensor] = {}

    def wrote(write: Tensor, hook: StepHookPoint) -> None:
        name = hook.plain_name
        if name == "hook_embed":
            written["embed", None, None] = write[0]
        elif name.endswith("hook_mlp_out"):
            written["mlp", hook.layer(), None] = write[0]
        else:
            for head in range(graph.n_heads):
                written["head", hook.layer(), head] = write[0, :, head]

    def read(stream: Tensor, hook: StepHookPoint) -> Tensor:
        stream = stream.clone()
        kind = {"q_input": "q", "k_input": "k", "v_input": "v", "mlp_in": "mlp", "resid_post": "logits"}[
            hook.plain_name.rpartition("hook_")[2]
        ]
        for place, edge in enumerate(graph.edges):
            if not cuts[hook.step, place] or edge.reader != kind:
                continue
            if edge.reader_layer not in (None, hook.layer()):
                continue
            writer = edge.writer, edge.writer_layer, edge.writer_head
            change = runs.instead[hook.step, graph.writers.index(writer)] - written[writer]
            if edge.reader_head is None:
                stream[0] += change
            else:
                stream[0, :, edge.reader_head] += change
        return stream

    last = graph.n_layers - 1
    writes = [
        "hook_embed",
        *(f"blocks.{i}.{name}" for i in range(last + 1) for name in ("attn.hook_result", "hook_mlp_out")),
    ]
    reads = [
        f"blocks.{i}.{name}"
        for i in range(last + 1)
        for name in ("attn.hook_q_input", "attn.hook_k_input", "attn.hook_v_input", "hook_mlp_in")
    ]
    hooks: list[tuple[str, Callable[..., Any]]] = []
    model.grow_steps(runs.n_steps)
    for step in range(runs.n_steps):
        hooks += [(f"steps.{step}.{name}", wrote) for name in writes]
        hooks += [(f"steps.{step}.{name}", read) for name in (*reads, f"blocks.{last}.hook_resid_post")]
    with edge_hooks(model.at_step(0)), model.hooks(fwd_hooks=hooks):
        logits = model.forward(runs.clean.encoded, n_steps=runs.n_steps)
    return float(runs.metric(logits[-1])[0])
