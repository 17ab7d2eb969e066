"""The `recurlens` command: one sub-command per study, each thin over a function of `analyses`.

Exit code 0 on success, 2 on bad input with one message on stderr. Only typer and rich are imported here; a command
imports what it runs, so that `--help` answers at once.
"""

import socket
import sys
from importlib import import_module
from pathlib import Path
from threading import Thread
from typing import Annotated

import typer

from analyses import terminal
from analyses.ablation import ablation_command
from analyses.catalogue import CATALOGUE
from analyses.framework.command import command
from analyses.inputs import (
    PAPER_LEAVES,
    PAPER_OPERANDS,
    GraphSource,
    InputError,
    Outputs,
    load_model,
    parse_operations,
    parse_sizes,
)
from analyses.options import (
    MOST_GRAPHS,
    AnyStepsOption,
    ConfigOption,
    GraphArgument,
    GraphOption,
    GraphsFileOption,
    JsonOption,
    ModelOption,
    NNodesOption,
    OpsOption,
    OutOption,
    QuietOption,
    SeedOption,
    at_least,
    from_to,
    graph_source,
    only_one,
    reports_bad_input,
    wide_console,
)
from analyses.own_metric import OWN, metric_name
from analyses.patch_command import patch_command
from analyses.report import report_command
from analyses.train import train_command
from analyses.training_dynamics import training_command
from models.printable import printable

HOST = "127.0.0.1"
APP = Path(__file__).resolve().parent.parent / "dashboards" / "app.py"

app = typer.Typer(
    name="recurlens",
    help="Look inside recurrent, discretely bottlenecked Transformers, step by step.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    cls=terminal.Group,
)


@app.command("solve")
@reports_bad_input
def solve_command(
    context: typer.Context,
    text: GraphArgument = None,
    graph: GraphOption = None,
    graphs_file: GraphsFileOption = None,
    n_nodes: NNodesOption = None,
    seed: SeedOption = 0,
    ops: OpsOption = "ADD",
    model: ModelOption = "compiled",
    steps: AnyStepsOption = None,
    json_file: JsonOption = None,
    out: OutOption = None,
    quiet: QuietOption = False,
    config: ConfigOption = None,
) -> None:
    """Show a model solving graphs, step by step, and check the result against the symbolic oracle."""
    source = graph_source(context)
    outputs = Outputs("solve", json_file, out)
    outputs.check()
    model = source.fitting(model)
    loaded = load_model(model)
    graphs = source.graphs(loaded)

    from analyses.solve import solve

    try:
        solution = solve(loaded, graphs, n_steps=steps, name=model)
    except ValueError as error:
        raise InputError(str(error)) from error
    console = wide_console()
    if not quiet:
        for tables, verdict in solution.report(console.width, console.options.ascii_only):
            console.print(*tables, sep="")
            if len(graphs) > 1:
                console.print(verdict, soft_wrap=True)
    _say_written(outputs.write(solution.to_dict(), solution.rows()), quiet)
    console.print(solution.verdict(), soft_wrap=True)


