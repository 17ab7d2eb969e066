"""The public names: read by type checkers, and by `lazy_loader` when one is used for the first time."""

from .adapters.records import as_loop as as_loop
from .cache import StepCache as StepCache
from .compiled.graphs import CompiledTransformer as CompiledTransformer
from .config import RecurrentConfig as RecurrentConfig
from .graph import ComputationGraph as ComputationGraph
from .graph import GraphError as GraphError
from .loading import available as available
from .loading import load as load
from .loading import load_unhooked as load_unhooked
from .recurrent import RecurrentTransformer as RecurrentTransformer
from .storage import CheckpointError as CheckpointError
from .trajectory import Trajectory as Trajectory
from .vocabulary import EncodedGraphs as EncodedGraphs
from .vocabulary import FactoredVocabulary as FactoredVocabulary
