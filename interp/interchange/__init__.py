"""Interchange interventions against the algorithm: which variables a model computes with, where, step by step."""