@app.command("evaluate")
@reports_bad_input
def evaluate_command(
    context: typer.Context,
    graphs_file: GraphsFileOption = None,
    sizes: Annotated[
        str | None,
        typer.Option(
            "--sizes", metavar="START:STOP:STEP", help="Sample graphs of these sizes, such as 8:128:8."
        ),
    ] = None,
    graphs: Annotated[
        int, typer.Option("--graphs", callback=at_least(1, MOST_GRAPHS), help="Sampled graphs of each size.")
    ] = 64,
    leaves: Annotated[
        int, typer.Option("--leaves", callback=at_least(1, 128), help="Leaves of each sampled graph.")
    ] = PAPER_LEAVES,
    max_operands: Annotated[
        int,
        typer.Option(
            "--max-operands",
            callback=at_least(1, PAPER_OPERANDS),
            help="Operands of a sampled equation, at most.",
        ),
    ] = PAPER_OPERANDS,
    corrupt: Annotated[
        float | None,
        typer.Option(
            "--corrupt",
            metavar="SHARE",
            callback=from_to(0, 1, above=True),
            help="Corrupt this share of the known values and watch them heal.",
        ),
    ] = None,
    at_step: Annotated[
        int | None,
        typer.Option(
            "--at-step",
            callback=at_least(1),
            help="With --corrupt: in the state entering this step (default: the last).",
        ),
    ] = None,
    seed: SeedOption = 0,
    ops: OpsOption = "ADD",
    model: ModelOption = "compiled",
    steps: AnyStepsOption = None,
    json_file: JsonOption = None,
    out: OutOption = None,
    quiet: QuietOption = False,
    config: ConfigOption = None,
) -> None:
    """Accuracy of a model by graph size: fully solved graphs, and nodes; or, with --corrupt, its error correction."""
    if at_step is not None and corrupt is None:
        raise InputError("--at-step says where to corrupt, so it needs --corrupt SHARE.")
    if corrupt is not None and steps is not None:
        raise InputError("--corrupt runs every graph until it settles: leave out --steps.")
    chosen = only_one(context, {"graphs_file": "--graphs-file", "sizes": "--sizes"})
    operations = parse_operations(ops)
    wanted = parse_sizes(sizes) if chosen == "sizes" and sizes is not None else ()
    outputs = Outputs("evaluate", json_file, out)
    outputs.check()
    source = (
        GraphSource(file=graphs_file) if chosen == "graphs_file" else GraphSource(n_nodes=1, ops=operations)
    )
    model = source.fitting(model)
    loaded = load_model(model)

    from analyses.evaluate import evaluate, sample_sizes
    from analyses.inputs import read_graphs_file

    if chosen == "graphs_file" and graphs_file is not None:
        drawn = read_graphs_file(graphs_file, loaded)
    else:
        drawn = sample_sizes(loaded, wanted, graphs, operations, seed, leaves, max_operands)
    try:
        if corrupt is None:
            result = evaluate(loaded, drawn, n_steps=steps, name=model)
        else:
            from analyses.correction import measure_correction

            result = measure_correction(loaded, drawn, corrupt, at_step, seed, name=model)
    except ValueError as error:
        raise InputError(str(error)) from error
    console = wide_console()
    if not quiet:
        console.print(result.table())
    _say_written(outputs.write(result.to_dict(), result.rows()), quiet)
    console.print(result.verdict(), soft_wrap=True)


app.command("train")(train_command)
app.command("patch")(patch_command)
app.command("ablate")(ablation_command)
for record in CATALOGUE:
    app.command(record.name)(command(record))
app.command("report")(report_command)
app.command("training-dynamics")(training_command)


@app.command("dashboard")
@reports_bad_input
def dashboard_command(
    port: Annotated[
        int, typer.Option("--port", callback=at_least(1, 65535), help="Port on 127.0.0.1.")
    ] = 8501,
    metric: Annotated[
        list[str] | None,
        typer.Option(
            "--metric", metavar=OWN, help="A metric of your own for the Patching page, as of `patch`."
        ),
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Open the dashboard in the browser, on this machine only."""
    for text in metric or ():
        metric_name(text)
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise InputError(f"Port {port} on {HOST} is not free: give another with --port.") from error
    Thread(target=_warm_up, daemon=True).start()
    run_streamlit(["run", str(APP), f"--server.address={HOST}", f"--server.port={port}"])


def _warm_up() -> None:
    """Import what every page needs while the browser is still starting; the page waits for the rest, if any."""
    for module in ("models.loading", "interp.figures.trajectory", "interp.figures.graph"):
        import_module(module)


def run_streamlit(arguments: list[str]) -> None:
    """Run Streamlit's own command in this process, so that signals reach it; exits when it ends."""
    from streamlit.web.cli import main as streamlit_main

    streamlit_main(args=arguments, prog_name="streamlit")


def _say_written(paths: list[Path], quiet: bool) -> None:
    if not quiet:
        for path in paths:
            typer.echo(f"Wrote {printable(str(path))}")


def main() -> None:
    """Entry point of the console script."""
    terminal.run(app)


if __name__ == "__main__":
    sys.exit(main())
