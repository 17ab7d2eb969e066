"""Proportions, intervals and chance levels."""
