"""How a run moves: residuals, fixed points, cycles, drift and the frontier of solved levels."""
