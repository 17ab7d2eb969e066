"""The `recurlens` command: one sub-command per study, each thin over a function of `analyses`.

Exit code 0 on success, 2 on bad input with one message on stderr. Only typer and rich are imported here; a command is
made when it is named, from its own record alone, and imports what it runs. `--help` makes all, and answers at once.
"""

import socket
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from threading import Thread
from typing import Annotated, Any

import typer

from analyses import terminal
from analyses.catalogue import CATALOGUE, find
from analyses.loops.offered import offer
from analyses.options import ConfigOption, at_least
from analyses.own_function import OWN

HOST = "127.0.0.1"
APP = Path(__file__).resolve().parent.parent / "dashboards" / "app.py"
FURTHER = {"train": "analyses.train:train_command", "report": "analyses.report:report_command"}
"""Name of a command that is no analysis -> its function."""


class Commands(Mapping[str, Any]):
    """Name -> command, made when it is asked for; those that are there already come last."""

    def __init__(self, there: Mapping[str, Any]) -> None:
        self._made = dict(there)
        self._names = [*CATALOGUE, *FURTHER, *there]

    def __getitem__(self, name: str) -> Any:
        if name not in self._made:
            one = typer.Typer(add_completion=False)
            one.command(name)(_function(name))
            self._made[name] = typer.main.get_command(one)
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def _function(name: str) -> Callable[..., None]:
    """What runs the command."""
    if name in CATALOGUE:
        from analyses.framework.command import command

        return command(find(name))
    module, function = FURTHER[name].split(":")
    return getattr(import_module(module), function)


class Group(terminal.Group):
    """`recurlens`, with the commands that are made when they are asked for."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.commands: Any = Commands(self.commands)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """As typer's; what goes wrong while a command is made is not taken for a name that there is not."""
        return self.commands[cmd_name] if cmd_name in list(self.commands) else None


app = typer.Typer(
    name="recurlens",
    help="Look inside recurrent, discretely bottlenecked Transformers, step by step.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    cls=Group,
)


@app.callback()
def _recurlens() -> None:
    """Every command has its own options, and there are none before it."""


@app.command("dashboard")
@terminal.reports_bad_input
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
    checkpoint: Annotated[
        list[Path] | None,
        typer.Option(
            "--checkpoint", metavar="DIR", help="A checkpoint of your own for the choice of models."
        ),
    ] = None,
    run: Annotated[
        list[Path] | None,
        typer.Option("--run", metavar="FILE", help="A run that was saved, for the page Open."),
    ] = None,
    graphs: Annotated[
        list[Path] | None,
        typer.Option("--graphs", metavar="FILE", help="Graphs of your own, as of --graphs-file or as typed."),
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Open the dashboard in the browser, on this machine only."""
    from analyses.inputs import InputError
    from analyses.own_metric import metric_name

    for text in metric or ():
        metric_name(text)
    for name in loop or ():
        offer(name)
    _bring(checkpoint or (), run or (), graphs or ())
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise InputError(f"Port {port} on {HOST} is not free: give another with --port.") from error
    Thread(target=_warm_up, daemon=True).start()
    run_streamlit(["run", str(APP), f"--server.address={HOST}", f"--server.port={port}"])


def _bring(checkpoints: Iterable[Path], runs: Iterable[Path], graphs: Iterable[Path]) -> None:
    """Check what the dashboard is to show, and keep it. Raises InputError."""
    from analyses import brought

    for bring, given in (
        (brought.bring_checkpoint, checkpoints),
        (brought.bring_run, runs),
        (brought.bring_graphs, graphs),
    ):
        for path in given:
            bring(path)


def _warm_up() -> None:
    """Import what every page needs while the browser is still starting; the page waits for the rest, if any."""
    for module in ("models.loading", "models.recurrent", "interp.figures.trajectory", "interp.figures.graph"):
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
