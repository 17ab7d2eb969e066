"""``collect``: run a model on many graphs and keep activations at wanted sites and tokens of every step, with labels.

Graphs of similar length run together. A step that repeats an earlier one (:mod:`interp.engine.walk`) is copied, not
computed: of a discrete model that has settled, all further steps are equal to the last bit. A continuous model is
computed at every step.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from interp.data.datasets import ActivationDataset, array_path, staged, write_tables
from interp.data.growing import Growing, InFile, InMemory
from interp.data.labels import (
    Positions,
    TokenRows,
    check_positions,
    label_frame,
    n_operand_columns,
    n_rows,
    n_tokens,
    statuses,
    token_rows,
)
from interp.data.loop_collecting import collect_loop
from interp.engine.replay import Progress
from interp.engine.sites import BY_DESTINATION, OUTSIDE_BLOCKS, PER_HEAD, Site, SiteError, resolve
from interp.engine.walk import BATCH_TOKENS, Step, batches, may_repeat, recording, walk
from interp.loop.either import also_for_loops
from interp.progress import told
from models.bounds import index_of
from models.graph import ComputationGraph
from models.recurrent import RecurrentTransformer
from models.vocabulary import FACTORS

_COPIED_ROWS: Final = 4096
"""How many rows are copied at once from one step of a file to another."""


@also_for_loops(collect_loop)
@torch.no_grad()
def collect(
    model: RecurrentTransformer,
    graphs: ComputationGraph | Sequence[ComputationGraph],
    sites: str | Site | Sequence[str | Site] = ("resid_post",),
    positions: str = "rhs",
    n_steps: int | None = None,
    states: Tensor | None = None,
    folder: str | Path | None = None,
    batch_tokens: int = BATCH_TOKENS,
    progress: Progress | None = None,
) -> ActivationDataset:
    """Activations [step, row, d] of every step, rows in the order of the graphs and their text, with labels.

    Of another looped model arguments are those of :func:`interp.collect_loop`.

    Args:
        sites: short names (``"resid_post"``: every layer; ``"z"``: every layer, every head by itself), hook names
            (``"blocks.1.hook_resid_post"``), keys of a dataset (``"blocks.1.attn.hook_z.3"``), or ``Site`` s.
        positions: ``"rhs"`` (one row per node, where it shows its value), ``"operands"`` (operand tokens), ``"all"``.
        n_steps: default as for ``model.run``: until every graph's discrete state has settled or comes again, or what
            the model's method fixes; with ``states`` as many as there are. To find it out, a continuous model, or one
            with hooks on it, is run once before.
        states: int [step, batch, pos, factor], padded to the longest graph: the discrete state that enters each step,
            instead of the model's own (so that a control sees what another model saw).
        folder: stream into this folder; the arrays of the dataset are then memory maps, and memory does not grow with
            the number of graphs but for the graphs themselves and their labels.
        batch_tokens: how many tokens, padding among them, run at once.
        progress: called with (graphs done, graphs).

    Raises:
        SiteError: a site the model does not have, or that is no vector at a token.
        DatasetError: the folder cannot be written, or holds something else.
        ValueError: no graphs, no rows, a chain-of-thought model (it has no states), ``states`` for a continuous model
            or of another shape, a model in training mode whose dropout or noise would make it random.
        VocabularyError: a graph or state outside the model's vocabulary.

    Examples:
        >>> from interp import collect
        >>> from models import ComputationGraph, load
        >>> model = load("compiled")
        >>> graph = ComputationGraph.parse("20 = a; 2 = b; a + b = c")
        >>> data = collect(model, graph, sites="resid_post", n_steps=2)
        >>> data.activations["blocks.2.hook_resid_post"].shape  # [step, row, d]
        (2, 3, 194)
        >>> data.labels["value"].tolist()
        [20, 2, 22]
    """
    tokens = check_positions(positions)
    graphs = [graphs] if isinstance(graphs, ComputationGraph) else list(graphs)
    _check(model, graphs, n_steps, batch_tokens)
    keys = _keys(model, graphs[0], sites)
    counts = [n_rows(graph, tokens) for graph in graphs]
    if not any(counts):
        raise ValueError(f"no graph has a token of positions {positions!r}")
    lengths = [n_tokens(graph) for graph in graphs]
    plan = list(batches(lengths, batch_tokens))
    repeats = may_repeat(model)
    n_steps = _length(model, graphs, plan, n_steps, states, repeats)
    if states is not None:
        _check_states(model, states, (max(n_steps or 0, 1), len(graphs), max(lengths), len(FACTORS)))
    done = 0
    with nullcontext() if folder is None else staged(folder) as stage:
        collection = _Collection(model, graphs, tokens, counts, keys, stage)
        try:
            with recording(model, {site.hook_name for site in keys.values()}) as seen:
                for batch in plan:
                    collection.add(batch, n_steps, states, repeats, seen)
                    done += len(batch)
                    told(done, len(graphs))
                    if progress is not None:
                        progress(done, len(graphs))
            data = collection.finished(n_steps)
        finally:
            collection.close()
        if stage is not None:
            write_tables(stage, data)
    return data if folder is None else ActivationDataset.load(folder)


class _Collection:
    """The arrays of a dataset in the making."""

    def __init__(
        self,
        model: RecurrentTransformer,
        graphs: Sequence[ComputationGraph],
        positions: Positions,
        counts: Sequence[int],
        keys: Mapping[str, Site],
        stage: Path | None,
    ) -> None:
        self._model, self._graphs, self._keys, self._stage = model, graphs, keys, stage
        self._positions: Positions = positions
        self._first = [int(row) for row in np.cumsum([0, *counts])]
        self._n_operands = n_operand_columns(graphs)
        self._bound = 2 + max(map(len, graphs))
        self._columns: dict[str, NDArray[np.int32]] = {}
        self._sources: list[list[int]] = [[] for _ in graphs]
        self._arrays: dict[tuple[str, str], Growing] = {}

    def add(
        self,
        batch: Sequence[int],
        n_steps: int | None,
        states: Tensor | None,
        repeats: bool,
        seen: dict[str, Tensor],
    ) -> None:
        """Run the graphs of these indices; write what the hooks saw of every step that was computed."""
        encoded = self._model.to_encoded([self._graphs[index] for index in batch])
        rows = token_rows(encoded, self._positions, self._model.vocabulary.ops, self._n_operands)
        for name, column in {"graph": np.array(batch, np.int32)[rows.graph], **rows.columns}.items():
            whole = self._columns.setdefault(name, np.empty(self._first[-1], np.int32))
            for graph, part in self._by_graph(batch, column):
                whole[self._first[graph] : self._first[graph + 1]] = part
        given = None if states is None else states[:, list(batch), : encoded.factors.shape[1]]
        for step in walk(self._model, encoded.factors, n_steps or self._bound, given, repeats):
            for graph, source in zip(batch, _integers(step.source), strict=True):
                self._sources[graph].append(source)
            if n_steps is None and not step.computed.any():
                break
            self._keep(batch, rows, step, seen)
            seen.clear()

    def _keep(self, batch: Sequence[int], rows: TokenRows, step: Step, seen: Mapping[str, Tensor]) -> None:
        computed = step.computed.numpy()
        graphs = [graph for graph, here in zip(batch, computed, strict=True) if here]
        if not graphs:
            return
        chosen = computed[rows.graph]
        place = torch.as_tensor((computed.cumsum() - 1)[rows.graph[chosen]])
        pos = torch.as_tensor(rows.pos[chosen])
        picked: dict[str, NDArray[np.float32]] = {}
        for key, site in self._keys.items():
            name = site.hook_name
            if name not in picked:
                if name not in seen:
                    raise SiteError(f"{name!r} is not computed by this model as it is configured")
                activation = seen[name]
                on_device = (index.to(activation.device) for index in (place, pos))
                picked[name] = activation[tuple(on_device)].float().numpy(force=True)
            self._write(("activations", key), graphs, step.number, _part(picked[name], site, self._model))
        labels = rows.step_labels(step.entering.numpy(), step.written.numpy())
        for name, label in labels.items():
            self._write(("step_labels", name), graphs, step.number, label[chosen])

    def _write(self, name: tuple[str, str], graphs: Sequence[int], step: int, values: NDArray[Any]) -> None:
        array = self._array(name, values)
        for graph, part in self._by_graph(graphs, values):
            array.write(step, self._first[graph], part)

    def _array(self, name: tuple[str, str], values: NDArray[Any]) -> Growing:
        if name not in self._arrays:
            shape = (self._first[-1], *values.shape[1:])
            self._arrays[name] = (
                InMemory(shape, values.dtype)
                if self._stage is None
                else InFile(array_path(self._stage, *name), shape, values.dtype)
            )
        return self._arrays[name]

    def _by_graph(self, graphs: Sequence[int], values: NDArray[Any]) -> Iterator[tuple[int, NDArray[Any]]]:
        """The values of each graph's rows, from those of several graphs after each other."""
        begin = 0
        for graph in graphs:
            end = begin + self._first[graph + 1] - self._first[graph]
            yield graph, values[begin:end]
            begin = end

    def finished(self, n_steps: int | None) -> ActivationDataset:
        """The dataset, with the steps that repeat filled in."""
        if n_steps is None:
            n_steps = max(sum(source == step for step, source in enumerate(known)) for known in self._sources)
        for known in self._sources:
            while len(known) < n_steps:
                known.append(known[known[-1] + 1])
        for step in range(n_steps):
            for first, n, source in self._repeats(step):
                for array in self._arrays.values():
                    array.write(step, first, array.read(source, first, n))
            status = statuses(self._columns["depth"], step)
            self._array(("step_labels", "status"), status).write(step, 0, status)
        whole = {name: array.finish(n_steps) for name, array in self._arrays.items()}
        of_kind = {
            kind: {name: array for (of, name), array in whole.items() if of == kind}
            for kind in ("activations", "step_labels")
        }
        return ActivationDataset(
            activations=of_kind["activations"],
            labels=label_frame(self._columns, self._model.vocabulary.ops),
            step_labels={"status": of_kind["step_labels"].pop("status"), **of_kind["step_labels"]},
            model=self._model.cfg.method or type(self._model).__name__,
            n_steps=n_steps,
            modulus=self._model.vocabulary.modulus,
        )

    def _repeats(self, step: int) -> Iterator[tuple[int, int, int]]:
        """(first row, number of rows, step they repeat) of neighbouring graphs, for those that repeat a step."""
        # A graph that repeated the same step one step ago is copied from there, so that neighbours have one source.
        sources = [
            step - 1 if step and known[step] == known[step - 1] else known[step] for known in self._sources
        ]
        graph = 0
        while graph < len(sources):
            end = graph + 1
            while end < len(sources) and sources[end] == sources[graph]:
                end += 1
            if sources[graph] < step:
                for row in range(self._first[graph], self._first[end], _COPIED_ROWS):
                    yield row, min(_COPIED_ROWS, self._first[end] - row), sources[graph]
            graph = end

    def close(self) -> None:
        """Close the files; what was finished stays."""
        for array in self._arrays.values():
            array.close()


