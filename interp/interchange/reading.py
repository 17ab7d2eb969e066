"""What a linear probe reads of the algorithm's variables at the places of an interchange."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from interp.interchange.rows import chunks_of
from interp.probing.estimators import ESTIMATORS
from interp.statistics.shares import Share
from models.recurrent import RecurrentTransformer


def activations_at(
    model: RecurrentTransformer, states: Tensor, pos: int, places: Sequence[str]
) -> dict[str, Tensor]:
    """Float [state, d_model] of every place (of a head [state, d_head]), from whole forward passes."""
    found: dict[str, list[Tensor]] = {place: [] for place in places}
    names = sorted({place.partition("#")[0] for place in places})
    packed = model.vocabulary.pack(states[:, : pos + 1])
    with torch.no_grad():
        for chunk in chunks_of(packed):
            _, cache = model.at_step(0).run_with_cache(chunk, names_filter=names)
            for place in places:
                name, _, head = place.partition("#")
                kept: Tensor = cache[name][:, pos]
                found[place].append((kept[:, int(head)] if head else kept).clone())
    return {place: torch.cat(parts) for place, parts in found.items()}


def read_variable(fit: Tensor, fit_labels: Tensor, held: Tensor, labels: Tensor) -> tuple[Share, Share]:
    """Right answers of a ridge classifier about held-out activations, and of the commonest label.

    fit, held: float [row, d_model]; labels: int [row].
    """
    mean, scale = fit.mean(0), fit.std(0).clamp_min(1e-6)
    classifier = ESTIMATORS["ridge"].make()
    classifier.fit(((fit - mean) / scale).numpy(), fit_labels.numpy())
    said: Any = classifier.predict(((held - mean) / scale).numpy())
    commonest = int(cast(Any, np).bincount(fit_labels.numpy()).argmax())
    return Share.of(said == labels.numpy()), Share.of(labels.numpy() == commonest)
