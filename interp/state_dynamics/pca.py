"""Trajectories of hidden states in the plane of their largest variance: one basis for all steps, so that they compare.

A basis of its own for every step would turn and flip from step to step, and movement could not be told from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA  # pyright: ignore[reportMissingTypeStubs]

from models.one_line import one_line

Floats = NDArray[np.float64]


@one_line
@dataclass(frozen=True, eq=False)
class PCATrajectories:
    """Rows seen along the principal components of all states of all rows.

    Attributes:
        points: float [state, row, component].
        explained: float [component], share of the variance.
        components: float [component, d], orthonormal; a component's largest entry in magnitude is positive.
        mean: float [d], which is taken off first.
    """

    points: Floats
    explained: Floats
    components: Floats
    mean: Floats

    def project(self, hidden: NDArray[np.floating[Any]]) -> Floats:
        """Other hidden states [..., d] in the same basis, [..., component]."""
        return (hidden.astype(np.float64) - self.mean) @ self.components.T


def pca_trajectories(
    hidden: NDArray[np.floating[Any]], n_components: int = 2, fit: slice | None = None
) -> PCATrajectories:
    """Scikit-learn's PCA of all states of all rows together.

    Args:
        hidden: float [state, row, d].
        n_components: how many components.
        fit: states that the basis is fitted on; default: all.

    Raises:
        ValueError: another shape, or more components than there are dimensions or states to fit on.
    """
    if hidden.ndim != 3:
        raise ValueError(f"hidden has shape {hidden.shape}; allowed is [state, row, d]")
    used = hidden[fit if fit is not None else slice(None)].reshape(-1, hidden.shape[-1]).astype(np.float64)
    most = min(used.shape)
    if not 1 <= n_components <= most:
        raise ValueError(f"n_components is {n_components}; allowed here are 1..{most}")
    model = PCA(n_components=n_components, svd_solver="full").fit(used)  # pyright: ignore[reportUnknownMemberType]
    components, explained, mean = (
        cast(Floats, getattr(model, name)) for name in ("components_", "explained_variance_ratio_", "mean_")
    )
    largest = np.abs(components).argmax(1)
    signs = np.sign(components[np.arange(n_components), largest])
    components = components * signs[:, None]
    points = (hidden.astype(np.float64) - mean) @ components.T
    return PCATrajectories(points, explained, components, mean)
