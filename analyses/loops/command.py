"""The command of an analysis on a looped model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import typer

from analyses.export import Outputs, say_written, write_files, write_more
from analyses.framework.record import Analysis, OnLoops
from analyses.inputs import InputError
from analyses.loops.inputs import Wanted, parse_texts
from analyses.loops.names import is_file
from analyses.loops.opening import Opened, open_loop
from analyses.options import split_names, was_given, wide_console
from analyses.studies import used_options
from models.bounds import MOST_STEPS
from models.graph_errors import clip

if TYPE_CHECKING:
    from analyses.loops.study import LoopStudy

ALWAYS: Final = ("model", "seed", "inputs", "samples")
"""Options that all of them take."""
_WRITTEN: Final = ("json_file", "out", "quiet", "config")


def run_on_loop(record: Analysis, context: typer.Context) -> None:
    """Compute what the options ask for; print it, and write it where that is asked for.

    Raises:
        InputError: an analysis that needs more than a looped model has, options that it does not take, and whatever the
            model or its task cannot do.
    """
    given = context.params
    loop = taken_by(record, given["model"])
    settings = {setting.name: setting for setting in (*record.settings, *loop.settings)}
    chosen = [*loop.takes, *(setting.name for setting in loop.settings)]
    _check_given(record, loop, context, chosen)
    outputs = Outputs(record.stem, given["json_file"], given["out"])
    outputs.check()
    values: dict[str, Any] = {}
    for name in chosen:
        if was_given(context, name) and name not in ("clean", "corrupt"):
            values[name] = split_names(given[name]) if settings[name].names else given[name]
    if values.get("steps", 0) > MOST_STEPS:
        raise InputError(f"--steps is {values['steps']}: of a looped model it must be at most {MOST_STEPS}.")
    pair = {name: given[name] for name in ("clean", "corrupt") if name in chosen}
    wanted = Wanted(parse_texts(given["inputs"]), given["samples"] or loop.samples, given["seed"], **pair)
    model = open_loop(given["model"], given["seed"])
    study = study_of(loop, model, wanted, values)
    options = used_options(context, only=[*ALWAYS, *chosen])
    if is_file(given["model"]):
        file, _, function = given["model"].rpartition(":")
        options["model"] = f"{Path(file).resolve()}:{function}"
    written = write_files(outputs, record.name, study, options)
    if outputs.folder is not None:
        written += write_more(outputs.folder, record.stem, study.frames(), dict([*study.drawn.items()][1:]))
    console = wide_console()
    if not given["quiet"]:
        console.print(study.table())
        say_written(console, written)
    console.print(study.verdict(), soft_wrap=True)


def taken_by(record: Analysis, model: str) -> OnLoops:
    """What an analysis does with looped models. Raises InputError for one that takes none, and says what it needs."""
    if isinstance(record.loop, OnLoops):
        return record.loop
    raise InputError(
        f"{record.name} needs {record.loop}, which a looped model such as {clip(Path(model).name)} does not have; it "
        f"can be given to {', '.join(names_on_loops())}."
    )


def names_on_loops() -> list[str]:
    """Commands that take any looped model."""
    from analyses.catalogue import every_record

    return [record.name for record in every_record() if isinstance(record.loop, OnLoops)]


def study_of(loop: OnLoops, model: Opened, wanted: Wanted, values: dict[str, Any]) -> LoopStudy:
    """What the function of an analysis finds; values: settings by their names."""
    arguments = {"n_steps" if name == "steps" else name: value for name, value in values.items()}
    if loop.passes_seed:
        arguments["seed"] = wanted.seed
    with model.whole():
        return loop.function(model, wanted, **arguments)


def _check_given(record: Analysis, loop: OnLoops, context: typer.Context, chosen: list[str]) -> None:
    allowed = {*ALWAYS, *_WRITTEN, *chosen, "context"}
    for param in context.command.params:
        name = str(param.name)
        if name in allowed or name not in context.params or not was_given(context, name):
            continue
        if context.params[name] in ([], (), ""):
            continue
        written = "GRAPH" if name == "text" else param.opts[0]
        flags = [param.opts[0] for param in context.command.params if param.name in (*ALWAYS, *chosen)]
        raise InputError(
            f"{record.name} does not take {written} with --model {clip(context.params['model'])}, a looped model; it "
            f"takes {', '.join(flags)}."
        )
    if loop.pair and len(context.params["inputs"] or ()) > 1:
        raise InputError(
            "--inputs is one input here, which is corrupted; two of your own are --clean and --corrupt."
        )