def _part(picked: NDArray[np.float32], site: Site, model: RecurrentTransformer) -> NDArray[np.float32]:
    """The head or factor of a site, float [row, d]."""
    if site.head is not None:
        return picked[:, site.head]
    return picked if site.factor is None else picked[:, model.vocabulary.slice(site.factor)]


def _keys(
    model: RecurrentTransformer, graph: ComputationGraph, sites: str | Site | Sequence[str | Site]
) -> dict[str, Site]:
    """Key of the dataset -> what is kept under it: every layer and head by itself."""
    encoded = model.to_encoded(graph)
    found: dict[str, Site] = {}
    for given in [sites] if isinstance(sites, str | Site) else sites:
        for site in _spelled_out(model, given):
            resolve(site, model, encoded)
            if site.name == "state" or site.name in BY_DESTINATION:
                kept = (
                    "its values are step_labels"
                    if site.name == "state"
                    else "it is a row of source positions"
                )
                raise SiteError(
                    f"site {site.name!r} is no vector at a token ({kept}), so it cannot be collected"
                )
            if site.step != "all" or site.pos != "all":
                raise SiteError(f"{site}: all steps are collected, at the tokens that positions= says")
            part = site.head if site.factor is None else site.factor
            found[site.hook_name if part is None else f"{site.hook_name}.{part}"] = site
    if not found:
        raise SiteError("there are no sites; at least one is needed")
    return found


