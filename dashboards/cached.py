"""What the pages share between reruns and visitors: models, each behind a lock, and runs by their content."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import cached_property

import streamlit as st
import torch

from dashboards.precomputed import model_digest
from interp.causal.overwrite import Overwrite, OverwrittenRun, overwrite_value
from models.graph import ComputationGraph
from models.loading import COMPILED, config, load
from models.loading import available as bundled
from models.recurrent import RecurrentTransformer
from models.running import CHAIN_OF_THOUGHT
from models.trajectory import Trajectory

__all__ = ["available", "follow_overwrite", "locked", "operations", "run_graph", "run_text", "shared"]


def available() -> list[str]:
    """Bundled models with steps to look at: not those that write their solution as text."""
    return [name for name in bundled() if name == COMPILED or config(name).method != CHAIN_OF_THOUGHT]


@dataclass(frozen=True)
class SharedModel:
    """One model for all visitors; a model grows its hook tree while it runs, so that one thread at a time may."""

    model: RecurrentTransformer
    lock: threading.Lock = field(default_factory=threading.Lock)

    @cached_property
    def digest(self) -> str:
        """What results of this model are kept under; see `dashboards.precomputed`."""
        return model_digest(self.model)

    @contextmanager
    def use(self) -> Iterator[RecurrentTransformer]:
        """The model, for this thread alone."""
        with self.lock:
            yield self.model


@st.cache_resource(show_spinner="Loading the model ...", max_entries=8)
def shared(name: str) -> SharedModel:
    """The model of that name with its lock. Raises `models.CheckpointError` if there is none."""
    # One graph is little work: threads that wait for each other on a busy machine make it twenty times slower.
    torch.set_num_threads(1)
    model = SharedModel(load(name))
    # Streamlit collects all garbage after every rerun; what is imported or loaded by now stays and is not searched.
    gc.freeze()
    return model


def locked(name: str) -> AbstractContextManager[RecurrentTransformer]:
    """The model of that name, for this thread alone. Raises `models.CheckpointError` if there is none."""
    return shared(name).use()


def operations(name: str) -> tuple[str, ...]:
    """The operations the model of that name knows."""
    return shared(name).model.vocabulary.ops


@st.cache_data(show_spinner="Running the model ...", max_entries=64)
def run_text(name: str, text: str) -> Trajectory:
    """The run of a model on the graph of a text. Raises the parser's `GraphError`, or `VocabularyError`."""
    with locked(name) as model:
        return model.run(text)


@st.cache_data(
    show_spinner="Running the model ...",
    max_entries=64,
    hash_funcs={ComputationGraph: ComputationGraph.to_json},
)
def run_graph(name: str, graph: ComputationGraph, n_steps: int | None = None) -> Trajectory:
    """The run of a model on a graph. Raises `VocabularyError` for one that the model cannot read."""
    with locked(name) as model:
        return model.run(graph, n_steps)


@st.cache_data(show_spinner="Running the model ...", max_entries=64)
def follow_overwrite(name: str, text: str, edit: Overwrite) -> OverwrittenRun:
    """What `edit` changes in the run of `run_text`. Raises `ValueError` for a node, state or value not there."""
    original = run_text(name, text)
    with locked(name) as model:
        return overwrite_value(model, original, edit)
