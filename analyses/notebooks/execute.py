"""Execute notebooks: ``NN_name.py`` -> ``NN_name.ipynb`` beside it, with outputs and pictures.

    python -m analyses.notebooks.execute                 # all
    python -m analyses.notebooks.execute 02 05           # two of them
    python -m analyses.notebooks.execute --check         # run them, write nothing

Each runs in a kernel of its own, on one thread. What it leaves out of the file: times, the kernel's version, and what
was written to stderr, which is shown instead. Running again on one machine gives the same file.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode

from analyses.notebooks.images import with_pictures
from analyses.notebooks.sources import FOLDER, NotebookError, chosen, source, store, stored

ROOT: Final = FOLDER.parent.parent
CELL_SECONDS: Final = 300
"""A cell that takes longer is given up."""
ENVIRONMENT: Final = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "PLOTLY_RENDERER": "plotly_mimetype",
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    "PYTHONWARNINGS": "ignore:IProgress not found",
    "COLUMNS": "100",
}


@dataclass(frozen=True)
class Executed:
    """A notebook with its outputs, figures as plotly's JSON.

    complaints: what was written to stderr, which is not among the outputs. seconds, processor_seconds: of the whole
    kernel, start and imports included; on one thread the two differ by what else the machine was doing.
    """

    notebook: NotebookNode
    complaints: str
    seconds: float
    processor_seconds: float


def execute(name: str) -> Executed:
    """Run a notebook in a kernel of its own.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell that fails, an assertion too.
    """
    notebook = source(name)
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    client: Any = NotebookClient(
        notebook,
        timeout=CELL_SECONDS,
        kernel_name="python3",
        record_timing=False,
        resources={"metadata": {"path": str(ROOT)}},
        extra_arguments=["--HistoryManager.enabled=False", "--IPKernelApp.log_level=40"],
    )
    begin, used = time.perf_counter(), _children_seconds()
    client.execute(env={**os.environ, **ENVIRONMENT, "PYTHONPATH": path})
    seconds, used = time.perf_counter() - begin, _children_seconds() - used
    notebook.metadata = source(name).metadata
    complaints: list[str] = []
    for cell in notebook.cells:
        cell.metadata = NotebookNode()
        if cell.cell_type == "code":
            complaints += [output.text for output in cell.outputs if output.get("name") == "stderr"]
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    return Executed(notebook, "".join(complaints), seconds, used)


def _children_seconds() -> float:
    """Processor time of the kernels that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0; 1 if a notebook fails; 2 for a name that is none's."""
    parser = argparse.ArgumentParser(prog="python -m analyses.notebooks.execute", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="name or number of a notebook (default: all)"
    )
    parser.add_argument("--check", action="store_true", help="execute, and write nothing")
    given = parser.parse_args(arguments)
    try:
        wanted = chosen(given.names)
    except NotebookError as error:
        parser.error(str(error))
    failed = False
    for name in wanted:
        try:
            found = execute(name)
        except CellExecutionError as error:
            print(f"{name} failed:\n{error}", file=sys.stderr)
            failed = True
            continue
        if found.complaints:
            print(f"{name} wrote to stderr, which is left out:\n{found.complaints}", file=sys.stderr)
        report = f"{name}: {found.seconds:.1f} s, {found.processor_seconds:.1f} s of them on the processor"
        if not given.check:
            left = with_pictures(found.notebook, stored(name))
            path = store(name, found.notebook)
            report += f", {path.stat().st_size / 1000:.0f} kB" + (f", {left} figures as JSON" if left else "")
        print(report, flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
