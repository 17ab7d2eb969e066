"""Records: what they say agrees with the functions they name, and a new one has command, page, section and replay."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
import typer
import yaml
from rich.table import Table
from typer.testing import CliRunner

from analyses.catalogue import CATALOGUE, every_record
from analyses.cli import app
from analyses.framework.command import command
from analyses.framework.record import Analysis, Page, Section
from analyses.framework.settings import SWEEP, Choice, Setting
from dashboards.analysis_page import page_of, snippet
from dashboards.graph_view import default_view
from interp.figures.template import make_figure
from models.graph import ComputationGraph

RECORDS = every_record()


@pytest.mark.parametrize("record", RECORDS, ids=lambda one: one.name)
def test_settings_are_arguments_of_the_function_with_its_defaults(record: Analysis) -> None:
    parameters = inspect.signature(record.function).parameters
    assert {"model", *record.passes} - {"out"} <= set(parameters)
    assert ("spread" in parameters) == ("out" in record.passes)
    spread = SWEEP if "spread" in parameters else ()
    for setting in record.settings:
        if setting.of_study and setting not in spread:
            default = parameters[setting.passed_as].default
            if setting.default is not None:
                assert setting.read(setting.default) == (list(default) if setting.names else default), (
                    setting.name
                )


@pytest.mark.parametrize("record", [one for one in RECORDS if one.page], ids=lambda one: one.name)
def test_choices_give_arguments_of_the_function(record: Analysis) -> None:
    page = record.page
    assert page is not None
    known = {setting.passed_as for setting in record.settings} | {"status"}  # of typed graphs, that are read
    special = {"sites", "across"}  # what they mean depends on the model: dashboards.probing
    for choice in page.choices:
        for value in choice.options:
            assert set(choice.arguments(value)) <= known | special
    for variant in page.variants:
        assert set(variant) <= {choice.name for choice in page.choices}


def test_every_record_is_a_command() -> None:
    names = list(typer.main.get_command(app).commands)
    assert names[: len(CATALOGUE)] == list(CATALOGUE) == [record.name for record in RECORDS]
    assert len(set(names)) == len(names)


def test_a_record_without_page_or_section_says_so() -> None:
    from analyses.reporting.recorded import contents

    bare = Analysis("bare", "Nothing.", "analyses.lens:study_lens")
    with pytest.raises(ValueError, match="bare has no page"):
        page_of(bare)
    with pytest.raises(ValueError, match="bare has no section"):
        contents(bare)


# -- an analysis of one's own: the function, and its record ------------------------------------------------------


@dataclass(frozen=True)
class Sizes:
    """How many nodes graphs have, and how many of them have at least so many operands."""

    nodes: list[int]
    least: int
    share: float

    def to_frame(self) -> pd.DataFrame:
        return pd.DataFrame({"graph": range(len(self.nodes)), "nodes": self.nodes})

    def to_dict(self) -> dict[str, object]:
        return {"nodes": self.nodes, "share": self.share}

    def table(self) -> Table:
        table = Table("graph", "nodes")
        for graph, nodes in enumerate(self.nodes):
            table.add_row(str(graph), str(nodes))
        return table

    def verdict(self) -> str:
        return f"{len(self.nodes)} graphs; {self.share:.0%} of nodes have at least {self.least} operands."

    def figure(self):
        return self.figures()["sizes"]

    def figures(self):
        bars = {"type": "bar", "y": self.nodes}
        title = {"text": "Sizes", "subtitle": {"text": "A bar is a graph."}}
        return {"sizes": make_figure([bars], {"title": title})}


def study_sizes(graphs: list[ComputationGraph], model: str = "compiled", least: int = 2) -> Sizes:
    operands = [len(node.operands) for graph in graphs for node in graph.nodes]
    share = sum(count >= least for count in operands) / len(operands)
    return Sizes([len(graph) for graph in graphs], least, share)


RECORD = Analysis(
    name="sizes",
    about="Count nodes.",
    study="tests.analyses.test_catalogue:study_sizes",
    settings=(Setting("least", "Operands, at least.", 2, int, least=0, most=3),),
    graphs=4,
    page=Page(
        title="Sizes",
        question="How large are graphs?",
        intro="Nodes by graph.",
        choices=(
            Choice(
                "least", "Operands", {"2": "two", "3": "three"}, gives=lambda value: {"least": int(value)}
            ),
        ),
    ),
    section=Section("Sizes", "Nodes by graph.", {"sizes": "interp/figures/template.py"}),
)


def run(*arguments: str, code: int = 0) -> str:
    application = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    application.command()(command(RECORD))
    done = CliRunner().invoke(application, [*arguments])
    assert done.exit_code == code, done.output
    return done.output


def test_it_has_a_command_files_and_replay(tmp_path: Path) -> None:
    assert "Operands, at least." in run("--help")
    first, second = tmp_path / "first", tmp_path / "second"
    said = run("--n-nodes", "7", "--graphs", "2", "--least", "3", "--out", str(first))
    assert said.strip().endswith("of nodes have at least 3 operands.")
    assert {"sizes.csv", "sizes.json", "sizes.html", "config.yaml"} <= {path.name for path in first.iterdir()}
    assert yaml.safe_load((first / "config.yaml").read_text())["least"] == 3
    run("--config", str(first / "config.yaml"), "--out", str(second), "--quiet")
    for name in ("sizes.csv", "sizes.json"):
        assert (second / name).read_text() == (first / name).read_text()
    assert "--least is 9: it must be from 0 to 3." in run("--n-nodes", "7", "--least", "9", code=2)


def test_it_has_a_page_a_snippet_and_the_true_command(tmp_path: Path) -> None:
    page = page_of(RECORD)
    view = default_view(page.settings, page.graphs).with_settings(least="3")
    assert page.line(view).endswith(f"--ops ADD --model {view.model} --least 3")
    arguments = page.line(view).split()[2:]
    assert run(*arguments, "--quiet").strip() == study_sizes(view.drawn_graphs(_model()), least=3).verdict()
    code = snippet(page, view, ["sizes"])
    assert "from tests.analyses.test_catalogue import study_sizes" in code
    scope: dict[str, object] = {}
    exec(code.replace('study.figures()["sizes"].show()', 'figure = study.figures()["sizes"]'), scope)
    assert scope["figure"]


def test_it_has_a_section_in_the_report() -> None:
    from analyses.reporting.parts import QUICK, Job
    from analyses.reporting.recorded import contents

    found = contents(RECORD)(_model(), Job("compiled", amounts=QUICK))
    assert found.sentences[0].startswith(f"{QUICK.graphs} graphs; ")
    assert [drawn.name for drawn in found.drawings] == ["sizes_sizes"]


def _model():
    from models import load

    return load("compiled")
