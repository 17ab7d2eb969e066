"""One objective per method, all behind `protocol.Objective`; which is whose says `models.training.methods`."""

from __future__ import annotations

from models.training.curriculum import Phase
from models.training.methods import TRAINING_METHODS
from models.training.objectives.protocol import Objective
from models.training.presets import TrainingConfig
from models.vocabulary import FactoredVocabulary


def make_objective(
    config: TrainingConfig, vocabulary: FactoredVocabulary, phase: Phase | None = None
) -> Objective:
    """The objective that a run's settings ask for, in one of its phases (None: the method's own)."""
    method = TRAINING_METHODS[config.method]
    settings = {
        "supervision": config.supervision,
        "random": config.random_states,
        "first_step": 0 if phase is None else phase.first_step,
        "extra_steps": config.extra_steps,
        "label_noise": config.label_noise,
    }
    own = {name: settings[name] for name in method.settings}
    return method.make()(vocabulary, changed_weight=config.changed_weight, **own)
