"""Ablation of the compiled model: an idle head does nothing, a planted one kills what its circuit entry says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

from analyses import export
from analyses.catalogue.ablation import ABLATION
from analyses.framework.command import command
from interp.causal.ablation import TIED, Component, ablate, components
from interp.causal.ablation_figure import ablation_by_step_figure
from interp.engine.sites import SiteError
from models import CompiledTransformer, ComputationGraph
from models.compiled import compile_model

SIZES: dict[str, Any] = {"modulus": 5, "n_variables": 16}
GRAPHS = [ComputationGraph.sample(12, n_leaves=4, seed=seed, **SIZES) for seed in (1, 4)]


@pytest.fixture(scope="module")
def model() -> CompiledTransformer:
    return compile_model(("ADD",), **SIZES)


def component(model: CompiledTransformer, role: str) -> Component:
    head = model.circuit.with_role(role)
    return Component(head.layer, head.head)


def with_descendants(graph: ComputationGraph, nodes: set[int]) -> list[int]:
    for index, node in enumerate(graph.nodes):
        if not nodes.isdisjoint(node.operands):
            nodes.add(index)
    return sorted(nodes)


@pytest.mark.parametrize("method", ["zero", "mean", "resample"])
def test_idle_components_do_nothing(model: CompiledTransformer, method: str) -> None:
    idle = [Component(head.layer, head.head) for head in model.circuit.heads if head.kind == "idle"]
    idle += [Component(mlp.layer) for mlp in model.circuit.mlps if mlp.kind == "idle"] * (method == "zero")
    assert len(idle) > 8
    result = ablate(model, GRAPHS, idle[::3], method, at_steps=[0, 2])
    assert not result.nodes_effect.any() and not result.solved_effect.any()
    assert not result.lost.any() and not result.damaged_for.any()
    assert result.nodes_without[-1] == result.solved_without[-1] == 1


@pytest.mark.parametrize("role", ["value:first", "value:middle", "value:last"])
def test_a_lookup_kills_the_nodes_that_have_its_operand(model: CompiledTransformer, role: str) -> None:
    """Operand k from the end is there in nodes of more than k operands; they and what needs them are lost."""
    off = component(model, role)
    (from_end,) = model.circuit.with_role(role).operands
    result = ablate(model, GRAPHS, [off], at_steps=[])
    for graph, lost in zip(GRAPHS, result.lost_nodes(off), strict=True):
        users = {index for index, node in enumerate(graph.nodes) if len(node.operands) > from_end}
        assert users
        assert lost == with_descendants(graph, users)


def test_without_the_head_that_knows_right_hand_sides_all_is_lost(model: CompiledTransformer) -> None:
    off = component(model, "is_rhs")
    result = ablate(model, GRAPHS, [off], at_steps=[])
    assert result.lost[0, TIED].all()
    assert result.nodes_effect[0, TIED, -1] == result.solved_effect[0, TIED, -1] == -1


def test_one_step_heals_and_says_for_how_long(model: CompiledTransformer) -> None:
    off, graph = component(model, "value:first"), GRAPHS[0]
    depths, n_steps = np.array(graph.depths_by_node), 14
    result = ablate(model, [graph], [off], n_steps=n_steps, at_steps=range(n_steps))
    users = np.array([len(node.operands) == 3 for node in graph.nodes])
    alone = result.lost[0, 1:]
    for step in range(n_steps):
        gone = users & (depths <= step)
        effect = result.nodes_effect[0, 1 + step]
        assert not effect[:step].any(), "nothing before"
        assert effect[step] == pytest.approx(-gone.mean()), "its users that are known then, for one step"
        if not gone.any():
            assert result.damaged_for[0, step] == 0, "at a step where nothing needs it, nothing happens"
        elif step + max(depths) < n_steps:
            assert not alone[step].any() and 0 < result.damaged_for[0, step] <= max(depths) + 1
    assert result.damaged_for[0, 0] == 0
    assert result.damaged_for[0, -1] == -1 and alone[-1].tolist() == users.tolist(), "no step is left to heal"
    assert result.lost[0, TIED].sum() >= users.sum()


def test_all_components_of_a_model(model: CompiledTransformer) -> None:
    assert len(components(model)) == 3 * (6 + 1)
    assert str(Component(1, 4)) == "head 1.4" and str(Component(2)) == "MLP 2"


def test_frame_and_figures(model: CompiledTransformer) -> None:
    off = [component(model, "value:last"), Component(2)]
    result = ablate(model, GRAPHS, off, at_steps=[1, 3])
    frame = result.to_frame()
    assert len(frame) == 2 * 3 * result.n_steps
    line = frame[(frame.component == "MLP 2") & (frame.ablated_at == "3") & (frame.step == 3)].iloc[0]
    assert line.nodes_effect == pytest.approx(result.nodes_effect[1, 2, 3]) and line.nodes_effect < 0
    assert line.damaged_for == result.damaged_for[1, 1]
    assert frame[frame.ablated_at == "every"].damaged_for.isna().all()
    assert frame[frame.component == "MLP 2"]["head"].isna().all()
    figure = result.figure()
    heatmaps = [trace for trace in figure.data if trace.type == "heatmap"]
    assert len(heatmaps) == 3 and heatmaps[0].z[0][0] == pytest.approx(result.nodes_effect[0, 0, -1])
    assert figure.layout.coloraxis.cmid == 0 and figure.layout.title.text
    (one,) = (t for t in ablation_by_step_figure(result, off[0]).data if t.type == "heatmap")
    assert np.allclose(np.array(one.z, dtype=float), result.nodes_effect[0])


def test_bad_input(model: CompiledTransformer) -> None:
    with pytest.raises(ValueError, match="allowed are zero, mean, resample"):
        ablate(model, GRAPHS, method="noise")
    with pytest.raises(ValueError, match="no graph"):
        ablate(model, [])
    with pytest.raises(SiteError, match="no head 9"):
        ablate(model, GRAPHS, [Component(0, 9)])
    with pytest.raises(SiteError, match="step 30 is beyond the run"):
        ablate(model, GRAPHS, [Component(0, 0)], at_steps=[30])
    result = ablate(model, GRAPHS[:1], [Component(0, 0)], at_steps=[], n_steps=2)
    with pytest.raises(ValueError, match="head 1.1 was not ablated"):
        result.lost_nodes(Component(1, 1))


@pytest.fixture
def application(monkeypatch: pytest.MonkeyPatch) -> typer.Typer:
    """The command alone."""
    monkeypatch.setattr(export, "write_png", lambda figure, path: "there is no browser")
    application = typer.Typer()
    application.command()(command(ABLATION))
    return application


def test_the_script_joins_components_and_repeats_itself(
    model: CompiledTransformer, application: typer.Typer, tmp_path: Path
) -> None:
    model.save_pretrained(tmp_path / "small")
    sizes = ["--n-nodes", "8", "--n-graphs", "2", "--model", str(tmp_path / "small")]
    done = CliRunner().invoke(
        application, [*sizes, "--components", "2.0,mlp2,2.5", "--out", str(tmp_path / "a")]
    )
    assert done.exit_code == 0 and "2 of 3 components cost right nodes" in done.output
    config = ["--config", str(tmp_path / "a" / "config.yaml"), "--out", str(tmp_path / "b")]
    assert CliRunner().invoke(application, config).exit_code == 0
    assert (tmp_path / "a/ablation.csv").read_text() == (tmp_path / "b/ablation.csv").read_text()
    small = {"modulus": 5, "n_variables": 16, "n_leaves": 6}
    drawn = [ComputationGraph.sample(8, seed=seed, **small) for seed in (0, 1)]
    alone = ablate(model, drawn, [Component(2, 0), Component(2), Component(2, 5)])
    frame = pd.read_parquet(tmp_path / "a/ablation.parquet")
    assert np.allclose(frame["nodes_effect"], alone.to_frame()["nodes_effect"])
    for given, message in (("1.x", "LAYER.HEAD"), ("9.0", "no layer 9")):
        refused = CliRunner().invoke(application, [*sizes, "--components", given])
        assert refused.exit_code == 2 and message in refused.output


def test_the_script_keeps_heads_and_looks_token_by_token(
    model: CompiledTransformer, application: typer.Typer, tmp_path: Path
) -> None:
    model.save_pretrained(tmp_path / "small")
    sizes = ["--n-nodes", "8", "--n-graphs", "2", "--method", "mean", "--model", str(tmp_path / "small")]
    planted = [one for one in model.circuit.heads if one.kind != "idle"]
    kept = ",".join(f"{one.layer}.{one.head}" for one in planted)
    done = CliRunner().invoke(
        application, [*sizes, "--keep", kept, "--draws", "2", "--out", str(tmp_path / "a")]
    )
    said = " ".join(done.output.split())
    assert done.exit_code == 0 and f"{len(planted)} heads alone, MLPs kept, solve 2 of 2 graphs" in said
    config = ["--config", str(tmp_path / "a" / "config.yaml"), "--out", str(tmp_path / "b")]
    assert CliRunner().invoke(application, config).exit_code == 0
    assert (tmp_path / "a/ablation.csv").read_text() == (tmp_path / "b/ablation.csv").read_text()
    role = model.circuit.with_role("value:last")
    by_token = ["--components", f"{role.layer}.{role.head}", "--by-token", "--out", str(tmp_path / "c")]
    done = CliRunner().invoke(application, [*sizes, *by_token])
    assert done.exit_code == 0 and f"head {role.layer}.{role.head}," in done.output
    frame = pd.read_parquet(tmp_path / "c/ablation.parquet")
    assert set(frame.loc[frame["broken_value"] > 0, "token"]) <= {"rhs:1", "rhs:2", "rhs:3"}
    for given, message in (
        (["--keep", "0.1", "--by-token"], "--keep stands alone"),
        (["--keep", "0.1", "--components", "0.2"], "--keep stands alone"),
        (["--keep", "mlp0"], "MLPs are all kept"),
        (["--keep", "1.x"], "--keep has '1.x'"),
        (["--by-token", "--jobs", "2"], "run in one process"),
        (["--by-token", "--components", "mlp0"], "no MLPs"),
    ):
        refused = CliRunner().invoke(application, [*sizes, *given])
        assert refused.exit_code == 2 and message in " ".join(refused.output.split()), given
