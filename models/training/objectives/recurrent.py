"""End-to-end recurrent: a fixed number of steps on the hidden state, only the end is supervised
(Altabaa et al. 2025)."""

from __future__ import annotations

from dataclasses import dataclass

from models.training.objectives.latent import Latent


@dataclass(frozen=True)
class Recurrent(Latent):
    """`Latent` with a target after the last of `default_steps` steps only."""

    every_step: bool = False
    name: str = "recurrent"
