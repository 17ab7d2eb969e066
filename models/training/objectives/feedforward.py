"""End-to-end feed-forward: one pass through the layers, no recurrence (Altabaa et al. 2025)."""

from __future__ import annotations

from dataclasses import dataclass

from models.training.objectives.latent import Latent


@dataclass(frozen=True)
class Feedforward(Latent):
    """`Latent` for a model with `default_steps = 1`: the only step is the last."""

    every_step: bool = False
    name: str = "feedforward"
