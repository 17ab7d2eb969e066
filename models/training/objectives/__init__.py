"""One objective per method, all behind `protocol.Objective`."""

from __future__ import annotations

from models.training.curriculum import Phase
from models.training.objectives.aligned import Aligned
from models.training.objectives.chain_of_thought import ChainOfThought
from models.training.objectives.continuous import Continuous
from models.training.objectives.discrete import Discrete
from models.training.objectives.discrete_corrected import DiscreteCorrected
from models.training.objectives.feedforward import Feedforward
from models.training.objectives.lookup import Lookup
from models.training.objectives.lookup_text import LookupText
from models.training.objectives.protocol import Objective
from models.training.objectives.recurrent import Recurrent
from models.training.presets import TrainingConfig
from models.vocabulary import FactoredVocabulary


def make_objective(
    config: TrainingConfig, vocabulary: FactoredVocabulary, phase: Phase | None = None
) -> Objective:
    """The objective that a run's settings ask for, in one of its phases (None: the method's own)."""
    weight, first = config.changed_weight, 0 if phase is None else phase.first_step
    if config.method == "aligned":
        return Aligned(vocabulary, changed_weight=weight, first_step=first)
    if config.method == "lookup":
        return Lookup(vocabulary, changed_weight=weight)
    if config.method == "lookup-text":
        return LookupText(vocabulary, weight)
    if config.method == "discrete":
        return Discrete(vocabulary, config.supervision, weight, first_step=first)
    if config.method == "discrete-corrected":
        return DiscreteCorrected(
            vocabulary, config.supervision, weight, config.random_states, first_step=first
        )
    if config.method == "chain-of-thought":
        return ChainOfThought(vocabulary, weight)
    if config.method == "continuous":
        return Continuous(vocabulary, changed_weight=weight, extra_steps=config.extra_steps)
    latent = {"recurrent": Recurrent, "feedforward": Feedforward}[config.method]
    return latent(vocabulary, changed_weight=weight)