def _spelled_out(model: RecurrentTransformer, given: str | Site) -> list[Site]:
    """Sites with a layer, and with a head where there are heads."""
    if isinstance(given, str):
        name, _, last = given.rpartition(".")
        if (head := index_of(last)) is not None and name:
            sites = [Site(name, head=head)]
        elif name.endswith("hook_logits") or name == "logits":
            sites = [Site(name, factor=last)]
        elif given.startswith(("blocks.", "steps.")) or given.removeprefix("hook_") in OUTSIDE_BLOCKS:
            sites = [Site(given)]
        else:
            sites = [Site(given, layer=layer) for layer in range(model.cfg.n_layers)]
    else:
        sites = [given]
    heads = range(model.cfg.n_heads)
    return [
        Site(site.name, site.step, site.layer, site.pos, head, site.factor)
        for site in sites
        for head in (heads if site.name in PER_HEAD and site.head is None else (site.head,))
    ]


def _check(
    model: RecurrentTransformer, graphs: Sequence[ComputationGraph], n_steps: int | None, batch_tokens: int
) -> None:
    cfg = model.cfg
    if cfg.writes_text:
        raise ValueError(
            "a chain-of-thought model writes its solution as text, token by token, so it has no states or steps to "
            "collect; other methods have"
        )
    if not graphs:
        raise ValueError("there are no graphs; at least one is needed")
    met: set[tuple[int, int, tuple[str, ...]]] = set()
    for index, graph in enumerate(graphs):
        needs = graph.modulus, graph.n_variables, graph.ops
        if needs not in met:
            model.to_encoded(graphs[: index + 1])  # says which graph it is that the vocabulary does not have
            met.add(needs)
    for name, number in (("n_steps", n_steps), ("batch_tokens", batch_tokens)):
        if number is not None and number < 1:
            raise ValueError(f"{name} is {number}; allowed are 1 or more")
    if model.training and (cfg.dropout > 0 or cfg.attention_noise > 0):
        raise ValueError(
            "the model is in training mode with dropout or noise, so it is random: call model.eval()"
        )


