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
from analyses.catalogue import CATALOGUE
from analyses.framework.command import command
from analyses.inputs import InputError
from analyses.loops.offered import offer
from analyses.options import ConfigOption, at_least, reports_bad_input
from analyses.own_metric import OWN, metric_name
from analyses.report import report_command
from analyses.train import train_command

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


for record in CATALOGUE:
    app.command(record.name)(command(record))
app.command("train")(train_command)
app.command("report")(report_command)


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
    loop: Annotated[
        list[str] | None,
        typer.Option(
            "--loop",
            metavar=OWN,
            help="A looped model for the choice of models: of a file of your own, or one by name.",
        ),
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Open the dashboard in the browser, on this machine only."""
    for text in metric or ():
        metric_name(text)
    for name in loop or ():
        offer(name)
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


def main() -> None:
    """Entry point of the console script."""
    terminal.run(app)


if __name__ == "__main__":
    sys.exit(main())
