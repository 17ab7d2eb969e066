"""The compiled ground truth as a model with hooks, which also knows its own mechanism; :mod:`models.compiled_weights`
writes it down.
"""

from __future__ import annotations

from models.compiled_names import COMPILED_OPERATIONS
from models.compiled_weights import READOUT as READOUT
from models.compiled_weights import SHARPNESS as SHARPNESS
from models.compiled_weights import Circuit, compiled_config, write_weights
from models.compiled_weights import PlantedHead as PlantedHead
from models.compiled_weights import PlantedMLP as PlantedMLP
from models.config import RecurrentConfig
from models.recurrent import RecurrentTransformer


class CompiledTransformer(RecurrentTransformer):
    """The compiled model; an ordinary :class:`RecurrentTransformer` that also knows its own mechanism.

    Examples:
        >>> from models import load
        >>> head = load("compiled").circuit.head(1, 1)
        >>> head.kind, head.role, head.operands
        ('lookup', 'value:middle', (1,))
    """

    circuit: Circuit

    def __init__(self, cfg: RecurrentConfig) -> None:
        super().__init__(cfg)
        self.circuit = write_weights(self)


def compile_model(
    ops: tuple[str, ...] = COMPILED_OPERATIONS, modulus: int = 23, n_variables: int = 128
) -> CompiledTransformer:
    """Build the ground-truth model for a task, in evaluation mode.

    Raises:
        ConfigError, VocabularyError: sizes or operations that make no task.
    """
    return CompiledTransformer(compiled_config(ops, modulus, n_variables)).requires_grad_(True).eval()
