"""Twenty readers at once on one server, each with a model and a graph of its own, moving the slider of steps.

Every reader speaks the protocol of Streamlit's own browser code, so that the server is the real one and no browser
costs time. Each answer to a move is compared with the figure that the reader's own run gives: another reader's graph,
or an exception, is a failure. Prints the median answer. `python -m analyses.benchmarks.readers --readers 20`
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.sync.client import ClientConnection, connect

from analyses.benchmarks.harness import machine
from interp.figures.graph import graph_figure
from interp.figures.template import state_label
from models.files import write_text
from models.graph import ComputationGraph
from models.loading import COMPILED, available, config, load
from models.trajectory import Trajectory

APP = Path(__file__).resolve().parents[2] / "dashboards" / "app.py"
_PATIENCE = 600.0
"""Seconds after which an answer is given up."""
_AGAIN = 0.2
"""Seconds after which a page whose run is still at work is asked for again, as a browser does."""


@dataclass
class Reader:
    """One reader of the Trajectory page: a model and a sampled graph, and what went wrong.

    answers: seconds from each move of the slider to the end of the server's answer.
    """

    model: str
    n_nodes: int
    seed: int
    moves: int
    answers: list[float] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    _known: dict[str, ForwardMsg] = field(default_factory=dict, repr=False)

    @property
    def query(self) -> str:
        """The address of what is read."""
        return urlencode({"model": self.model, "n": self.n_nodes, "seed": self.seed, "ops": "ADD"})

    def read(self, address: str, ready: threading.Barrier) -> None:
        """Open the page, wait for the others, then move the slider; what is wrong is kept in `problems`."""
        try:
            graph = ComputationGraph.sample(n_nodes=self.n_nodes, seed=self.seed, ops=("ADD",))
            run = load(self.model).run(graph)
            protocols: Any = ["streamlit"]
            with connect(
                f"{address}/_stcore/stream",
                subprotocols=protocols,
                max_size=None,
                open_timeout=_PATIENCE,
                ping_interval=None,
            ) as wire:
                slider, fragment, drawn = self._ask(wire, None)
                self._compare(drawn, run, len(run.states) - 1)
                ready.wait(_PATIENCE)
                for move in range(self.moves):
                    state = (self.seed + move) % (len(run.states) - 1)
                    begin = time.perf_counter()
                    _, _, drawn = self._ask(wire, (slider, fragment, state_label(state)))
                    self.answers.append(time.perf_counter() - begin)
                    self._compare(drawn, run, state)
        except threading.BrokenBarrierError:
            pass  # another reader has said why
        except Exception as error:  # a thread's traceback would reach nobody
            self.problems.append(f"{type(error).__name__}: {error}")
            ready.abort()

    def _ask(self, wire: ClientConnection, move: tuple[str, str, str] | None) -> tuple[str, str, Any]:
        """The slider, its fragment, and the graph that is drawn, of the page or after a move of the slider."""
        back = BackMsg()
        back.rerun_script.query_string = self.query
        if move is not None:
            slider, fragment, label = move
            back.rerun_script.fragment_id = fragment
            back.rerun_script.widget_states.widgets.add(id=slider).string_array_value.data.append(label)
        wire.send(back.SerializeToString())
        slider, fragment, drawn = "", "", None
        end = time.monotonic() + _PATIENCE
        while True:
            content = wire.recv(timeout=end - time.monotonic())
            message = ForwardMsg()
            message.ParseFromString(content if isinstance(content, bytes) else content.encode())
            kind = message.WhichOneof("type")
            if kind == "ref_hash":
                message = self._known[message.ref_hash]
            elif message.hash:
                self._known[message.hash] = message
            if kind == "script_finished":
                if move is None and drawn is None and not self.problems:
                    time.sleep(_AGAIN)
                    wire.send(back.SerializeToString())
                    continue
                return slider, fragment, drawn
            if message.WhichOneof("type") != "delta" or message.delta.WhichOneof("type") != "new_element":
                continue
            element = message.delta.new_element
            what = element.WhichOneof("type")
            if what == "exception":
                self.problems.append(f"exception: {element.exception.message}")
            elif what == "slider":
                slider, fragment = element.slider.id, message.delta.fragment_id
            elif what == "plotly_chart" and element.plotly_chart.id.endswith("-graph"):
                drawn = json.loads(element.plotly_chart.spec)["data"]

    def _compare(self, drawn: Any, run: Trajectory, state: int) -> None:
        """Note where the figure is not that of this reader's run."""
        figure = graph_figure(run, state, highlight=self.n_nodes - 1, width=760)
        if drawn != json.loads(str(figure.to_json()))["data"]:
            self.problems.append(
                f"{self.model}, seed {self.seed}: not the graph of step {state_label(state)}"
            )


@contextmanager
def served() -> Iterator[str]:
    """A server of the dashboard on a free port, until the context ends; its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", str(APP), f"--server.port={port}"]
    options = ["--server.address=127.0.0.1", "--server.headless=true", "--browser.gatherUsageStats=false"]
    places = os.pathsep.join(filter(None, [str(APP.parents[1]), os.environ.get("PYTHONPATH")]))
    server = subprocess.Popen(
        [*command, *options], env=os.environ | {"PYTHONPATH": places}, stdout=subprocess.DEVNULL
    )
    try:
        end = time.monotonic() + 120
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=2):
                    break
            except OSError:
                if server.poll() is not None or time.monotonic() > end:
                    raise
                time.sleep(0.2)
        yield f"ws://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(timeout=30)


def read_together(count: int, moves: int) -> list[Reader]:
    """So many readers at once, the models in turn, each on another graph, with so many moves of the slider."""
    names = [name for name in available() if name == COMPILED or not config(name).writes_text]
    readers = [Reader(names[i % len(names)], 8 + i % 9, i, moves) for i in range(count)]
    ready = threading.Barrier(count)
    with served() as address:
        threads = [threading.Thread(target=reader.read, args=(address, ready)) for reader in readers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return readers


def summary(readers: list[Reader]) -> dict[str, Any]:
    """What is printed and written: the median and the slowest answer in seconds, and every problem."""
    answers = [answer for reader in readers for answer in reader.answers]
    return {
        "readers": len(readers),
        "moves": len(answers),
        "median_s": statistics.median(answers) if answers else None,
        "slowest_s": max(answers, default=None),
        "problems": [problem for reader in readers for problem in reader.problems],
        "machine": machine(),
    }


def main() -> None:
    """Read, print, and exit with code 1 where anything was wrong."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--readers", type=int, default=20)
    parser.add_argument("--moves", type=int, default=10, help="of the slider, by each reader")
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    if arguments.readers < 1 or arguments.moves < 1:
        parser.error("--readers and --moves must be at least 1")
    found = summary(read_together(arguments.readers, arguments.moves))
    median = "none" if found["median_s"] is None else f"{found['median_s']:.2f} s"
    print(f"{found['readers']} readers, {found['moves']} moves of the slider: median answer {median}")
    for problem in found["problems"]:
        print(f"  wrong: {problem}")
    if arguments.json is not None:
        write_text(arguments.json, json.dumps(found, indent=2) + "\n")
    sys.exit(1 if found["problems"] else 0)


if __name__ == "__main__":
    main()
