"""What names cost to import: values without torch, and TransformerLens only where a model is hooked."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields

import pytest
from transformer_lens.config import TransformerLensConfig

from models import CheckpointError, ComputationGraph, RecurrentConfig, load, load_unhooked

HEAVY = (
    "torch",
    "transformer_lens",
    "transformers",
    "datasets",
    "pandas",
    "scipy",
    "sklearn",
    "plotly",
    "huggingface_hub",
)


def imported_by(code: str) -> set[str]:
    """Those of the heavy packages that are imported once the code has run, in a process of its own."""
    code += f"\nimport sys; print(*[name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize(
    "code",
    [
        "import interp, models",
        "from interp import Site, SiteError; str(Site('z', step=1, layer=0, pos='rhs:a'))",
        "from models import ComputationGraph, GraphError; ComputationGraph.parse('1 = a').values_by_node",
        "from models.hook_points import HOOK_POINTS",
        "from interp.causal.metric_records import METRICS",
        "import analyses.cli",
    ],
)
def test_values_need_no_torch(code: str) -> None:
    assert imported_by(code) == set()


TEXT = "20 = a; 2 = b; a + b = c"


@pytest.mark.parametrize(
    "code",
    [
        f"from models import load_unhooked; load_unhooked('compiled').run({TEXT!r})",
        "from models import load_unhooked; load_unhooked('discrete-corrected')",
        f"from analyses.cli import app; app(['solve', {TEXT!r}], standalone_mode=False)",
    ],
)
def test_a_run_needs_torch_alone(code: str) -> None:
    assert imported_by(code) == {"torch"}


def test_a_model_with_hooks_needs_transformer_lens() -> None:
    assert "transformer_lens" in imported_by("from models import load; load('compiled')")


def test_a_page_is_drawn_without_the_tools_of_transformer_lens() -> None:
    """They bring sympy and torch's compiler, two seconds of processor time that the first page would wait for."""
    code = "from dashboards.pages import analysis_pages; analysis_pages(); import sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.splitlines()[-1].split())
    assert "transformer_lens" in loaded
    assert not {"sympy", "transformer_lens.tools.analysis", "sklearn"} & loaded


@pytest.mark.parametrize("name", ["compiled", "compiled-max", "discrete-corrected"])
def test_a_model_without_hooks_runs_as_the_one_with_hooks(name: str) -> None:
    graphs = [ComputationGraph.sample(n_nodes, seed=n_nodes) for n_nodes in (6, 9)]
    unhooked, hooked = load_unhooked(name), load(name)
    ours, theirs = unhooked.run(graphs), hooked.run(graphs)
    assert ours.states.equal(theirs.states)
    assert ours.confidence.equal(theirs.confidence)
    assert {key: value.tolist() for key, value in unhooked.state_dict().items()} == {
        key: value.tolist() for key, value in hooked.state_dict().items()
    }
    assert not hasattr(unhooked, "run_with_cache")


def test_loading_without_hooks_says_what_there_is() -> None:
    with pytest.raises(CheckpointError, match="there is no model 'nothing'; bundled are compiled"):
        load_unhooked("nothing")


def test_the_configuration_has_the_fields_of_transformer_lens() -> None:
    """Its utilities read them, so they have the same names and types here; defaults differ where the task says."""
    theirs = {field.name: field for field in fields(TransformerLensConfig)}
    ours = {field.name: field for field in fields(RecurrentConfig)}
    assert list(ours)[: len(theirs)] == list(theirs)
    differ = {name for name, field in theirs.items() if ours[name].default != field.default}
    assert differ == {
        *("d_model", "d_head", "n_layers", "n_ctx", "n_heads"),
        *("default_prepend_bos", "positional_embedding_type"),
    }
