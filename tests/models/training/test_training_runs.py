"""Runs of the trainer under the smoke preset: every method learns, a killed run goes on, several processes agree."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from analyses.inputs import InputError
from analyses.train import train
from models import storage
from models.recurrent import RecurrentTransformer
from models.training.checkpoint import CheckpointError, load_checkpoint
from models.training.curriculum import Curriculum, Phase
from models.training.objectives import make_objective
from models.training.objectives.chain_of_thought import ChainOfThought, Thoughts, write_thoughts
from models.training.presets import METHODS, SettingsError, TrainingConfig, training_config
from models.training.sampling import Recipe, sample_batch
from models.training.states import identities
from models.training.trainer import Trainer, build_model
from models.training.transition import true_values
from models.vocabulary import FactoredVocabulary

REPOSITORY = Path(__file__).resolve().parents[3]
VARYING = ("seconds", "sequences_per_second", "took")


def log_of(folder: Path) -> list[dict[str, Any]]:
    """The log without what depends on the clock."""
    records = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [{key: value for key, value in record.items() if key not in VARYING} for record in records]


def run(config: TrainingConfig, folder: Path, resume: bool = False) -> Trainer:
    trainer = Trainer(config, folder, resume=resume, quiet=True)
    trainer.run()
    return trainer


@pytest.mark.parametrize("method", METHODS)
def test_every_method_learns_something(method: str, tmp_path: Path) -> None:
    config = training_config(method, "smoke", steps=60)
    run(config, tmp_path)
    losses = [record["loss"] for record in log_of(tmp_path) if "loss" in record]
    assert len(losses) == 60
    assert np.mean(losses[-10:]) < 0.6 * np.mean(losses[:5])
    model = RecurrentTransformer.from_pretrained(tmp_path)
    assert model.cfg.method == method
    assert model.cfg.bottleneck == ("continuous" if method in ("continuous", "recurrent") else "discrete")


@pytest.mark.parametrize("method", ["discrete", "discrete-corrected"])
def test_the_papers_supervision(method: str, tmp_path: Path) -> None:
    run(training_config(method, "smoke", steps=4, supervision="paper"), tmp_path)
    assert log_of(tmp_path)[-1]["event"] == "validation"


def test_the_paper_preset_starts_saves_and_resumes(tmp_path: Path) -> None:
    phase = Phase(name="paper", graphs=1)
    small = {"validation_sizes": (8,), "validation_graphs": 1, "phases": (phase,)}
    config = training_config("discrete-corrected", "paper", steps=1, **small)
    assert (config.supervision, config.betas, config.learning_rate) == ("paper", (0.9, 0.999), 1e-3)
    run(config, tmp_path)
    more = training_config("discrete-corrected", "paper", steps=2, **small)
    assert run(more, tmp_path, resume=True).step == 2


def finished(command: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a command in the repository to its end, with one thread."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(
        command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


KILLED = """
import os, signal, sys
from pathlib import Path
import torch
from models.training.presets import training_config
from models.training.states import identities
from models.training.trainer import Trainer

torch.set_num_threads(1)
trainer = Trainer(training_config("discrete-corrected", "smoke", ema=0.9, model={model}), Path(sys.argv[1]), quiet=True)
step = trainer._train_step

def until_killed():
    if trainer.step == 27:
        os.kill(os.getpid(), signal.SIGKILL)
    return step()

trainer._train_step = until_killed
trainer.run()
"""


def test_a_killed_run_goes_on_as_if_nothing_had_happened(tmp_path: Path) -> None:
    """Dropout and noise draw from torch's random state; the kill falls between two checkpoints (steps 20 and 30)."""
    model = training_config("discrete-corrected", "smoke").model | {"dropout": 0.1}
    config = training_config("discrete-corrected", "smoke", ema=0.9, model=model, snapshots=5)
    whole = run(config, tmp_path / "whole")
    config_without = config.model_copy(update={"snapshots": 0})
    script = KILLED.replace("{model}", repr(model))
    done = finished([sys.executable, "-c", script, str(tmp_path / "cut")])
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert log_of(tmp_path / "cut")[-1]["step"] == 27
    resumed = run(config_without, tmp_path / "cut", resume=True)
    assert log_of(tmp_path / "cut") == log_of(tmp_path / "whole")
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name]), name
    # Marks at 0.001, 0.0056, 0.0316, 0.178 and 1 of 40 steps; the first two fall into the first step.
    steps = sorted(int(path.stem[5:]) for path in (tmp_path / "whole" / "snapshots").iterdir())
    assert steps == [1, 2, 8, 40]


