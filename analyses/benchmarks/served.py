"""The dashboard on a free port of this machine, and a browser to look at it; for tests, benchmarks and pictures."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

ROOT: Final = Path(__file__).parents[2]
CHROMIUM: Final = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)
FLAGS: Final = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking")
_PATIENCE: Final = 120.0
"""Seconds until a server has to be up."""


@dataclass(frozen=True)
class Server:
    """A server that is up: its address, and its process."""

    address: str
    process: psutil.Process

    def processor_seconds(self) -> float:
        """Processor time that it has used."""
        times = self.process.cpu_times()
        return times.user + times.system


@contextmanager
def served(root: Path = ROOT) -> Iterator[Server]:
    """The dashboard of the sources at `root`, as `recurlens dashboard` starts it, until the block is left.

    Raises:
        RuntimeError: it does not start.
    """
    with _up(["-m", "analyses.cli", "dashboard", "--port"], root) as server:
        yield server


@contextmanager
def served_script(script: Path) -> Iterator[Server]:
    """A Streamlit app of one file, with the settings of the dashboard, until the block is left.

    Raises:
        RuntimeError: it does not start.
    """
    options = [
        "--server.fileWatcherType=none",
        "--browser.gatherUsageStats=false",
        "--server.address=127.0.0.1",
    ]
    with _up(["-m", "streamlit", "run", str(script), *options, "--server.port"], script.parent) as server:
        yield server


@contextmanager
def _up(arguments: Sequence[str], folder: Path) -> Iterator[Server]:
    """A server that Python runs in a folder, by arguments that end with the option of its port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    quietly = os.environ | {"STREAMLIT_SERVER_HEADLESS": "true"}
    command = [sys.executable, *arguments, str(port)]
    server = subprocess.Popen(command, cwd=folder, env=quietly, stdout=subprocess.DEVNULL)
    try:
        _wait_until_up(f"http://127.0.0.1:{port}/_stcore/health", server)
        yield Server(f"http://127.0.0.1:{port}", psutil.Process(server.pid))
    finally:
        server.terminate()
        server.wait(timeout=20)


def _wait_until_up(address: str, server: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        if server.poll() is not None:
            raise RuntimeError(f"the server ended with code {server.returncode}")
        try:
            with urllib.request.urlopen(address, timeout=2):
                return
        except OSError:
            time.sleep(0.2)
    raise RuntimeError(f"the server was not up after {_PATIENCE:.0f} s")
