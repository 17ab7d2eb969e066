"""Massive activations: by step, layer and snapshot of training; what they are worth; how they grow.

Sun et al. (2024) and Gallego-Feliciano et al. (2025, arXiv 2508.03616) call an activation massive that is above 100 and
at least 1000 times the median magnitude of its layer; for small models the ratio itself is looked at: the largest |h|
over the median |h|, of all tokens and dimensions of the residual stream after a layer. Where the median is 0 the ratio
is not defined (nan). States are the algorithm's own, so that all models and snapshots are asked about the same ones.

Whether the largest dimension carries anything: it is set to zero, or to its mean over tokens, behind its layer in every
step, and due values are counted that are still written; control, the same of other dimensions, drawn at random.

Growth over training is fitted by K + A exp(-L x) log x with x = G t + T, five parameters, as in that paper; its
adjusted R2, 1 - (1 - R2) (n - 1) / (n - parameters), stands beside that of K + A log t. A constant has 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
import torch
from numpy.typing import NDArray
from torch import Tensor

from interp.neighbours.states import ExactSteps, exact_steps
from models.graph import ComputationGraph
from models.one_line import one_line
from models.recurrent import RecurrentTransformer

if TYPE_CHECKING:
    import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]

Floats = NDArray[np.float64]
ABOVE: Final = 100.0
TIMES: Final = 1000.0
_ROUNDING: Final = 1e-9
"""A median below this share of the largest counts as 0."""
_FEWEST: Final = 7
"""Snapshots from which on growth is fitted."""


@dataclass(frozen=True, eq=False)
class Magnitudes:
    """Of the residual stream after every layer.

    Attributes:
        largest, median: float [step, layer], of |h|. dimension: int [step, layer], where the largest is.
        token: its token's syntax.
    """

    largest: Floats
    median: Floats
    dimension: NDArray[np.int64]
    token: tuple[tuple[str, ...], ...]

    @property
    def ratio(self) -> Floats:
        """Float [step, layer], largest over median; nan where the median is 0, or rounding."""
        known = self.median > _ROUNDING * self.largest
        return np.divide(self.largest, self.median, out=np.full_like(self.largest, np.nan), where=known)

    @property
    def massive(self) -> NDArray[np.bool_]:
        """Bool [step, layer], whether the largest is massive."""
        return (self.largest > ABOVE) & (self.ratio >= TIMES)


@dataclass(frozen=True, eq=False)
class Growth:
    """The largest ratio of any step and layer, by snapshot of training, and adjusted R2 of two fits.

    Attributes:
        steps: int [snapshot]. ratio: float [snapshot]. fitted: float [snapshot], by five parameters.
        five, log: adjusted R2; nan where there are too few snapshots, or no fit was found.
    """

    steps: NDArray[np.int64]
    ratio: Floats
    fitted: Floats
    five: float
    log: float


@one_line
@dataclass(frozen=True, eq=False)
class MassiveActivations:
    """Whether a model has massive activations, and what its largest ones are worth.

    Attributes:
        own, untrained: magnitudes. layer, dimension: of the largest of all.
        full: share of due values that are written. zeroed, at_mean: without that dimension. others_zeroed,
            others_at_mean: float [draw], without another.
        growth: None where there are no snapshots.
    """

    own: Magnitudes
    untrained: Magnitudes
    layer: int
    dimension: int
    full: float
    zeroed: float
    at_mean: float
    others_zeroed: Floats
    others_at_mean: Floats
    growth: Growth | None

    def sentence(self) -> str:
        """What was found, with the controls."""
        massive = int(self.own.massive.sum())
        ratio, other = (_most(one.ratio) for one in (self.own, self.untrained))
        found = f"{massive} of {self.own.massive.size} steps and layers" if massive else "no step and layer"
        largest = (
            "the median activation is 0, so that ratios are not defined"
            if ratio is None
            else f"the largest activation is {ratio:.0f} times the median"
        )
        grown = ""
        if self.growth is not None:
            growth = self.growth
            fits = {"five parameters": growth.five, "a logarithm": growth.log}
            said = (
                f"no fit by {name}" if np.isnan(fit) else f"an adjusted R2 of {fit:.2f} by {name}"
                for name, fit in fits.items()
            )
            grown = f" Over {len(growth.steps)} snapshots growth has {', '.join(said)}."
        return (
            f"{found} has a massive activation; {largest} "
            f"(untrained {'not defined' if other is None else f'{other:.0f}'}), in dimension {self.dimension} after "
            f"layer {self.layer}. Written of what is due: {self.full:.1%}, with it at zero {self.zeroed:.1%} (another "
            f"at least {self.others_zeroed.min():.1%}), at its mean {self.at_mean:.1%} (another at least "
            f"{self.others_at_mean.min():.1%}).{grown}"
        )

    def to_frame(self) -> pd.DataFrame:
        """A row for the model and the untrained one, for every step and layer."""
        rows: list[dict[str, Any]] = []
        for trained, one in ((True, self.own), (False, self.untrained)):
            for step, layer in np.ndindex(*one.largest.shape):
                rows.append(
                    {
                        "trained": trained,
                        "step": step,
                        "layer": layer,
                        "largest": float(one.largest[step, layer]),
                        "median": float(one.median[step, layer]),
                        "ratio": float(one.ratio[step, layer]),
                        "massive": bool(one.massive[step, layer]),
                        "dimension": int(one.dimension[step, layer]),
                        "token": one.token[step][layer],
                    }
                )
        return pd.DataFrame(rows)

    def summary(self) -> pd.DataFrame:
        """The rows of the model itself."""
        table: Any = self.to_frame()
        return table[table["trained"]].drop(columns="trained").reset_index(drop=True)

    def frames(self) -> dict[str, pd.DataFrame]:
        """`growth`, where there are snapshots."""
        if self.growth is None:
            return {}
        columns = {
            "training_step": self.growth.steps,
            "ratio": self.growth.ratio,
            "fitted": self.growth.fitted,
        }
        return {"growth": pd.DataFrame(columns)}

    def figures(self) -> dict[str, go.Figure]:
        """`massive`."""
        from interp.neighbours.massive_figure import massive_figure

        return {"massive": massive_figure(self)}


def massive_activations(
    model: RecurrentTransformer,
    graphs: Sequence[ComputationGraph],
    snapshots: Iterable[tuple[int, RecurrentTransformer]] = (),
    draws: int = 8,
    seed: int = 0,
) -> MassiveActivations:
    """Look for massive activations in every step and layer of the algorithm's own states.

    snapshots: (training step, model) of the run that led to the model. draws: of dimensions for control.

    Raises:
        ValueError: no graphs or draws.
    """
    if draws < 1:
        raise ValueError(f"draws={draws}; allowed: 1 draw or more")
    steps = exact_steps(model, graphs)
    own, other = magnitudes(model, steps), magnitudes(model.untrained(seed + 1), steps)
    step, layer = np.unravel_index(np.nan_to_num(own.ratio, nan=-1).argmax(), own.ratio.shape)
    if np.isnan(own.ratio).all():
        step, layer = np.unravel_index(own.largest.argmax(), own.largest.shape)
    dimension = int(own.dimension[step, layer])
    others = np.setdiff1d(np.arange(model.cfg.d_model), [dimension])
    drawn = np.random.default_rng(seed).choice(others, min(draws, len(others)), replace=False)

    def written(at: int, edit: Callable[[Tensor], Tensor]) -> float:
        return _written(model, steps, int(layer), at, edit)

    return MassiveActivations(
        own=own,
        untrained=other,
        layer=int(layer),
        dimension=dimension,
        full=steps.written(model),
        zeroed=written(dimension, torch.zeros_like),
        at_mean=written(dimension, _mean),
        others_zeroed=np.array([written(one, torch.zeros_like) for one in drawn.tolist()]),
        others_at_mean=np.array([written(one, _mean) for one in drawn.tolist()]),
        growth=_growth(snapshots, steps),
    )


def _mean(values: Tensor) -> Tensor:
    return values.mean().expand_as(values)


@torch.no_grad()
def magnitudes(model: RecurrentTransformer, steps: ExactSteps) -> Magnitudes:
    """Largest and median |h| after every layer, for every step."""
    names = [f"blocks.{layer}.hook_resid_post" for layer in range(model.cfg.n_layers)]
    model.grow_steps(len(steps.entering))
    shape = (len(steps.entering), len(names))
    largest, median, dimension = np.zeros(shape), np.zeros(shape), np.zeros(shape, np.int64)
    token: list[tuple[str, ...]] = []
    symbols = model.vocabulary.symbols("syntax")
    for step, state in enumerate(steps.entering):
        kept: dict[str, Tensor] = {}

        def keep(activation: Tensor, hook: Any, kept: dict[str, Tensor] = kept) -> None:
            kept[hook.name] = activation[steps.mask].abs().cpu()

        hooks = [(f"steps.{step}.{name}", keep) for name in names]
        with model.hooks(fwd_hooks=hooks):
            model.transition(state.to(model.device), step)
        syntax = state[steps.mask][:, 0]
        words: list[str] = []
        for layer, (name, _) in enumerate(hooks):
            found = kept[name]
            place, dimension[step, layer] = divmod(int(found.argmax()), found.shape[1])
            largest[step, layer], median[step, layer] = float(found.max()), float(found.median())
            words.append(symbols[int(syntax[place])])
        token.append(tuple(words))
    return Magnitudes(largest, median, dimension, tuple(token))


@torch.no_grad()
def _written(
    model: RecurrentTransformer,
    steps: ExactSteps,
    layer: int,
    dimension: int,
    edit: Callable[[Tensor], Tensor],
) -> float:
    def change(activation: Tensor, hook: Any) -> Tensor:
        changed = activation.clone()
        inside = steps.mask.to(activation.device)
        changed[..., dimension][inside] = edit(activation[..., dimension][inside])
        return changed

    names = [f"steps.{step}.blocks.{layer}.hook_resid_post" for step in range(len(steps.entering))]
    with model.hooks(fwd_hooks=[(name, change) for name in names]):
        return steps.written(model)


def _growth(snapshots: Iterable[tuple[int, RecurrentTransformer]], steps: ExactSteps) -> Growth | None:
    found = [(step, _most(magnitudes(model, steps).ratio)) for step, model in snapshots]
    if not found:
        return None
    at = np.array([step for step, _ in found])
    ratio = np.array([np.nan if one is None else one for _, one in found])
    fitted, five = fit_growth(at, ratio)
    known = not np.isnan(ratio).any()
    log = np.polyval(np.polyfit(np.log(at), ratio, 1), np.log(at)) if known else ratio
    return Growth(at, ratio, fitted, five, _adjusted(ratio, np.asarray(log, np.float64), 2))


def fit_growth(steps: NDArray[np.int64], values: Floats) -> tuple[Floats, float]:
    """Values [snapshot] by K + A exp(-L x) log x, x = G t + T, t from 0 to 1; and the adjusted R2. nan where there are
    fewer than 7 values, or none can be fitted.
    """
    import scipy.optimize  # pyright: ignore[reportMissingTypeStubs]

    optimize: Any = scipy.optimize

    nothing = np.full(len(values), np.nan)
    if len(values) < _FEWEST or np.isnan(values).any():
        return nothing, float("nan")
    time = steps / steps.max()

    def curve(t: Floats, a: float, decay: float, speed: float, start: float, level: float) -> Floats:
        x = speed * t + start
        return level + a * np.exp(-decay * x) * np.log(x)

    best, spread = nothing, float(np.ptp(values)) or 1.0
    for decay, speed in ((0.01, 10.0), (0.5, 10.0), (0.1, 100.0), (2.0, 3.0)):
        begin = (spread, decay, speed, 1.0, float(values[0]))
        low, high = (-np.inf, 0, 1e-3, 1e-3, -np.inf), (np.inf, 50, 1e4, 1e3, np.inf)
        try:
            found = optimize.curve_fit(curve, time, values, begin, bounds=(low, high), max_nfev=4000)[0]
        except (RuntimeError, ValueError):
            continue
        drawn = curve(time, *found)
        if np.isnan(best).any() or np.square(values - drawn).sum() < np.square(values - best).sum():
            best = drawn
    return best, _adjusted(values, best, 5)


def _adjusted(values: Floats, fitted: Floats, parameters: int) -> float:
    """Adjusted R2; nan where nothing varies or too little is known."""
    whole = float(np.square(values - values.mean()).sum())
    if len(values) <= parameters or not whole > 0:
        return float("nan")
    rest = float(np.square(values - fitted).sum()) / whole
    return 1 - rest * (len(values) - 1) / (len(values) - parameters)


def _most(ratio: Floats) -> float | None:
    return None if np.isnan(ratio).all() else float(np.nanmax(ratio))