def _length(
    model: RecurrentTransformer,
    graphs: Sequence[ComputationGraph],
    plan: Sequence[Sequence[int]],
    n_steps: int | None,
    states: Tensor | None,
    repeats: bool,
) -> int | None:
    """How many steps are to be run; None where the walk itself shows it."""
    if n_steps is not None or states is not None:
        return n_steps if states is None or n_steps is not None else len(states)
    if model.cfg.default_steps is not None or repeats:
        return model.cfg.default_steps
    return max(model.run([graphs[index] for index in batch]).n_steps for batch in plan)


def _check_states(model: RecurrentTransformer, states: Tensor, shape: tuple[int, ...]) -> None:
    if model.cfg.bottleneck == "continuous":
        raise ValueError(
            "states= cannot be given to a continuous model: its hidden state enters the next step, not a discrete one"
        )
    steps, *rest = shape
    if (
        states.ndim != len(shape)
        or list(states.shape[1:]) != rest
        or len(states) < steps
        or states.is_floating_point()
    ):
        raise ValueError(
            f"states are {states.dtype} of shape {list(states.shape)}; allowed are integers "
            f"[{steps} steps or more, {shape[1]} graphs, {shape[2]} positions, 4 factors]"
        )


def _integers(values: Tensor) -> list[int]:
    return cast(Any, values).tolist()
