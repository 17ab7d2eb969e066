"""What every head and block is for: responses, targets, circuits and subspaces."""
