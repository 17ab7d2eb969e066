"""What the pages share between reruns and visitors: models, each behind a lock, and runs by their content."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import streamlit as st
import torch

from interp.overwrite import Overwrite, OverwrittenRun, overwrite_value
from models.loading import available, load
from models.recurrent import RecurrentTransformer
from models.trajectory import Trajectory

__all__ = ["available", "follow_overwrite", "locked", "operations", "run_text"]


@dataclass(frozen=True)
class _Shared:
    """One model for all visitors; a model grows its hook tree while it runs, so that one thread at a time may."""

    model: RecurrentTransformer
    lock: threading.Lock = field(default_factory=threading.Lock)


@st.cache_resource(show_spinner="Loading the model ...", max_entries=8)
def _shared(name: str) -> _Shared:
    # One graph is little work: threads that wait for each other on a busy machine make it twenty times slower.
    torch.set_num_threads(1)
    return _Shared(load(name))


@contextmanager
def locked(name: str) -> Iterator[RecurrentTransformer]:
    """The model of that name, for this thread alone. Raises `models.CheckpointError` if there is none."""
    shared = _shared(name)
    with shared.lock:
        yield shared.model


def operations(name: str) -> tuple[str, ...]:
    """The operations the model of that name knows."""
    return _shared(name).model.vocabulary.ops


@st.cache_data(show_spinner="Running the model ...", max_entries=64)
def run_text(name: str, text: str) -> Trajectory:
    """The run of a model on the graph of a text. Raises the parser's `GraphError`, or `VocabularyError`."""
    with locked(name) as model:
        return model.run(text)


@st.cache_data(show_spinner="Running the model ...", max_entries=64)
def follow_overwrite(name: str, text: str, edit: Overwrite) -> OverwrittenRun:
    """What `edit` changes in the run of `run_text`. Raises `ValueError` for a node, state or value not there."""
    original = run_text(name, text)
    with locked(name) as model:
        return overwrite_value(model, original, edit)
