"""Gradients across the bottleneck: told where they stop, unless that was chosen."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch

from interp import Site, attribution_sweep
from models import ComputationGraph, RecurrentConfig, RecurrentTransformer
from models.bottleneck import StoppedGradientWarning

GRAPH = ComputationGraph.sample(5, n_leaves=2, seed=2)
CROSSES = (
    "the gradient ends at the symbols that enter step 2.*choose estimator='straight_through' or 'gumbel'"
)


def small(**changes: Any) -> RecurrentTransformer:
    shape: dict[str, Any] = {"n_layers": 1, "d_model": 16, "n_heads": 2, "d_head": 8, "d_mlp": 16, "seed": 2}
    return RecurrentTransformer(RecurrentConfig(**(shape | changes)))


def test_a_loss_that_reaches_the_bottleneck_says_what_to_choose():
    model = small()
    with pytest.warns(StoppedGradientWarning, match=CROSSES) as caught:
        model(GRAPH, n_steps=3)[-1].logsumexp(-1).sum().backward()
    assert len(caught) == 1


def test_so_does_a_view_of_the_whole_run():
    model = small()
    view, tokens = model.unrolled(3), model.to_tokens(GRAPH)
    with pytest.warns(StoppedGradientWarning, match=CROSSES):
        view(tokens).sum().backward()
    model.cfg.estimator = "straight_through"
    _says_nothing(lambda: view(tokens).sum().backward())


@pytest.mark.parametrize("estimator", ["straight_through", "gumbel", "none"])
def test_a_choice_is_not_asked_about(estimator: Any):
    model = small()
    _says_nothing(lambda: model(GRAPH, n_steps=3, estimator=estimator)[-1].sum().backward())


def test_nothing_is_said_where_no_gradient_comes_to_a_bottleneck():
    model = small()
    tokens = model.to_tokens(GRAPH)
    _says_nothing(lambda: model(GRAPH, n_steps=3)[0].sum().backward())
    _says_nothing(lambda: model.at_step(2)(tokens).sum().backward())
    _says_nothing(lambda: model.transition(model.entering_state(GRAPH)).sum().backward())
    _says_nothing(lambda: small(bottleneck="continuous")(GRAPH, n_steps=3)[-1].sum().backward())
    with torch.no_grad():
        _says_nothing(lambda: model(GRAPH, n_steps=3))


def test_attribution_chooses_for_itself():
    model = small().eval()
    corrupt = ComputationGraph.parse(GRAPH.to_text().replace(str(GRAPH.nodes[0].value), "22", 1))
    for estimator, step in (("straight_through", 0), ("none", 2)):
        sites = [Site("resid_pre", step, 0, 0)]
        _says_nothing(
            lambda e=estimator, s=sites: attribution_sweep(
                model, GRAPH, corrupt, s, "prob", nodes=[4], n_steps=3, estimator=e
            )
        )


def _says_nothing(run: Callable[[], Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", StoppedGradientWarning)
        run()
