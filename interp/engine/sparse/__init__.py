"""Steps that compute only what an intervention can change.

An intervention within a step reaches the last layer as one changed key, if it is at one position of that layer or of
the one before. How far each later query moves then has a bound (:mod:`interp.engine.sparse.attention`), how far it may
move before a code changes has another (:mod:`interp.engine.sparse.certificate`), and where the first is below the
second the code is the base run's.

Where other codes enter, or several places are written, all later positions move a little in the first layer, and bounds
that go through two layers are hundreds to ten thousands of times what moves
(``python -m analyses.benchmarks.code_changes``). So no bound is made there: the movement is computed from the base run
up to what enters the last MLP (:mod:`interp.engine.sparse.updates`), and only what is behind that is left out where the
certificate allows. What is written at all positions at once is computed densely.
"""
