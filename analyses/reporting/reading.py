"""Sections on what can be read inside a model, and when it was learnt: probes, training."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from analyses.reporting.parts import Contents, Job, NotApplicableError, drawing, need_steps

if TYPE_CHECKING:
    from models.recurrent import RecurrentTransformer


def probes(model: RecurrentTransformer, job: Job) -> Contents:
    """Probes of the value at every step and site, with controls; angles; and whether a probe reads another step."""
    from analyses.probing import study_probes

    need_steps(model)
    last = f"blocks.{model.cfg.n_layers - 1}.hook_resid_post"
    # Leave-one-out errors of a ridge on a handful of rows are 0 / 0.
    with np.errstate(invalid="ignore"):
        study = study_probes(
            job.graphs(model),
            job.model,
            statuses=("computing",),
            folds=job.amounts.folds,
            transfer=last,
            circular=model.vocabulary.modulus > 2,
            seed=job.seed,
        )
    drawings = [
        drawing(name, figure, "interp/probing/probes_figure.py") for name, figure in study.figures().items()
    ]
    return Contents([study.verdict()], drawings)


def training(model: RecurrentTransformer, job: Job) -> Contents:
    """When heads, spectra and accuracy appeared, from the snapshots of the training run."""
    from analyses.training_dynamics import study_training
    from models.snapshots import snapshot_files
    from models.storage import CheckpointError

    try:
        snapshot_files(job.model)
    except CheckpointError as error:
        raise NotApplicableError(f"{error}.") from error
    graphs = job.sample(model, 16, max(4, job.amounts.graphs // 3))
    study = study_training(graphs, job.model)
    drawings = [
        drawing(name, figure, "interp/mechanism/onsets_figure.py") for name, figure in study.figures().items()
    ]
    return Contents([study.verdict()], drawings)
