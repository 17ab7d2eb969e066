"""The `repr` of every result is one line with sizes, whatever the result holds."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import interp
import models
from analyses.solve import solve
from models import ComputationGraph, RecurrentTransformer, load
from models.one_line import LONGEST, LONGEST_FIELD, brief, in_one_line

LONG = 300


@pytest.fixture(scope="module")
def compiled() -> RecurrentTransformer:
    return load("compiled")


@pytest.fixture(scope="module")
def graphs() -> list[ComputationGraph]:
    ops = ("ADD", "SUB", "MUL")
    return [ComputationGraph.sample(6, ops=ops, n_leaves=2, seed=seed) for seed in range(4)]


Model, Graphs = RecurrentTransformer, list[ComputationGraph]


def pair(graphs: Graphs) -> interp.Pair:
    return interp.make_pair(graphs[0], "leaf-value", seed=0)


def sites(graphs: Graphs) -> list[interp.Site]:
    return [interp.Site("resid_pre", step, 1, pos) for step in (0, 1) for pos in range(20)]


def data(model: Model, graphs: Graphs) -> interp.ActivationDataset:
    return interp.collect(model, graphs, ["resid_post", "z"])


def step_pair(model: Model, graphs: Graphs) -> interp.StepPair:
    edited = pair(graphs)
    return interp.step_pair(model, edited.clean, edited.corrupt, 1)


def recording(model: Model, graphs: Graphs) -> interp.Recording:
    kept = interp.record(model, graphs[0])
    kept.activation("blocks.0.attn.hook_z", 1)
    return kept


def grid(model: Model, graphs: Graphs) -> interp.ProbeGrid:
    return interp.fit_probe_grid(
        data(model, graphs), "depth", sites=["blocks.0.hook_resid_post"], steps=[1], folds=2
    )


MAKE: dict[str, Callable[[Model, Graphs], Any]] = {
    "run": lambda model, graphs: model.run(graphs),
    "long run of one": lambda model, graphs: model.run(graphs[0], n_steps=40),
    "graph": lambda model, graphs: ComputationGraph.sample(500, n_variables=600, seed=0),
    "encoded": lambda model, graphs: model.to_encoded(graphs),
    "cache": lambda model, graphs: model.run_with_cache(graphs, names="all", steps=[0, 1])[1],
    "circuit": lambda model, graphs: model.circuit,
    "vocabulary": lambda model, graphs: model.vocabulary,
    "solution": lambda model, graphs: solve(model, graphs, name="compiled"),
    "recording": recording,
    "pair": lambda model, graphs: pair(graphs),
    "step pair": step_pair,
    "set value": lambda model, graphs: interp.SetValue(sites(graphs)[0], torch.ones(200, 30)),
    "set from": lambda model, graphs: interp.SetFrom(sites(graphs)[0], recording(model, graphs)),
    "mean": lambda model, graphs: interp.MeanAblate(sites(graphs)[0], [recording(model, graphs)] * 9),
    "replay": lambda model, graphs: next(
        interp.run_interventions(model, graphs[0], [interp.SetCode(1, 5, "value", 3)])
    ),
    "sweep": lambda model, graphs: interp.patch_sweep(
        model, pair(graphs).clean, pair(graphs).corrupt, sites(graphs)
    ),
    "attribution": lambda model, graphs: interp.attribution_sweep(
        model, pair(graphs).clean, pair(graphs).corrupt, sites(graphs)
    ),
    "ablation": lambda model, graphs: interp.ablate(model, graphs[:2], [interp.Component(0, 1)]),
    "cones": lambda model, graphs: interp.damage_cones(
        model, graphs[0], [interp.SetCode(1, model.to_encoded(graphs[0]).rhs[0, 0].item(), "value", 3)]
    )[0],
    "dataset": data,
    "pattern": lambda model, graphs: interp.rhs_pattern(model, model.run(graphs[0]), 1),
    "probes": grid,
    "codes": interp.code_usage,
    "transitions": lambda model, graphs: interp.code_usage(model, graphs).transitions("value"),
    "margins": interp.snap_margins,
    "code edits": lambda model, graphs: interp.code_interventions(model, graphs, per_kind=1),
    "lens": interp.step_lens,
    "direct": lambda model, graphs: interp.direct_logit_attribution(model.untrained(0), graphs),
    "dynamics": interp.dynamics,
    "drift": lambda model, graphs: interp.drift_of(interp.dynamics(model, graphs, n_steps=30), (1, 2)),
    "settling": lambda model, graphs: interp.dynamics(model, graphs).settling,
    "motion": lambda model, graphs: interp.dynamics(model, graphs).motion,
    "pca": lambda model, graphs: interp.pca_trajectories(np.random.default_rng(0).normal(size=(4, 20, 8))),
    "violations": lambda model, graphs: interp.violations_of(
        model.run(graphs).right.numpy(), model.to_encoded(graphs).depths.numpy()
    ),
    "frontier": lambda model, graphs: interp.frontier_of(
        model.run(graphs).right.numpy(), model.to_encoded(graphs).depths.numpy()
    ),
    "targets": interp.attention_targets,
    "blocks": interp.block_changes,
    "subspaces": lambda model, graphs: interp.factor_subspaces(model, draws=2),
    "composition": lambda model, graphs: interp.head_composition(model, draws=2),
    "controlled": lambda model, graphs: interp.controlled(model, graphs[0], "operand_value:0"),
    "story": lambda model, graphs: interp.story(model, ComputationGraph.parse("1 = a; a = b"), "b"),
    "step edges": lambda model, graphs: interp.step_edges(
        model, ComputationGraph.parse("1 = a; a = b"), "b", n=1
    ),
    "overwritten": lambda model, graphs: interp.overwrite_value(
        model, model.run(graphs[0]), interp.Overwrite(node=0, step=1, value=3)
    ),
    "looped": lambda model, graphs: interp.run_looped(interp.as_looped(model), graphs, 3),
    "loop run": lambda model, graphs: interp.run_loop(models.as_loop(model), graphs, 2, keep_logits=True),
    "loop lens": lambda model, graphs: interp.loop_lens(models.as_loop(model), graphs, 2, "value"),
    "loop attention": lambda model, graphs: interp.loop_attention(models.as_loop(model), graphs, 2),
    "loop dynamics": lambda model, graphs: interp.loop_dynamics(models.as_loop(model), graphs, 3),
    "symmetry": lambda model, graphs: interp.Symmetry(
        *[1 / 3] * 2, 7, 1 / 3, 1 / 7, interp.Symmetry(*[1 / 3] * 5)
    ),
}


@pytest.mark.parametrize("name", MAKE)
def test_a_result_is_one_line(
    name: str, compiled: RecurrentTransformer, graphs: list[ComputationGraph]
) -> None:
    result = MAKE[name](compiled, graphs)
    shown = repr(result)
    assert len(shown) < LONG and "\n" not in shown
    assert shown.startswith(f"{type(result).__name__}(") and shown.endswith(")")


def unbounded(cls: type) -> list[str]:
    """The fields of a dataclass that can be arbitrarily long."""
    words = ("Tensor", "NDArray", "DataFrame", "Floats", "Integers", "...", "Mapping", "dict[", "Recording")
    return [field.name for field in dataclasses.fields(cls) if any(word in str(field.type) for word in words)]


@pytest.mark.parametrize("package", [models, interp])
def test_every_public_result_that_can_be_long_has_a_repr_of_its_own(package: Any) -> None:
    generated = [
        name
        for name in package.__all__
        if dataclasses.is_dataclass(found := getattr(package, name))
        and inspect.unwrap(found.__repr__).__code__.co_filename == "<string>"
        and unbounded(found)
    ]
    # A configuration is read in full; of a vocabulary and an edit the unbounded field is short, and a function.
    assert set(generated) <= {"RecurrentConfig", "FactoredVocabulary", "StepEdit"}


def test_arrays_are_shown_by_type_and_shape():
    assert brief(np.zeros((3, 4), np.float32)) == "float32[3, 4]"
    assert brief(torch.zeros(2, 0, dtype=torch.bool)) == "bool[2, 0]"
    assert brief(pd.DataFrame({"a": [1, 2], "b": [3, 4]})) == "DataFrame[2 x 2]"
    assert brief(pd.Series([1, 2])) == "Series[2]"


def test_short_collections_are_shown_and_long_ones_begun():
    assert brief(("ADD", "SUB")) == "('ADD', 'SUB')"
    assert brief({"a": 1}) == "{'a': 1}"
    assert brief({"a": np.zeros(9)}) == "dict[1: 'a']"
    assert brief(tuple(range(100))).startswith("tuple[100: 0, 1, 2, ")
    assert brief([np.zeros(3)] * 5) == "list[5]"
    assert brief(["a" * 200, "b"]) == "list[2]"
    assert brief(()) == "()"
    assert all(len(brief(value)) <= LONGEST_FIELD for value in ("x" * 500, list(range(10**5)), {"k" * 99: 0}))


def test_what_does_not_fit_is_counted():
    shown = in_one_line("Kind", **{f"field_{number}": "x" * 40 for number in range(30)})
    assert len(shown) <= LONGEST
    assert shown.startswith("Kind(field_0='xxx") and shown.endswith(" more)")
    assert in_one_line("Kind") == "Kind()"


def test_a_run_says_how_large_it_is(compiled: RecurrentTransformer):
    run = compiled.run(["1 = a; 2 = b; a + b = c", "1 = a"])
    states = "states=int64[4, 2, 13, 4], confidence=float32[3, 2, 13, 4]"
    assert repr(run) == f"Trajectory(graphs=2, steps=3, fully_solved=2, {states}, bound=5)"
