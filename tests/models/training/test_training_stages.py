"""The preset `staged`: the first stage that methods share, runs that start from a checkpoint, phases by accuracy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from analyses.inputs import InputError
from analyses.train import train
from models.training.checkpoint import CheckpointError
from models.training.curriculum import Curriculum, Phase
from models.training.objectives import make_objective
from models.training.objectives.aligned import Aligned, align_lengths
from models.training.objectives.continuous import Continuous
from models.training.objectives.lookup import Lookup, without_arithmetic
from models.training.objectives.lookup_text import LookupText
from models.training.presets import METHODS, TRAINABLE, training_config
from models.training.sampling import EQUALS, NUMBER, SYNTAX, VALUE, Recipe, sample_batch
from models.training.states import mixed_examples
from models.training.trainer import Trainer, build_model
from models.training.transition import next_values
from models.vocabulary import FactoredVocabulary

VOCABULARY = FactoredVocabulary()
RECIPE = Recipe((6, 9), (3, 4), (1, 1, 4), 3)


def smoke(method: str, **changes: object):
    return training_config(method, "smoke", **changes)


def test_what_counts_in_a_lookup_takes_no_arithmetic() -> None:
    """Node by node, in plain Python: EMPTY, a leaf, or the only operand that is not 0."""
    rng = np.random.default_rng(1)
    batch = Lookup(VOCABULARY).draw(rng, RECIPE, 200, skew=0.6)
    graphs = batch.graphs
    computed = next_values(graphs, batch.inputs, VOCABULARY)
    counted = without_arithmetic(graphs, batch.inputs, computed, VOCABULARY)
    sums = 0
    for row, node in zip(*np.nonzero(graphs.exists), strict=True):
        operands = [batch.inputs[row, o] for o in graphs.operand_nodes[row, node] if o >= 0]
        plain = not operands or VOCABULARY.empty in operands or sum(o != 0 for o in operands) <= 1
        assert counted[row, node] == plain
        place = graphs.rhs[row, node]
        assert bool(batch.mask[row, place]) == plain
        expected = computed[row, node] if plain else batch.inputs[row, node]
        assert int(batch.target[row, place, NUMBER]) == batch.targets[row, node] == expected
        sums += not plain
    assert sums > 50  # such nodes exist and are left out


def test_the_first_stage_learns_and_is_loaded_by_every_method(tmp_path: Path) -> None:
    first = tmp_path / "lookup"
    Trainer(smoke("lookup"), first, quiet=True).run()
    given = Trainer(smoke("lookup"), first, resume=True, quiet=True).model.state_dict()
    for method in METHODS:
        if method == "chain-of-thought":
            continue
        model = build_model(smoke(method, start=str(first)))
        for layer in range(model.cfg.n_layers):
            mine = model.state_dict()[f"blocks.{layer}.attn.W_Q"]
            assert torch.equal(mine, given["blocks.0.attn.W_Q"]), (method, layer)
    assert build_model(smoke("feedforward", start=str(first))).cfg.n_layers == 3


def test_a_start_that_does_not_fit_or_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="do not fit a model of 1 layers and d_model 32: .*W_E"):
        build_model(smoke("discrete", start="discrete-corrected"))
    with pytest.raises(InputError, match="cannot start from nothing-here: there is no model"):
        train("discrete", "smoke", out=tmp_path / "run", start="nothing-here", quiet=True)


def test_a_resumed_run_does_not_need_its_start(tmp_path: Path) -> None:
    first, run = tmp_path / "lookup", tmp_path / "run"
    Trainer(smoke("lookup", steps=2), first, quiet=True).run()
    Trainer(smoke("discrete", steps=2, start=str(first)), run, quiet=True).run()
    for file in first.iterdir():
        file.unlink()
    resumed = Trainer(smoke("discrete", steps=4, start=str(first)), run, resume=True, quiet=True)
    resumed.run()
    assert resumed.step == 4


def test_aligned_lengths_leave_the_logits_as_they_were() -> None:
    model = build_model(smoke("continuous"))
    graphs = sample_batch(np.random.default_rng(2), model.vocabulary, 8, RECIPE)
    state, real = torch.as_tensor(graphs.factors), torch.as_tensor(graphs.mask)
    before = model.transition(state)
    align_lengths(model, graphs)
    torch.testing.assert_close(model.transition(state), before, rtol=1e-4, atol=1e-5)
    embedding = model.embed_state(state)
    lengths = [vectors[real].square().mean() for vectors in (embedding, model.step(embedding))]
    torch.testing.assert_close(lengths[0], lengths[1])


def test_the_aligned_objective_is_the_transition_loss_and_the_relative_distance() -> None:
    model = build_model(smoke("continuous"))
    batch = Aligned(model.vocabulary).draw(np.random.default_rng(3), RECIPE, 8, 0.5)
    hidden = model.step(model.embed_state(batch.state))[batch.mask]
    goal = model.embed_state(batch.target)[batch.mask]
    distance = ((hidden - goal) ** 2).sum(-1).mean() / (goal**2).sum(-1).mean()
    plain = super(Aligned, Aligned(model.vocabulary)).loss(model, batch)
    outcome = Aligned(model.vocabulary).loss(model, batch)
    torch.testing.assert_close(outcome.loss, plain.loss + distance)
    assert outcome.right.tolist() == plain.right.tolist()


def test_continuous_is_unrolled_past_the_depth(monkeypatch: pytest.MonkeyPatch) -> None:
    model = build_model(smoke("continuous"))
    objective = Continuous(model.vocabulary, extra_steps=3)
    batch = objective.draw(np.random.default_rng(4), RECIPE, 4, 0.0)
    counts: list[int] = []
    iterate = type(model).iterate

    def counting(self: object, state: torch.Tensor, n_steps: int):
        counts.append(n_steps)
        return iterate(model, state, n_steps)

    monkeypatch.setattr(type(model), "iterate", counting)
    torch.manual_seed(0)
    for _ in range(30):
        objective.loss(model, batch)
    assert set(counts) == {int(batch.graphs.depths.max()) + 2 + extra for extra in range(4)}


def test_the_second_stage_is_that_of_methods_without_a_bottleneck(tmp_path: Path) -> None:
    config = smoke("aligned", steps=2)
    assert isinstance(make_objective(config, VOCABULARY, config.phases[0]), Aligned)
    Trainer(config, tmp_path, quiet=True).run()
    given = Trainer(config, tmp_path, resume=True, quiet=True).model
    assert given.cfg.bottleneck == "continuous"
    starts = {"continuous": "aligned", "recurrent": "continuous", "feedforward": "continuous"}
    for method, start in starts.items():
        assert training_config(method, "staged").start == start
        model = build_model(smoke(method, start=str(tmp_path)))
        assert torch.equal(model.state_dict()["ln_final.w"], given.state_dict()["ln_final.w"])


def test_staged_phases_are_ended_by_accuracy_alone() -> None:
    for method in TRAINABLE:
        config = training_config(method, "staged")
        # Unrolled steps are never learnt as well as single ones, so the clock takes them deeper.
        assert method == "continuous" or all(phase.latest == 1.0 for phase in config.phases)
        last = config.phases[-1]
        if method in METHODS:
            assert (last.sizes, last.leaves, last.max_depth, last.operand_weights) == (
                (8, 32),
                (6, 6),
                6,
                (1, 1, 1),
            )
    curriculum = Curriculum(training_config("discrete", "staged").phases, 0.0)
    nothing, everything = np.array([0, 0, 0, 0]), np.array([9, 9, 9, 9])
    for _ in range(50):
        curriculum.update(nothing, everything, progress=0.99)
    assert curriculum.index == 0
    # Sums of two are enough to leave the first phase, and the second begins with skewed values.
    while curriculum.index == 0:
        curriculum.update(np.array([9, 9, 9, 0]), everything, progress=0.1)
    assert curriculum.accuracy[2] == pytest.approx(0.9, abs=0.01)
    assert (curriculum.skew, curriculum.accuracy[3]) == (0.6, 0.0)
    for _ in range(50):
        curriculum.update(np.array([9, 9, 9, 0]), everything, progress=0.99)
    assert (curriculum.index, curriculum.skew) == (1, 0.6)
    for _ in range(2000):
        curriculum.update(everything, everything, progress=0.1)
    assert (curriculum.index, curriculum.skew) == (2, 0.0)


def test_a_phase_keeps_what_finds_operands(tmp_path: Path) -> None:
    frozen = ("blocks.0.", "embed.W_E")
    phases = (
        Phase(name="kept", sizes=(4, 6), leaves=(3, 3), tokens=200, frozen=frozen, latest=0.5),
        Phase(name="all", sizes=(4, 6), leaves=(3, 3), tokens=200),
    )
    trainer = Trainer(smoke("discrete", phases=phases, steps=6, warmup=0), tmp_path, quiet=True)
    begun = {name: value.clone() for name, value in trainer.model.state_dict().items()}

    def moved() -> set[str]:
        now = trainer.model.state_dict()
        return {name for name, value in begun.items() if not torch.equal(value, now[name])}

    while trainer.curriculum.index == 0:
        trainer._train_step()
        trainer.curriculum.update(np.zeros(4, int), np.zeros(4, int), trainer.progress())
        assert not any(name.startswith(frozen) for name in moved())
    assert "unembed.W_U" in moved()
    trainer._train_step()
    assert {"blocks.0.attn.W_Q", "embed.W_E"} <= moved()


def test_what_is_kept_is_there_in_every_model_that_keeps_it() -> None:
    for method in METHODS:
        config = training_config(method, "staged")
        names = [name for name, _ in build_model(config, start=False).named_parameters()]
        for phase in config.phases:
            assert all(any(name.startswith(kept) for name in names) for kept in phase.frozen)
    assert any(phase.frozen for phase in training_config("discrete", "staged").phases)


@pytest.mark.parametrize("preset", ["staged", "mini"])
@pytest.mark.parametrize("method", TRAINABLE)
def test_every_phase_finds_its_largest_graphs(method: str, preset: str) -> None:
    config = training_config(method, preset)
    vocabulary = build_model(config, start=False).vocabulary
    for phase in config.phases:
        rng = np.random.default_rng(0)
        batch = sample_batch(rng, vocabulary, 64, phase.recipe((phase.sizes[1], phase.sizes[1])))
        assert batch.depths.max() <= phase.max_depth


def test_operands_of_graphs_of_depth_1_are_leaves() -> None:
    batch = sample_batch(
        np.random.default_rng(0), VOCABULARY, 200, Recipe((12, 20), (2, 6), (1, 3, 2), max_depth=1)
    )
    assert batch.depths.max() == 1
    assert (batch.n_operands[batch.depths == 1] > 0).all()
    inner = batch.n_operands[(batch.n_operands > 0)]
    shares = np.bincount(inner, minlength=4)[1:] / len(inner)
    assert shares == pytest.approx([1 / 6, 1 / 2, 1 / 3], abs=0.07)  # as asked, but for graphs of two leaves


def test_examples_begin_at_the_step_that_is_asked_for() -> None:
    rng = np.random.default_rng(0)
    batch = sample_batch(rng, VOCABULARY, 100, Recipe((8, 12), (4, 6), max_depth=2))
    examples = mixed_examples(rng, batch, VOCABULARY, random=0.0, first_step=1)
    leaves = batch.n_operands == 0
    assert (examples.inputs[leaves] == batch.leaf_values[leaves]).all()
    with_all = mixed_examples(rng, batch, VOCABULARY, random=0.0)
    assert (with_all.inputs[leaves] == VOCABULARY.empty).any()


def test_what_counts_in_written_lookups_takes_no_arithmetic() -> None:
    """Values in the text are random, and the value token after an equation is predicted from those before it."""
    batch = LookupText(VOCABULARY).draw(np.random.default_rng(5), RECIPE, 60, skew=0.5)
    graphs = batch.graphs
    state, target, mask = batch.state.numpy(), batch.target.numpy(), batch.mask.numpy()
    sums = wrong = 0
    for row in range(len(graphs)):
        written = {}
        for place in np.nonzero((target[row, :, SYNTAX] == VALUE) & (state[row, :, SYNTAX] == EQUALS))[0]:
            node = len(written)
            operands = [written[o] for o in graphs.operand_nodes[row, node] if o >= 0]
            plain = not operands or sum(o != 0 for o in operands) <= 1
            expected = sum(operands) % 23 if operands else graphs.leaf_values[row, node]
            assert bool(mask[row, place]) == plain
            if plain:
                assert target[row, place, NUMBER] == expected == batch.targets[row, node]
            sums += not plain
            if place + 1 < state.shape[1] and state[row, place + 1, SYNTAX] == VALUE:
                written[node] = state[row, place + 1, NUMBER]
                wrong += written[node] != expected
            else:  # the last value of the text is never read
                written[node] = -1
    assert sums > 50 and wrong > 200
