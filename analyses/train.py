"""Train a model: `recurlens train --method M`, or `python -m analyses.train` (models/training has the how).

The output folder receives `log.jsonl` (one record every few steps, and the validations), `checkpoint.pt`
(everything `--resume` needs), `config.json` and `model.safetensors` (what `models.load` reads),
`training.json` (every setting), and `snapshots/` where asked. The command writes `config.yaml`, which repeats it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from analyses.export import Outputs, writing
from analyses.inputs import InputError, parse_operations
from analyses.options import (
    LARGEST_SEED,
    MOST_WORKERS,
    OPS_METAVAR,
    ConfigOption,
    QuietOption,
    a_path,
    at_least,
    from_to,
    run_alone,
)
from analyses.studies import used_options
from analyses.terminal import reports_bad_input
from models.bounds import MOST_STEPS
from models.printable import printable

DEFAULT_OUT = Path("runs")


def train(
    method: str,
    preset: str = "cpu",
    ops: tuple[str, ...] = ("ADD",),
    minutes: float | None = None,
    steps: int | None = None,
    seed: int = 0,
    out: Path | None = None,
    resume: bool = False,
    quiet: bool = False,
    tensorboard: bool = False,
    device: str = "cpu",
    settings: Mapping[str, Any] | None = None,
    repeat: str | None = None,
    **changes: Any,
) -> Path:
    """Train and return the folder that holds the model.

    minutes: budget of time, over all parts of a resumed run. steps: budget in optimiser steps; the
    preset's own where neither is given. settings: single ones by dotted name, such as `{"model.modulus": 7}`
    (`models.training.overrides`); those of the model are added to the preset's. repeat: the text of a config file that
    repeats the run, which is put beside it. changes: other fields of `TrainingConfig`, whole.

    Raises:
        InputError: unknown method, preset or operation, a value out of range, a folder that already holds a
            run, a checkpoint that is missing, damaged or of other settings, a disk that is full.
    """
    from analyses.export import CONFIG_NAME
    from models.config import ConfigError
    from models.files import write_text
    from models.training import mini
    from models.training.checkpoint import CheckpointError
    from models.training.journal import MissingExtraError
    from models.training.overrides import override
    from models.training.presets import SettingsError, training_config
    from models.training.trainer import Trainer

    folder = out or DEFAULT_OUT / f"{method}-{preset}-{seed}"
    if preset == "mini" and method in mini.BEFORE and changes.get("start") is None:
        stage = mini.BEFORE[method][-1]
        raise InputError(
            f"With preset mini, {method} begins with the weights of a first stage: train {stage!r} and give its folder "
            "as --from, or leave out --method to train the whole track."
        )
    try:
        config = training_config(method, preset, ops, seed, minutes, steps, **changes)
        if settings:
            config = override(config, settings)
        if not resume:
            Outputs("train", folder=folder).check()
        trainer = Trainer(config, folder, resume=resume, quiet=quiet, tensorboard=tensorboard, device=device)
        if repeat is not None and trainer.workers.leads:
            with writing():
                write_text(folder / CONFIG_NAME, repeat)
        trainer.run()
    except (CheckpointError, SettingsError, ConfigError, MissingExtraError) as error:
        raise InputError(str(error)) from error
    return folder


def read_settings(texts: Sequence[str]) -> dict[str, Any]:
    """What `--set` says: dotted name -> value. Raises InputError for what is no setting, or is given twice."""
    from models.training.overrides import read_setting
    from models.training.presets import SettingsError

    found: dict[str, Any] = {}
    for text in texts:
        try:
            name, value = read_setting(text)
        except SettingsError as error:
            raise InputError(f"--set: {error}.") from error
        if name in found:
            raise InputError(f"--set {name} is given more than once.")
        found[name] = value
    return found


@reports_bad_input
def train_command(
    context: typer.Context,
    method: Annotated[
        str | None,
        typer.Option(
            "--method",
            metavar="M",
            help="feedforward, recurrent, chain-of-thought, continuous, discrete or discrete-corrected; or lookup or "
            "aligned, the first stages that they share. Only the preset mini works without: it then trains all six, "
            "three seeds each.",
        ),
    ] = None,
    preset: Annotated[str, typer.Option("--preset", help="cpu, staged, mini, paper or smoke.")] = "cpu",
    start: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="NAME|DIR",
            help="Checkpoint whose weights the run begins with (default: the preset's; staged: shared).",
        ),
    ] = None,
    ops: Annotated[str, typer.Option("--ops", metavar=OPS_METAVAR, help="Operations of the task.")] = "ADD",
    minutes: Annotated[
        float | None,
        typer.Option("--minutes", min=0.001, callback=from_to(0.001), help="Budget of time (see --clock)."),
    ] = None,
    steps: Annotated[
        int | None, typer.Option("--steps", callback=at_least(1), help="Budget in optimiser steps.")
    ] = None,
    seed: Annotated[
        int, typer.Option("--seed", callback=at_least(0, LARGEST_SEED), help="Seed of weights and data.")
    ] = 0,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            callback=a_path,
            metavar="DIR",
            help="Folder of the run (default: runs/METHOD-PRESET-SEED).",
        ),
    ] = None,
    supervision: Annotated[
        str | None, typer.Option("--supervision", help="transitions or paper (default: the preset's).")
    ] = None,
    snapshots: Annotated[
        int | None,
        typer.Option(
            "--snapshots",
            callback=at_least(0, MOST_STEPS),
            help="Log-spaced fp16 copies of the weights to keep.",
        ),
    ] = None,
    clock: Annotated[
        str | None,
        typer.Option("--clock", help="wall or processor: what --minutes counts (default: wall)."),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="Any other setting of the run, of a phase or of the model; once for each. Such as --set "
            "learning_rate=1e-3 --set phases.0.tokens=2000 --set model.modulus=7 --set model.positions=rotary. "
            "training.json of a run has all of them.",
        ),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in the folder.")] = False,
    threads: Annotated[
        int | None, typer.Option("--threads", callback=at_least(1, MOST_WORKERS), help="Threads of torch.")
    ] = None,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Also log for TensorBoard.")] = False,
    device: Annotated[str, typer.Option("--device", help="cpu, or cuda.")] = "cpu",
    quiet: QuietOption = False,
    config: ConfigOption = None,
) -> None:
    """Train a model by one of the six methods."""
    operations = tuple(parse_operations(ops))
    changes = {"supervision": supervision, "snapshots": snapshots, "clock": clock, "start": start}
    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    given: dict[str, Any] = {name: value for name, value in changes.items() if value is not None}
    if settings:
        given["settings"] = read_settings(settings)
    if method is None:
        if preset != "mini":
            raise InputError("Give a --method. (Without one, --preset mini trains all six.)")
        from analyses.mini_track import train_track

        folder = train_track(out or DEFAULT_OUT / preset, minutes, resume=resume, quiet=quiet, **given)
        typer.echo(f"Trained models in {printable(str(folder))}")
        return
    from analyses.export import config_text

    given["repeat"] = config_text("train", used_options(context))
    folder = train(
        method, preset, operations, minutes, steps, seed, out, resume, quiet, tensorboard, device, **given
    )
    typer.echo(f"Trained model in {printable(str(folder))}")


if __name__ == "__main__":
    run_alone(train_command)
