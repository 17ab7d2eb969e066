"""One objective per method, all behind `protocol.Objective`."""

from __future__ import annotations

from models.training.objectives.chain_of_thought import ChainOfThought
from models.training.objectives.continuous import Continuous
from models.training.objectives.discrete import Discrete
from models.training.objectives.discrete_corrected import DiscreteCorrected
from models.training.objectives.feedforward import Feedforward
from models.training.objectives.protocol import Objective
from models.training.objectives.recurrent import Recurrent
from models.training.presets import TrainingConfig
from models.vocabulary import FactoredVocabulary


def make_objective(config: TrainingConfig, vocabulary: FactoredVocabulary) -> Objective:
    """The objective that a run's settings ask for."""
    weight = config.changed_weight
    if config.method == "discrete":
        return Discrete(vocabulary, config.supervision, weight)
    if config.method == "discrete-corrected":
        return DiscreteCorrected(vocabulary, config.supervision, weight, config.random_states)
    if config.method == "chain-of-thought":
        return ChainOfThought(vocabulary, weight)
    latent = {"continuous": Continuous, "recurrent": Recurrent, "feedforward": Feedforward}[config.method]
    return latent(vocabulary, changed_weight=weight)
