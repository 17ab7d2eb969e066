"""What commands write: looked at before the work, whole, and never at the price of what was there."""

import errno
import os
import resource
from pathlib import Path
from typing import Any

import pytest
import typer

import models
from analyses import cli, export
from tests.cli.commands import TEXT, recurlens

ARGUMENTS = {
    "text": [TEXT],
    "sizes": ["--sizes", "8"],
    "method": ["--method", "discrete", "--preset", "smoke"],
}


def commands() -> dict[str, Any]:
    """Name -> command, of all that write something."""
    every = typer.main.get_command(cli.app).commands
    return {name: command for name, command in every.items() if _writes(command)}


def _writes(command: Any) -> set[str]:
    return {flag for param in command.params for flag in param.opts} & {"--out", "--json"}


def arguments(command: Any) -> list[str]:
    names = {param.name for param in command.params}
    return next((given for name, given in ARGUMENTS.items() if name in names), [])


@pytest.mark.parametrize("name", commands())
def test_where_a_command_writes_is_looked_at_before_the_work(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(name: str) -> None:
        raise AssertionError("the model was loaded first")

    for loader in ("load", "load_unhooked"):
        monkeypatch.setitem(vars(models), loader, load)
    monkeypatch.chdir(tmp_path)
    command = commands()[name]
    (tmp_path / "file").write_text("kept")
    (tmp_path / "folder").mkdir()
    for flag in sorted(_writes(command)):
        is_file = flag == "--json" or name == "report"
        bad = ["/proc/x", "folder", "missing/x"] if is_file else ["/proc", "file", "file/x"]
        for path in bad:
            error = recurlens(name, *arguments(command), flag, path, code=2).err
            assert error.startswith(("Error: Cannot write ", "Error: Cannot create the folder ")), (
                path,
                error,
            )
    assert (tmp_path / "file").read_text() == "kept"
    assert {path.name for path in tmp_path.rglob("*")} == {"file", "folder"}


def test_a_full_disk_keeps_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "write_png", lambda figure, path: "there is no browser")
    recurlens("solve", TEXT, "--out", tmp_path / "out", "--json", tmp_path / "x.json", "--quiet")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert len(before) == 4
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limit[1]))
        long = "; ".join(f"1 = x_{i}" for i in range(100))
        for option in (["--out", tmp_path / "out"], ["--json", tmp_path / "x.json"]):
            error = recurlens("solve", long, *option, "--quiet", code=2).err
            assert "file too large" in error and "still holds the previous one" in error
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_disk_that_is_full_already_is_found_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Path, data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    error = recurlens("solve", TEXT, "--out", tmp_path / "out", code=2).err
    assert error == f"Error: Cannot write into {tmp_path / 'out'}: no space left on device.\n"
    error = recurlens("solve", TEXT, "--quiet", "--json", "/dev/full", code=2).err
    assert error.startswith("Error: Cannot write /dev/full: no space left on device")


def test_the_figure_of_the_paper_is_looked_at_first_too(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from analyses import generalisation

    application = typer.Typer()
    application.command()(generalisation.main)
    (tmp_path / "file").touch()
    done = CliRunner().invoke(application, ["--out", str(tmp_path / "file")])
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith("Error: Cannot create the folder")


@pytest.mark.parametrize("name", ["forward", "patching", "probing", "training"])
def test_benchmarks_look_where_they_write(name: str, tmp_path: Path) -> None:
    from importlib import import_module

    from typer.testing import CliRunner

    application = typer.Typer()
    application.command()(import_module(f"analyses.benchmarks.{name}").main)
    done = CliRunner().invoke(application, ["--json", str(tmp_path)])
    assert done.exit_code == 2 and "it is a folder" in done.stderr
