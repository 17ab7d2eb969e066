"""What is studied: the task, the vocabulary, the recurrent model, its compiled ground truth, and trained
checkpoints.

Names are imported on first use, so that ``import models`` costs nothing and the symbolic part (graphs,
vocabulary) works without loading TransformerLens.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from models.cache import StepCache as StepCache
    from models.compiled import CompiledTransformer as CompiledTransformer
    from models.config import RecurrentConfig as RecurrentConfig
    from models.graph import ComputationGraph as ComputationGraph
    from models.graph import GraphError as GraphError
    from models.loading import available as available
    from models.loading import load as load
    from models.recurrent import RecurrentTransformer as RecurrentTransformer
    from models.storage import CheckpointError as CheckpointError
    from models.trajectory import Trajectory as Trajectory
    from models.vocabulary import EncodedGraphs as EncodedGraphs
    from models.vocabulary import FactoredVocabulary as FactoredVocabulary

_HOMES = {
    "CheckpointError": "storage",
    "CompiledTransformer": "compiled",
    "ComputationGraph": "graph",
    "EncodedGraphs": "vocabulary",
    "FactoredVocabulary": "vocabulary",
    "GraphError": "graph",
    "RecurrentConfig": "config",
    "RecurrentTransformer": "recurrent",
    "StepCache": "cache",
    "Trajectory": "trajectory",
    "available": "loading",
    "load": "loading",
}

__all__ = sorted(_HOMES)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'models' has no attribute {name!r}; it offers {', '.join(__all__)}")
    return getattr(import_module(f"models.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return list(__all__)
