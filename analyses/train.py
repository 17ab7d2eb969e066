"""Train a model: `recurlens train --method M`, or `python -m analyses.train` (models/training has the how).

The output folder receives `log.jsonl` (one record every few steps, and the validations), `checkpoint.pt`
(everything `--resume` needs), `config.json` and `model.safetensors` (what `models.load` reads),
`training.json` (every setting), and `snapshots/` where asked.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from analyses.inputs import InputError, Outputs, parse_operations
from analyses.options import (
    LARGEST_SEED,
    MOST_WORKERS,
    OPS_METAVAR,
    ConfigOption,
    QuietOption,
    a_path,
    at_least,
    from_to,
    reports_bad_input,
    run_alone,
)
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
    **changes: Any,
) -> Path:
    """Train and return the folder that holds the model.

    minutes: budget of time, over all parts of a resumed run. steps: budget in optimiser steps; the
    preset's own where neither is given. changes: other fields of `TrainingConfig`.

    Raises:
        InputError: unknown method, preset or operation, a value out of range, a folder that already holds a
            run, a checkpoint that is missing, damaged or of other settings, a disk that is full.
    """
    from models.config import ConfigError
    from models.training import mini
    from models.training.checkpoint import CheckpointError
    from models.training.journal import MissingExtraError
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
        if not resume:
            Outputs("train", folder=folder).check()
        Trainer(config, folder, resume=resume, quiet=quiet, tensorboard=tensorboard, device=device).run()
    except (CheckpointError, SettingsError, ConfigError, MissingExtraError) as error:
        raise InputError(str(error)) from error
    return folder


@reports_bad_input
def train_command(
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
    given = {name: value for name, value in changes.items() if value is not None}
    if method is None:
        if preset != "mini":
            raise InputError("Give a --method. (Without one, --preset mini trains all six.)")
        from analyses.mini_track import train_track

        folder = train_track(out or DEFAULT_OUT / preset, minutes, resume=resume, quiet=quiet, **given)
        typer.echo(f"Trained models in {printable(str(folder))}")
        return
    folder = train(
        method, preset, operations, minutes, steps, seed, out, resume, quiet, tensorboard, device, **given
    )
    typer.echo(f"Trained model in {printable(str(folder))}")


if __name__ == "__main__":
    run_alone(train_command)
