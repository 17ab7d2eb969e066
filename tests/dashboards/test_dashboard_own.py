"""Models, runs and graphs of one's own: brought by who starts the server, or uploaded; checked, kept within bounds."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from analyses import brought, cli
from analyses.benchmarks.hostility.tiny import save_tiny
from analyses.inputs import InputError, load_model
from dashboards.cached import available, every_model
from dashboards.opening import checkpoints
from dashboards.opening.models import models_frame
from dashboards.own_graphs import together
from dashboards.own_models import label_of, left_out, written
from models import ComputationGraph, load, own
from models.compiled import compile_model
from tests.cli.commands import recurlens
from tests.pages import address, checked, sentences

TEXT = "20 = a; 2 = b; a + b = c"


@pytest.fixture(autouse=True)
def nothing_brought() -> Iterator[None]:
    yield
    for place in (own._FOLDERS, brought._RUNS, brought._GRAPHS, checkpoints._uploaded):
        place.clear()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("checkpoints") / "mine")


def zipped(folder: Path, **others: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("config.json", "model.safetensors"):
            content = others.get(name.split(".")[0], (folder / name).read_bytes())
            archive.writestr(f"../somewhere/{name}", content)
        archive.writestr("notes.txt", "not looked at")
    return buffer.getvalue()


def test_the_server_is_started_with_them(monkeypatch, folder, tmp_path):
    started: list[list[str]] = []
    monkeypatch.setattr(cli, "run_streamlit", started.append)
    (tmp_path / "run.json").write_text(load("compiled").run(TEXT).to_json())
    (tmp_path / "graphs.jsonl").write_text(json.dumps({"equations": TEXT.split("; ")}) + "\n")
    files = ("--run", tmp_path / "run.json", "--graphs", tmp_path / "graphs.jsonl")
    recurlens("dashboard", "--port", 8766, "--checkpoint", folder, *files)
    assert len(started) == 1
    assert "mine" in available() and load_model("mine").cfg.d_model == 16
    assert (label_of("mine"), written("mine")) == ("mine  ·  yours", str(folder))
    assert list(brought.runs()) == ["run.json"] and len(brought.graphs()["graphs.jsonl"]) == 1


@pytest.mark.parametrize(
    ("option", "content", "said"),
    [
        ("--checkpoint", None, "is no folder; a checkpoint is one with config.json"),
        ("--run", "{}", "'recurlens.trajectory.1' is expected"),
        ("--graphs", '{"equations": "a + b = c"}', "line 1: "),
        ("--graphs", "1 = a\n\na + b = c", "graph 2: "),
        ("--graphs", " \n", "it has no graphs"),
        ("--run", None, "it cannot be read: No such file"),
    ],
)
def test_what_cannot_be_brought_is_said_before_the_server_starts(
    monkeypatch, tmp_path, option, content, said
):
    monkeypatch.setattr(cli, "run_streamlit", lambda arguments: pytest.fail("it was started"))
    path = tmp_path / "given"
    if content is not None:
        path.write_text(content)
    assert said in recurlens("dashboard", "--port", 8767, option, path, code=2).err


def test_a_name_that_is_taken_gets_a_number(folder, tmp_path):
    taken = save_tiny(tmp_path / "compiled")
    assert brought.bring_checkpoint(taken) == "compiled-2"
    assert brought.bring_checkpoint(folder, "parity") == "parity-2"


def test_an_uploaded_checkpoint_is_kept_outside_of_all_that_is_ours(folder):
    name = checkpoints.take_checkpoint([("my model.zip", zipped(folder))])
    assert name.startswith("my-model-") and name in every_model()
    kept = own.folders()[name]
    assert sorted(path.name for path in kept.iterdir()) == ["config.json", "model.safetensors"]
    assert kept.name.startswith("recurlens-upload-") and written(name) == name
    two = [(file, (folder / file).read_bytes()) for file in ("model.safetensors", "config.json")]
    assert checkpoints.take_checkpoint(two).startswith("upload-")
    assert checkpoints.take_checkpoint([("my model.zip", zipped(folder))]) == name
    assert "mine" not in written(name)


def test_the_oldest_uploads_go(folder, monkeypatch):
    monkeypatch.setattr(checkpoints, "_MOST", 1)
    content = zipped(folder)
    first = checkpoints.take_checkpoint([("one.zip", content)])
    kept = own.folders()[first]
    second = checkpoints.take_checkpoint([("two.zip", content)])
    assert list(own.folders()) == [second] and not kept.exists()


def test_a_damaged_upload_is_a_message_without_our_folder(folder):
    weights = (folder / "model.safetensors").read_bytes()
    cases: list[tuple[list[tuple[str, bytes]], str]] = [
        ([("a.zip", b"PK nothing")], "a.zip cannot be unpacked"),
        ([("a.zip", zipped(folder, model=weights[:-9]))], "model.safetensors is damaged or truncated"),
        ([("a.zip", zipped(folder, config=b'{"d_model": "wide"}'))], "config.json: "),
        ([("a.zip", zipped(folder, model=weights[:-1] + b"\x07"))], "their SHA-256 is another"),
        ([("config.json", b"{}")], "as two files or one zip; config.json was given"),
        ([("config.json", b"{}"), ("config.json", b"{}")], "config.json, config.json was given"),
    ]
    for files, said in cases:
        with pytest.raises(InputError, match=said) as caught:
            checkpoints.take_checkpoint(files)
        assert "/tmp" not in str(caught.value) and "recurlens-upload" not in str(caught.value)
    assert not own.folders()


def test_what_is_too_large_is_not_unpacked(folder, monkeypatch):
    monkeypatch.setattr(checkpoints, "LARGEST_MB", 1)
    with pytest.raises(InputError, match="holds more than 1 MB"):
        checkpoints.take_checkpoint([("bomb.zip", zipped(folder, model=bytes(2**22)))])
    with pytest.raises(InputError, match="More than 1 MB"):
        checkpoints.take_checkpoint([("config.json", bytes(2**21))])


def test_graphs_are_read_as_commands_read_them_or_as_they_are_typed():
    assert brought.graphs_of(f"{TEXT}\n \n1 = a\na = b\n") == ("20 = a; 2 = b; a ADD b = c", "1 = a; a = b")
    assert brought.graphs_of(json.dumps({"equations": TEXT.split("; ")})) == ("20 = a; 2 = b; a ADD b = c",)
    assert together(("x" * 9_000, "y" * 6_000, "z" * 2_000)).count("\n\n") == 1


def test_models_that_a_page_does_not_show_are_listed_with_the_reason():
    frame = models_frame().set_index("model")
    assert "writes its solution as text" in frame.loc["chain-of-thought", "not shown on"]
    assert (frame.loc["compiled", "kind"], frame.loc["discrete", "not shown on"]) == ("compiled", "")
    assert (
        "`chain-of-thought`" in left_out(available(), every_model())
        and left_out(every_model(), every_model()) == ""
    )


def test_a_graph_of_a_file_goes_into_the_box(root: Path):
    brought._GRAPHS["mine.txt"] = ("1 = a; a = b", "2 = c; c = d")
    app = AppTest.from_file(str(root / "dashboards" / "app.py"), default_timeout=120)
    app.query_params["model"], app.query_params["text"] = "compiled", TEXT
    checked(app.run())
    box = app.selectbox(key="text from file")
    assert box.options == ["mine.txt: graph 1", "mine.txt: graph 2"]
    checked(box.select_index(1).run())
    assert app.text_area(key="text").value == "2 = c; c = d"
    assert address(app)["text"] == "2 = c; c = d"


def test_a_graph_of_a_file_is_the_clean_one_of_a_pair_and_the_corrupt_one_is_made():
    brought._GRAPHS["mine.txt"] = (TEXT, "7 = d; 3 = e; d + e = f")

    def page() -> None:
        from dashboards.patching.page import patching_page

        patching_page()

    app = AppTest.from_function(page, default_timeout=120)
    app.query_params.update(model="compiled", clean=TEXT, corrupt=TEXT.replace("2 = b", "5 = b"))
    checked(app.run())
    checked(app.selectbox(key="patch_clean from file").select_index(1).run())
    clean, corrupt = address(app)["clean"], address(app)["corrupt"]
    assert clean == "7 = d; 3 = e; d + e = f"
    pair = [ComputationGraph.parse(text) for text in (clean, corrupt)]
    assert sum(one != other for one, other in zip(pair[0].nodes, pair[1].nodes, strict=True)) == 1


@pytest.mark.parametrize("name", ["compare", "story"])
def test_a_model_of_another_modulus_has_its_pages(name: str, tmp_path: Path):
    """Values that the bundled models do not know are read as the model's own."""
    compile_model(("ADD",), modulus=31, n_variables=16).save_pretrained(tmp_path / "wide")
    own.add("wide", tmp_path / "wide")

    def page(name: str) -> None:
        from dashboards.analysis_page import analysis_page
        from dashboards.pages import analysis_pages

        analysis_page(analysis_pages()[name])

    app = AppTest.from_function(page, default_timeout=120, args=(name,))
    app.query_params.update(model="wide", text="30 = a; 2 = b; a + b = c")
    checked(app.run())
    assert not app.error
    if name == "compare":
        checked(next(one for one in app.button if one.label.startswith("with another value")).click().run())
        assert address(app)["other_edit"] == "a@1=0"
        assert "The runs differ first after step 1, at a" in sentences(app)
