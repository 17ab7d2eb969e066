"""Commands on any looped model: each works, or says in a sentence what it needs, as the table in the docs has it."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml

from analyses import cli
from analyses.catalogue import every_record
from analyses.framework.record import OnLoops
from analyses.loops.inputs import Wanted, pair_of
from analyses.loops.intervening import study_patches
from analyses.loops.opening import open_loop
from interp import logit_difference, loop_patch_sweep, scrambled_twin
from models.compiled import loops
from tests.cli.commands import recurlens
from tests.foreign import FILE, IDS

pytestmark = pytest.mark.usefixtures("real_models")

DOCS = Path(__file__).parents[2] / "analyses" / "docs" / "loops.md"
INPUTS = {
    "graphs": "20 = a; 2 = b; a + b = c",
    "parity": "110100",
    "reachability": "0>1 1>2",
    "shortest-paths": "0>1:4 1>2:2 0>2:7",
    "machine": "0 1 1; 2 1 32 | 3 5 9",
}
FAMILIES = {
    "compiled loops": "parity",
    "ALBERT": f"{FILE}:albert",
    "HRM-Text": f"{FILE}:hrm_text",
    "x-transformers, looped": f"{FILE}:looped_decoder",
    "x-transformers, tied": f"{FILE}:tied_layers",
    "halting": f"{FILE}:halting",
    "no sites": f"{FILE}:Mixer",
}
"""A column of the table in the docs -> the model that stands for it."""
SEVERAL = [part for number in range(33, 60, 3) for part in ("--inputs", f"{number:b}")]
COMMANDS = [record.name for record in every_record() if isinstance(record.loop, OnLoops)]


def inputs(model: str) -> list[str]:
    return ["--inputs", INPUTS.get(model, IDS)]


def table() -> dict[tuple[str, str], str]:
    """Command and family -> what the docs say: `yes`, or what is missing."""
    text = DOCS.read_text()
    lines = [line for line in text.splitlines() if line.startswith("|")]
    start = next(index for index, line in enumerate(lines) if line.startswith("| command |"))
    heads = [cell.strip() for cell in lines[start].strip("|").split("|")][1:]
    found = {}
    for line in lines[start + 2 :]:
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) != len(heads) + 1 or not cells[0].startswith("`"):
            break
        found |= {
            (cells[0].strip("`"), head): cell.strip("`") for head, cell in zip(heads, cells[1:], strict=True)
        }
    return found


def ended(command: str, model: str, *more: str) -> tuple[int, str]:
    """Exit code and, of a command that ended with an error, what it said, on one line."""
    from typer.testing import CliRunner

    done = CliRunner().invoke(cli.app, [command, "--model", model, *inputs(model), "--quiet", *more])
    assert "Traceback" not in done.output
    assert done.exit_code == 0 or (done.stdout == "" and done.stderr.count("Error") == 1), done.output
    return done.exit_code, done.stdout if done.exit_code == 0 else " ".join(done.stderr.split())


@pytest.mark.parametrize("family", FAMILIES)
def test_the_table_of_the_docs_is_what_commands_do(family: str) -> None:
    if family.startswith("x-transformers"):
        pytest.importorskip("x_transformers")
    said = table()
    assert sorted({command for command, _ in said}) == sorted(COMMANDS)
    for record in every_record():
        if "model" in record.takes and isinstance(record.loop, str):
            code, text = ended(record.name, FAMILIES[family])
            assert code == 2 and f"{record.name} needs {record.loop}" in text
    for command in COMMANDS:
        several = command == "probe" and family == "compiled loops"
        more = [*SEVERAL, "--folds", "2", "--steps", "2"] if several else []
        code, text = ended(command, FAMILIES[family], *more)
        cell = said[command, family]
        assert (code == 0) == (cell == "yes"), (command, text)
        if code:
            assert code == 2
            assert cell in text, (command, text)


@pytest.mark.parametrize("name", loops())
def test_every_compiled_loop_runs_by_its_name_as_its_task_says(name: str) -> None:
    assert (
        "Every step writes what the task's own step does."
        in recurlens("solve", "--model", name, *inputs(name), "-q").out
    )
    assert "100.0%" in recurlens("evaluate", "--model", name, *inputs(name), "-q").out


def test_samples_are_of_a_seed_and_padding_is_not_judged() -> None:
    said = [
        recurlens("solve", "--model", "parity", "--samples", 3, "--seed", seed, "-q").out
        for seed in (5, 5, 6)
    ]
    assert said[0] == said[1] != said[2]
    assert "3 inputs" in said[0] and "what the task's own step does" in said[0]


def test_a_sweep_of_the_command_is_that_of_python() -> None:
    model = open_loop(f"{FILE}:albert")
    wanted = Wanted(clean="3 1 4 1 5", corrupt="3 1 4 1 6")
    study = study_patches(model, wanted, sites=["mlp_out"], factor="token")
    pair = pair_of(model, wanted, None)
    (position,) = pair.differs["token"][0].nonzero().flatten().tolist()
    symbols = [int(ends["token"][0, position]) for ends in pair.symbols]
    assert symbols[0] != symbols[1]
    ids = [torch.tensor([[3, 1, 4, 1, last]]) for last in (5, 6)]
    metric = logit_difference("token", position, *symbols)
    sweep = loop_patch_sweep(model.loop, *ids, ["0.mlp_out"], metric, pair.runs[0].n_steps, pos="each")
    assert study.frame["effect"].tolist() == pytest.approx(sweep.to_frame()["effect"].tolist(), abs=1e-5)
    assert study.frame["effect"].abs().max() > 0.01


def test_what_commands_have_for_looped_models_besides(tmp_path: Path) -> None:
    """Heads and pairs of them, edges, the tuned lens, cones, head statistics, fixed points, controls of probes."""
    parity = ("--model", "parity", "--inputs", "110100", "-q")
    reaching = ("--model", "reachability", "--seed", 0, "-q")
    said = recurlens("ablate", *parity, "--heads").out
    assert "of two heads 0.z 1, 0.z 2 lose most beyond what each loses, -30." in said  # the twins
    pair = ("--clean", "1101", "--corrupt", "1001", "--steps", 3, "--sites", "0.z,0.mlp_out")
    said = recurlens("attribution", "--model", "parity", *pair, "--edges", "--out", tmp_path, "-q").out
    assert "the strongest is 0.mlp_out, step 2 to output, 30 of 60" in said
    frame = pd.read_csv(tmp_path / "attribution.csv").set_index(
        ["writer", "writer_step", "reader", "reader_head"]
    )
    assert frame.loc[("0.mlp_out", 1, "0.z", 1), "exact"].max() == pytest.approx(
        15
    )  # a twin reads the step before
    tuned = ("--samples", 8, "--steps", 2, "--factor", "reached", "--tuned")
    assert "(2 held-out inputs)" in recurlens("lens", *reaching, *tuned).out
    said = recurlens("codes", *parity, "--edits", 3, "--json", tmp_path / "codes.json").out
    assert "Of 3 states set to zero at a position 2 heal before the run ends." in said
    assert "a cyclic one" in recurlens("dynamics", *reaching, "--samples", 2, "--steps", 12).out
    recurlens("attention", *parity, "--steps", 1, "--json", tmp_path / "heads.json")
    rows = json.loads((tmp_path / "heads.json").read_text())["rows"]
    assert [row["previous"] for row in rows] == pytest.approx([1, 1 / 24, 1 / 24, 0.25])
    said = recurlens("probe", *reaching, "--samples", 6, "--folds", 2, "--steps", 1).out
    assert "with shuffled labels" in said and "with scrambled weights" in said
    for wrong, message in (
        (("lens", *parity, "--kl-steps", 3), "--kl-steps fits the tuned lens, so it needs --tuned."),
        (
            ("ablate", *parity, "--heads", "--sites", "0.z"),
            "--heads are all attention heads, so leave out --sites.",
        ),
    ):
        assert message in " ".join(recurlens(*wrong, code=2).err.split())


def test_a_copy_of_a_loop_begins_with_its_own_weights() -> None:
    loop = open_loop(f"{FILE}:albert").loop
    twin = scrambled_twin(loop)
    first, other = (each.begin(torch.tensor([[3, 1]]))[0] for each in (loop, twin))
    assert not torch.equal(first, other)
    assert torch.equal(first, loop.begin(torch.tensor([[3, 1]]))[0])


def test_a_state_that_begins_at_random_begins_alike() -> None:
    model = open_loop(f"{FILE}:huginn")
    pair = pair_of(model, Wanted(clean=IDS, corrupt="3 1 4 1 6"), None)
    first = [run.states["state"][0] for run in pair.runs]
    assert torch.equal(first[0], first[1])
    assert not torch.equal(first[0], open_loop(f"{FILE}:huginn", seed=1).loop.begin(pair.clean)[0])


MIXER = f"{FILE}:Mixer"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "solve --model missing.py:make",
            "There is no file missing.py, of which 'make' could be a looped model.",
        ),
        (f"solve --model {FILE}:absent", "has no function 'absent'; it has"),
        (
            f"solve --model {FILE}:nothing",
            "gives no looped model: int is no loop: it has no module, begin, step, read",
        ),
        (f"solve --model {MIXER}", "foreign.py:Mixer needs --inputs: it has no task with `sample`"),
        (f"solve --model {MIXER} --inputs 'a word'", "is no list of token ids, such as '5 9 2'"),
        (f"solve --model {MIXER} --inputs '1 2' --inputs 1", "have 2, 1 token ids"),
        (f"solve --model {MIXER} --inputs 99", "foreign.py:Mixer, running: IndexError"),
        (f"solve --model {MIXER} --inputs x.npy", "cannot be read as an array"),
        (f"solve --model {FILE}:Breaks --inputs '{IDS}'", "in step)."),
        (
            f"lens --model {FILE}:headless --inputs '{IDS}'",
            "A lens reads what the last state shows, and AlbertLoop",
        ),
        (f"patch --model {FILE}:headless --inputs '{IDS}'", "AlbertLoop reads nothing"),
        ("solve --model parity --inputs 012", "allowed are texts of one or more of the characters 0 and 1"),
        (
            "solve 110 --model parity",
            "solve does not take GRAPH with --model parity, a looped model; it takes",
        ),
        ("lens --model parity --no-attribution", "lens does not take --attribution"),
        (
            "solve --model compiled --n-nodes 6 --inputs 1",
            "--inputs is for looped models, and --model compiled reads",
        ),
        ("story --model compiled --n-nodes 6 --inputs 1", "--inputs is for looped models"),
        (
            "report --model parity --out r.html",
            "parity is a looped model, and here models that read graphs are needed",
        ),
        ("dynamics --n-nodes 6 --against parity", "parity is a looped model"),
        ("solve --model parity --inputs 1 --row 1", "--row is 1: there are rows 0 to 0."),
        ("patch --model parity --clean 11", "give both"),
        ("patch --model parity --clean 11 --corrupt 1", "The clean input is 1 x 5 (rows x positions)"),
        ("patch --model parity --clean 11 --corrupt 11", "give the same logits everywhere"),
        ("patch --model parity --inputs 11 --metric kl", "must be one of logit_diff, prob, accuracy"),
        ("patch --model parity --inputs 11 --sites state.H", "the state of this loop has state."),
        ("patch --model parity --inputs 11 --sites mlp", "there is no module 'mlp'; its sites are"),
        ("patch --model parity --inputs 11 --step 7", "this run has steps 0 to 1"),
        ("attention --model parity --inputs 11 --step 9", "--step is 9: it must be from 0 to 1."),
        (
            "probe --model parity --target size --samples 6",
            "target is 'size'; allowed are token, level, parity",
        ),
    ],
)
def test_a_mistake_is_one_message(
    line: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert message in " ".join(recurlens(*shlex.split(line), code=2).err.split())


def test_files_are_written_and_repeat_the_run(tmp_path: Path) -> None:
    line = [
        "patch",
        "--model",
        f"{FILE}:Mixer",
        "--clean",
        IDS,
        "--corrupt",
        "3 1 4 1 6",
        "--sites",
        "state,mix",
    ]
    recurlens(*line, "--out", tmp_path / "one")
    written = sorted(path.name for path in (tmp_path / "one").iterdir() if path.suffix != ".png")
    assert written == [
        "config.yaml", "patching.csv", "patching.html", "patching.json", "patching.parquet", "patching_summary.csv"
    ]  # fmt: skip
    options = yaml.safe_load((tmp_path / "one" / "config.yaml").read_text())
    assert options["clean"] == IDS and "graph" not in options
    recurlens("patch", "--config", tmp_path / "one" / "config.yaml", "--out", tmp_path / "two")
    one, two = ((tmp_path / name / "patching.csv").read_text() for name in ("one", "two"))
    assert one == two
    data = json.loads((tmp_path / "one" / "patching.json").read_text())
    assert {row["site"] for row in data["rows"]} == {"state", "mix"}


def test_an_entry_point_is_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib.metadata import EntryPoint

    from analyses.loops import names

    found = {"mixer": EntryPoint("mixer", "tests.foreign:Mixer", names.GROUP)}
    monkeypatch.setattr(names, "installed", lambda: found)
    monkeypatch.setattr("analyses.loops.opening.installed", lambda: found)
    assert "4 steps on 1 input" in recurlens("solve", "--model", "mixer", "--inputs", IDS, "-q").out


def test_a_model_of_graphs_is_a_loop_where_a_command_is_about_loops_alone() -> None:
    said = recurlens("attention", "--model", "compiled", "--inputs", INPUTS["graphs"], "--steps", 2, "-q").out
    assert "18 heads over 2 steps" in said


def test_the_lists_of_commands_agree() -> None:
    alone = {
        record.name for record in every_record() if isinstance(record.loop, OnLoops) and record.loop.alone
    }
    assert alone == {"attention", "attribution"}
    assert "attention and attribution are about looped models alone" in DOCS.read_text()
