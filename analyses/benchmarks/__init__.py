"""Benchmarks: each module runs alone and prints ratios against the plain way, measured in the same run."""
