"""Every command gets the small model, unless a test asks for the real ones."""

from pathlib import Path

import pytest

import models
from analyses import export
from tests.cli.commands import LevelByLevel
from tests.small_models import save_compiled

LOADERS = ("load", "load_unhooked")


@pytest.fixture(autouse=True)
def fake_model(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(name: str) -> LevelByLevel:
        if name != "compiled":
            raise ValueError(f"there is no model {name!r}; bundled are: compiled")
        return LevelByLevel()

    # Into the module itself: setattr would first import the real one.
    for name in LOADERS:
        monkeypatch.setitem(vars(models), name, load)


@pytest.fixture
def real_models(fake_model: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in LOADERS:
        monkeypatch.delitem(vars(models), name)


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small compiled model."""
    return save_compiled(tmp_path_factory.mktemp("model") / "small")


@pytest.fixture(autouse=True)
def no_browser(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures take a browser, and seconds."""
    monkeypatch.setattr(export, "write_png", lambda figure, path: "there is no browser")
