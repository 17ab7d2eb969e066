"""Shared by all tests: one compute thread a worker, shapes checked once for each kind, and where the data lies."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# Before numpy and torch are imported: as many workers as cores, each with one thread, is the fastest.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import torch  # noqa: E402

from tests.shapes import check_once  # noqa: E402

torch.set_num_threads(1)
check_once()

ROOT = Path(__file__).resolve().parent.parent
MAIN = sys.modules["__main__"]


@pytest.fixture(autouse=True)
def main_module_stays() -> Iterator[None]:
    """A page under Streamlit's test runner takes the place of `__main__`, which new processes would then run."""
    sys.modules["__main__"] = MAIN
    yield
    sys.modules["__main__"] = MAIN


@pytest.fixture(autouse=True)
def patient_pages(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page under test waits for what it computes; Streamlit's test runner does not run it again by itself."""
    if "test_dashboard" in request.module.__name__ or hasattr(request.module, "AppTest"):
        monkeypatch.setattr("dashboards.computing.PATIENCE", 120.0)
        # On a slow machine the page of one test would ask before it starts what took long in another.
        monkeypatch.setattr("dashboards.analysis_page.ASK", 600.0)


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def data() -> Path:
    """The reference files the tests compare with."""
    return ROOT / "tests" / "data"
