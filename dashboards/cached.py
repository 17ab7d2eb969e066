"""What the pages share between reruns and visitors: models, by their weights alone."""

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
from models import loading, own
from models.compiled_names import compiled_operations
from models.loading import config, load
from models.operations import OPERATIONS
from models.recurrent import RecurrentTransformer
from models.sharing import with_own_hooks

__all__ = ["available", "every_model", "locked", "operations", "shared"]


_IDLE = 4
"""Sets of hook points of a model that are kept for the next who needs one."""


@dataclass(frozen=True)
class SharedModel:
    """One model for all visitors: its weights are shared, its hook points are not, so that nobody waits for another.

    model: to be asked, not to be run.
    """

    model: RecurrentTransformer
    lock: threading.Lock = field(default_factory=threading.Lock)
    _idle: list[RecurrentTransformer] = field(default_factory=list)

    @cached_property
    def digest(self) -> str:
        """What results of this model are kept under; see `dashboards.precomputed`."""
        return model_digest(self.model)

    @contextmanager
    def use(self) -> Iterator[RecurrentTransformer]:
        """The model's weights with hook points for this thread alone."""
        with self.lock:
            own = self._idle.pop() if self._idle else None
        own = with_own_hooks(self.model) if own is None else own
        yield own
        with self.lock:
            if len(self._idle) < _IDLE:
                self._idle.append(own)


def every_model() -> list[str]:
    """Models that read graphs: bundled and compiled ones, and those of the reader."""
    return [*loading.every_model(), *own.folders()]


def available() -> list[str]:
    """Those of them that have steps to look at."""
    return [*loading.with_steps(), *(name for name in own.folders() if not config(name).writes_text)]


@st.cache_resource(show_spinner="Loading the model ...", max_entries=8)
def shared(name: str) -> SharedModel:
    """The model of that name. Raises `models.CheckpointError` if there is none."""
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
    """The operations the model of that name knows, or can be compiled for."""
    return shared(name).model.vocabulary.ops if compiled_operations(name) is None else tuple(OPERATIONS)
