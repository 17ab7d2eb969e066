"""Every command gets the small model, unless a test asks for the real ones."""

import pytest

import models
from tests.cli.commands import LevelByLevel

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
