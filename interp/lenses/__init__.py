"""Residual states read through the model's own readouts."""
