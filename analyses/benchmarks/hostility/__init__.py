"""What the benchmark `analyses.benchmarks.hostile` throws at the toolkit, a file a kind."""
