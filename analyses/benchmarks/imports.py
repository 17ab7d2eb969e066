"""What it costs to begin: imports and one short run, each in a fresh process, against `import torch`.

    python -m analyses.benchmarks.imports [--json FILE] [--repeats 5]

What is measured is processor time (user and system), the least of several turns: it depends little on what else the
machine does. `site` is `from interp import Site`, `solve` the command `recurlens solve` with the compiled model, and
`hooked` the import of a model with hooks, which needs TransformerLens. Bars: `site` at most 0.3 and `solve` at most 1.6
of the time of `import torch`.
"""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from analyses.benchmarks.harness import Ratio, report
from analyses.options import writable

GRAPH = "20 = x_7; 2 = x_42; x_7 + x_42 = x_23; x_23 + x_7 = x_5"
PLAIN = "import torch"
BEGINNINGS = {
    "site": "from interp import Site",
    "solve": f"from analyses.cli import app; app(['solve', {GRAPH!r}, '--model', 'compiled'])",
    "hooked": "from models.recurrent import RecurrentTransformer",
}


def processor_seconds(code: str) -> float:
    """Processor time of a fresh Python process that runs `code`.

    Raises CalledProcessError where the code fails.
    """
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure(repeats: int) -> dict[str, Ratio]:
    """Every beginning against the plain import, in turn; the first turn, which fills the file cache, is left out."""
    codes = {"plain": PLAIN, **BEGINNINGS}
    turns = [{name: processor_seconds(code) for name, code in codes.items()} for _ in range(repeats + 1)][1:]
    least = {name: min(turn[name] for turn in turns) for name in codes}
    return {
        name: Ratio(least[name], least["plain"], least["plain"] / least[name], repeats) for name in BEGINNINGS
    }


def main(
    json: Annotated[Path | None, typer.Option(callback=writable, help="Also write here.")] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Turns.")] = 5,
) -> None:
    """Run and print."""
    report("beginnings, in processor time", measure(repeats), 0.0, json)


if __name__ == "__main__":
    typer.run(main)
