"""Training: objectives, curriculum, trainer, checkpoints."""
