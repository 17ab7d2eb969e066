"""Results that ship: what bare addresses show of the pages that would take long to compute for a first visitor.

A file in `dashboards/data/` is a :class:`~dashboards.precomputed.Result`, named by its page and by what was asked:
the study, its arguments, the graphs and the weights of the models. It says with which sources it was made, all of ours
that were imported to compute it; where one of them has changed since, it is not used, and the page computes. Versions
of libraries are noted beside, and do not decide: they change the last digits of a result, not what it says.

`python -m dashboards.shipped` makes those that do not fit anew, each in a process of its own; `--check` says which.
"""

from __future__ import annotations

import hashlib
import inspect
import io
import json
import logging
import sys
import time
import zipfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from dashboards.precomputed import ROOT, Result, library_versions, read, sources_digest
from models.files import write_atomically
from models.graph import ComputationGraph

FOLDER: Final = Path(__file__).parent / "data"
PAGES: Final = (
    *("explain", "probing", "codes", "lens", "dynamics", "failures", "atlas", "mechanism"),
    *("story", "circuit", "benchmark-circuits", "neurons", "modularity", "massive"),
    *("subnetwork", "degeneracy", "addition", "separation"),
)
"""Pages whose bare address, with the default model, takes one second of processor time and more to compute."""
_MADE: Final = "made.json"
_TOLD: Final = ("analyses.catalogue", "analyses.framework", "models.training")
"""What these mean for a result is told by the study's arguments and by the weights, which are asked for."""


@dataclass(frozen=True)
class Asked:
    """What a result is the answer to.

    study: `module:function`. digests: of the weights of the models. graphs: all, or the one that the study takes alone.
    """

    study: str
    model: str
    digests: tuple[str, ...]
    graphs: ComputationGraph | Sequence[ComputationGraph]
    options: Mapping[str, Any]

    @cached_property
    def key(self) -> str:
        """SHA-256 of all that the answer depends on besides sources; of models it is the weights, not the name."""
        graphs = [self.graphs] if isinstance(self.graphs, ComputationGraph) else self.graphs
        about = [self.study, self.digests, [graph.to_json() for graph in graphs], dict(self.options)]
        return hashlib.sha256(json.dumps(about, sort_keys=True, default=str).encode()).hexdigest()


def shipped(page: str, asked: Asked) -> Result | None:
    """The result of a page that ships; None where there is none, or the sources have changed."""
    path = _path(page, asked.key, FOLDER)
    return read(path) if fits(path) else None


def fits(path: Path) -> bool:
    """Whether a file was made with the sources that are here."""
    try:
        with zipfile.ZipFile(path) as archive:
            made = json.loads(archive.read(_MADE))
        return sources_digest(made["sources"]) == made["code"]
    except (
        OSError,
        zipfile.BadZipFile,
        KeyError,
        ValueError,
    ):  # no such file, a source is gone, or it is damaged
        return False


def make(name: str, asked: Asked, folder: Path = FOLDER) -> tuple[Path, float]:
    """Compute a result and write it in place of the last of its page; the file, and processor seconds that it took.

    What was imported by then counts as source, so this is for a process that did nothing else.
    """
    module, function = asked.study.split(":")
    study_of = getattr(import_module(module), function)
    began, begin = time.perf_counter(), time.process_time()
    study = study_of(asked.graphs, asked.model, **asked.options)
    for tell in (study.verdict, study.table, study.to_frame, study.to_dict, study.figures):
        tell()
    taken = time.process_time() - begin
    sources = _imported()
    from dashboards.pages import analysis_pages
    from dashboards.results import as_result

    figures = analysis_pages()[name].figures
    sources = sorted({*sources, *_file_of(figures)})
    result = as_result(study, figures(study), began)
    made = {"sources": sources, "code": sources_digest(sources), "libraries": library_versions()}
    content = io.BytesIO(result.to_bytes())
    with zipfile.ZipFile(content, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(_MADE, json.dumps(made))
    path = _path(name, asked.key, folder)
    for old in folder.glob(f"{name}-*.zip"):
        old.unlink()
    write_atomically(path, lambda file: file.write(content.getvalue()))
    return path, taken


def _path(page: str, key: str, folder: Path) -> Path:
    return folder / f"{page}-{key[:12]}.zip"


def _imported() -> set[str]:
    """Our files that were imported and decide what a study is, from the root."""
    names = [name for name in sys.modules if name.partition(".")[0] in ("models", "interp", "analyses")]
    files = [sys.modules[name].__file__ for name in names if not name.startswith(_TOLD)]
    return {Path(file).resolve().relative_to(ROOT).as_posix() for file in files if file is not None}


def _file_of(figures: Callable[..., Any]) -> list[str]:
    """The file that chooses the figures of a page, where it is not the page's own record that takes all."""
    file = Path(str(inspect.getsourcefile(figures))).resolve().relative_to(ROOT)
    return [] if file.parts[:2] == ("analyses", "framework") else [file.as_posix()]


def main(check: Annotated[bool, typer.Option(help="Only say which files fit the sources.")] = False) -> None:
    """Make what ships."""
    old = [name for name in PAGES if not any(map(fits, FOLDER.glob(f"{name}-*.zip")))]
    if check:
        print("\n".join(f"{name}: {'older than the sources' if name in old else 'fits'}" for name in PAGES))
        return
    from dashboards.pages import analysis_pages

    # Without a browser every spinner would warn that there is none.
    logging.getLogger("streamlit.runtime.scriptrunner_utils.script_run_context").setLevel(logging.ERROR)
    pages = [analysis_pages()[name] for name in old]
    asked = [page.asked(*page.bare()) for page in pages]
    with ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1) as pool:
        for path, taken in pool.map(make, old, asked):
            print(f"{path.name}: {taken:.1f} s of processor time, {path.stat().st_size:,} bytes", flush=True)


if __name__ == "__main__":
    typer.run(main)
