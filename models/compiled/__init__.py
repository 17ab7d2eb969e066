"""Loops built in code, not trained, of which everything is known: what analyses are proved on.

``models.load("compiled")`` is the graph solver (:mod:`models.compiled.graphs`).
"""

from models.compiled.circuit import Circuit as Circuit
from models.compiled.circuit import PlantedHead as PlantedHead
from models.compiled.circuit import PlantedMLP as PlantedMLP
from models.compiled.graphs import READOUT as READOUT
from models.compiled.graphs import SHARPNESS as SHARPNESS
from models.compiled.graphs import CompiledTransformer as CompiledTransformer
from models.compiled.graphs import compile_model as compile_model
