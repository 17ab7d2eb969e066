"""Fourier analyses against numpy done by hand, analytic functions, a table, and an untrained model."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import interp
from interp.engine.sites import SiteError
from interp.fourier_analysis.characters import characters_of
from interp.fourier_analysis.fourier import (
    EmbeddingSpectrum,
    Fourier,
    embedding_spectrum,
    fourier,
    idle_contrast,
)
from interp.fourier_analysis.fourier_figure import cells_figure, fourier_figure, neurons_figure
from interp.fourier_analysis.frequency_ablation import ablate_frequencies, neuron_groups
from interp.fourier_analysis.frequency_loss import key_frequency_loss
from interp.fourier_analysis.neuron_rerun import neuron_run
from interp.fourier_analysis.operand_tuples import collect_grid, hook_names, operand_grid
from interp.fourier_analysis.spectrum import site_spectrum
from interp.fourier_analysis.symmetry import (
    circularity,
    distance_irrelevance,
    gradient_cosines,
    gradients_of,
    measure_symmetry,
    value_embeddings,
)
from models import ComputationGraph, RecurrentConfig, RecurrentTransformer, load
from models.compiled import compile_model

SIZES: dict[str, Any] = {"modulus": 5, "n_variables": 16}
P = 11


@pytest.fixture(scope="module")
def table() -> RecurrentTransformer:
    return compile_model(("ADD",), **SIZES)


@pytest.fixture(scope="module")
def trained() -> RecurrentTransformer:
    return load("discrete-corrected")


# The grid --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ops", ["ADD", "SUB", "MUL", ("SUB", "ADD")])
@pytest.mark.parametrize("status", ["computing", "done", "corrupted"])
def test_the_states_are_those_of_graphs(ops: Any, status: str) -> None:
    """Against states written from graphs that were typed out, one for each tuple; the model answers all right."""
    model = compile_model(("ADD", "SUB", "MUL"), **SIZES)
    grid = operand_grid(model, ops, status=status, seed=3)
    states = grid.states(np.arange(len(grid)))
    names = [node.name for node in grid.graph.nodes]
    operands = grid.graph.nodes[-1].operands
    for row, values in enumerate(product(grid.characters.values, repeat=len(operands))):
        given = [node.value for node in grid.graph.nodes[:-1]]
        for operand, value in zip(operands, values, strict=True):
            given[operand] = value
        text = "; ".join(f"{v} = {name}" for v, name in zip(given, names[:-1], strict=True))
        typed = ComputationGraph.parse(f"{text}; {grid.graph.equation(len(names) - 1)}", **SIZES)
        assert typed.values_by_node[-1] == grid.truth.flat[row]
        encoded = model.to_encoded(typed)
        expected = encoded.factors[0].clone()
        shown = [
            *typed.values_by_node[:-1],
            {"done": typed.values_by_node[-1], "corrupted": 0}.get(status, 6),
        ]
        expected[encoded.rhs[0], 3] = torch.tensor(shown)
        assert torch.equal(states[row], expected)
    logits = collect_grid(model, grid, ["hook_logits"], tokens=200)["hook_logits"]
    assert np.array_equal(logits.argmax(-1), grid.truth)


def test_waiting_leaves_the_last_operand_empty(table: RecurrentTransformer) -> None:
    grid = operand_grid(table, "ADD", 3, "waiting")
    assert grid.shape == (5, 5) and (grid.truth == table.vocabulary.empty).all()
    logits = collect_grid(table, grid, ["hook_logits"])["hook_logits"]
    assert np.array_equal(logits.argmax(-1), grid.truth)


def test_what_is_collected(table: RecurrentTransformer) -> None:
    """Batches and steps make no difference; activations agree with a cache of the same state."""
    grid = operand_grid(table, "ADD", 2)
    names = hook_names(table, ["mlp_post", "blocks.1.attn.hook_z", "logits"])
    assert names[:2] == ["blocks.0.mlp.hook_post", "blocks.1.attn.hook_z"] and names[-1] == "hook_logits"
    small, large = collect_grid(table, grid, names, tokens=40), collect_grid(table, grid, names, step=2)
    packed = table.vocabulary.pack(grid.states(np.array([7])))
    _, cache = table.run_with_cache(packed, steps=0, names="all")
    for name in names:
        assert np.allclose(small[name], large[name], atol=1e-5)
        there = cache[name][0, 0, grid.rhs].flatten().detach().numpy()
        there = there[table.vocabulary.slice("value")] if name == "hook_logits" else there
        assert np.allclose(small[name][1, 2], there, atol=1e-5)
    assert not table.is_watched()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ops": "DIV"}, "at least one of ADD"),
        ({"n_operands": 4}, "allowed: 2 or 3 operands"),
        ({"ops": ["ADD", "ADD"], "n_operands": 2}, "allowed: 2 or 3 operands"),
        ({"status": "idle"}, "allowed are computing, done"),
        ({"status": "waiting"}, "3 operands or more"),
        ({"ops": "SUB"}, "Allowed: ADD"),
        ({"at": ["pattern"]}, "no vector"),
        ({"at": ["blocks.7.mlp.hook_post"]}, "layers 0..2"),
        ({"at": ["nothing"]}, "there is no site"),
        ({"step": -1}, "0 or more"),
    ],
)
def test_bad_input(table: RecurrentTransformer, changes: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, SiteError), match=message):
        fourier(table, **({"control": False} | changes))


# Models ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("modulus", "n"), [(5, 2), (5, 3), (23, 2)])
def test_a_table_is_not_called_fourier(modulus: int, n: int) -> None:
    """Right answers, a fully diagonal output, and neurons at chance."""
    model = compile_model(("ADD",), modulus=modulus, n_variables=16)
    result = fourier(model, "ADD", n, ("mlp_post", "mlp_out", "logits"), draws=3)
    verdict = result.verdict()
    assert result.accuracy == 1
    assert result.site("hook_logits").diagonal_share == pytest.approx(1, abs=1e-4)
    assert result.site("blocks.2.hook_mlp_out").diagonal_share == pytest.approx(1, abs=1e-4)
    assert not verdict.claimed and "no Fourier structure claimed" in str(verdict)
    assert result.main_layer in (1, 2)
    last = result.neurons(2)
    if n == 2:
        one_cell_neurons = 8 / (
            modulus**2 - 1
        )  # 8 of the cells belong to a frequency, and all cells are alike
        assert last.single_frequency_share == pytest.approx(one_cell_neurons, rel=1e-3)
        assert last.diagonal_share == pytest.approx(1 / (modulus + 1), rel=1e-3)
        assert last.diagonal_share == pytest.approx(last.chance_relabelled, rel=1e-3)
        assert last.relabelled == pytest.approx(one_cell_neurons, rel=1e-3)
    assert result.embedding.gini == pytest.approx(0, abs=1e-6)


def test_an_untrained_model_is_at_chance() -> None:
    cfg = RecurrentConfig(n_layers=2, d_model=32, n_heads=4, d_head=8, n_variables=16, modulus=11, seed=5)
    result = fourier(RecurrentTransformer(cfg).eval(), "ADD", 2)
    assert result.accuracy < 0.3 and not result.verdict().claimed
    assert result.control is not None
    for site, other in zip(result.sites, result.control.sites, strict=True):
        assert site.diagonal_share < 0.02
        assert site.single_frequency_share == pytest.approx(other.single_frequency_share, abs=0.1)
    assert abs(result.embedding.gini - result.embedding.relabelled_gini.mean()) < 0.1


def waves_model(neurons: NDArray[np.float32], seed: int = 0) -> Fourier:
    """A result with given neurons, beside an untrained model whose neurons are random functions of one operand."""
    x, y = np.indices((P, P))
    rng = np.random.default_rng(seed)
    f, g = rng.normal(size=(2, P, 64))
    name, characters = "blocks.0.mlp.hook_post", characters_of(("ADD",), P)
    random = np.maximum(f[x] + g[y], 0).astype(np.float32)
    flat = EmbeddingSpectrum(np.ones(5), 0.0, np.zeros(1))
    control = Fourier(
        "", "computing", 0, 0, characters, 0.1, (site_spectrum(random, characters, name),), flat
    )
    site = site_spectrum(neurons, characters, name, draws=8)
    return replace(control, sites=(site,), accuracy=1.0, control=control)


def test_the_verdict_tells_three_mechanisms_apart() -> None:
    x, y = np.indices((P, P))
    turn = 2 * np.pi / P
    phases = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    clock = np.concatenate(
        [
            np.maximum(np.cos(turn * a * x[..., None] + phases) + np.cos(turn * a * y[..., None] + phases), 0)
            for a in (1, 3, 4)
        ],
        -1,
    )
    pairs = np.eye(P * P).reshape(P, P, -1)
    of_the_sum = np.eye(P)[(x + y) % P]
    by_fourier, by_table, ready_made = (
        waves_model(neurons.astype(np.float32)) for neurons in (clock, pairs, of_the_sum)
    )
    assert by_fourier.verdict().claimed
    assert sorted(by_fourier.neurons(0).key_frequencies) == [1, 3, 4]
    groups = neuron_groups(by_fourier.neurons(0))
    assert {a: len(neurons) for a, neurons in groups.items()} == {1: 16, 2: 0, 3: 16, 4: 16, 5: 0}
    assert not by_table.verdict().claimed
    assert not ready_made.verdict().claimed
    assert ready_made.neurons(0).diagonal_share == pytest.approx(1, abs=1e-5)
    assert ready_made.neurons(0).single_frequency_share == pytest.approx(1 / 5, rel=1e-4)
    with pytest.raises(ValueError, match="needs controls"):
        replace(by_fourier, control=None).verdict()


def test_embedding_spectrum_by_hand(trained: RecurrentTransformer) -> None:
    spectrum = embedding_spectrum(trained, characters_of(("ADD",), 23), draws=2)
    rows = trained.W_E[trained.vocabulary.slice("value")][:23].detach().double().numpy()
    for a in (1, 2, 11):
        waves = [np.cos(2 * np.pi * a * np.arange(23) / 23), np.sin(2 * np.pi * a * np.arange(23) / 23)]
        by_hand = sum(np.square(wave @ rows).sum() for wave in waves) * 2 / 23**2
        assert spectrum.energy[a - 1] == pytest.approx(by_hand)
    assert spectrum.dc == pytest.approx(np.square(rows.mean(0)).sum())
    assert spectrum.energy.sum() + spectrum.dc == pytest.approx(np.square(rows).sum() / 23)


def test_the_bundled_model_and_its_figures(trained: RecurrentTransformer) -> None:
    """What is claimed of it, with the controls that back it; the numbers are in the report, not here."""
    result = fourier(trained, "ADD", 2, draws=4)
    assert result.accuracy == 1
    assert result.verdict().claimed and result.main_layer == 1
    neurons = result.neurons(1)
    assert neurons.single_frequency_share > 2 * neurons.relabelled.max()
    assert result.site("blocks.1.mlp.hook_pre").diagonal_share < 0.01 < neurons.diagonal_share
    frame = result.to_frame()
    assert len(frame) == 2 * len(result.sites) and frame["layer"].isna().sum() == 2
    line = frame[frame["trained"] & (frame["site"] == neurons.name)].iloc[0]
    assert line["diagonal_share"] == neurons.diagonal_share and line["n_key_frequencies"] == 5
    figure = fourier_figure(result)
    bars = [trace for trace in figure.data if trace.type == "bar"]
    assert list(bars[1].y)[list(bars[1].x).index("1 mlp_post")] == neurons.single_frequency_share
    cells = cells_figure(neurons).data[0]
    assert cells.customdata[cells.y.index(3)][cells.x.index(3)] == pytest.approx(
        neurons.power[3, 3] / neurons.energy
    )
    points = neurons_figure(neurons).data[0]
    assert len(points.x) == neurons.alive.sum() and max(points.y) == neurons.tuning.max()


def test_losses_and_ablation_of_the_bundled_model(trained: RecurrentTransformer) -> None:
    run = neuron_run(trained, operand_grid(trained, "ADD", 2), layer=1)
    losses = key_frequency_loss(run, draws=2)
    assert losses.full.accuracy == 1
    assert losses.excluded["neurons"].loss > 10 * losses.full.loss
    assert losses.excluded["neurons"].accuracy < losses.restricted["neurons"].accuracy
    assert all(score.accuracy < 0.3 for score in losses.restricted_control["neurons"])
    truth, slope = run.grid.truth, run.logits - run.logits.max(-1, keepdims=True)
    log_probability = slope - np.log(np.exp(slope).sum(-1, keepdims=True))
    by_hand = -np.take_along_axis(log_probability, truth[..., None], -1).mean()
    assert losses.full.loss == pytest.approx(float(by_hand), rel=1e-3, abs=1e-7)
    assert len(losses.to_frame()) == 5
    result = ablate_frequencies(run, draws=3)
    assert {group.frequency for group in result.groups} <= set(result.spectrum.characters.frequencies)
    for group in result.groups:
        assert all(result.spectrum.dominant[neuron] == group.frequency for neuron in group.neurons)
        assert group.score.accuracy <= min(score.accuracy for score in group.random)
    bars = [trace for trace in result.figure().data if trace.type == "bar"]
    assert list(bars[0].y) == [group.score.accuracy for group in result.groups]


def test_which_layers_matter(trained: RecurrentTransformer) -> None:
    """The MLP before the values are fetched knows nothing of them."""
    spectra = fourier(trained, "ADD", 2, ("mlp_post", "mlp_out"), control=False, draws=0)
    assert spectra.layers_that_matter == (1,)
    with pytest.raises(ValueError, match="no untrained control; measure with control=True"):
        spectra.untrained  # noqa: B018
    grid = operand_grid(trained, "ADD", 2)
    assert ablate_frequencies(neuron_run(trained, grid, 0)).groups == ()


def test_neurons_written_back_change_nothing(
    trained: RecurrentTransformer, table: RecurrentTransformer
) -> None:
    """In the last layer by hand, in an earlier one by running the step; the two ways agree."""
    run = neuron_run(trained, operand_grid(trained, "ADD", 2), 1)
    assert np.allclose(run.logits_with(run.neurons), run.logits, atol=2e-4)
    for layer in (1, 2):
        other = neuron_run(table, operand_grid(table, "ADD", 2), layer, tokens=300)
        assert np.allclose(other.logits_with(other.neurons), other.logits, atol=2e-4)
        silenced = other.score_with(np.zeros_like(other.neurons))
        assert silenced.accuracy < 0.3 < other.score(other.logits).accuracy == 1
    changed = run.neurons.copy()
    changed[..., ::3] = 0.5
    name = "steps.0.blocks.1.mlp.hook_post"

    def write(activation: torch.Tensor, hook: Any) -> torch.Tensor:
        activation[:, run.grid.rhs, ::3] = 0.5
        return activation

    with torch.no_grad(), trained.hooks(fwd_hooks=[(name, write)]):
        logits = trained.transition(run.grid.states(np.arange(len(run.grid))))[:, run.grid.rhs]
    there = logits[:, trained.vocabulary.slice("value")].numpy().reshape(23, 23, -1)
    assert np.allclose(run.logits_with(changed), there, atol=2e-4)


def test_ablation_arguments(table: RecurrentTransformer) -> None:
    run = neuron_run(table, operand_grid(table, "ADD", 2), 2)
    assert ablate_frequencies(run).groups == (), "no neuron of a table has half its energy at one frequency"
    for wrong in ({"draws": 0}, {"min_share": 2.0}, {"frequencies": [9]}):
        with pytest.raises(ValueError, match="allowed: at least one draw"):
            ablate_frequencies(run, **wrong)
    with pytest.raises(ValueError, match="layers 0..2"):
        neuron_run(table, run.grid, 3)
    silent = replace(run, neurons=np.zeros_like(run.neurons))
    with pytest.raises(ValueError, match="no key frequency"):
        key_frequency_loss(silent)


def test_idle_equations(table: RecurrentTransformer) -> None:
    frame = idle_contrast(table, "ADD", 3)
    assert list(frame["status"].unique()) == ["computing", "done", "corrupted", "waiting"]
    assert (frame["accuracy"] == 1).all()
    written = frame[frame["site"] == "blocks.2.hook_mlp_out"].set_index("status")
    assert written.loc["computing", "energy"] == pytest.approx(
        0.8
    )  # one-hot of five values, without their mean
    assert written.loc["corrupted", "energy"] == pytest.approx(0.8)
    assert written.loc["waiting", "energy"] == 0  # nothing is added up
    assert written.loc["done", "energy"] == 0  # what is erased is what is written


# Symmetry --------------------------------------------------------------------------------------------------------


def test_gradient_symmetricity_of_functions_known_by_hand() -> None:
    points = torch.randn(50, 2, 6, generator=torch.Generator().manual_seed(0))
    a, b = points[:, 0], points[:, 1]
    cosine = torch.nn.functional.cosine_similarity(a, b).double().numpy()
    of_the_average = gradients_of(lambda e: torch.tanh(e.sum(1)).pow(2).sum(-1), points)
    assert np.allclose(gradient_cosines(of_the_average), 1, atol=1e-5)
    difference = gradients_of(lambda e: (e[:, 0] - e[:, 1]).pow(3).sum(-1), points)
    assert np.allclose(gradient_cosines(difference), -1, atol=1e-5)
    product_ = gradients_of(lambda e: (e[:, 0] * e[:, 1]).sum(-1), points)
    assert torch.allclose(product_[:, 0], b) and np.allclose(gradient_cosines(product_), cosine, atol=1e-5)
    apart = gradients_of(lambda e: e[:, 0, :3].sum(-1) + e[:, 1, 3:].sum(-1), points)
    assert np.allclose(gradient_cosines(apart), 0)
    assert gradient_cosines(gradients_of(lambda e: e[:, 0].sum(-1), points)).size == 0
    three = torch.tensor([[[1.0, 0], [0, 1], [0, 1]]])
    assert gradient_cosines(three) == pytest.approx(1 / 3)


def test_symmetry_of_models(trained: RecurrentTransformer) -> None:
    result = measure_symmetry(trained, "ADD", 2, n_samples=20)
    assert result.control is not None and result.n_samples == 20
    assert -1 <= result.gradient_symmetricity <= 1
    assert result.control.distance_irrelevance == pytest.approx(1, abs=0.01)
    assert not trained.is_watched()
    grid = operand_grid(trained, "ADD", 2)
    run = neuron_run(trained, grid, 1)
    correct = np.take_along_axis(run.logits, grid.truth[..., None], -1)[..., 0]
    assert result.distance_irrelevance == pytest.approx(distance_irrelevance(correct, grid.characters))
    assert result.circularity == circularity(value_embeddings(trained, grid.characters))
    assert 0 < result.control.circularity < 0.6, "no circle before training"
    with pytest.raises(ValueError, match="1 or more"):
        measure_symmetry(trained, n_samples=0)


def test_public_names() -> None:
    assert interp.Fourier is Fourier and interp.operand_grid is operand_grid
    assert interp.measure_symmetry is measure_symmetry and interp.characters_of is characters_of
