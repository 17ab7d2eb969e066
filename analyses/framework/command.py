"""The command of an analysis, made from its record."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import typer

from analyses import options
from analyses.export import Outputs, say_written, write_files, write_more, writing
from analyses.framework.record import Analysis, OnLoops
from analyses.inputs import InputError, load_model, loading_once
from analyses.loops.names import is_loop
from analyses.options import fitting_model, many_graphs, run_alone, wide_console
from analyses.progress import share_bar
from analyses.studies import used_options
from analyses.terminal import reports_bad_input
from models.files import write_text

if TYPE_CHECKING:
    from models.graph import ComputationGraph

TAKEN: Final = {
    "text": (options.GraphArgument, None),
    "graph": (options.GraphOption, None),
    "graphs_file": (options.GraphsFileOption, None),
    "n_nodes": (options.NNodesOption, None),
    "seed": (options.SeedOption, 0),
    "ops": (options.OpsOption, "ADD"),
    "model": (options.ModelOption, "compiled"),
}
"""Options that say which graphs and which model, each with its default; a record names those that it takes."""
WRITTEN: Final = {
    "json_file": (options.JsonOption, None),
    "out": (options.OutOption, None),
    "quiet": (options.QuietOption, False),
    "config": (options.ConfigOption, None),
}
"""Options of every command."""
OF_LOOPS: Final = {"inputs": (options.InputsOption, None), "samples": (options.SamplesOption, None)}
"""Options of commands that take any looped model."""
_HIDDEN: Final = {"inputs": (options.NoInputsOption, None), "samples": (options.NoSamplesOption, None)}
"""The same of those that take none, which then say what they need."""


def command(record: Analysis) -> Callable[..., None]:
    """A function whose parameters typer makes options of: the graphs, the model, the settings, where to write."""

    @reports_bad_input
    def run(context: typer.Context, **given: Any) -> None:
        with loading_once(record.hooked):
            run_command(record, context)

    taken = {name: TAKEN[name] for name in record.takes}
    if record.graphs is not None:
        taken["n_graphs"] = (options.GraphCountOption, record.graphs)
    own = record.loop.settings if isinstance(record.loop, OnLoops) else ()
    if "model" in taken:
        taken |= OF_LOOPS if isinstance(record.loop, OnLoops) else _HIDDEN
    parameters = [
        _parameter("context", (typer.Context, inspect.Parameter.empty)),
        *(_parameter(name, option) for name, option in taken.items()),
        *(setting.parameter() for setting in (*record.settings, *own)),
        *(_parameter(name, option) for name, option in WRITTEN.items()),
    ]
    run.__name__ = run.__qualname__ = f"{record.stem}_command"
    run.__doc__ = record.about
    run.__signature__ = inspect.Signature(parameters)  # pyright: ignore[reportFunctionMemberAccess]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


def run_named(name: str) -> None:
    """Run the command of a name by itself, as `python -m analyses.MODULE` does."""
    from analyses.catalogue import find

    run_alone(command(find(name)))


def run_command(record: Analysis, context: typer.Context) -> None:
    """Compute what the options ask for; print it, and write it where that is asked for. Raises InputError."""
    given = context.params
    alone = isinstance(record.loop, OnLoops) and record.loop.alone
    if "model" in given and (alone or is_loop(given["model"])):
        from analyses.loops.command import run_on_loop

        run_on_loop(record, context)
        return
    _check_graphs(record, context)
    settings = {setting.name: setting.read(given[setting.name]) for setting in record.settings}
    if record.check is not None:
        record.check(settings)
    if "resume" in settings:
        _check_sweep(settings, given["out"])
    outputs = Outputs(record.stem, given["json_file"], given["out"])
    outputs.check()
    model, graphs = (record.source or usual_source)(context, settings)
    arguments = {
        setting.passed_as: settings[setting.name]
        for setting in record.settings
        if setting.of_study and settings[setting.name] is not None
    }
    arguments |= record.arguments(settings)
    arguments |= {name: given[name] for name in record.passes}
    with share_bar(
        given["quiet"] or "quiet" in record.passes
    ):  # a study that is told to be quiet has its own bar
        study = record.function(_alone(record, graphs) if record.alone else graphs, model=model, **arguments)
    written = _write(record, study, outputs, context)
    console = wide_console()
    if not given["quiet"]:
        record.shows(study, console)
        say_written(console, written)
    console.print(study.verdict(), soft_wrap=True)


def _check_graphs(record: Analysis, context: typer.Context) -> None:
    """Raises InputError for options of looped models that were given for a model of graphs."""
    for name, written in _of_loops(record).items():
        if context.params.get(name) not in ([], (), None) and options.was_given(context, name):
            raise InputError(
                f"{written} is for looped models, and --model {context.params['model']} reads graphs: leave it out, or "
                "give --model FILE.py:FUNCTION."
            )


def _of_loops(record: Analysis) -> dict[str, str]:
    """Options that say something of looped models alone: name -> as it is written."""
    own = record.loop.settings if isinstance(record.loop, OnLoops) else ()
    return {**{name: f"--{name}" for name in OF_LOOPS}, **{setting.name: setting.written for setting in own}}


def usual_source(context: typer.Context, settings: object) -> tuple[str, list[ComputationGraph]]:
    """The model, which knows the operations of the graphs where it is a compiled one, and the graphs."""
    model = fitting_model(context)
    return model, many_graphs(context, load_model(model))


def _check_sweep(settings: Mapping[str, Any], out: Path | None) -> None:
    """Raises InputError for workers that there cannot be, and for what cannot be resumed."""
    from analyses.sweeps import check_backend

    check_backend(settings["backend"], settings["address"])
    if settings["resume"] and out is None:
        raise InputError("--resume goes on with the sweep in the folder of --out: give --out DIR.")


def _alone(record: Analysis, graphs: Sequence[Any]) -> Any:
    if len(graphs) != 1:
        raise InputError(f"{record.name} is about one graph, and {len(graphs)} were given.")
    return graphs[0]


def _write(record: Analysis, study: Any, outputs: Outputs, context: typer.Context) -> list[Path]:
    """All files that are asked for; returns the paths."""
    used = used_options(context, only=context.params.keys() - _of_loops(record))
    written = write_files(outputs, record.name, study, used, record.drawn)
    folder = outputs.folder
    if folder is None:
        return written
    written += write_more(folder, record.stem, record.frames(study), record.figures(study))
    if record.as_text:
        written.append(folder / f"{record.stem}.txt")
        with writing():
            write_text(written[-1], study.text() + "\n")
    if record.swept(study):
        from analyses.kept import forget

        forget(folder)
    return written


def _parameter(name: str, option: tuple[Any, Any]) -> inspect.Parameter:
    annotation, default = option
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
