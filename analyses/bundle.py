"""What ships of a finished run: `python -m analyses.bundle RUN FOLDER`.

The model, its settings, its snapshots where there are some, and its learning curve: of `log.jsonl` the validations and
about as many of the other records as asked for, at equal distances, the first and the last among them. Checkpoint and
TensorBoard's files stay behind. Where the run began with a run that does not ship, `training.json` has that one's name
instead of its folder, and the minutes it ran for, with those of what it began with in turn, as `minutes_before`.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Annotated, Any

import typer

from analyses.equal_budget import total_minutes
from analyses.export import Outputs, writing
from analyses.inputs import InputError
from analyses.options import a_path, at_least, run_alone
from analyses.terminal import reports_bad_input
from models.files import write_text
from models.printable import printable

RECORDS = 200
FILES = ("config.json", "model.safetensors", "training.json")


def thinned(records: list[dict[str, Any]], most: int = RECORDS) -> list[dict[str, Any]]:
    """The validations, and of the other records at most `most` at equal distances, in their order."""
    plain = [index for index, record in enumerate(records) if "event" not in record]
    kept = min(most, len(plain))
    chosen = {plain[round(place * (len(plain) - 1) / max(1, kept - 1))] for place in range(kept)}
    return [record for index, record in enumerate(records) if index in chosen or "event" in record]


def bundle(run: Path, folder: Path, records: int = RECORDS, half: bool = False) -> Path:
    """Copy what ships of the run into `folder`, which is made where it is missing; returns it.

    half: ship weights of half precision; they are computed with in the configuration's own.

    Raises InputError where the run lacks a file, or something cannot be written.
    """
    from models import storage
    from models.training.trainer import LOG, SETTINGS

    missing = [name for name in (*FILES, LOG) if not (run / name).is_file()]
    if missing:
        raise InputError(f"{run} is no finished run: it has no {', '.join(missing)}.")
    log = [json.loads(line) for line in (run / LOG).read_text().splitlines()]
    with writing():
        folder.mkdir(parents=True, exist_ok=True)
        for name in FILES:
            shutil.copyfile(run / name, folder / name)
        settings = json.loads((run / SETTINGS).read_text())
        before = _before(settings)
        if before is not None:
            settings["training"]["start"] = before.name
            settings["minutes_before"] = _minutes(before)
            write_text(folder / SETTINGS, json.dumps(settings, indent=2) + "\n")
        if half:
            stored = storage.read(run)
            storage.write(folder, stored.cfg, {name: value.half() for name, value in stored.state.items()})
        write_text(folder / LOG, "".join(json.dumps(record) + "\n" for record in thinned(log, records)))
        if (run / "snapshots").is_dir() and any((run / "snapshots").iterdir()):
            shutil.copytree(run / "snapshots", folder / "snapshots", dirs_exist_ok=True)
            shutil.copyfile(run / "snapshots.sha256", folder / "snapshots.sha256")
    return folder


def _before(settings: dict[str, Any]) -> Path | None:
    """The folder of the run that a run began with; None where that is a bundled checkpoint, or nothing."""
    start = settings["training"]["start"]
    return Path(start) if start and (Path(start) / "training.json").is_file() else None


def _minutes(run: Path) -> float:
    """Minutes that a run was trained for, by the last record of its log, and what it began with before it."""
    settings = json.loads((run / "training.json").read_text())
    records = map(json.loads, (run / "log.jsonl").read_text().splitlines())
    own = max((record["seconds"] for record in records if "seconds" in record), default=0.0) / 60
    before = _before(settings)
    if before is not None:
        return own + _minutes(before)
    return own + (total_minutes(settings) or 0.0) - (settings["training"]["minutes"] or 0.0)


@reports_bad_input
def main(
    run: Annotated[Path, typer.Argument(callback=a_path, help="Folder of the run.")],
    folder: Annotated[Path, typer.Argument(callback=a_path, help="Where to put what ships.")],
    records: Annotated[
        int, typer.Option("--records", callback=at_least(2), help="Records of the learning curve, at most.")
    ] = RECORDS,
    half: Annotated[bool, typer.Option("--half", help="Ship weights of half precision.")] = False,
) -> None:
    """Copy model, settings and thinned learning curve of a finished run."""
    Outputs("bundle", folder=folder).check()
    typer.echo(f"Wrote {printable(str(bundle(run, folder, records, half)))}")


if __name__ == "__main__":
    run_alone(main)