@pytest.mark.parametrize("steps", [20, 40])
def test_a_kill_between_checkpoint_and_model_is_mended(
    steps: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The checkpoint of step 20 is written, and the model beside it is still that of step 10. The noise, which is part
    of `config.json`, changes on the way.
    """
    noisy = [
        Phase(name="a", graphs=4, attention_noise=0.1, latest=0.3),
        Phase(name="b", graphs=4, attention_noise=0.5),
    ]
    settings = {"phases": noisy, "checkpoint_steps": 10, "ema": 0.9}
    config = training_config("discrete", "smoke", steps=steps, **settings)
    whole = run(config, tmp_path / "whole").out
    cut = tmp_path / "cut"
    original = storage.write

    class KilledError(Exception):
        pass

    def write(folder: Path, *args: Any) -> None:
        if load_checkpoint(folder / "checkpoint.pt")["step"] == 20:
            raise KilledError
        original(folder, *args)

    monkeypatch.setattr(storage, "write", write)
    with pytest.raises(KilledError):
        run(config, cut)
    monkeypatch.undo()
    run(config, cut, resume=True)
    for name in ("model.safetensors", "config.json"):
        assert (cut / name).read_bytes() == (whole / name).read_bytes(), name
    assert RecurrentTransformer.from_pretrained(cut).cfg.attention_noise == 0.5


def test_a_run_that_diverges_keeps_its_last_good_checkpoint(tmp_path: Path) -> None:
    config = training_config("discrete", "smoke", steps=20, checkpoint_steps=10)
    trainer = Trainer(config, tmp_path, quiet=True)
    step = trainer._train_step

    def diverging() -> tuple[float, int]:
        done = step()
        if trainer.step == 15:
            with torch.no_grad():
                trainer.model.embed.W_E.fill_(torch.nan)
        return done

    trainer._train_step = diverging
    with pytest.raises(CheckpointError, match="embed.W_E has numbers that are not finite"):
        trainer.run()
    assert load_checkpoint(tmp_path / "checkpoint.pt")["step"] == 10
    assert torch.isfinite(RecurrentTransformer.from_pretrained(tmp_path).W_E).all()


def test_time_spent_is_counted_across_parts(tmp_path: Path) -> None:
    run(training_config("discrete", "smoke", steps=3), tmp_path)
    spent = load_checkpoint(tmp_path / "checkpoint.pt")["seconds"]
    assert spent > 0
    half = Trainer(
        training_config("discrete", "smoke", minutes=spent / 30), tmp_path, resume=True, quiet=True
    )
    assert half.progress() == pytest.approx(0.5)
    whole = Trainer(
        training_config("discrete", "smoke", minutes=spent / 60), tmp_path, resume=True, quiet=True
    )
    whole.run()
    assert (whole.progress(), whole.step) == (1.0, 3)


def test_a_budget_of_processor_time_does_not_see_the_wall_clock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = itertools.count()
    monkeypatch.setattr("models.training.trainer.time.process_time", lambda: 60.0 * next(ticks))
    config = training_config("discrete", "smoke", minutes=6, clock="processor")
    trainer = Trainer(config, tmp_path, quiet=True)
    trainer.run()
    assert trainer.seconds == 360.0 and 4 <= trainer.step <= 6


def test_a_full_disk_leaves_the_previous_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = training_config("discrete", "smoke", steps=30)
    trainer = Trainer(config, tmp_path, quiet=True)
    original, calls = os.fsync, []

    def full_after_a_while(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) > 20:
            raise OSError(28, "No space left on device")
        original(descriptor)

    monkeypatch.setattr(os, "fsync", full_after_a_while)
    with pytest.raises(CheckpointError, match="No space left on device"):
        trainer.run()
    monkeypatch.undo()
    assert Trainer(config, tmp_path, resume=True, quiet=True).step in (10, 20)


def test_bad_input_says_what_is_allowed(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"unknown method 'magic'.*feedforward"):
        training_config("magic")
    with pytest.raises(SettingsError, match=r"unknown preset 'huge'.*cpu, staged, mini, paper, smoke"):
        training_config("discrete", "huge")
    with pytest.raises(SettingsError, match="DIV"):
        training_config("discrete", ops=("ADD", "DIV"))
    with pytest.raises(SettingsError, match="minutes=-1"):
        training_config("discrete", minutes=-1)
    with pytest.raises(SettingsError, match="supervision='none'"):
        training_config("discrete", supervision="none")
    with pytest.raises(SettingsError, match="device='abacus'"):
        Trainer(training_config("discrete", "smoke"), tmp_path, device="abacus")
    with pytest.raises(InputError, match="No such file"):
        train("discrete", "smoke", steps=1, out=tmp_path / "nothing", resume=True, quiet=True)
    train("discrete", "smoke", steps=1, out=tmp_path / "run", quiet=True)
    with pytest.raises(InputError, match="already holds a run"):
        train("discrete", "smoke", steps=1, out=tmp_path / "run", quiet=True)
    with pytest.raises(InputError, match="ops"):
        train("discrete", "smoke", ("ADD", "MUL"), steps=2, out=tmp_path / "run", resume=True, quiet=True)
    checkpoint = tmp_path / "run" / "checkpoint.pt"
    checkpoint.write_bytes(checkpoint.read_bytes()[:-1000])
    with pytest.raises(InputError, match="truncated or altered"):
        train("discrete", "smoke", steps=2, out=tmp_path / "run", resume=True, quiet=True)


def test_two_processes_average_their_gradients(tmp_path: Path) -> None:
    launch = (
        "-m accelerate.commands.launch --multi_gpu --num_processes 2 --num_machines 1 --mixed_precision no"
    )
    launch += " --dynamo_backend no --main_process_port 0"
    training = "-m analyses.train --method discrete-corrected --preset smoke --steps 6 --quiet --out"
    done = finished([sys.executable, *launch.split(), *training.split(), str(tmp_path)])
    assert done.returncode == 0, done.stderr
    records = [record for record in log_of(tmp_path) if "loss" in record]
    assert [record["step"] for record in records] == list(range(1, 7))

    # The same by hand: two batches of step 0, their gradients averaged.
    losses = [first_loss(index) for index in range(2)]
    assert records[0]["loss"] == pytest.approx(np.mean(losses), rel=1e-5)
    assert len(set(losses)) == 2


def first_loss(index: int) -> float:
    config = training_config("discrete-corrected", "smoke", steps=6)
    model = build_model(config)
    rng = np.random.default_rng([config.seed, 0, index])
    recipe, n_graphs = Curriculum(config.phases, config.skew).draw_size(rng)
    objective = make_objective(config, model.vocabulary)
    return objective.loss(model, objective.draw(rng, recipe, n_graphs, config.skew)).loss.item()


def test_the_curriculum_follows_the_curve() -> None:
    first = Phase(name="a", sizes=(5, 8), gate=0.7, skew_step=0.1, leave_at=0.9, latest=0.5)
    last = Phase(name="b", sizes=(8, 32), tokens=4000)
    curriculum = Curriculum((first, last), skew=0.3)
    ten = np.full(4, 10)
    curriculum.update(np.array([10, 10, 6, 1]), ten, 0.0)
    assert (curriculum.skew, curriculum.phase.name) == (0.3, "a")
    for _ in range(400):
        curriculum.update(ten, ten, 0.1)
        if curriculum.phase.name == "b":
            break
    assert curriculum.skew == 0.0
    assert min(curriculum.accuracy[1:]) >= 0.9
    stuck = Curriculum((first, last.model_copy(update={"most_skew": 0.1})), skew=0.3)
    stuck.update(np.zeros(4, dtype=int), ten, 0.5)
    assert (stuck.phase.name, stuck.skew) == ("b", 0.1)
    restored = Curriculum((first, last), skew=1.0)
    restored.restore(json.loads(json.dumps(curriculum.state())))
    assert restored == curriculum
    for seed in range(30):
        recipe, n_graphs = curriculum.draw_size(np.random.default_rng(seed))
        assert 8 <= recipe.sizes[0] <= recipe.sizes[1] <= 32
        assert recipe.sizes[1] - recipe.sizes[0] <= 2
        batch = sample_batch(np.random.default_rng(seed), FactoredVocabulary(), n_graphs, recipe)
        assert 2800 < batch.mask.sum() < 5200


def test_thoughts_are_the_text_with_every_equation_followed_by_its_value() -> None:
    vocabulary = FactoredVocabulary()
    batch = sample_batch(np.random.default_rng(0), vocabulary, 6, Recipe((4, 9), (3, 3)))
    truth = true_values(batch, vocabulary)
    thoughts = write_thoughts(batch, truth, vocabulary)
    for row, text in enumerate(vocabulary.decode(torch.from_numpy(batch.factors))):
        strings = vocabulary.token_strings(torch.from_numpy(thoughts.tokens[row : row + 1]))[0]
        written = [token for token in strings if token != "[pad]"]
        solution = [f"{equation} = {truth[row, i]}" for i, equation in enumerate(text.split(" [sep] "))]
        expected = " [sep] ".join([text, *solution]).split()
        assert written == expected
        assert thoughts.solution[row].sum() == len(" [sep] ".join(solution).split())
        for node in range(int(batch.n_nodes[row])):
            assert strings[thoughts.values[row, node]] == str(truth[row, node])


class Scribe:
    """Writes the solutions it knows, except for one wrong token."""

    def __init__(self, thoughts: Thoughts, vocabulary: FactoredVocabulary, mistake: int) -> None:
        self.vocabulary, self.W_E = vocabulary, torch.zeros(1)
        self.tokens = torch.from_numpy(thoughts.tokens).clone()
        self.tokens[:, mistake, 3] = 22 - self.tokens[:, mistake, 3].clamp(max=22)

    def transition(self, state: torch.Tensor) -> torch.Tensor:
        logits = torch.zeros(*state.shape[:2], self.vocabulary.d_vocab)
        columns = self.tokens[:, 1 : state.shape[1] + 1] + torch.tensor(self.vocabulary.offsets)
        return logits.scatter_(-1, columns, 1.0)

    def discretise(self, logits: torch.Tensor) -> torch.Tensor:
        factors = ("syntax", "variable", "operation", "value")
        return torch.stack([logits[..., self.vocabulary.slice(factor)].argmax(-1) for factor in factors], -1)


def test_chain_of_thought_counts_values_up_to_the_first_mistake() -> None:
    vocabulary = FactoredVocabulary()
    graphs = sample_batch(np.random.default_rng(5), vocabulary, 1, Recipe((8, 8), (3, 3)))
    truth = true_values(graphs, vocabulary)
    thoughts = write_thoughts(graphs, truth, vocabulary)
    objective = ChainOfThought(vocabulary)
    for mistake in range(int(np.argmax(thoughts.solution[0])), int(thoughts.values[0, -1]) + 1):
        scribe = Scribe(thoughts, vocabulary, mistake)
        written = scribe.tokens[0, thoughts.values[0], 3].numpy()
        changed = not np.array_equal(scribe.tokens.numpy(), thoughts.tokens)
        expected = np.where(changed & (thoughts.values[0] > mistake), -1, written)
        assert np.array_equal(objective.solve(cast(RecurrentTransformer, scribe), graphs)[0], expected)


def test_training_reads_as_fast_as_it_must() -> None:
    """Drawing a batch costs a small part of a step, which is why it stays on the training thread."""
    config = training_config("discrete-corrected", "cpu")
    vocabulary = FactoredVocabulary()
    curriculum = Curriculum(config.phases, config.skew)
    objective = make_objective(config, vocabulary)
    started = time.perf_counter()
    for seed in range(10):
        rng = np.random.default_rng(seed)
        objective.draw(rng, *curriculum.draw_size(rng), config.skew)
    assert (time.perf_counter() - started) / 10 < 0.5  # at most 0.05 s on an idle machine


def test_several_operations_get_another_layer() -> None:
    mixed = build_model(training_config("discrete-corrected", "cpu", ("MUL", "ADD")))
    assert (mixed.cfg.n_layers, mixed.cfg.d_mlp, mixed.cfg.ops) == (3, 768, ("ADD", "MUL"))
    assert len(build_model(training_config("feedforward", "cpu")).blocks) == 6


def test_the_skew_of_a_value_is_the_identity_of_an_operation_it_takes_part_in() -> None:
    vocabulary = FactoredVocabulary(ops=("ADD", "SUB", "MUL"))
    batch = sample_batch(np.random.default_rng(1), vocabulary, 40, Recipe((6, 12), (3, 4)))
    neutral = identities(np.random.default_rng(2), batch, vocabulary)
    checked = 0
    for row, node, operand in np.argwhere(batch.operand_nodes >= 0):
        parent = batch.operand_nodes[row, node, operand]
        uses = np.argwhere(batch.operand_nodes[row] == parent)
        near = {int(batch.operations[row, user, max(0, place - 1)]) for user, place in uses} - {-1}
        if near:
            assert neutral[row, parent] in {(0, 0, 1)[operation] for operation in near}
            checked += len(near) == 1
    assert checked > 50


def test_heads_are_born_with_different_distances() -> None:
    bias = dict(build_model(training_config("discrete-corrected", "cpu")).named_parameters())[
        "blocks.0.attn.pos.bias"
    ]
    assert torch.equal(bias.detach(), 5 * torch.eye(*bias.shape))


def test_snapshots_are_half_precision_copies(tmp_path: Path) -> None:
    trainer = run(training_config("discrete", "smoke", steps=10, snapshots=3), tmp_path)
    files = sorted((tmp_path / "snapshots").iterdir())
    assert [file.stem for file in files] == ["step_0000001", "step_0000010"]
    last = load_file(files[-1])
    for name, value in trainer.model.state_dict().items():
        assert torch.equal(last[name], value.half()), name
