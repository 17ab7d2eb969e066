"""Sparse probes by TransformerLens, at one recurrence step: how few dimensions tell one class from all others.

``transformer_lens.tools.analysis.sparse_probing.sweep_sparse_probe`` (k-sparse probes: Gurnee et al. 2023, arXiv
2305.01610) is called on the activations of a step, whole graphs held out, with its own controls: random dimensions and
shuffled training labels. What it is given is what ``model.at_step(step).run_with_cache`` returns for the state that
enters the step, so the function can be used by hand in the same way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
import torch
from transformer_lens.tools.analysis.sparse_probing import SparseProbeSweep, sweep_sparse_probe

from interp.data.collecting import collect
from interp.probing.rows import ProbeError, probe_task
from models.graph import ComputationGraph
from models.one_line import one_line
from models.recurrent import RecurrentTransformer

if TYPE_CHECKING:
    import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]

KS: Final = (1, 2, 4, 8, 16)


@one_line
@dataclass(frozen=True, eq=False)
class SparseProbe:
    """The probes of one step and site.

    positive: the class that is told from all others. sweep: TransformerLens's result, a probe for every k.
    """

    model: str
    target: str
    positive: int | str
    step: int
    site: str
    status: str | None
    sweep: SparseProbeSweep

    def to_frame(self) -> pd.DataFrame:
        """One row a k: held-out accuracy, balanced accuracy and F1, those of the controls (mean of their repeats), and
        the dimensions chosen.
        """
        found: list[dict[str, Any]] = []
        controls = {
            "random_dimensions": self.sweep.random_coordinate_controls,
            "shuffled_labels": self.sweep.label_shuffle_controls,
        }
        for index, (k, result) in enumerate(zip(self.sweep.ks, self.sweep.results, strict=True)):
            metrics = result.metrics
            row: dict[str, Any] = {
                "step": self.step,
                "site": self.site,
                "positive": self.positive,
                "k": k,
                "accuracy": metrics.accuracy,
                "f1": metrics.f1,
                "roc_auc": metrics.roc_auc,
            }
            for name, control in controls.items():
                row[f"accuracy_{name}"] = float(control[index].accuracy.mean())
                row[f"roc_auc_{name}"] = float(control[index].roc_auc.mean())
            row["share_positive"] = result.test_positive_count / len(result.test_indices)
            row["dimensions"] = " ".join(str(int(one)) for one in result.selected_features)
            found.append(row)
        return pd.DataFrame(found)

    def figure(self, width: int = 700) -> go.Figure:
        """:func:`interp.probing.probes_figure.sparse_figure`."""
        from interp.probing.probes_figure import sparse_figure

        return sparse_figure(self, width)


def sparse_probe(
    model: RecurrentTransformer,
    graphs: Sequence[ComputationGraph],
    step: int,
    site: str,
    target: str = "value",
    positive: int | str = 0,
    status: str | None = None,
    role: str | None = None,
    positions: Any = "rhs",
    ks: Sequence[int] = KS,
    n_controls: int = 10,
    seed: int = 0,
    **options: Any,
) -> SparseProbe:
    """Probes for ``target == positive`` that read k dimensions of one site in the activations of one step.

    Args:
        site: one hook name (``"blocks.1.hook_resid_post"``). target, status, role: as for
            :func:`interp.fit_probe_grid`. positions: as for :func:`interp.collect`.
        ks: ascending numbers of dimensions; those beyond the width are left out.
        n_controls: repeats of each control.
        options: as for TransformerLens's ``sweep_sparse_probe`` (``l2_strength``, ``preprocess``, ...).

    Raises:
        ProbeError: more than one site, an unknown target, status or role, a class that no row has or all rows have, or
            what TransformerLens refuses.
        SiteError, ValueError: as :func:`interp.collect`.
    """
    data = collect(model, graphs, [site], positions, step + 1)
    if len(data.sites) != 1:
        raise ProbeError(f"site {site!r} stands for {', '.join(data.sites)}; allowed is one of them")
    task = probe_task(data, target, status, role, [step])
    rows = task.rows[step]
    is_positive = task.classes[rows.labels] == positive
    if not is_positive.any():
        raise ProbeError(
            f"positive is {positive!r}, which no row has; {target!r} takes {', '.join(map(str, task.classes))}"
        )
    features = torch.tensor(data.activations[data.sites[0]][step][rows.index])
    try:
        sweep = sweep_sparse_probe(
            features,
            torch.tensor(is_positive),
            ks=[k for k in ks if k <= features.shape[1]],
            groups=torch.tensor(rows.graphs),
            n_random_subsets=n_controls,
            n_label_shuffles=n_controls,
            seed=seed,
            **options,
        )
    except ValueError as error:
        raise ProbeError(f"TransformerLens refuses these {len(features)} rows: {error}") from error
    return SparseProbe(model.cfg.method or "model", target, positive, step, data.sites[0], task.status, sweep)
