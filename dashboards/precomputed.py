"""Results of the analysis pages, kept on disk by what they depend on: weights, graphs, settings and the code itself.

The folder is `$RECURLENS_CACHE`, or `recurlens` in the user's cache folder. A result is one zip file of JSON, parquet
and plotly JSON; a damaged one is computed again, and where the folder cannot be written nothing is kept.
`python -m dashboards.precomputed` computes what the bare addresses of all pages show, for every bundled model.
"""

from __future__ import annotations

import functools
import hashlib
import io
import json
import logging
import os
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import plotly.io

from models.digests import model_digest as model_digest
from models.files import write_atomically
from models.graph import ComputationGraph

FOLDER_VARIABLE = "RECURLENS_CACHE"
_KEPT = 256
"""Results that stay in the folder; the oldest go first."""

ROOT = Path(__file__).resolve().parent.parent
_CODE = ("models", "interp", "analyses", "dashboards")
_LIBRARIES = ("numpy", "pandas", "plotly", "scikit-learn", "scipy", "torch")


@dataclass(frozen=True, eq=False)
class Result:
    """What an analysis page shows.

    verdict: one sentence. summary: the table of the command, as text. frame: the whole table. data: plain JSON values.
    figures: by name, in the order of the page. seconds: that it took to compute.
    """

    verdict: str
    summary: pd.DataFrame
    frame: pd.DataFrame
    data: Mapping[str, Any]
    figures: Mapping[str, go.Figure]
    seconds: float

    def to_json(self) -> str:
        """``data`` as JSON text."""
        return json.dumps(self.data, indent=1) + "\n"

    def to_bytes(self) -> bytes:
        """As the bytes of a zip file."""
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            about = {"verdict": self.verdict, "seconds": self.seconds, "figures": list(self.figures)}
            archive.writestr("about.json", json.dumps(about))
            archive.writestr("data.json", json.dumps(self.data))
            archive.writestr("summary.parquet", self.summary.to_parquet(index=False))
            archive.writestr("frame.parquet", self.frame.to_parquet(index=False))
            for number, figure in enumerate(self.figures.values()):
                archive.writestr(f"figure{number}.json", str(figure.to_json()))
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> Result:
        """The inverse of :meth:`to_bytes`. Raises some exception for anything else."""
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            about = json.loads(archive.read("about.json"))
            texts = [archive.read(f"figure{number}.json").decode() for number in range(len(about["figures"]))]
            # Figures that plotly wrote itself need no second check, which takes longer than reading them.
            figures = [plotly.io.from_json(text, skip_invalid=True) for text in texts]
            return cls(
                verdict=about["verdict"],
                summary=pd.read_parquet(io.BytesIO(archive.read("summary.parquet"))),
                frame=pd.read_parquet(io.BytesIO(archive.read("frame.parquet"))),
                data=json.loads(archive.read("data.json")),
                figures=dict(zip(about["figures"], figures, strict=True)),
                seconds=about["seconds"],
            )


def cache_folder() -> Path:
    """Where results are kept; it need not exist."""
    given = os.environ.get(FOLDER_VARIABLE)
    if given:
        return Path(given)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "recurlens"


def content_key(
    page: str, models: Sequence[str], graphs: Sequence[ComputationGraph], settings: Mapping[str, str]
) -> str:
    """SHA-256 of all that a result depends on; models: the :func:`model_digest` of each."""
    about = {
        "page": page,
        "code": _code_digest(),
        "models": list(models),
        "graphs": [graph.to_json() for graph in graphs],
        "settings": dict(settings),
    }
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()


def stored(key: str) -> Result | None:
    """The result of a key; None where there is none, or it is damaged."""
    return read(_path(key))


def read(path: Path) -> Result | None:
    """The result of a file; None where there is none, or it is damaged."""
    try:
        return Result.from_bytes(path.read_bytes())
    except FileNotFoundError:
        return None
    except Exception as error:  # a damaged file can fail anywhere, and is computed again
        logging.getLogger(__name__).warning("%s cannot be read and is computed again: %s", path, error)
        return None


def store(key: str, result: Result) -> bool:
    """Keep a result; whether that was possible. A reader sees all of it or nothing."""
    path = _path(key)
    try:
        write_atomically(path, lambda file: file.write(result.to_bytes()))
        _remove_oldest(path.parent)
    except OSError as error:
        logging.getLogger(__name__).info("%s is not kept: %s", path, error)
        return False
    return True


def _path(key: str) -> Path:
    return cache_folder() / f"{key}.zip"


def _remove_oldest(folder: Path) -> None:
    files = sorted(folder.glob("*.zip"), key=lambda path: path.stat().st_mtime)
    for path in files[:-_KEPT]:
        path.unlink(missing_ok=True)


@functools.lru_cache(maxsize=1)
def _code_digest() -> str:
    """SHA-256 of our sources and the versions of the libraries that compute and draw."""
    paths = (path for folder in _CODE for path in sorted((ROOT / folder).rglob("*.py")))
    sources = sources_digest(path.relative_to(ROOT).as_posix() for path in paths)
    return hashlib.sha256(f"{sources} {' '.join(library_versions().values())}".encode()).hexdigest()


def sources_digest(sources: Iterable[str]) -> str:
    """SHA-256 of sources, by their paths from :data:`ROOT`. Raises `OSError` where one cannot be read."""
    digest = hashlib.sha256()
    for source in sources:
        digest.update(source.encode())
        digest.update((ROOT / source).read_bytes())
    return digest.hexdigest()


def library_versions() -> dict[str, str]:
    """Versions of the libraries that compute and draw."""
    return {library: version(library) for library in _LIBRARIES}


def main() -> None:
    """Compute what the bare addresses show, page by page and model by model; what is there already is left."""
    from dashboards.cached import every_model
    from dashboards.pages import analysis_pages

    # Without a browser every spinner would warn that there is none.
    logging.getLogger("streamlit.runtime.scriptrunner_utils.script_run_context").setLevel(logging.ERROR)
    for name in (*every_model(), ""):  # the last for pages that are about none
        for page in analysis_pages().values():
            for variant in page.page.variants if name in page.models() else ():
                title = " ".join([name, page.name, *variant.values()]).strip()
                try:
                    result = page.default_result(name, **variant)
                except ValueError as error:
                    print(f"{title}: {error}")
                else:
                    print(f"{title}: {result.seconds:.1f} s  {result.verdict}")


if __name__ == "__main__":
    main()
