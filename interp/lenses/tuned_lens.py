"""The tuned lens by step: an affine translator per step and layer point, from its residual state to the step's last.

Belrose et al. 2023 (arXiv 2303.08112, section 3): ``lens(h) = readout(h + A h + b)``, the readout being the final LN
and W_U. One block of weights runs at every step, but what stands in the residual stream differs from step to step, so
every step has translators of its own. They are fitted on some graphs and judged on others.

Two ways to fit. Ridge (scikit-learn) predicts the difference ``h_last - h`` from ``h``: least squares in the residual
stream, shrunk towards the plain lens. ``kl_steps`` steps of Adam go on from there and lower what the paper's lens
minimises, KL(the step's own readout || lens) in the factor's slice.

A translator is a probe of the final residual state: it shows what is linearly there, not what the model uses. The plain
lens stands beside it, on the same rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
from numpy.typing import NDArray
from torch import Tensor

from interp.lenses.lens import StepLens, collect_residuals, lens_of
from interp.lenses.loop_tuned_lens import fit_loop_tuned_lens
from interp.lenses.readout import check_factor, layer_points, read_factor, to_tensor
from interp.lenses.translators import check_fit, fit_translator, split_of, translated
from interp.loop.either import also_for_loops
from models.one_line import one_line
from models.recurrent import RecurrentTransformer
from models.tokens import ModelInput

if TYPE_CHECKING:
    import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]


@one_line
@dataclass(frozen=True, eq=False)
class TunedLens:
    """Translators, and what is read with and without them on graphs they were not fitted on.

    Attributes:
        weight: float [step, point, d_model, d_model]; ``A``, rows are outputs; zero at the last point.
        bias: float [step, point, d_model]; ``b``.
        plain, tuned: the lens without and with translators, rows of the held-out graphs alone.
        fitted_on, held_out: indices of the graphs.
        ridge, kl_steps: how it was fitted.
    """

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    plain: StepLens
    tuned: StepLens
    fitted_on: tuple[int, ...]
    held_out: tuple[int, ...]
    ridge: float
    kl_steps: int

    @property
    def n_steps(self) -> int:
        """How many steps have translators."""
        return len(self.weight)

    def to_frame(self) -> pd.DataFrame:
        """Means over held-out rows, a line per step, status and layer point: ``StepLens.summary`` of the tuned lens,
        and ``kl_plain``, ``content_best_plain`` and ``best_plain`` of the plain one.
        """
        return self._beside(by_step=True)

    def summary(self) -> pd.DataFrame:
        """The same over all steps together."""
        return self._beside(by_step=False)

    def _beside(self, by_step: bool) -> pd.DataFrame:
        tuned, plain = (cast(Any, lens.summary(by_step)) for lens in (self.tuned, self.plain))
        return tuned.assign(**{f"{name}_plain": plain[name] for name in ("kl", "best", "content_best")})

    def kl_by_step(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean KL in nats over held-out rows, plain and tuned: two float [step, point]."""
        return self.plain.kl.mean(-1, dtype=np.float64), self.tuned.kl.mean(-1, dtype=np.float64)

    def figure(self, width: int = 1000) -> go.Figure:
        """:func:`interp.lenses.lens_figure.tuned_lens_figure`."""
        from interp.lenses.lens_figure import tuned_lens_figure

        return tuned_lens_figure(self, width)


@also_for_loops(fit_loop_tuned_lens)
def fit_tuned_lens(
    model: RecurrentTransformer,
    graphs: ModelInput,
    n_steps: int | None = None,
    factor: str = "value",
    positions: str = "rhs",
    held_out: float = 0.25,
    ridge: float = 1.0,
    kl_steps: int = 0,
    seed: int = 0,
) -> TunedLens:
    """Fit translators on some graphs, and read the others.

    Of another looped model arguments and result are those of :func:`interp.fit_loop_tuned_lens`.

    Memory holds the residual states of one step at one layer point at a time; the others lie in a temporary folder.

    Args:
        n_steps, factor, positions: as for :func:`interp.step_lens`.
        held_out: share of the graphs that are read, not fitted on.
        ridge: penalty on the entries of A (scikit-learn's ``alpha``), features centred, not scaled.
        kl_steps: full-batch Adam steps on the KL divergence after that.
        seed: of the split.

    Raises:
        ValueError: fewer than two graphs, a share outside (0, 1), a negative penalty or number of steps, and as
            :func:`interp.step_lens`.
    """
    check_factor(factor)
    check_fit(held_out, ridge, kl_steps, "graph")
    with TemporaryDirectory() as folder:
        known, data = collect_residuals(model, graphs, folder, n_steps, positions)
        fitted_on, others = split_of(len(known), held_out, seed, "graph")
        graph = cast(Any, data.labels)["graph"].to_numpy()
        train = np.isin(graph, fitted_on)
        stored = [data.activations[name] for name in layer_points(model).values()]
        shape = data.n_steps, len(stored), model.cfg.d_model
        weight = np.zeros((*shape, shape[-1]), dtype=np.float32)
        bias = np.zeros(shape, dtype=np.float32)

        def read(hidden: Tensor) -> Tensor:
            return read_factor(model, hidden, factor)

        for step in range(data.n_steps):
            last = to_tensor(stored[-1][step][train])
            for index, activations in enumerate(stored[:-1]):
                hidden = to_tensor(activations[step][train])
                fitted = fit_translator(read, hidden, last, ridge, kl_steps)
                weight[step, index], bias[step, index] = (part.numpy() for part in fitted)

        def translate(hidden: Tensor, step: int, index: int) -> Tensor:
            return translated(hidden, to_tensor(weight[step, index]), to_tensor(bias[step, index]))

        plain, tuned = (lens_of(model, data, known, factor, how).select(~train) for how in (None, translate))
    return TunedLens(weight, bias, plain, tuned, fitted_on, others, ridge, kl_steps)
