"""Whether a model computes in the Fourier basis of its arithmetic, and the causal test of it."""
