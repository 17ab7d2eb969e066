"""Training: objectives, curriculum, trainer, checkpoints (training.md)."""
