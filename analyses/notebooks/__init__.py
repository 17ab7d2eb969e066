"""Tutorials, as text (``NN_name.py``, jupytext's percent format) and executed beside it (``NN_name.ipynb``)."""
