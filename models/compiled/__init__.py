"""Loops built in code, not trained, of which everything is known: what analyses are proved on.

``models.load("compiled")`` is the graph solver (:mod:`models.compiled.graphs`); :func:`make` gives it and four others
(:func:`loops`) as looped models of one form: ``begin``, ``step``, ``read``, a ``circuit`` as data, and
``oracle_step``, the symbolic step that they equal.
"""

from models.public_names import public_names

__getattr__, __dir__, __all__ = public_names(__name__, __file__)
