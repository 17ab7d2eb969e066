"""The options every command of `recurlens` shares, defined once, and how they are resolved.

A command lists the ones it takes as `model: ModelOption = "compiled"`; `--config` fills in the rest from YAML.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from analyses import terminal
from analyses.export import writing
from analyses.inputs import GraphSource, InputError, parse_operations
from models.files import check_file
from models.graph_errors import clip
from models.operations import OPERATIONS

if TYPE_CHECKING:
    from analyses.config_file import Value
    from models.graph import ComputationGraph
    from models.recurrent import RecurrentTransformer

MOST_SETTLED_STEPS = 10**9
"""Steps of a run, most of which repeat what is known."""
MOST_GRAPHS = 100_000
"""Sampled graphs, or pairs of them."""
MOST_WORKERS = 256
"""Workers, or threads, at the same time."""
LARGEST_SEED = 2**31 - 1
"""Seeds that every random generator in use takes, together with the next ones."""

_TRUTH = {"true": True, "false": False, "yes": True, "no": False, "on": True, "off": False}
"""The words of YAML for a flag."""


def check_path(flag: str, path: Path) -> None:
    """Raises InputError for what cannot name a file: longer than the system allows (typer has refused the rest)."""
    try:
        path.is_dir()
    except OSError as error:
        raise InputError(f"{flag} is {clip(str(path))}: {(error.strerror or str(error)).lower()}.") from error


@terminal.reports_bad_input
def a_path(param: typer.CallbackParam, value: Path | None) -> Path | None:
    """The callback of an option that takes a path; see `check_path`."""
    if value is not None:
        check_path(param.opts[0], value)
    return value


def _apply_config(context: typer.Context, path: Path | None) -> Path | None:
    """Make the values of a YAML file the defaults of this command (eager callback of --config)."""
    if path is None:
        return None
    from analyses.config_file import read_config

    check_path("--config", path)
    values = read_config(path)
    allowed = {
        flag.removeprefix("--").replace("-", "_"): option
        for option in context.command.params
        for flag in option.opts
        if option.param_type_name == "option" and flag.startswith("--") and flag not in ("--config", "--help")
    }
    names = {key: key.lstrip("-").replace("-", "_") for key in values}
    unknown = [key for key, name in names.items() if name not in allowed]
    if unknown:
        shown = ", ".join(clip(key) for key in unknown[:10]) + (", ..." if len(unknown) > 10 else "")
        known = ", ".join(sorted(name.replace("_", "-") for name in allowed))
        raise InputError(f"{path} has unknown options: {shown}. Allowed here: {known}.")
    context.default_map = {
        **(context.default_map or {}),
        **{
            str(allowed[name].name): _config_value(path, key, values[key], allowed[name])
            for key, name in names.items()
        },
    }
    return path


def _config_value(path: Path, key: str, value: Value, option: Any) -> str | list[str] | bool | None:
    """A value of the file as the command line would give it: a list is its comma form, a flag a truth value.

    Of an option that may be given several times, a list is one value for each, and a single value is given once.
    """
    if option.multiple and value is not None:
        return value if isinstance(value, list) else [value]
    if not option.is_flag or value is None:
        return ",".join(value) if isinstance(value, list) else value
    if not isinstance(value, str) or value.lower() not in _TRUTH:
        raise InputError(f"{path}: {key} is {value!r}: it must be one of {', '.join(_TRUTH)}.")
    return _TRUTH[value.lower()]


def at_least(least: int, most: int | None = None) -> Callable[..., int | None]:
    """A callback for a number option: it must be in least..most (None: no upper limit), or InputError."""

    @terminal.reports_bad_input
    def check(param: typer.CallbackParam, value: int | None) -> int | None:
        if value is not None and (value < least or (most is not None and value > most)):
            allowed = f"at least {least}" if most is None else f"from {least} to {most}"
            raise InputError(f"{param.opts[0]} is {value}: it must be {allowed}.")
        return value

    return check


@terminal.reports_bad_input
def writable(path: Path | None) -> Path | None:
    """A callback for an option that names a file to write at the end: that must be possible, or InputError."""
    if path is not None:
        with writing():
            check_file(path)
    return path


def from_to(least: float, most: float | None = None, above: bool = False) -> Callable[..., float | None]:
    """As `at_least`, of an option that takes any finite number; above: `least` itself is not allowed."""

    @terminal.reports_bad_input
    def check(param: typer.CallbackParam, value: float | None) -> float | None:
        if value is None:
            return None
        low_enough = most is None or value <= most
        if not math.isfinite(value) or not low_enough or not (value > least if above else value >= least):
            allowed = f"{'above' if above else 'at least'} {least:g}"
            limits = allowed if most is None else f"{allowed} and at most {most:g}"
            raise InputError(f"{param.opts[0]} is {value}: it must be a number {limits}.")
        return value

    return check


ModelOption = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        help="A bundled model, a folder, or a Hub id; or a looped model: FILE.py:FUNCTION, or one by name.",
        show_default=True,
    ),
]
GraphArgument = Annotated[
    str | None,
    typer.Argument(metavar="GRAPH", help='Equations, such as "20 = x_7; 2 = x_42; x_7 + x_42 = x_23".'),
]
GraphOption = Annotated[
    list[str] | None,
    typer.Option(
        "--graph",
        "-g",
        metavar="TEXT",
        help="The same equations, as an option; once for each of several graphs.",
    ),
]
GraphsFileOption = Annotated[
    Path | None,
    typer.Option(
        "--graphs-file",
        callback=a_path,
        metavar="F.jsonl",
        help='A file with {"equations": [...]} on each line.',
    ),
]
NNodesOption = Annotated[
    int | None,
    typer.Option("--n-nodes", "-n", callback=at_least(1), help="Sample a graph with this many nodes."),
]
SeedOption = Annotated[
    int, typer.Option("--seed", callback=at_least(0, LARGEST_SEED), help="Seed of the sampled graphs.")
]
OPS_METAVAR = ",".join(OPERATIONS)
OpsOption = Annotated[
    str, typer.Option("--ops", metavar=OPS_METAVAR, help="Operations of the sampled graphs.")
]
GraphCountOption = Annotated[
    int,
    typer.Option(
        "--graphs",
        callback=at_least(1, MOST_GRAPHS),
        help="Sampled graphs (with --n-nodes), of seed, seed + 1, ...",
    ),
]
InputsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--inputs",
        metavar="TEXT",
        help="Of a looped model: text, as its task reads it, token ids, or a file of an array (x.npy); once for each.",
    ),
]
SamplesOption = Annotated[
    int | None,
    typer.Option(
        "--samples",
        callback=at_least(1, MOST_GRAPHS),
        help="Of a looped model: inputs that its task draws, by --seed.",
    ),
]
NoInputsOption = Annotated[list[str] | None, typer.Option("--inputs", hidden=True)]
NoSamplesOption = Annotated[int | None, typer.Option("--samples", hidden=True)]
STEPS_HELP = "Recurrence steps to run.  [default: until the state is stable, or as many as the method fixes]"
JsonOption = Annotated[
    Path | None,
    typer.Option(
        "--json", callback=a_path, metavar="FILE", help="Write what the table shows, full precision."
    ),
]
OutOption = Annotated[
    Path | None,
    typer.Option("--out", callback=a_path, metavar="DIR", help="Write the results into this folder."),
]
QuickOption = Annotated[bool, typer.Option("--quick", help="A few small graphs: a look, not a result.")]
SectionJobsOption = Annotated[
    int, typer.Option("--jobs", callback=at_least(1, MOST_WORKERS), help="Sections made at the same time.")
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Print the last line only.")]
ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE.yaml",
        help="Values for these options; what is given on the command line wins.",
        is_eager=True,
        callback=terminal.reports_bad_input(_apply_config),
    ),
]


GRAPH_SOURCES = {"text": "GRAPH", "graph": "--graph", "graphs_file": "--graphs-file", "n_nodes": "--n-nodes"}
"""Parameters that ask for graphs, and how a user writes them."""


def was_given(context: typer.Context, name: str) -> bool:
    """Whether a parameter was given, on the command line or in a config file."""
    source = context.get_parameter_source(name)
    return (
        source is not None
        and source.name in ("COMMANDLINE", "DEFAULT_MAP")
        and context.params[name] is not None
    )


def only_one(context: typer.Context, names: dict[str, str]) -> str:
    """Which parameter of `names` (parameter name -> how a user writes it) was given.

    One given on the command line wins over the config file. Raises InputError for none, or more than one.
    """
    sources = {name: context.get_parameter_source(name) for name in names}
    given = [name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"]
    given = given or [name for name in names if context.params.get(name) not in (None, [], ())]
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
    chosen = only_one(context, GRAPH_SOURCES)
    value = context.params[chosen]
    ops = parse_operations(context.params["ops"])
    seed = context.params["seed"]
    if chosen == "graphs_file":
        return GraphSource(file=Path(value), seed=seed, ops=ops)
    if chosen == "n_nodes":
        return GraphSource(n_nodes=value, seed=seed, ops=ops)
    return GraphSource(text=value if isinstance(value, str) else tuple(value), seed=seed, ops=ops)


def repeated_graphs(text: str | None, graph: Sequence[str] | None) -> str | list[str] | None:
    """What --graph has to be given in a config file so that it asks for the graphs of GRAPH or --graph; None for
    none. One graph is its text, several are a list of texts.
    """
    texts = list(graph or ()) if text is None else [text]
    return (texts[0] if len(texts) == 1 else texts) or None


def fitting_model(context: typer.Context) -> str:
    """The name given as --model; of a compiled model, the one that knows the operations of the graphs asked for."""
    return graph_source(context).fitting(context.params["model"])


def many_graphs(context: typer.Context, model: RecurrentTransformer) -> list[ComputationGraph]:
    """The graphs that `graph_source` and the parameter `n_graphs`, where there is one, ask for; fit for `model`.

    Raises InputError as `graph_source`, and where their number is given and nothing is sampled.
    """
    source, count = graph_source(context), context.params.get("n_graphs", 1)
    asked = context.get_parameter_source("n_graphs")
    if source.n_nodes is None and asked is not None and asked.name == "COMMANDLINE":
        flag = next(param.opts[0] for param in context.command.params if param.name == "n_graphs")
        raise InputError(f"{flag} {count} samples graphs, so it needs --n-nodes.")
    return source.many(model, count)


def split_names(text: str | None) -> list[str] | None:
    """The names of a comma-separated option; None where it was not given."""
    return None if text is None else [part.strip() for part in text.split(",") if part.strip()]


def wide_console() -> Console:
    """A console on stdout; when that is not a terminal, wide enough for every column of a table.

    Text is printed as it is: names of files and models may have brackets and colons, which rich would read as markup.
    """
    plain: dict[str, Any] = {"highlight": False, "markup": False, "emoji": False}
    console = Console(**plain)
    return console if console.is_terminal else Console(**plain, width=4000)


def run_alone(command: Callable[..., None]) -> None:
    """Run one command by itself, as `python -m analyses.NAME` does."""
    application = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    application.command(cls=terminal.Command)(command)
    terminal.run(application)
