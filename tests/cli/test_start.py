"""The dashboard command, start-up time, exit codes of the real process."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from analyses import cli
from tests.cli.commands import TEXT, recurlens


def test_dashboard_starts_streamlit_on_this_machine_only(monkeypatch: pytest.MonkeyPatch, root: Path):
    started: list[list[str]] = []
    monkeypatch.setattr(cli, "run_streamlit", started.append)
    recurlens("dashboard", "--port", 8765)
    assert started == [
        ["run", str(root / "dashboards" / "app.py"), "--server.address=127.0.0.1", "--server.port=8765"]
    ]


def test_dashboard_says_when_the_port_is_taken():
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert f"Port {port} on 127.0.0.1 is not free" in recurlens("dashboard", "--port", port, code=2).err


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)


def test_the_command_line_imports_nothing_heavy():
    code = "import sys, analyses.cli; print(*sorted({m.split('.')[0] for m in sys.modules}))"
    loaded = set(python("-c", code).stdout.split())
    assert "typer" in loaded
    assert not loaded & {"torch", "transformer_lens", "transformers", "numpy", "pandas", "streamlit", "yaml"}


BARE = """
import typer

def command(name: str = "", number: int = 0) -> None:
    "Nothing."

app = typer.Typer()
app.command()(command)
app()
"""


def seconds_of_help(*arguments: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = python(*arguments, "--help")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert result.returncode == 0
    assert "Usage" in result.stdout
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.fixture(scope="module")
def bare() -> float:
    """The best of four of an application of one command."""
    return min(seconds_of_help("-c", BARE) for _ in range(4))


@pytest.mark.parametrize(
    "command", [[], ["solve"], ["evaluate"], ["patch"], ["cross-step"], ["ablate"], ["dashboard"]]
)
def test_help_answers_at_once(command: list[str], bare: float):
    """In processor time against a Typer application of one command, two times as much; torch alone would be eight.

    The best of at most four: what else the machine does is not the command's.
    """
    ours: list[float] = []
    while len(ours) < 4 and min(ours, default=4 * bare) >= 4 * bare:
        ours.append(seconds_of_help("-m", "analyses.cli", *command))
    assert min(ours) < 4 * bare


def test_exit_codes_of_the_process():
    bad = python("-m", "analyses.cli", "solve", TEXT, "--n-nodes", "4")
    assert (bad.returncode, bad.stdout) == (2, "")
    assert bad.stderr == (
        "Error: GRAPH and --n-nodes were given together: use one of GRAPH, --graph, --graphs-file or --n-nodes.\n"
    )
    assert python("-m", "analyses.cli", "nothing").returncode == 2
