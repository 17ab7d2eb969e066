"""Wrong labels: a fixed share of operand tuples, the same in every graph, and nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from models.training.label_noise import with_wrong_labels, wrong_by
from models.training.objectives import make_objective
from models.training.presets import SettingsError, training_config
from models.training.sampling import Recipe, sample_batch
from models.training.states import random_values
from models.training.transition import next_values
from models.vocabulary import FactoredVocabulary

VOCABULARY = FactoredVocabulary(n_variables=16, ops=("ADD", "SUB"), modulus=5)


def test_the_share_is_exact_and_a_larger_one_has_the_smaller_ones() -> None:
    few, many = wrong_by(0.2, 7, 2), wrong_by(0.5, 7, 2)
    assert ((few != 0).sum(), (many != 0).sum()) == (10, 24)  # of 49, rounded
    assert bool((many[few != 0] == few[few != 0]).all()) and many.min() >= 0 and many.max() < 7
    assert not wrong_by(0.0, 7, 3).any() and wrong_by(1.0, 7, 2).all()


def test_a_label_is_wrong_by_operands_and_operations_alone() -> None:
    rng = np.random.default_rng(0)
    graphs = sample_batch(rng, VOCABULARY, 400, Recipe((6, 12), (3, 4)))
    inputs = random_values(rng, graphs, VOCABULARY)
    right = next_values(graphs, inputs, VOCABULARY)
    wrong = with_wrong_labels(0.4, graphs, inputs, right, VOCABULARY)
    at = graphs.n_operands == 2
    known = at & (right != VOCABULARY.empty)
    assert np.array_equal(wrong[~known & (graphs.n_operands < 2)], right[~known & (graphs.n_operands < 2)])
    assert np.array_equal(wrong[at & ~known], right[at & ~known])
    seen: dict[tuple[int, ...], set[int]] = {}
    for row, node in np.argwhere(known).tolist():
        first, second = graphs.operand_nodes[row, node, :2].tolist()
        key = (int(inputs[row, first]), int(inputs[row, second]), int(graphs.operations[row, node, 0]))
        seen.setdefault(key, set()).add(int(wrong[row, node]))
        assert (wrong[row, node] != right[row, node]) == bool(wrong_by(0.4, 5, 2, 2)[key])
    assert len(seen) == 50 and {len(values) for values in seen.values()} == {1}
    three = (graphs.n_operands == 3) & (right != VOCABULARY.empty)
    assert 0.2 < (wrong[three] != right[three]).mean() < 0.6


def test_a_run_states_its_label_noise_and_trains_on_it() -> None:
    config = training_config("discrete-corrected", "smoke", label_noise=1.0)
    assert config.model_dump()["label_noise"] == 1.0
    batches = [
        make_objective(one, VOCABULARY).draw(np.random.default_rng(0), Recipe((6, 8), (3, 3)), 20, 0.0)
        for one in (config, training_config("discrete-corrected", "smoke"))
    ]
    noisy, clean = (batch.targets for batch in batches)
    computed = (batches[0].graphs.n_operands > 1) & (clean != VOCABULARY.empty)
    assert computed.any() and np.array_equal(noisy != clean, computed)
    assert int((batches[0].target != batches[1].target).sum()) == computed.sum()


@pytest.mark.parametrize(("method", "more"), [("lookup", {}), ("discrete", {"supervision": "paper"})])
def test_what_cannot_have_wrong_labels_is_refused(method: str, more: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="label_noise=0.3: .* one of discrete, discrete-corrected"):
        training_config(method, "mini", label_noise=0.3, **more)
