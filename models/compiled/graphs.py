"""The compiled ground truth as a model with hooks, which also knows its own mechanism; :mod:`models.compiled.weights`
writes it down.
"""

from __future__ import annotations

from models.compiled.circuit import Circuit
from models.compiled.weights import compiled_config, write_weights
from models.compiled_names import COMPILED_OPERATIONS
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
    ops: tuple[str, ...] = COMPILED_OPERATIONS,
    modulus: int = 23,
    n_variables: int = 128,
    spare_heads: bool = False,
) -> CompiledTransformer:
    """Build the ground-truth model for a task, in evaluation mode; with a twin and a decoy, if ``spare_heads``.

    Raises:
        ConfigError, VocabularyError: sizes or operations that make no task.
    """
    cfg = compiled_config(ops, modulus, n_variables, spare_heads)
    return CompiledTransformer(cfg).requires_grad_(True).eval()
