"""The methods that models are trained with, one record each; settings, objectives, solving and commands derive from it.

To add one, add its record to :data:`TRAINING_METHODS`, and its objective, if it is another, to
:mod:`models.training.objectives`. Nothing here needs torch before an objective is made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Final, Literal, cast

Setting = Literal["supervision", "random", "first_step", "extra_steps", "label_noise"]


@dataclass(frozen=True)
class TrainingMethod:
    """One method.

    Attributes:
        name: in commands, configurations and names of models.
        about: what it trains, in a few words.
        objective: what makes its :class:`models.training.objectives.protocol.Objective` of a vocabulary, or its name
            in :mod:`models.training.objectives`, ``module:Class``.
        settings: of the objective besides ``changed_weight``, those that a run's settings decide.
        model: what it asks of the model's configuration, under every preset.
        passes: how often a token passes through the layers in one example; batches shrink by it, so that steps cost
            alike.
        depth: how many times the layers of the others its model has.
        transitions: whether an example is one step from a discrete state, and validation counts such steps.
        writes_text: whether its models predict the next token of a text instead of the next state.
        stage: whether it is a first stage of others, and none of the paper's six.
    """

    name: str
    about: str
    objective: str | Callable[..., Any]
    settings: tuple[Setting, ...] = ()
    model: Mapping[str, Any] = field(default_factory=dict[str, Any])
    passes: int = 1
    depth: int = 1
    transitions: bool = False
    writes_text: bool = False
    stage: bool = False

    def make(self) -> Callable[..., Any]:
        """What makes its objective."""
        if not isinstance(self.objective, str):
            return self.objective
        module, _, name = self.objective.partition(":")
        return cast(
            "Callable[..., Any]", getattr(import_module(f"models.training.objectives.{module}"), name)
        )


_ONE_PASS: Final = {"default_steps": 1}
_CONTINUOUS: Final = {"bottleneck": "continuous"}

TRAINING_METHODS: Final = {
    record.name: record
    for record in (
        TrainingMethod(
            "feedforward",
            "one pass through the layers, no recurrence",
            "feedforward:Feedforward",
            model=_ONE_PASS,
            passes=3,
            depth=3,
        ),
        TrainingMethod(
            "recurrent",
            "a fixed number of steps on the hidden state, supervised at the end",
            "recurrent:Recurrent",
            model={**_CONTINUOUS, "default_steps": 8},
            passes=8,
        ),
        TrainingMethod(
            "chain-of-thought",
            "the solution written out as text",
            "chain_of_thought:ChainOfThought",
            model=_ONE_PASS,
            passes=2,
            writes_text=True,
        ),
        TrainingMethod(
            "continuous",
            "steps on the hidden state, each supervised",
            "continuous:Continuous",
            ("extra_steps",),
            model=_CONTINUOUS,
            passes=5,
        ),
        TrainingMethod(
            "discrete",
            "steps between the discrete states of real runs",
            "discrete:Discrete",
            ("supervision", "first_step", "label_noise"),
            transitions=True,
        ),
        TrainingMethod(
            "discrete-corrected",
            "steps between discrete states, also from states that no real run would show",
            "discrete_corrected:DiscreteCorrected",
            ("supervision", "random", "first_step", "label_noise"),
            transitions=True,
        ),
        TrainingMethod(
            "lookup",
            "the stage that all share: looking operands up, without arithmetic",
            "lookup:Lookup",
            transitions=True,
            stage=True,
        ),
        TrainingMethod(
            "aligned",
            "the stage of methods without a bottleneck: hidden states like embeddings of the next state",
            "aligned:Aligned",
            ("first_step",),
            model=_CONTINUOUS,
            transitions=True,
            stage=True,
        ),
        TrainingMethod(
            "lookup-text",
            "the stage of chain of thought: looking operands up in a text, without arithmetic",
            "lookup_text:LookupText",
            model=_ONE_PASS,
            writes_text=True,
            stage=True,
        ),
    )
}
"""By name, in the order in which they are listed."""
