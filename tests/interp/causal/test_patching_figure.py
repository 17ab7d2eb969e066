"""The patching figures draw what the sweep says: places, signs, one scale, points that can be clicked."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from interp.causal.patching import PatchSweep
from interp.causal.patching_figure import mean_patching_figure, patch_effects, patching_figure
from interp.engine.sites import Site
from interp.figures.scales import colour_limit
from models import ComputationGraph

CLEAN = ComputationGraph.parse("1 = a; 2 = b; a + b = c; c + a = d")
CORRUPT = ComputationGraph.parse("4 = a; 2 = b; a + b = c; c + a = d")
N_TOKENS = 19


def sweep(sites: list[Site], raw: np.ndarray | None = None, **changes: object) -> PatchSweep:
    given = np.linspace(-3, 2, len(sites)) if raw is None else raw
    made = PatchSweep(
        sites=tuple(sites),
        raw=given,
        clean=2.0,
        corrupt=-2.0,
        metric="logit_diff",
        direction="denoise",
        nodes=(0, 2, 3),
        clean_graph=CLEAN,
        corrupt_graph=CORRUPT,
        n_steps=3,
        seconds=0.0,
    )
    return replace(made, **changes)


def heatmaps(figure) -> list:
    return [trace for trace in figure.data if trace.type == "heatmap"]


def by_position(steps: int = 3, layers: int = 2) -> list[Site]:
    return [
        Site("resid_pre", s, layer, p)
        for s, layer, p in product(range(steps), range(layers), range(N_TOKENS))
    ]


def test_an_effect_is_the_change_from_the_unpatched_run_in_units_of_the_difference():
    sites = [Site("resid_pre", 0, 0, p) for p in range(3)]
    raw = np.array([-2.0, 0.0, 2.0])
    assert patch_effects(sweep(sites, raw)).tolist() == [0, 0.5, 1]
    assert patch_effects(sweep(sites, raw, direction="noise")).tolist() == [-1, -0.5, 0]
    same = sweep(sites, raw, corrupt=2.0)
    assert patch_effects(same).tolist() == [-4, -2, 0]
    assert "not normalised" in patching_figure(same).layout.title.subtitle.text
    assert "change of logit_diff" in patching_figure(same).layout.coloraxis.colorbar.title.text


def test_a_panel_per_layer_with_steps_down_and_tokens_across():
    result = sweep(by_position())
    figure = patching_figure(result)
    effects = patch_effects(result).reshape(3, 2, N_TOKENS)
    first, second = heatmaps(figure)
    assert np.array_equal(np.array(first.z, float), effects[:, 0])
    assert np.array_equal(np.array(second.z, float), effects[:, 1])
    assert first.name == "blocks.0.hook_resid_pre"
    assert figure.layout.xaxis.ticktext[:4] == ("1|4", "=", "a", "[sep]")
    assert figure.layout.yaxis.ticktext == ("0", "1", "2") and figure.layout.yaxis.title.text == "step"
    assert figure.layout.yaxis.range[0] > figure.layout.yaxis.range[1]
    hover = first.text[2][0]
    assert hover.startswith("<b>step 2</b><br>blocks.0.hook_resid_pre · pos 0")
    assert "1 = a   |   4 = a" in hover and f"effect {effects[2, 0, 0]:.6g}" in hover
    assert f"logit_diff {result.raw[2 * 2 * N_TOKENS]:.6g} (clean 2, corrupt -2)" in hover


def test_one_scale_for_all_panels_with_its_middle_at_0():
    figure = patching_figure(sweep(by_position(), np.r_[np.full(3 * 2 * N_TOKENS - 1, -2.0), 10.0]))
    assert {trace.coloraxis for trace in heatmaps(figure)} == {"coloraxis"}
    axis = figure.layout.coloraxis
    assert (axis.cmin, axis.cmid, axis.cmax) == (-3, 0, 3)
    assert axis.colorscale[2] == (0.5, "#ffffff")
    weak = patching_figure(sweep(by_position(), np.full(3 * 2 * N_TOKENS, -1.9)))
    assert weak.layout.coloraxis.cmax == 1
    assert colour_limit([]) == 1


def test_points_over_the_cells_carry_row_column_and_site():
    result = sweep(by_position())
    figure = patching_figure(result, selectable=True)
    points = [trace for trace in figure.data if trace.name == "cells"]
    assert len(points) == 2
    for layer, trace in enumerate(points):
        assert trace.marker.opacity == 0 and len(trace.x) == 3 * N_TOKENS
        for x, y, (row, column, index), hover in zip(
            trace.x, trace.y, trace.customdata, trace.hovertext, strict=True
        ):
            assert (row, column) == (y, x)
            assert result.sites[index] == Site("resid_pre", row, layer, column)
            assert hover.startswith(f"<b>step {row}</b>")
    assert all(trace.hoverinfo == "skip" for trace in heatmaps(figure))


@pytest.mark.parametrize(
    ("sites", "panels", "rows", "columns"),
    [
        ([Site("z", s, la, "all", h) for s, la, h in product(range(3), range(2), range(4))],
         ["z · step 0", "z · step 1", "z · step 2"], ("0", "1"), ("0", "1", "2", "3")),
        ([Site("z", s, 1, "all", h) for s, h in product(range(3), range(4))],
         ["blocks.1.attn.hook_z"], ("0", "1", "2"), ("0", "1", "2", "3")),
        ([Site("z", s, la, f"rhs:{n}", h) for s, la, n, h in product(range(2), range(2), range(4), range(2))],
         ["z · step 0", "z · step 1"], ("0.0", "0.1", "1.0", "1.1"), ("a", "b", "c", "d")),
        ([Site("resid_pre", "all", la, f"rhs:{n}") for la, n in product(range(2), range(4))],
         ["resid_pre · every step"], ("0", "1"), ("a", "b", "c", "d")),
        ([Site("mlp_out", s, la) for s, la in product(range(3), range(2))],
         ["mlp_out"], ("0", "1", "2"), ("0", "1")),
        ([Site("state", s, pos=f"rhs:{n}", factor="value") for s, n in product(range(2), range(4))],
         ["hook_state · value"], ("0", "1"), ("a", "b", "c", "d")),
    ],
)  # fmt: skip
def test_axes_are_what_varies(sites: list[Site], panels: list[str], rows: tuple, columns: tuple):
    figure = patching_figure(sweep(sites))
    assert [trace.name for trace in heatmaps(figure)] == panels
    assert (figure.layout.yaxis.ticktext, figure.layout.xaxis.ticktext) == (rows, columns)
    assert sum(np.isfinite(np.array(trace.z, float)).sum() for trace in heatmaps(figure)) == len(sites)


def test_rows_and_columns_can_be_chosen():
    sites = [Site("z", s, 0, f"rhs:{n}", h) for s, n, h in product(range(3), range(2), range(2))]
    figure = patching_figure(sweep(sites), rows="step", columns="head")
    assert [trace.name for trace in heatmaps(figure)] == [
        "blocks.0.attn.hook_z · position a",
        "blocks.0.attn.hook_z · position b",
    ]
    with pytest.raises(ValueError, match="allowed are two of step, layer, head, pos"):
        patching_figure(sweep(sites), rows="step", columns="node")


def test_above_many_cells_the_strongest_step_stands_for_all(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("interp.causal.patching_figure.SHOWN_AT_MOST", 10)
    sites = [Site("z", s, 0, p, h) for s, p, h in product(range(2), range(N_TOKENS), range(2))]
    result = sweep(sites)
    (heatmap,) = heatmaps(patching_figure(result))
    effects = patch_effects(result).reshape(2, N_TOKENS, 2)
    strongest = np.where(np.abs(effects[0]) >= np.abs(effects[1]), effects[0], effects[1])
    assert heatmap.name == "z · strongest over the steps"
    assert np.array_equal(np.array(heatmap.z, float), strongest.T)


def test_the_mean_over_pairs_is_by_depth_and_leaves_out_pairs_without_a_unit():
    sites = [Site("resid_pre", s, 0, f"rhs:{n}") for s, n in product(range(2), range(4))]
    one, two = sweep(sites), sweep(sites, np.arange(8.0))
    without = sweep(sites, corrupt=2.0)
    (heatmap,) = heatmaps(mean_patching_figure([one, two, without]))
    effects = np.stack([patch_effects(one), patch_effects(two)]).reshape(2, 2, 4)
    leaves = effects[..., :2]  # depths 0, 0, 1, 2
    strongest = np.where(np.abs(leaves[..., 0]) >= np.abs(leaves[..., 1]), leaves[..., 0], leaves[..., 1])
    expected = np.dstack([strongest, effects[..., 2], effects[..., 3]]).mean(0)
    assert np.allclose(np.array(heatmap.z, float), expected)
    assert "(2 pairs)" in heatmap.text[0][0]
    with pytest.raises(ValueError, match="got 1 of .* 0 that differ"):
        mean_patching_figure([without])
    with pytest.raises(ValueError, match="denoise.*noise"):
        mean_patching_figure([one, replace(two, direction="noise")])
