"""One trainer for all methods.

A step draws a batch from `(seed, step, process)` alone, so the data of a step never depend on what came
before and a resumed run needs no data state. Drawing takes 1 to 2 ms beside 150 ms and more for a step on
one core, so it stays on the training thread. A checkpoint holds weights, optimiser, curriculum, torch's
random state, step and time spent: after `kill -9`, `resume=True` repeats the steps since the last
checkpoint exactly and goes on; it first writes the model of that checkpoint again, so that the two agree.
Budgets in minutes count the time of all parts of a run, by the wall-clock or by the processor's.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models import storage
from models.files import remove_leftovers
from models.recurrent import RecurrentTransformer
from models.snapshots import FOLDER as SNAPSHOTS
from models.snapshots import write_snapshot
from models.training.checkpoint import CheckpointError, load_checkpoint, save_checkpoint, write_atomically
from models.training.curriculum import Curriculum
from models.training.journal import Bar, Journal
from models.training.methods import TRAINING_METHODS
from models.training.objectives import make_objective
from models.training.overrides import flat, model_config
from models.training.presets import SettingsError, TrainingConfig
from models.training.starting import start_from
from models.training.validation import Validator
from models.training.workers import Workers

CHECKPOINT, LOG, SETTINGS, BOARD = "checkpoint.pt", "log.jsonl", "training.json", "tensorboard"

DEVICES = ("cpu", "cuda")


class Trainer:
    """A run: its model, optimiser, curriculum and place on disk.

    Raises:
        CheckpointError: `resume` without a checkpoint, a damaged one, one of other settings; or a new run
        where one already is. SettingsError: a device that is not there.
    """

    def __init__(
        self,
        config: TrainingConfig,
        out: Path,
        resume: bool = False,
        quiet: bool = False,
        tensorboard: bool = False,
        device: str = "cpu",
    ) -> None:
        self.config, self.out, self.quiet, self.tensorboard = config, out, quiet, tensorboard
        if device not in DEVICES or (device == "cuda" and not torch.cuda.is_available()):
            available = "both" if torch.cuda.is_available() else "cpu only"
            raise SettingsError(f"device={device!r} cannot be used; choose cpu or cuda (here: {available})")
        self.workers = Workers.connect(device)
        self.model = build_model(config, start=not resume).to(device)
        self.objective = make_objective(config, self.model.vocabulary)
        self.objectives = [make_objective(config, self.model.vocabulary, phase) for phase in config.phases]
        self.curriculum = Curriculum(config.phases, config.skew)
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(),
            lr=config.learning_rate,
            betas=config.betas,
            weight_decay=config.weight_decay,
        )
        self.averaged = (
            [p.detach().clone() for p in self.model.parameters()] if config.ema is not None else []
        )
        self.step, self.seconds, self.next_snapshot = 0, 0.0, 0
        # As built: training changes the noise, and a resumed run begins with that of its checkpoint.
        self.settings = {"training": config.model_dump(mode="json"), "model": self.model.cfg.to_dict()}
        self.clock = time.process_time if config.clock == "processor" else time.monotonic
        self.started = self.clock()
        torch.manual_seed(config.seed * 1009 + self.workers.index)  # pyright: ignore[reportUnknownMemberType]
        if resume:
            self._restore()
        elif (out / CHECKPOINT).exists():
            raise CheckpointError(
                f"{out} already holds a run; continue it with --resume or give another folder"
            )

    # -- the run -------------------------------------------------------------------------------------------------

    def run(self) -> RecurrentTransformer:
        """Train until the budget is spent; write log, checkpoints, snapshots and the model. Returns the
        trained model.

        Raises:
            CheckpointError: something cannot be written; the previous checkpoint is intact.
        """
        if self.workers.leads:
            for folder in (self.out, self.out / SNAPSHOTS):
                remove_leftovers(folder)
        if self.step == 0:
            self.save()  # from here on, a killed run can be resumed
        else:
            self._export()  # the kill may have come between the checkpoint and the model
        journal = self._open()
        self.started = self.clock() - self.seconds
        last = {"checkpoint": self.seconds, "validation": self.seconds}
        window_start, window_examples = time.monotonic(), 0
        self.model.train()
        with Bar(self.config.method, quiet=self.quiet or not self.workers.leads) as bar:
            while self.progress() < 1.0:
                loss, examples = self._train_step()
                window_examples += examples
                if self.step % self.config.log_every == 0:
                    record = self._record(loss, window_examples / max(time.monotonic() - window_start, 1e-9))
                    window_start, window_examples = time.monotonic(), 0
                    if journal is not None:
                        journal.write(record)
                    bar.show(self.progress(), record)
                self._snapshot()
                done = self.progress() >= 1.0
                if done or self._due("validate", last["validation"]):
                    last["validation"] = self.seconds
                    self._validate(journal)
                    window_start, window_examples = time.monotonic(), 0
                if done or self._due("checkpoint", last["checkpoint"]):
                    last["checkpoint"] = self.seconds
                    self.save()
        if journal is not None:
            journal.close()
        self._load_averaged()
        return self.model

    def progress(self) -> float:
        """Share of the budget spent, 0..1."""
        shares = [0.0]
        if self.config.steps is not None:
            shares.append(self.step / self.config.steps)
        if self.config.minutes is not None:
            shares.append(self.seconds / (60 * self.config.minutes))
        return min(1.0, max(shares))

    def rate(self) -> float:
        """Learning rate of the next step: linear warm-up, constant, linear over the last `decay` of the budget."""
        config = self.config
        warm = min(1.0, (self.step + 1) / config.warmup) if config.warmup else 1.0
        late = max(0.0, self.progress() - (1 - config.decay)) / config.decay if config.decay else 0.0
        return config.learning_rate * warm * (1 - late * (1 - config.final_rate))

    def _train_step(self) -> tuple[float, int]:
        config, model = self.config, self.model
        rng = np.random.default_rng([config.seed, self.step, self.workers.index])
        recipe, n_graphs = self.curriculum.draw_size(rng)
        objective = self.objectives[self.curriculum.index]
        batch = objective.draw(rng, recipe, n_graphs, self.curriculum.skew).to(model.W_E.device)
        model.cfg.attention_noise = self.curriculum.phase.attention_noise
        self._freeze()
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate()
        self.optimizer.zero_grad(set_to_none=False)
        outcome = objective.loss(model, batch)
        outcome.loss.backward()  # pyright: ignore[reportUnknownMemberType]
        gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
        # One process's clock counts for all, so that all stop, decay and save at the same step.
        spent = self.clock() - self.started if self.workers.leads else 0.0
        measured = [*outcome.right, *outcome.total, outcome.loss.item(), spent]
        measured = self.workers.average(gradients, torch.tensor(measured, dtype=torch.float64))
        self.seconds = float(measured[9])
        torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip)
        self.optimizer.step()  # pyright: ignore[reportUnknownMemberType]
        if config.ema is not None:
            self._average(1 - config.ema)
        self.step += 1
        right, total = measured[:4].numpy().astype(np.int64), measured[4:8].numpy().astype(np.int64)
        self.curriculum.update(right, total, self.progress())
        return float(measured[8]) / self.workers.count, len(batch) * self.workers.count

    def _freeze(self) -> None:
        """Let the parameters that the phase keeps have no gradient, which the optimiser then leaves alone."""
        for name, parameter in self.model.named_parameters():
            kept = name.startswith(self.curriculum.phase.frozen)
            if parameter.requires_grad == kept:
                parameter.requires_grad_(not kept)
                parameter.grad = None

    def _due(self, what: str, last: float) -> bool:
        steps = getattr(self.config, f"{what}_steps")
        if steps is not None and self.step % steps == 0:
            return True
        return self.seconds - last >= 60 * getattr(self.config, f"{what}_minutes")

    # -- what is written -----------------------------------------------------------------------------------------

    def _open(self) -> Journal | None:
        if not self.workers.leads:
            return None
        text = json.dumps(self.settings, indent=2).encode()
        write_atomically(self.out / SETTINGS, lambda file: file.write(text))
        return Journal(
            self.out / LOG, keep_until=self.step, board=self.out / BOARD if self.tensorboard else None
        )

    def _record(self, loss: float, speed: float) -> dict[str, Any]:
        phase, accuracy = self.curriculum.phase.name, self.curriculum.accuracy
        return {
            "step": self.step,
            "seconds": round(self.seconds, 2),
            "loss": loss,
            "learning_rate": self.optimizer.param_groups[0]["lr"],
            "phase": phase,
            "skew": self.curriculum.skew,
            **{f"k{k}": accuracy[k] for k in range(4)},
            "sequences_per_second": round(speed, 1),
        }

    def _validate(self, journal: Journal | None) -> None:
        if journal is not None:
            config = self.config
            validator = Validator(
                self.model.vocabulary,
                self.objective,
                config.validation_sizes,
                config.validation_graphs,
                config.phases[-1].operand_weights,
            )
            kept = self._load_averaged()
            began = time.monotonic()
            single = TRAINING_METHODS[config.method].transitions
            measured = validator.measure(self.model, discrete=single)
            journal.write(
                {
                    "step": self.step,
                    "event": "validation",
                    "took": round(time.monotonic() - began, 2),
                    **measured,
                }
            )
            self._put(kept)
        self.workers.wait()

    def _snapshot(self) -> None:
        """Write an fp16 copy of the weights whenever progress passes one of the log-spaced marks from 1/1000 to 1."""
        count = self.config.snapshots
        due = False
        while (
            self.next_snapshot < count
            and self.progress() >= 10 ** (-3 + 3 * self.next_snapshot / max(1, count - 1)) - 1e-9
        ):
            self.next_snapshot, due = self.next_snapshot + 1, True
        if due and self.workers.leads:
            kept = self._load_averaged()
            write_snapshot(self.out, self.step, self.model.state_dict(), self.seconds)
            self._put(kept)

    def save(self) -> None:
        """Write the checkpoint and the model (averaged weights, if there are any), each atomically.

        Raises:
            CheckpointError: it cannot be written, or the weights are no longer finite; the previous checkpoint is
                intact.
        """
        random_states = self._random_states()
        if not self.workers.leads:
            return
        storage.check_weights(self.model.state_dict(), self.out / CHECKPOINT)
        state = {
            "settings": self.config.model_dump_json(),
            "step": self.step,
            "seconds": self.seconds,
            "next_snapshot": self.next_snapshot,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "averaged": self.averaged,
            "curriculum": self.curriculum.state(),
            "attention_noise": self.model.cfg.attention_noise,
            "random": random_states,
        }
        save_checkpoint(self.out / CHECKPOINT, state)
        self._export()

    def _export(self) -> None:
        """Write the model (averaged weights, if there are any)."""
        if self.workers.leads:
            kept = self._load_averaged()
            storage.write(self.out, self.model.cfg, self.model.state_dict())
            self._put(kept)

    def _random_states(self) -> Tensor:
        """Torch's random state of every process, uint8 [process, byte]."""
        mine = self._generator().get_state()
        if self.workers.count == 1:
            return mine[None]
        device = self.model.W_E.device
        return self.workers.accelerator.gather(mine[None].int().to(device)).to("cpu", torch.uint8)

    def _generator(self) -> torch.Generator:
        """The generator that dropout and attention noise draw from."""
        device = self.model.W_E.device
        return (
            torch.cuda.default_generators[device.index or 0]
            if device.type == "cuda"
            else torch.default_generator
        )

    def _restore(self) -> None:
        state = load_checkpoint(self.out / CHECKPOINT)
        saved = TrainingConfig.model_validate_json(state["settings"])
        _check_same(saved, self.config, self.out)
        try:
            self.model.load_state_dict(state["model"])
        except RuntimeError as error:
            raise CheckpointError(
                f"{self.out / CHECKPOINT} holds another model than the settings: {error}"
            ) from error
        self.optimizer.load_state_dict(state["optimizer"])
        self.curriculum.restore(state["curriculum"])
        # Of the last step, which may have been the last of a phase.
        self.model.cfg.attention_noise = state.get("attention_noise", self.curriculum.phase.attention_noise)
        self.step, self.seconds, self.next_snapshot = state["step"], state["seconds"], state["next_snapshot"]
        self.averaged = list(state["averaged"])
        if len(state["random"]) != self.workers.count:
            raise CheckpointError(
                f"{self.out} was trained by {len(state['random'])} processes, this is {self.workers.count}"
            )
        self._generator().set_state(state["random"][self.workers.index])

    # -- averaged weights ----------------------------------------------------------------------------------------

    def _load_averaged(self) -> list[Tensor]:
        """Put the averaged weights into the model; returns those it had (nothing without averaging)."""
        kept = [p.detach().clone() for p in self.model.parameters()] if self.averaged else []
        self._put(self.averaged)
        return kept

    @torch.no_grad()
    def _average(self, share: float) -> None:
        for average, parameter in zip(self.averaged, self.model.parameters(), strict=True):
            average.lerp_(parameter, share)

    @torch.no_grad()
    def _put(self, weights: list[Tensor]) -> None:
        if weights:
            for parameter, value in zip(self.model.parameters(), weights, strict=True):
                parameter.copy_(value)


