"""The command of an analysis, made from its record."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from analyses import options
from analyses.framework.record import Analysis
from analyses.inputs import InputError, Outputs, load_model, writing
from analyses.options import (
    fitting_model,
    graph_source,
    many_graphs,
    reports_bad_input,
    run_alone,
    wide_console,
)
from analyses.studies import say_written, tell, used_options, write_files, write_more
from models.files import write_text

if TYPE_CHECKING:
    from models.graph import ComputationGraph


def command(record: Analysis) -> Callable[..., None]:
    """A function whose parameters typer makes options of: the graphs, the model, the settings, where to write."""

    @reports_bad_input
    def run(context: typer.Context, **given: Any) -> None:
        run_command(record, context)

    shared = [
        _parameter("text", options.GraphArgument, None),
        _parameter("graph", options.GraphOption, None),
        _parameter("graphs_file", options.GraphsFileOption, None),
        _parameter("n_nodes", options.NNodesOption, None),
        _parameter("seed", options.SeedOption, 0),
        _parameter("ops", options.OpsOption, "ADD"),
        _parameter("model", options.ModelOption, "compiled"),
    ]
    if record.graphs is not None:
        shared.insert(4, _parameter("n_graphs", options.GraphCountOption, record.graphs))
    written = [
        _parameter("json_file", options.JsonOption, None),
        _parameter("out", options.OutOption, None),
        _parameter("quiet", options.QuietOption, False),
        _parameter("config", options.ConfigOption, None),
    ]
    context = inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
    parameters = [context, *shared, *(setting.parameter() for setting in record.settings), *written]
    run.__name__ = run.__qualname__ = f"{record.stem}_command"
    run.__doc__ = record.about
    run.__signature__ = inspect.Signature(parameters)  # pyright: ignore[reportFunctionMemberAccess]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


def run_record(record: Analysis) -> None:
    """Run the command by itself, as `python -m analyses.NAME` does."""
    run_alone(command(record))


def run_command(record: Analysis, context: typer.Context) -> None:
    """Compute what the options ask for; print it, and write it where that is asked for. Raises InputError."""
    given = context.params
    settings = {setting.name: setting.read(given[setting.name]) for setting in record.settings}
    if record.check is not None:
        record.check(settings)
    outputs = Outputs(record.stem, given["json_file"], given["out"])
    outputs.check()
    model, graphs = (record.source or usual_source)(context, settings)
    arguments = {
        setting.passed_as: settings[setting.name]
        for setting in record.settings
        if setting.of_study and settings[setting.name] is not None
    }
    if record.seeded:
        arguments["seed"] = given["seed"]
    study = record.function(_one(record, graphs) if record.graphs is None else graphs, model, **arguments)
    written = write_files(outputs, record.name, study, used_options(context))
    if outputs.folder is not None:
        written += write_more(outputs.folder, record.stem, record.frames(study), record.figures(study))
        if record.as_text:
            written.append(_write_text(outputs.folder / f"{record.stem}.txt", study.text()))
    if not record.as_text:
        tell(study, written, given["quiet"], record.tables(study))
        return
    console = wide_console()
    if not given["quiet"]:
        console.print(study.text(), soft_wrap=True)
        say_written(console, written)
    console.print(study.verdict(), soft_wrap=True)


def usual_source(context: typer.Context, settings: object) -> tuple[str, list[ComputationGraph]]:
    """The model, which knows the operations of the graphs where it is a compiled one, and the graphs."""
    model = fitting_model(context)
    if "n_graphs" in context.params:
        return model, many_graphs(context, load_model(model))
    return model, graph_source(context).graphs(load_model(model))


def _one(record: Analysis, graphs: list[ComputationGraph]) -> ComputationGraph:
    if len(graphs) != 1:
        raise InputError(f"{record.name} is about one graph, and {len(graphs)} were given.")
    return graphs[0]


def _write_text(path: Path, text: str) -> Path:
    with writing():
        write_text(path, text + "\n")
    return path


def _parameter(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
