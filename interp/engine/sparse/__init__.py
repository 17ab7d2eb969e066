"""Steps that compute only what an intervention can change.

An intervention within a step reaches the last layer as one changed key, if it is at one position of that layer or of
the one before. How far each later query moves then has a bound (:mod:`interp.engine.sparse.attention`), how far it may
move before a code changes has another (:mod:`interp.engine.sparse.certificate`), and where the first is below the
second the code is the base run's. A state in which codes differ is computed densely: all positions of the second layer
move a little then, and bounds that go through two layers are hundreds to ten thousands of times what moves
(``python -m analyses.benchmarks.code_changes``).
"""
