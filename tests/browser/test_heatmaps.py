"""Heatmaps of graphs of every size on screens of every width: no effect is lost, what was not computed is seen."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from interp.causal.patching import PatchSweep
from interp.causal.patching_figure import patching_figure
from interp.data.rhs_patterns import RhsPattern, rhs_pattern
from interp.engine.sites import Site
from interp.figures.graph import graph_figure
from interp.figures.resolution import HATCHED_COLOUR
from interp.figures.template import least_width
from interp.mechanism.attention_figure import all_heads_figure, pattern_figure
from models import ComputationGraph, load
from tests.browser import drawing

pytestmark = pytest.mark.browser

SIZES = (8, 32, 128)
WIDTHS = {390: 310, 1024: 644, 1440: 1060}
"""Of a screen, and of the figures of a page on it."""
STRONG = "#1f36a0"


@pytest.fixture(scope="module")
def page(browser):
    page = drawing.drawing_page(browser)
    yield page
    page.close()


@pytest.fixture(scope="module")
def patterns() -> dict[int, RhsPattern]:
    model = load("compiled")
    graphs = {n: ComputationGraph.sample(n, seed=0) for n in SIZES}
    return {n: rhs_pattern(model, model.run(graph), 1) for n, graph in graphs.items()}


def sweep(graph: ComputationGraph, n_tokens: int, place: int, missing: int = 0) -> PatchSweep:
    """Effect 1 at one token of layer 0, 0 elsewhere; the last tokens of layer 1 are not computed."""
    sites = tuple(Site("resid_pre", 0, layer, pos) for layer, pos in product(range(2), range(n_tokens)))
    raw = np.full(len(sites), -2.0)
    raw[place] = 2.0
    if missing:
        raw[-missing:] = np.nan
    return PatchSweep(
        sites=sites,
        raw=raw,
        clean=2.0,
        corrupt=-2.0,
        metric="logit_diff",
        direction="denoise",
        nodes=(0,),
        clean_graph=graph,
        corrupt_graph=graph,
        n_steps=3,
        seconds=0.0,
    )


@pytest.mark.parametrize(("n", "screen"), list(product(SIZES, WIDTHS)))
def test_one_effect_among_all_tokens_is_drawn(page, patterns, n, screen):
    pattern = patterns[n]
    n_tokens = len(pattern.tokens)

    def strong(shown: PatchSweep) -> int:
        figure = patching_figure(shown, width=1060)
        return drawing.count(drawing.drawn(page, figure, WIDTHS[screen]), STRONG)

    nothing = strong(replace(sweep(pattern.graph, n_tokens, 0), raw=np.full(2 * n_tokens, -2.0)))
    for place in (0, n_tokens // 3, n_tokens // 2 + 1, n_tokens - 1):
        one = strong(sweep(pattern.graph, n_tokens, place))
        assert one >= nothing + 6, f"token {place} of {n_tokens}"


@pytest.mark.parametrize(("n", "screen"), list(product(SIZES, WIDTHS)))
def test_what_was_not_computed_is_not_drawn_as_no_effect(page, patterns, n, screen):
    pattern = patterns[n]
    n_tokens = len(pattern.tokens)
    figure = patching_figure(sweep(pattern.graph, n_tokens, 0, missing=n_tokens // 2), width=1060)
    pixels = drawing.drawn(page, figure, WIDTHS[screen])
    cells = 18 * (WIDTHS[screen] - 174) / 2
    assert drawing.count(pixels, HATCHED_COLOUR, 6) > 0.4 * cells
    assert page.locator(".legendtext").all_text_contents() == ["not computed"]


@pytest.mark.parametrize(("n", "screen"), list(product(SIZES, WIDTHS)))
def test_every_node_that_looks_somewhere_is_drawn_in_all_heads(page, patterns, n, screen):
    pattern = patterns[n]
    n_nodes = len(pattern.graph)
    for figure in (all_heads_figure(pattern), pattern_figure(pattern, 0, 0)):
        pixels = drawing.drawn(page, figure, max(WIDTHS[screen], least_width(figure)))
        assert (pattern.pattern[0, 0].max(-1) > 0.9).sum() > n_nodes - 2
        heights = drawing.heights(page)
        rows = pixels[heights[0] : heights[1], heights[2] : heights[3]]
        strong = (np.abs(rows - [31, 54, 160]).sum(-1) <= 60).any(1)
        of_node = np.minimum(np.arange(len(rows)) * n_nodes // len(rows), n_nodes - 1)
        assert len(set(of_node[strong].tolist())) > n_nodes - 2


@pytest.mark.parametrize("n", [96, 128])
def test_nodes_and_names_of_a_graph_do_not_overlap(page, n):
    run = load("compiled").run(ComputationGraph.sample(n, seed=0))
    figure = graph_figure(run, width=660)
    drawing.drawn(page, figure, max(404, least_width(figure)))
    assert drawing.overlaps(page) == 0


def test_a_deep_graph_has_a_bar_with_all_steps(page):
    chain = "1 = m; 2 = n0; " + "; ".join(f"n{i} + m = n{i + 1}" for i in range(100))
    run = load("compiled").run(chain)
    figure = graph_figure(run, width=660)
    drawing.drawn(page, figure, least_width(figure))
    assert drawing.overlaps(page) == 0
    bar = next(trace for trace in figure.data if trace.name == "solved at step")
    assert bar.marker.cmax == 100.5 and bar.marker.colorbar.tickvals[0] == 0
    box, discs = drawing.boxes(page, ".cbfills"), drawing.boxes(page, ".scatterlayer path.point")
    assert box[0]["width"] > 150 and max(one["bottom"] for one in box) < min(one["top"] for one in discs)
