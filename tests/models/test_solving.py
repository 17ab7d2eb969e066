"""Solving by method: what a chain-of-thought model writes, and that `evaluate` agrees with the training's own count."""

from __future__ import annotations

from typing import cast

import numpy as np
import pytest
import torch

from analyses.correction import measure_correction
from analyses.evaluate import evaluate
from analyses.solve import solve as watch
from models import ComputationGraph, RecurrentConfig, RecurrentTransformer, load
from models.compiled import compile_model
from models.solving import KEPT_STEPS, fixed_steps, solve
from models.training.objectives import make_objective
from models.training.objectives.chain_of_thought import write_thoughts
from models.training.presets import METHODS, training_config
from models.training.sampling import batch_of
from models.training.trainer import build_model
from models.training.transition import true_values
from models.vocabulary import FactoredVocabulary

GRAPH = ComputationGraph.parse("20 = x_7; 2 = x_42; x_7 + x_42 = x_23; x_23 + x_7 = x_1")


class Scribe(RecurrentTransformer):
    """A chain-of-thought model that writes the solution of one graph, save the token at `mistake`."""

    def __init__(self, graph: ComputationGraph, mistake: int | None = None) -> None:
        super().__init__(
            RecurrentConfig(method="chain-of-thought", default_steps=1, n_layers=1, d_model=8, d_head=4)
        )
        batch = batch_of([graph], self.vocabulary)
        self.thoughts = write_thoughts(batch, true_values(batch, self.vocabulary), self.vocabulary)
        self.written = torch.from_numpy(self.thoughts.tokens).clone()
        if mistake is not None:
            self.written[0, mistake, 3] = (self.written[0, mistake, 3] + 1) % 23

    def transition(
        self, state: torch.Tensor, step: int = 0, padding: torch.Tensor | None = None
    ) -> torch.Tensor:
        logits = torch.zeros(*state.shape[:2], self.vocabulary.d_vocab)
        columns = self.written[:, 1 : state.shape[1] + 1] + torch.tensor(self.vocabulary.offsets)
        return logits.scatter_(-1, columns, 9.0)


def test_a_step_writes_an_equation_and_its_value() -> None:
    run = solve(Scribe(GRAPH), [GRAPH])
    empty = run.vocabulary.empty
    assert run.values[:, 0].tolist() == [
        [empty] * 4,
        [20, empty, empty, empty],
        [20, 2, empty, empty],
        [20, 2, 22, empty],
        [20, 2, 22, 19],
    ]
    assert (run.n_steps, int(run.fixed_point[0]), bool(run.fully_solved[0])) == (4, 3, True)
    assert run.value_confidence[2, 0, 2] == pytest.approx(np.exp(9) / (np.exp(9) + 24))
    short = solve(Scribe(GRAPH), [GRAPH], n_steps=2)
    assert (short.n_steps, int(short.fixed_point[0]), bool(short.hit_bound[0])) == (2, -1, True)
    assert solve(Scribe(GRAPH), [GRAPH], n_steps=9).fully_solved.all()
    assert solve(Scribe(GRAPH), [GRAPH], n_steps=99_999_999).n_steps == KEPT_STEPS


def test_steps_that_change_nothing_are_left_out() -> None:
    model = compile_model(("ADD",), modulus=23, n_variables=128)
    long = solve(model, [GRAPH], n_steps=99_999_999)
    short = solve(model, [GRAPH])
    assert long.n_steps == KEPT_STEPS and long.fixed_point.tolist() == short.fixed_point.tolist()
    assert torch.equal(long.states[-1], short.states[-1])
    assert solve(model, [GRAPH], n_steps=7).n_steps == 7


def test_after_the_first_mistake_nothing_is_written() -> None:
    values = Scribe(GRAPH).thoughts.values[0]
    run = solve(Scribe(GRAPH, int(values[1])), [GRAPH])
    empty = run.vocabulary.empty
    assert run.values[-1, 0].tolist() == [20, 3, empty, empty]
    in_text = solve(Scribe(GRAPH, int(values[1]) - 2), [GRAPH])
    assert in_text.values[-1, 0].tolist() == [20, empty, empty, empty]
    (size,) = evaluate(Scribe(GRAPH, int(values[1])), [GRAPH]).sizes
    assert (size.fully_solved, size.node_accuracy, size.mean_steps, size.unsettled) == (0.0, 0.25, 2.0, 0)
    (size,) = evaluate(Scribe(GRAPH), [GRAPH]).sizes
    assert (size.fully_solved, size.max_steps, size.solved_by_step) == (1.0, 4, (0.0, 0.0, 0.0, 1.0))
    assert "all 4 nodes are right" in watch(Scribe(GRAPH), [GRAPH]).verdict()


@pytest.mark.parametrize("method", METHODS)
def test_evaluation_counts_what_the_objective_counts(method: str) -> None:
    """On the bundled models, graph by graph, where a run settles (the two stop at other bounds where it does not)."""
    model, objective = load(method), make_objective(training_config(method), FactoredVocabulary())
    steps, compared = fixed_steps(model.cfg), 0
    for seed in range(12):
        graph = ComputationGraph.sample(7, n_leaves=4, seed=seed)
        run, batch = solve(model, [graph]), batch_of([graph], model.vocabulary)
        written = objective.solve(model, batch)
        if steps is not None or run.fixed_point[0] >= 0:
            compared += 1
            expected = np.where(written < 0, model.vocabulary.empty, written)
            assert np.array_equal(run.values[-1].numpy(), expected)
            (size,) = evaluate(model, [graph]).sizes
            assert size.node_accuracy == pytest.approx(
                (written == true_values(batch, model.vocabulary)).mean()
            )
            assert steps is None or (size.mean_steps, size.max_steps, size.unsettled) == (steps, steps, 0)
    assert compared >= 4


def test_what_makes_no_sense_for_a_method_is_said() -> None:
    with pytest.raises(ValueError, match="writes its solution as text"):
        Scribe(GRAPH).run(GRAPH)
    for method in ("chain-of-thought", "continuous", "recurrent", "feedforward"):
        model = build_model(training_config(method, "smoke"))
        with pytest.raises(ValueError, match=f"a model of method '{method}' has none"):
            measure_correction(cast(RecurrentTransformer, model), [GRAPH], 0.1)
