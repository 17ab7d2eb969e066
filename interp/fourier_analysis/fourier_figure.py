"""Figures of Fourier analyses: spectra site by site, a map of cells, neurons by frequency, ablation of frequencies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]

from interp.engine.sites import Site
from interp.figures.template import (
    EDGE_COLOUR,
    INK,
    MARK_COLOUR,
    UNSOLVED_COLOUR,
    legend_below,
    make_figure,
    title_of,
    wrapped,
)

if TYPE_CHECKING:
    from interp.fourier_analysis.fourier import Fourier
    from interp.fourier_analysis.frequency_ablation import FrequencyAblation
    from interp.fourier_analysis.spectrum import SiteSpectrum

SHARES: Final = ((0.0, "#ffffff"), (0.5, "#7f9bea"), (1.0, "#1f36a0"))
"""White to blue, for shares from 0."""
_BLANK: Final = 1e-3
"""Diagonal share below which its frequencies are not drawn."""
_LOWEST: Final = 1e-6
"""Smallest share a logarithmic map shows."""


def site_label(name: str) -> str:
    """``blocks.1.mlp.hook_post`` -> ``1 mlp_post``."""
    site = Site(name)
    return site.name if site.layer is None else f"{site.layer} {site.name}"


def fourier_figure(result: Fourier, width: int = 1000) -> go.Figure:
    """Per site: diagonal share and single-frequency share with their chances, and the frequencies on the diagonal."""
    sites = [site for site in result.sites if site.energy > 0]
    labels = [site_label(site.name) for site in sites]
    control = {} if result.control is None else {site.name: site for site in result.control.sites}
    traces: list[dict[str, Any]] = []
    rows = (
        ("y", "diagonal_share", "diagonal share", [site.chance_relabelled for site in sites]),
        (
            "y2",
            "single_frequency_share",
            "single-frequency share",
            [float(site.relabelled.mean()) if site.relabelled.size else None for site in sites],
        ),
    )
    for axis, key, name, chance in rows:
        untrained = [getattr(control[site.name], key) if site.name in control else None for site in sites]
        values = [getattr(site, key) for site in sites]
        first = axis == "y"
        hover = [
            f"<b>{label}</b><br>{name} {value:.4f}<br>energy {site.energy:.4g} (mean alone {site.dc_share:.4f} of the "
            f"mean square)<br>key frequencies {', '.join(map(str, site.key_frequencies)) or 'none'}"
            for label, value, site in zip(labels, values, sites, strict=True)
        ]
        common: dict[str, Any] = {"x": labels, "xaxis": "x", "yaxis": axis, "showlegend": first}
        traces += [
            common
            | {"type": "bar", "y": values, "name": "model", "marker": {"color": MARK_COLOUR}, "width": 0.5}
            | {"text": hover, "hoverinfo": "text", "textposition": "none"},
            common | _mark(chance, "chance: values renamed at random", "line-ew", INK),
            common | _mark(untrained, "untrained model", "x", "#d97706"),
        ]
    frequencies = result.characters.frequencies
    shares = [
        (site.diagonal / site.diagonal.sum()).tolist() if site.diagonal_share >= _BLANK else None
        for site in sites
    ]
    columns = [line or [None] * len(frequencies) for line in shares]
    traces.append(
        {
            "type": "heatmap",
            "x": labels,
            "y": [str(a) for a in frequencies],
            "z": [[column[row] for column in columns] for row in range(len(frequencies))],
            "xaxis": "x",
            "yaxis": "y3",
            "colorscale": [list(stop) for stop in SHARES],
            "zmin": 0,
            "zmax": max((max(column) for column in shares if column), default=1),
            "colorbar": {
                "title": {"text": "share of the<br>diagonal"},
                "len": 0.34,
                "y": 0.16,
                "thickness": 14,
            },
            "hovertemplate": "%{x}<br>frequency %{y}: %{z:.3f} of the diagonal energy<extra></extra>",
            "xgap": 1,
            "ygap": 1,
        }
    )
    reading = (
        "Top: share of the variation over the operands that depends on the result alone; it is large behind any right "
        "answer. Middle: share that sits in units tuned to one frequency; high bars at mlp_post are what a table does "
        "not have. Bottom: which frequencies the diagonal holds (blank where it is below 0.1 %)."
    )
    title = f"Fourier spectra over all {_tuples(result)} ({result.model or 'model'}, {result.status})"
    height = 720
    plain: dict[str, Any] = {"gridcolor": "#eef0f4", "showline": True, "linecolor": EDGE_COLOUR}
    layout: dict[str, Any] = _layout(title, reading, width, height) | {
        "xaxis": {"anchor": "y3", "tickangle": -45, "title": {"text": "site: layer and activation"}},
        "yaxis": plain | {"domain": [0.72, 1], "range": [-0.02, 1.02], "title": {"text": "diagonal share"}},
        "yaxis2": plain
        | {"domain": [0.38, 0.66], "range": [-0.02, 1.02], "title": {"text": "single-frequency share"}},
        "yaxis3": plain | {"domain": [0, 0.32], "title": {"text": "frequency"}, "type": "category"},
    }
    layout["margin"] |= {"r": 110}
    _put_legend_below(layout, traces, width, 110)
    return make_figure(traces, layout)


def cells_figure(site: SiteSpectrum, width: int = 640) -> go.Figure:
    """Energy of the cells (k1, k2) as shares without DC, logarithmic; of triples the plane k1 = k2 against k3.

    Raises:
        ValueError: a spectrum with one axis.
    """
    n, m = site.power.ndim, site.characters.order
    if n < 2:
        raise ValueError("there is one axis only; a map of cells needs 2 or 3 operands")
    signs = site.characters.signs
    other = np.arange(m) * signs[1] % m
    plane = site.power if n == 2 else site.power[np.arange(m), other]
    shares = plane / site.energy if site.energy else np.zeros_like(plane)
    shown = np.log10(np.maximum(shares, _LOWEST))
    shown[0, 0] = np.nan
    ks = [k - m if 2 * k > m else k for k in range(m)]
    order = sorted(range(m), key=lambda k: ks[k])
    ticks = [ks[k] for k in order]
    relation = "k2" if n == 2 else "k3"
    rows = "k1" if n == 2 else f"k1 = {'k2' if signs[1] > 0 else '-k2'}"
    diagonal = [[signs[-1] * k, k] for k in ticks if k and signs[-1] * k in ticks]
    traces: list[dict[str, Any]] = [
        {
            "type": "heatmap",
            "x": ticks,
            "y": ticks,
            "z": [
                [None if np.isnan(v) else v for v in line] for line in shown[np.ix_(order, order)].tolist()
            ],
            "customdata": shares[np.ix_(order, order)].tolist(),
            "colorscale": [list(stop) for stop in SHARES],
            "zmin": float(np.log10(_LOWEST)),
            "zmax": 0,
            "colorbar": {
                "title": {"text": "share of<br>energy"},
                "tickvals": [-6, -4, -2, 0],
                "ticktext": ["≤ 1e-6", "1e-4", "0.01", "1"],
                "thickness": 14,
            },
            "hovertemplate": f"{rows} %{{y}}, {relation} %{{x}}: %{{customdata:.3g}}<extra></extra>",
        },
        {
            "type": "scatter",
            "x": [x for x, _ in diagonal],
            "y": [y for _, y in diagonal],
            "mode": "markers",
            "marker": {"symbol": "square-open", "size": 9, "color": "#d97706", "line": {"width": 1}},
            "hoverinfo": "skip",
            "showlegend": False,
        },
    ]
    reading = (
        "Each cell is a product of waves, one over each operand; its colour is its share of the variation. Outlined: "
        f"the diagonal, {site.diagonal_share:.1%} of all (chance {site.chance_relabelled:.2%})."
    )
    layout = _layout(f"Spectrum of {site_label(site.name)}", reading, width, width) | {
        "xaxis": {"title": {"text": f"{relation} (turns over all values)"}, "constrain": "domain"},
        "yaxis": {
            "title": {"text": f"{rows} (turns over all values)"},
            "scaleanchor": "x",
            "constrain": "domain",
        },
    }
    return make_figure(traces, layout)


def neurons_figure(site: SiteSpectrum, min_share: float = 0.5, width: int = 1000) -> go.Figure:
    """Every neuron by its best frequency, how much of its energy is there, and how strong it is."""
    alive = np.flatnonzero(site.alive)
    energy = site.unit_energy[alive] / site.unit_energy.sum() if alive.size else np.zeros(0)
    spread = np.random.default_rng(0).uniform(-0.3, 0.3, alive.size)
    dominant, tuning = site.dominant[alive], site.tuning[alive]
    traces: list[dict[str, Any]] = [
        {
            "type": "scatter",
            "mode": "markers",
            "x": (dominant + spread).tolist(),
            "y": tuning.tolist(),
            "marker": {
                "size": (4 + 60 * np.sqrt(energy)).tolist(),
                "color": [MARK_COLOUR if one >= min_share else UNSOLVED_COLOUR for one in tuning],
                "opacity": 0.6,
                "line": {"width": 0},
            },
            "text": [
                f"neuron {unit}<br>frequency {a}: {t:.1%} of its variation<br>{e:.2%} of the layer's"
                for unit, a, t, e in zip(alive, dominant, tuning, energy, strict=True)
            ],
            "hoverinfo": "text",
            "showlegend": False,
        }
    ]
    counts = [int(((dominant == a) & (tuning >= min_share)).sum()) for a in site.characters.frequencies]
    reading = (
        f"A point is a neuron of {site_label(site.name)}, its area its share of the layer's variation. Blue: at least "
        f"{min_share:.0%} of its own variation is at one frequency. Under each frequency: how many are."
    )
    layout = _layout(f"Neurons of {site_label(site.name)} by frequency", reading, width, 460) | {
        "xaxis": {
            "title": {"text": "frequency with most of the neuron's energy (number of tuned neurons)"},
            "tickvals": list(site.characters.frequencies),
            "ticktext": [f"{a}<br>({n})" for a, n in zip(site.characters.frequencies, counts, strict=True)],
            "range": [0.4, len(counts) + 0.6],
        },
        "yaxis": {"title": {"text": "share of its energy there"}, "range": [0, 1.02]},
    }
    return make_figure(traces, layout)


def frequency_ablation_figure(result: FrequencyAblation, width: int = 1000) -> go.Figure:
    """Accuracy and loss with each frequency's neurons ablated, beside the controls' draws."""
    groups = result.groups
    labels = [f"{group.frequency}<br>({len(group.neurons)})" for group in groups]
    traces: list[dict[str, Any]] = []
    for axis, key in (("y", "accuracy"), ("y2", "loss")):
        common: dict[str, Any] = {"xaxis": "x", "yaxis": axis, "showlegend": axis == "y"}
        hover = [
            f"<b>frequency {group.frequency}</b>: {len(group.neurons)} neurons, {group.energy_share:.1%} of the "
            f"energy<br>{key} {getattr(group.score, key):.4g} (without ablation {getattr(result.full, key):.4g})"
            for group in groups
        ]
        bars = {
            "type": "bar",
            "x": labels,
            "y": [getattr(group.score, key) for group in groups],
            "width": 0.4,
        }
        bars |= {"name": "this frequency's neurons", "marker": {"color": MARK_COLOUR}}
        traces.append(common | bars | {"text": hover, "hoverinfo": "text", "textposition": "none"})
        for name, attribute, symbol, colour in (
            ("as many at random", "random", "line-ew", INK),
            ("as many of like energy, other frequencies", "matched", "circle-open", "#d97706"),
        ):
            points = [
                (label, getattr(score, key))
                for label, group in zip(labels, groups, strict=True)
                for score in getattr(group, attribute)
            ]
            mark = _mark([y for _, y in points], name, symbol, colour) | {"x": [x for x, _ in points]}
            traces.append(common | mark)
        level = {
            "type": "scatter",
            "mode": "lines",
            "x": labels,
            "name": "without ablation",
            "hoverinfo": "skip",
        }
        level |= {
            "y": [getattr(result.full, key)] * len(labels),
            "line": {"color": UNSOLVED_COLOUR, "dash": "dot"},
        }
        traces.append(common | level)
    reading = (
        "Bars: the neurons tuned to one frequency set to their means over all operands. Marks: controls, one per draw. "
        "A frequency matters as such where the bar is worse than the marks. In brackets: how many neurons."
    )
    plain: dict[str, Any] = {"gridcolor": "#eef0f4", "showline": True, "linecolor": EDGE_COLOUR}
    layout = _layout(f"Ablating a frequency's neurons in layer {result.layer}", reading, width, 560) | {
        "xaxis": {"anchor": "y2", "title": {"text": "frequency (neurons)"}, "type": "category"},
        "yaxis": plain | {"domain": [0.55, 1], "range": [0, 1.04], "title": {"text": "accuracy"}},
        "yaxis2": plain | {"domain": [0, 0.45], "rangemode": "tozero", "title": {"text": "loss (nats)"}},
    }
    _put_legend_below(layout, traces, width, 70)
    return make_figure(traces, layout)


def _mark(values: list[Any], name: str, symbol: str, colour: str) -> dict[str, Any]:
    marker = {"symbol": symbol, "size": 16 if symbol == "line-ew" else 8, "color": colour}
    return {
        "type": "scatter",
        "mode": "markers",
        "y": values,
        "name": name,
        "cliponaxis": False,
        "marker": marker | {"line": {"width": 2, "color": colour}},
        "hovertemplate": f"{name}: %{{y:.4f}}<extra></extra>",
    }


def _tuples(result: Fourier) -> str:
    kind = {1: "operands", 2: "operand pairs", 3: "operand triples"}[result.characters.n_operands]
    operations = " and ".join(dict.fromkeys(result.characters.operations))
    return f"{result.characters.order**result.characters.n_operands:,} {kind} of {operations}"


def _layout(title: str, reading: str, width: int, height: int) -> dict[str, Any]:
    text = wrapped(reading, width)
    lines = text.count("<br>") + 1
    return {
        "width": width,
        "height": height + 16 * lines,
        "margin": {"l": 70, "r": 20, "t": 84 + 16 * lines, "b": 70},
        "title": title_of(title, text),
    }


def _put_legend_below(layout: dict[str, Any], traces: list[dict[str, Any]], width: int, below: int) -> None:
    """Add the legend of the traces under axes that need ``below`` pixels, and the room for it."""
    names = [trace["name"] for trace in traces if trace.get("showlegend") and "name" in trace]
    layout["legend"], bottom = legend_below(names, width, below)
    layout["height"] += bottom - layout["margin"]["b"]
    layout["margin"]["b"] = bottom
