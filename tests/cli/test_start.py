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


@pytest.mark.parametrize(
    "command", [[], ["solve"], ["evaluate"], ["patch"], ["cross-step"], ["ablate"], ["dashboard"]]
)
def test_help_answers_at_once(command: list[str]):
    """In processor time, so that other work on the machine does not count; on an idle one it is the time waited."""
    seconds = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        result = python("-m", "analyses.cli", *command, "--help")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        assert result.returncode == 0
        assert "Usage" in result.stdout
    assert min(seconds) < 0.5


def test_exit_codes_of_the_process():
    bad = python("-m", "analyses.cli", "solve", TEXT, "--n-nodes", "4")
    assert (bad.returncode, bad.stdout) == (2, "")
    assert bad.stderr == (
        "Error: GRAPH and --n-nodes were given together: use one of GRAPH, --graph, --graphs-file or --n-nodes.\n"
    )
    assert python("-m", "analyses.cli", "nothing").returncode == 2
