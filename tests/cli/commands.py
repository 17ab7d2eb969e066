"""What the tests of the commands share: a small model, a way to run a command, files of graphs, tables read back."""

import json
import re
from pathlib import Path
from types import SimpleNamespace

import torch
from typer.testing import CliRunner

from analyses import cli
from models.graph import ComputationGraph
from models.trajectory import Trajectory
from models.vocabulary import FactoredVocabulary

TEXT = "20 = x_7; 2 = x_42; x_7 + x_42 = x_23"
RECORD = {"equations": ["20 = a", "5 = b", "a ADD b = c"], "values": {"a": 20, "b": 5, "c": 2}}


class LevelByLevel:
    """A model that solves one level per step; a node named `bad` is EMPTY or wrong for ever, `late` wrong once."""

    vocabulary = FactoredVocabulary(ops=("ADD", "SUB"))
    cfg = SimpleNamespace(
        positions="none",
        n_ctx=1024,
        method="",
        writes_text=False,
        default_steps=None,
        bottleneck="discrete",
    )

    def run(self, graphs: list[ComputationGraph], n_steps: int | None = None) -> Trajectory:
        encoded = self.vocabulary.encode(graphs)
        steps = int(encoded.depths.max()) + 2 if n_steps is None else n_steps
        states = encoded.factors.repeat(steps + 1, 1, 1, 1)
        for row, graph in enumerate(graphs):
            for node, (value, depth) in enumerate(
                zip(graph.values_by_node, graph.depths_by_node, strict=True)
            ):
                position = int(encoded.rhs[row, node])
                wrong = (value + 1) % graph.modulus
                states[depth + 1 :, row, position, 3] = wrong if graph.nodes[node].name == "bad" else value
                if graph.nodes[node].name == "late":
                    states[depth + 1, row, position, 3] = wrong
        changed = (states[1:] != states[:-1]).flatten(2).any(-1)
        settled = ~changed[-1]
        last = torch.stack([changed[:, row].nonzero().max() for row in range(len(graphs))])
        return Trajectory(
            states=states,
            confidence=torch.full((steps, *encoded.factors.shape), 0.25),
            encoded=encoded,
            vocabulary=self.vocabulary,
            fixed_point=torch.where(settled, last, -1),
            cycle=settled.long(),
            hit_bound=~settled,
            bound=steps,
        )


def recurlens(*arguments: object, code: int = 0) -> SimpleNamespace:
    """Run a command in this process; checks the exit code, and that an error is one message on stderr alone."""
    result = CliRunner().invoke(cli.app, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output or repr(result.exception)
    if code:
        assert "Traceback" not in result.stderr
        assert len(re.findall(r"\bError\b", result.stderr)) == 1
        assert result.stdout == ""
    return SimpleNamespace(out=result.stdout, err=result.stderr)


def write_lines(path: Path, *records: object) -> Path:
    lines = (record if isinstance(record, str) else json.dumps(record) for record in records)
    path.write_text("\n".join(lines) + "\n")
    return path


def table_rows(out: str) -> dict[str, list[str]]:
    """First cell -> the others; columns of a table have two spaces or more between them."""
    rows = [re.split(r"\s{2,}", line.strip()) for line in out.splitlines() if line.startswith("  ")]
    return {row[0]: row[1:] for row in rows}
