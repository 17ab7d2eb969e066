"""Loops built in code, not trained, of which everything is known: what analyses are proved on.

``models.load("compiled")`` is the graph solver (:mod:`models.compiled.graphs`); :func:`make` gives it and four others
(:func:`loops`) as looped models of one form: ``begin``, ``step``, ``read``, a ``circuit`` as data, and
``oracle_step``, the symbolic step that they equal.
"""

from models.compiled.circuit import Circuit as Circuit
from models.compiled.circuit import PlantedHead as PlantedHead
from models.compiled.circuit import PlantedMLP as PlantedMLP
from models.compiled.digraphs import Digraph as Digraph
from models.compiled.family import loops as loops
from models.compiled.family import make as make
from models.compiled.form import LoopInputError as LoopInputError
from models.compiled.graph_loop import GraphLoop as GraphLoop
from models.compiled.graphs import READOUT as READOUT
from models.compiled.graphs import SHARPNESS as SHARPNESS
from models.compiled.graphs import CompiledTransformer as CompiledTransformer
from models.compiled.graphs import compile_model as compile_model
from models.compiled.loop import CompiledLoop as CompiledLoop
from models.compiled.machine import Program as Program
from models.compiled.task import CompiledTask as CompiledTask
