"""Training methods are records: one that is added is trained, validated, resumed and loaded like the others."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path

import pytest
from pydantic import ValidationError

from models import RecurrentTransformer
from models.recurrent import RecurrentTransformer as Model
from models.training.methods import TRAINING_METHODS, TrainingMethod
from models.training.objectives.discrete import Discrete
from models.training.objectives.protocol import Batch, Outcome
from models.training.presets import METHODS, TRAINABLE, SettingsError, TrainingConfig, training_config
from models.training.trainer import Trainer


@dataclass(frozen=True)
class Calm(Discrete):
    """`Discrete`, and a small cost of large logits."""

    name: str = "calm"

    def loss(self, model: Model, batch: Batch) -> Outcome:
        logits = model.transition(batch.state)
        outcome = self.outcome(logits, batch)
        return Outcome(outcome.loss + 1e-4 * logits.square().mean(), outcome.right, outcome.total)


@pytest.fixture
def calm(monkeypatch: pytest.MonkeyPatch) -> str:
    record = TrainingMethod(
        "calm", "a cost of large logits", Calm, ("supervision", "first_step"), transitions=True
    )
    monkeypatch.setitem(TRAINING_METHODS, "calm", record)
    return "calm"


def test_a_record_is_all_that_a_method_is(calm: str, tmp_path: Path) -> None:
    config = training_config(calm, "smoke", steps=2)
    Trainer(config, tmp_path, quiet=True).run()
    trainer = Trainer(training_config(calm, "smoke", steps=4), tmp_path, resume=True, quiet=True)
    trainer.run()
    assert isinstance(trainer.objective, Calm)
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert sum("loss" in record for record in log) == 4
    assert log[-1]["event"] == "validation"
    assert RecurrentTransformer.from_pretrained(tmp_path).cfg.method == "calm"


def test_one_without_phases_says_so(calm: str) -> None:
    with pytest.raises(SettingsError, match="preset 'staged' has no phases for 'calm'; it has for .*lookup"):
        training_config(calm, "staged")


def test_an_unknown_one_is_refused() -> None:
    with pytest.raises(SettingsError, match="unknown method 'nothing'; choose one of feedforward, recurrent"):
        training_config("nothing")
    with pytest.raises(ValidationError, match="choose one of feedforward, recurrent"):
        TrainingConfig(method="nothing")


@pytest.mark.parametrize("name", TRAINABLE)
def test_each_names_an_objective_that_has_its_settings(name: str) -> None:
    record = TRAINING_METHODS[name]
    objective = record.make()
    assert objective.__module__.startswith("models.training.objectives.")
    own = {one.name: one.default for one in fields(objective)}
    assert own["name"] == record.name == name
    assert {"changed_weight", *record.settings} <= set(own)


def test_the_papers_six_come_first() -> None:
    assert TRAINABLE[:6] == METHODS
    assert [name for name, record in TRAINING_METHODS.items() if record.writes_text] == [
        "chain-of-thought",
        "lookup-text",
    ]