def build_model(config: TrainingConfig, start: bool = True) -> RecurrentTransformer:
    """The model of a run before its first step.

    New weights, the heads of the first layer born with different distances where asked; where the settings name a
    checkpoint to start from, its weights (see `models.training.starting`), unless `start` is False.

    Raises:
        CheckpointError: no such checkpoint, or one whose weights do not fit.
    """
    model = RecurrentTransformer(model_config(config))
    if start and config.start is not None:
        start_from(model, config.start)
    return model


BUDGET = frozenset({"minutes", "steps", "snapshots", "validate_minutes", "checkpoint_minutes", "log_every"})
"""Settings a resumed run may change."""


def _check_same(saved: TrainingConfig, given: TrainingConfig, out: Path) -> None:
    fields = tuple(dict.fromkeys([*given.model, *saved.model]))
    was, now = _settings(saved, fields), _settings(given, fields)
    names = [name for name in {**now, **was} if name.partition(".")[0] not in BUDGET]
    different = [name for name in names if was.get(name) != now.get(name)]
    if different:
        name = different[0]
        raise CheckpointError(
            f"{out} was trained with {name}={was.get(name)!r}, not {now.get(name)!r}; "
            "resume with the same settings or use a new folder"
        )


def _settings(config: TrainingConfig, fields: tuple[str, ...]) -> dict[str, Any]:
    """Every setting by its dotted name; of the model these fields, as given or by default."""
    model = model_config(config).to_dict()
    return flat(config.model_dump(mode="json") | {"model": {field: model[field] for field in fields}})
