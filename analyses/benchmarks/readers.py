"""Twenty readers at once on one server, each with a model and a graph of its own, moving through the steps.

Every reader speaks the protocol of Streamlit's own browser code, so that the server is the real one and no browser
costs time. Each answer to a move is compared with what the player is given of the reader's own run: another reader's
graph, or an exception, is a failure. Prints the median answer. `python -m analyses.benchmarks.readers --readers 20`
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.sync.client import ClientConnection, connect

from analyses.benchmarks.harness import machine
from analyses.benchmarks.served import served
from interp.figures.scene import scene_of
from interp.figures.template import state_label
from models.files import write_text
from models.graph import ComputationGraph
from models.loading import COMPILED, available, config, load
from models.trajectory import Trajectory

_PATIENCE = 600.0
"""Seconds after which an answer is given up."""
_AGAIN = 0.2
"""Seconds after which a page whose run is still at work is asked for again, as a browser does."""


@dataclass
class Reader:
    """One reader of the Trajectory page: a model and a sampled graph, and what went wrong.

    answers: seconds from each move to the end of the server's answer.
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
        """Open the page, wait for the others, then move through the steps; what is wrong is kept in `problems`."""
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
                player, fragment, played = self._ask(wire, None)
                self._compare(played, run, len(run.states) - 1)
                ready.wait(_PATIENCE)
                for move in range(self.moves):
                    state = (self.seed + move) % (len(run.states) - 1)
                    begin = time.perf_counter()
                    place = {"step": state, "at": 0, "shown": "original", "turn": move}
                    _, _, played = self._ask(wire, (player, fragment, place))
                    self.answers.append(time.perf_counter() - begin)
                    self._compare(played, run, state)
        except threading.BrokenBarrierError:
            pass  # another reader has said why
        except Exception as error:  # a thread's traceback would reach nobody
            self.problems.append(f"{type(error).__name__}: {error}")
            ready.abort()

    def _ask(
        self, wire: ClientConnection, move: tuple[str, str, dict[str, Any]] | None
    ) -> tuple[str, str, dict[str, Any] | None]:
        """The player, its fragment, and what it is given, of the page or after a move in it."""
        back = BackMsg()
        back.rerun_script.query_string = self.query
        if move is not None:
            player, fragment, place = move
            back.rerun_script.fragment_id = fragment
            back.rerun_script.widget_states.widgets.add(id=player).json_value = json.dumps({"place": place})
        wire.send(back.SerializeToString())
        player, fragment, played = "", "", None
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
                if move is None and played is None and not self.problems:
                    time.sleep(_AGAIN)
                    wire.send(back.SerializeToString())
                    continue
                return player, fragment, played
            if message.WhichOneof("type") != "delta" or message.delta.WhichOneof("type") != "new_element":
                continue
            element = message.delta.new_element
            what = element.WhichOneof("type")
            if what == "exception":
                self.problems.append(f"exception: {element.exception.message}")
            elif what == "bidi_component" and "scene" in (given := element.bidi_component.json):
                player, fragment = element.bidi_component.id, message.delta.fragment_id
                played = json.loads(given)

    def _compare(self, played: dict[str, Any] | None, run: Trajectory, state: int) -> None:
        """Note where what is played is not this reader's run, in that state."""
        if played is None or (played["scene"], played["step"]) != (scene_of(run), state):
            self.problems.append(
                f"{self.model}, seed {self.seed}: not the state of step {state_label(state)}"
            )


def read_together(count: int, moves: int) -> list[Reader]:
    """So many readers at once, the models in turn, each on another graph, with so many moves."""
    names = [name for name in available() if name == COMPILED or not config(name).writes_text]
    readers = [Reader(names[i % len(names)], 8 + i % 9, i, moves) for i in range(count)]
    ready = threading.Barrier(count)
    with served() as server:
        address = server.address.replace("http", "ws", 1)
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
    parser.add_argument("--moves", type=int, default=10, help="through the steps, by each reader")
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    if arguments.readers < 1 or arguments.moves < 1:
        parser.error("--readers and --moves must be at least 1")
    found = summary(read_together(arguments.readers, arguments.moves))
    median = "none" if found["median_s"] is None else f"{found['median_s']:.2f} s"
    print(f"{found['readers']} readers, {found['moves']} moves: median answer {median}")
    for problem in found["problems"]:
        print(f"  wrong: {problem}")
    if arguments.json is not None:
        write_text(arguments.json, json.dumps(found, indent=2) + "\n")
    sys.exit(1 if found["problems"] else 0)


if __name__ == "__main__":
    main()
