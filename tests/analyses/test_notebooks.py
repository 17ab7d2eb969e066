"""The notebooks run, and what lies in the repository is what they are: same sources, outputs that GitHub shows."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import nbformat
import pytest

from analyses.notebooks import images
from analyses.notebooks.execute import execute
from analyses.notebooks.sources import FOLDER, METADATA, NotebookError, chosen, names, source, stored

NAMES = (
    "01_graph_to_trajectory",
    "02_patching_a_step",
    "03_probing_latent_codes",
    "04_codebook_over_steps",
    "05_your_own_looped_model",
    "06_trained_foreign_loop",
    "07_same_circuit_in_every_step",
    "08_what_neighbours_ask",
)
WHEELS = {"06_trained_foreign_loop": "kokoro"}
"""Folders that a notebook has to be given first; without them it is not run."""
SECONDS = 600
"""Against a notebook that hangs; on an idle machine each takes less than 90."""
BYTES = 400_000


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_runs_in_time_and_draws_its_figures(name: str):
    """Its claims are assertions in its cells. Time is the processor's."""
    folder = WHEELS.get(name)
    if folder is not None and not (FOLDER.parent.parent / folder).is_dir():
        pytest.skip(f"{name} needs a download into {folder}/")
    found = execute(name)
    assert found.processor_seconds < SECONDS
    cells = [cell for cell in found.notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    figures = [output for output in outputs if images.PLOTLY in output.get("data", {})]
    was = stored(name)
    assert was is not None
    assert len(figures) == json.dumps(was).count(f'"{images.DIGEST}"') > 0


def test_all_are_there():
    assert tuple(names()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_the_executed_notebook_has_the_sources_of_its_text(name: str):
    wanted, found = source(name), stored(name)
    assert found is not None, f"there is no {name}.ipynb; run python -m analyses.notebooks.execute {name}"
    assert [(cell.id, cell.cell_type, cell.source) for cell in found.cells] == [
        (cell.id, cell.cell_type, cell.source) for cell in wanted.cells
    ], f"{name}.ipynb is not of this {name}.py; run python -m analyses.notebooks.execute {name}"
    nbformat.validate(found)


@pytest.mark.parametrize("name", NAMES)
def test_the_executed_notebook_is_small_and_says_nothing_of_where_it_was_made(name: str):
    path = FOLDER / f"{name}.ipynb"
    text = path.read_text()
    found = stored(name)
    assert found is not None
    assert path.stat().st_size < BYTES
    assert found.metadata == METADATA
    assert {cell.metadata == {} for cell in found.cells} == {True}
    outputs = [output for cell in found.cells for output in cell.get("outputs", ())]
    assert {output.output_type for output in outputs} <= {"stream", "execute_result", "display_data"}
    assert {output.name for output in outputs if output.output_type == "stream"} <= {"stdout"}
    assert not re.search(r"/(home|root|tmp|Users)/|site-packages| at 0x[0-9a-f]{6}", text)


def test_notebooks_are_chosen_by_number_or_name():
    assert chosen(["02", "01_graph_to_trajectory.py"]) == [NAMES[1], NAMES[0]]
    assert chosen([]) == list(NAMES)
    with pytest.raises(
        NotebookError, match="there is no notebook '09'; there are 01_graph_to_trajectory, 02"
    ):
        chosen(["09"])


def test_an_unknown_notebook_is_one_message_and_exit_code_2():
    command = [sys.executable, "-m", "analyses.notebooks.execute", "09"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, cwd=FOLDER.parent.parent)
    assert ended.returncode == 2
    assert "there is no notebook '09'" in ended.stderr
    assert "Traceback" not in ended.stderr


def _notebook(figure: dict[str, object]):
    cell = nbformat.v4.new_code_cell("figure")
    cell.outputs = [nbformat.v4.new_output("display_data", {images.PLOTLY: figure})]
    return nbformat.v4.new_notebook(cells=[cell])


def test_a_figure_that_has_not_changed_keeps_its_picture_without_a_browser(monkeypatch: pytest.MonkeyPatch):
    figure = {"data": [{"type": "bar", "y": [1, 2]}], "layout": {"title": {"text": "two bars"}}}
    picture = images._palette(_png())
    monkeypatch.setattr(images, "_drawn", lambda figures: [picture] * len(figures))
    first = _notebook(figure)
    assert images.with_pictures(first) == 0

    monkeypatch.setattr(images, "_drawn", lambda figures: [])
    again, changed = _notebook(figure), _notebook(figure | {"data": [{"type": "bar", "y": [1, 3]}]})
    assert images.with_pictures(again, first) == 0
    assert again.cells[0].outputs == first.cells[0].outputs
    assert again.cells[0].outputs[0].data[images.PNG] == picture
    assert images.with_pictures(changed, first) == 1
    assert images.PLOTLY in changed.cells[0].outputs[0].data


def test_without_a_browser_figures_stay_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def no_browser(*_: object, **__: object) -> None:
        raise RuntimeError("no Chrome here\nmore")

    monkeypatch.setattr(images.pio, "write_images", no_browser)
    notebook = _notebook({"data": [{"type": "bar", "y": [1]}], "layout": {}})
    assert images.with_pictures(notebook) == 1
    assert images.PLOTLY in notebook.cells[0].outputs[0].data
    assert capsys.readouterr().out == "figures stay JSON: no Chrome here\n"


def _png() -> bytes:
    import io

    from PIL import Image

    file = io.BytesIO()
    Image.new("RGB", (6, 3), "#3457d5").save(file, "PNG")
    return file.getvalue()
