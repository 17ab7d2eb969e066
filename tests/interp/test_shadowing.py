"""In a folder with packages of the same names, one message says which folder hides what."""

import os
import subprocess
import sys
import timeit
from pathlib import Path

import pytest

from interp.shadowing import ShadowedPackageError, refuse_shadows


def python(folder: Path, root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(root)}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def project(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A user's folder with packages of their own."""
    for name in request.param:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(f"print('theirs: {name}')\n")
    return tmp_path


@pytest.mark.parametrize("project", [["models"]], indirect=True)
def test_models_of_the_user_before_ours(project: Path, root: Path) -> None:
    done = python(project, root, "-c", "import interp")
    assert done.returncode == 1 and done.stdout == ""
    (last,) = done.stderr.splitlines()[-1:]
    assert last == (
        f"interp.shadowing.ShadowedPackageError: {project / 'models'} hides the package 'models' of recurlens, which "
        f"is {root / 'models'}: Python finds it first. Start Python in another folder, take {project} off PYTHONPATH, "
        f"or rename {project / 'models'}."
    )


def test_a_file_of_the_user_before_ours(tmp_path: Path, root: Path) -> None:
    (tmp_path / "models.py").write_text("print('theirs')\n")
    done = python(tmp_path, root, "-c", "import interp")
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.splitlines()[-1] == (
        f"interp.shadowing.ShadowedPackageError: {tmp_path / 'models.py'} hides the package 'models' of recurlens, "
        f"which is {root / 'models'}: Python finds it first. Start Python in another folder, take {tmp_path} off "
        f"PYTHONPATH, or rename {tmp_path / 'models.py'}."
    )
    done = python(tmp_path, root, "-m", "analyses.cli", "--help")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"Error: {tmp_path / 'models.py'} hides the package 'models' of recurlens")


@pytest.mark.parametrize("project", [["models"], ["interp"], ["models", "interp"]], indirect=True)
def test_a_command_answers_with_one_message(project: Path, root: Path) -> None:
    for arguments in (["-m", "analyses.cli", "--help"], ["-m", "analyses.patching", "--help"]):
        done = python(project, root, *arguments)
        assert (done.returncode, done.stdout) == (2, "")
        hidden = project / ("models" if (project / "models").is_dir() else "interp")
        assert done.stderr.startswith(f"Error: {hidden} hides the package {hidden.name!r} of recurlens")
        assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("project", [["interp"], ["analyses"]], indirect=True)
def test_what_builds_on_a_hidden_package_says_so(project: Path, root: Path) -> None:
    above = "analyses" if (project / "interp").is_dir() else "dashboards"
    done = python(project, root, "-c", f"import {above}")
    assert done.returncode == 1 and done.stdout == ""
    assert "hides the package" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize("project", [["interp", "analyses"]], indirect=True)
def test_what_is_not_hidden_can_be_used(project: Path, root: Path) -> None:
    done = python(project, root, "-c", "import models; print(models.ComputationGraph.__name__)")
    assert done.stdout == "ComputationGraph\n", done.stderr


def test_a_folder_without_python_files_hides_nothing(tmp_path: Path, root: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "weights.bin").write_text("x")
    assert python(tmp_path, root, "-c", "import interp, analyses, dashboards").returncode == 0


def test_looking_costs_nothing(root: Path) -> None:
    seconds = min(timeit.repeat(lambda: refuse_shadows(str(root), ("models",)), number=20, repeat=5)) / 20
    assert seconds < 0.1  # at most 5 ms on an idle machine
    with pytest.raises(ShadowedPackageError, match="hides the package 'models'"):
        refuse_shadows("/elsewhere", ("models",))
