"""What is studied: the task, the vocabulary, the recurrent model, its compiled ground truth, and trained
checkpoints.

Public names stand in `__init__.pyi` and are imported on first use, so that ``import models`` costs nothing and the
symbolic part (graphs, vocabulary) works without loading TransformerLens.
"""

from models.public_names import public_names

__getattr__, __dir__, __all__ = public_names(__name__, __file__)
