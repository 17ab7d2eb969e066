"""The options every command of `recurlens` shares, defined once, and how they are resolved.

A command lists the ones it takes as `model: ModelOption = "compiled"`; `--config` fills in the rest from YAML.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ParamSpec, TypeVar

import typer
from rich.console import Console

from analyses.inputs import GraphSource, InputError, parse_operations

if TYPE_CHECKING:
    from models.graph import ComputationGraph
    from models.recurrent import RecurrentTransformer

P = ParamSpec("P")
R = TypeVar("R")


def reports_bad_input(command: Callable[P, R]) -> Callable[P, R]:
    """Decorator: an InputError inside `command` becomes one message on stderr and exit code 2."""

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except InputError as error:
            typer.echo(f"Error: {error}", err=True)
            raise typer.Exit(2) from error

    return wrapped


def _apply_config(context: typer.Context, path: Path | None) -> Path | None:
    """Make the values of a YAML file the defaults of this command (eager callback of --config)."""
    if path is None:
        return None
    import yaml

    try:
        loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"Cannot read the config file {path}: {(error.strerror or '').lower()}.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    values = {} if loaded is None else loaded
    if not isinstance(values, dict):
        raise InputError(f"{path} must hold `option: value` lines, and holds a {type(values).__name__}.")
    allowed = {
        flag.removeprefix("--").replace("-", "_"): option.name
        for option in context.command.params
        for flag in option.opts
        if option.param_type_name == "option" and flag.startswith("--") and flag not in ("--config", "--help")
    }
    names = {str(key): str(key).lstrip("-").replace("-", "_") for key in values}
    unknown = [key for key, name in names.items() if name not in allowed]
    if unknown:
        known = ", ".join(sorted(name.replace("_", "-") for name in allowed))
        raise InputError(f"{path} has unknown options: {', '.join(unknown)}. Allowed here: {known}.")
    context.default_map = {
        **(context.default_map or {}),
        **{allowed[names[str(key)]]: _config_value(path, str(key), value) for key, value in values.items()},
    }
    return path


def _config_value(path: Path, key: str, value: Any) -> Any:
    """A YAML value as the command line would give it: a list of names is its comma form."""
    if isinstance(value, list):
        return ",".join(str(item) for item in value)
    if isinstance(value, dict):
        raise InputError(f"{path}: {key} must be a single value or a list, not a mapping.")
    return value if isinstance(value, bool) or value is None else str(value)


def at_least(least: int, most: int | None = None) -> Callable[..., int | None]:
    """A callback for a number option: it must be in least..most (None: no upper limit), or InputError."""

    @reports_bad_input
    def check(param: typer.CallbackParam, value: int | None) -> int | None:
        if value is not None and (value < least or (most is not None and value > most)):
            allowed = f"at least {least}" if most is None else f"from {least} to {most}"
            raise InputError(f"{param.opts[0]} is {value}: it must be {allowed}.")
        return value

    return check


ModelOption = Annotated[
    str, typer.Option("--model", "-m", help="A bundled model, a folder, or a Hub id.", show_default=True)
]
GraphArgument = Annotated[
    str | None,
    typer.Argument(metavar="GRAPH", help='Equations, such as "20 = x_7; 2 = x_42; x_7 + x_42 = x_23".'),
]
GraphOption = Annotated[
    str | None, typer.Option("--graph", "-g", metavar="TEXT", help="The same equations, as an option.")
]
GraphsFileOption = Annotated[
    Path | None,
    typer.Option("--graphs-file", metavar="F.jsonl", help='A file with {"equations": [...]} on each line.'),
]
NNodesOption = Annotated[
    int | None,
    typer.Option("--n-nodes", "-n", callback=at_least(1), help="Sample a graph with this many nodes."),
]
SeedOption = Annotated[int, typer.Option("--seed", callback=at_least(0), help="Seed of the sampled graphs.")]
OpsOption = Annotated[
    str, typer.Option("--ops", metavar="ADD,SUB,MUL", help="Operations of the sampled graphs.")
]
GraphCountOption = Annotated[
    int,
    typer.Option(
        "--graphs", callback=at_least(1), help="Sampled graphs (with --n-nodes), of seed, seed + 1, ..."
    ),
]
StepsOption = Annotated[
    int | None,
    typer.Option(
        "--steps",
        callback=at_least(1),
        help="Recurrence steps to run.  [default: until the state is stable, or as many as the method fixes]",
    ),
]
TargetOption = Annotated[
    str,
    typer.Option(
        "--target", help="What is read: value, depth, operand_1, operand_value_2, operation, shown, ..."
    ),
]
SitesOption = Annotated[
    str | None,
    typer.Option(
        "--sites", help="Such as resid_post,blocks.1.attn.hook_z.  [default: all of the residual stream]"
    ),
]
ProbeOption = Annotated[str, typer.Option("--kind", help="logistic or ridge.")]
JobsOption = Annotated[
    int, typer.Option("--jobs", callback=at_least(1), help="Workers, each with one thread.")
]
BackendOption = Annotated[str, typer.Option("--backend", help="Of joblib: loky, threading, ray or dask.")]
JsonOption = Annotated[
    Path | None, typer.Option("--json", metavar="FILE", help="Write what the table shows, full precision.")
]
OutOption = Annotated[
    Path | None, typer.Option("--out", metavar="DIR", help="Write the results into this folder.")
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Print the last line only.")]
ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE.yaml",
        help="Values for these options; what is given on the command line wins.",
        is_eager=True,
        callback=reports_bad_input(_apply_config),
    ),
]


def only_one(context: typer.Context, names: dict[str, str]) -> str:
    """Which parameter of `names` (parameter name -> how a user writes it) was given.

    One given on the command line wins over the config file. Raises InputError for none, or more than one.
    """
    sources = {name: context.get_parameter_source(name) for name in names}
    given = [name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"]
    given = given or [name for name in names if context.params.get(name) is not None]
    if len(given) == 1:
        return given[0]
    written = list(names.values())
    choice = f"{', '.join(written[:-1])} or {written[-1]}"
    if not given:
        raise InputError(f"No graphs were given: use one of {choice}.")
    raise InputError(
        f"{' and '.join(names[name] for name in given)} were given together: use one of {choice}."
    )


def graph_source(context: typer.Context) -> GraphSource:
    """The graphs that the parameters `text`, `graph`, `graphs_file`, `n_nodes`, `seed`, `ops` ask for.

    Raises InputError unless exactly one of the first four was given, or for unknown operations.
    """
    names = {
        "text": "GRAPH",
        "graph": "--graph",
        "graphs_file": "--graphs-file",
        "n_nodes": "--n-nodes",
    }
    chosen = only_one(context, names)
    value = context.params[chosen]
    ops = parse_operations(context.params["ops"])
    seed = context.params["seed"]
    if chosen == "graphs_file":
        return GraphSource(file=Path(value), seed=seed, ops=ops)
    if chosen == "n_nodes":
        return GraphSource(n_nodes=value, seed=seed, ops=ops)
    return GraphSource(text=value, seed=seed, ops=ops)


def many_graphs(context: typer.Context, model: RecurrentTransformer) -> list[ComputationGraph]:
    """The graphs that `graph_source` and the parameter `n_graphs` (a GraphCountOption) ask for; fit for `model`.

    Raises InputError as `graph_source`, and where --graphs is given and nothing is sampled.
    """
    source = graph_source(context)
    asked = context.get_parameter_source("n_graphs")
    if source.n_nodes is None and asked is not None and asked.name == "COMMANDLINE":
        raise InputError(f"--graphs {context.params['n_graphs']} samples graphs, so it needs --n-nodes.")
    return source.many(model, context.params["n_graphs"])


def split_names(text: str | None) -> list[str] | None:
    """The names of a comma-separated option; None where it was not given."""
    return None if text is None else [part.strip() for part in text.split(",") if part.strip()]


def wide_console() -> Console:
    """A console on stdout; when that is not a terminal, wide enough for every column of a table."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=4000)


def run_alone(command: Callable[..., None]) -> None:
    """Run one command by itself, as `python -m analyses.NAME` does."""
    application = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    application.command()(command)
    application()
