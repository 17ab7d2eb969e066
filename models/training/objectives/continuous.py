"""Continuous latent supervision: the hidden state enters the next step, every step is supervised
(Altabaa et al. 2025)."""

from __future__ import annotations

from dataclasses import dataclass

from models.training.objectives.latent import Latent


@dataclass(frozen=True)
class Continuous(Latent):
    """`Latent` with a target at every step."""

    every_step: bool = True
    name: str = "continuous"
