"""Activations of many graphs, by step, with the oracle's labels of every row."""
