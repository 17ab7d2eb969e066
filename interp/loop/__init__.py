"""Any looped model, step by step: the protocol, and the two ways of running it."""
