"""Causal analyses per recurrence step: pairs, patching, attribution, edges, paths, ablation and cones."""
