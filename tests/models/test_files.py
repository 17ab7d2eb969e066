"""Files are whole or as they were, whatever happens while they are written."""

from __future__ import annotations

import errno
import os
import resource
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest

from models.files import (
    WriteError,
    check_file,
    check_folder,
    remove_leftovers,
    write_atomically,
    write_text,
)


@pytest.fixture
def small_files() -> Iterator[None]:
    """No file can become larger than 10 kB: writing fails in the middle, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_an_older_file_survives_a_failure_in_the_middle(tmp_path: Path, small_files: None) -> None:
    path = tmp_path / "table.csv"
    write_text(path, "good")
    with pytest.raises(
        WriteError, match=r"cannot write .*table.csv: File too large; .* still holds the previous one"
    ):
        write_text(path, "x" * 20_000)
    assert path.read_text() == "good" and names(tmp_path) == ["table.csv"]
    with pytest.raises(WriteError, match="nothing was left behind"):
        write_text(tmp_path / "new", "x" * 20_000)
    assert names(tmp_path) == ["table.csv"]


def test_nothing_is_left_behind_by_any_exception(tmp_path: Path) -> None:
    def interrupted(file: BinaryIO) -> None:
        file.write(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "x", interrupted)
    assert names(tmp_path) == []


def test_a_link_its_rights_and_its_target_stay(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("old")
    target.chmod(0o640)
    link.symlink_to(target)
    write_text(link, "new")
    assert link.is_symlink() and target.read_text() == "new"
    assert stat.S_IMODE(target.stat().st_mode) == 0o640


def test_a_device_or_a_pipe_is_written_directly(tmp_path: Path) -> None:
    write_text(Path(os.devnull), "gone")
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)
    with pytest.raises(WriteError, match="/dev/full: No space left on device"):
        write_text(Path("/dev/full"), "x" * 100_000)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    check_file(pipe)
    write_text(pipe, "through")
    assert os.read(reader, 100) == b"through"
    os.close(reader)


def test_what_cannot_be_written_is_found_out_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    file.write_text("kept")
    check_file(file)
    check_file(tmp_path / "new")
    check_folder(tmp_path / "a" / "b")
    assert file.read_text() == "kept" and names(tmp_path) == ["a", "file"]
    for check, path, message in (
        (check_file, tmp_path, "it is a folder"),
        (check_file, tmp_path / "no" / "x", f"there is no folder {tmp_path / 'no'}"),
        (check_folder, file, f"{file} is a file"),
        (check_folder, file / "x", f"{file} is a file"),
        (check_folder, Path("/proc"), "cannot write /proc: "),
        (check_file, Path("/proc/x"), "cannot write /proc/x: "),
    ):
        with pytest.raises(WriteError, match=message):
            check(path)

    def full(self: Path, data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    for check, path in ((check_file, file), (check_folder, tmp_path)):
        with pytest.raises(WriteError, match="No space left on device"):
            check(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_protected_folder_and_a_protected_file(tmp_path: Path) -> None:
    folder, file = tmp_path / "folder", tmp_path / "file"
    folder.mkdir(mode=0o555)
    file.touch(mode=0o444)
    for check, path in ((check_folder, folder), (check_file, folder / "x"), (check_file, file)):
        with pytest.raises(WriteError, match="Permission denied"):
            check(path)


def test_leftovers_of_a_kill_are_removed(tmp_path: Path) -> None:
    for name in (".recurlens-0123456789abcdef.tmp", ".recurlens-mine.tmp", "x.tmp"):
        (tmp_path / name).touch()
    remove_leftovers(tmp_path)
    assert names(tmp_path) == [".recurlens-mine.tmp", "x.tmp"]
    remove_leftovers(tmp_path / "absent")


def test_results_survive_a_full_disk(tmp_path: Path) -> None:
    """Every `save` of a result that is one file."""
    from interp.causal.patching import PatchSweep
    from models.graph import ComputationGraph

    graph = ComputationGraph.parse("1 = a")
    numbers = np.random.default_rng(0).random(5000)
    sweep = PatchSweep((), numbers[:3], 1.0, 0.0, "prob", "denoise", (0,), graph, graph, 1, 0.0)
    path = sweep.save(tmp_path / "sweep")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        with pytest.raises(WriteError, match="File too large"):
            PatchSweep((), numbers, 1.0, 0.0, "prob", "denoise", (0,), graph, graph, 1, 0.0).save(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert np.array_equal(PatchSweep.load(path).raw, numbers[:3]) and names(tmp_path) == ["sweep.npz"]


def test_nothing_of_ours_is_written_past_the_helper(root: Path) -> None:
    """Plain ways to write a file are used by the helper alone, and where a whole folder is staged or a log grows.

    The benchmark of hostile input writes files that are broken on purpose.
    """
    plain = (
        ".write_text(",
        ".write_bytes(",
        ".to_parquet(path",
        ".write_html(",
        ".write_image(",
        "np.savez(path",
        "np.savez_compressed(path",
        "save_file(",
        '.open("w',
    )
    staged = {"models/files.py", "interp/data/datasets.py", "interp/data/growing.py"}
    wrong = [
        f"{path.relative_to(root)}: {way}"
        for package in ("models", "interp", "analyses", "dashboards")
        for path in (root / package).rglob("*.py")
        if str(path.relative_to(root)) not in staged
        and not {"notebooks", "hostility"} & {*path.parts, path.stem}
        for way in plain
        if way in path.read_text()
    ]
    assert wrong == []
