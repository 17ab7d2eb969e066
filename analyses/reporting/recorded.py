"""Sections that a record of the catalogue describes: a study's verdict and its figures."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from analyses.inputs import InputError
from analyses.reporting.parts import (
    Contents,
    Job,
    NotApplicableError,
    drawing,
    need_levels,
    need_states,
    need_steps,
)

if TYPE_CHECKING:
    from analyses.framework.record import Analysis
    from models.recurrent import RecurrentTransformer

NEEDS: Final = {"steps": need_steps, "levels": need_levels, "states": need_states}


def contents(record: Analysis) -> Callable[[RecurrentTransformer, Job], Contents]:
    """What makes the section of a record that has one."""
    section = record.section
    if section is None:
        raise ValueError(f"{record.name} has no section in the report")

    def make(model: RecurrentTransformer, job: Job) -> Contents:
        NEEDS[section.needs](model)
        graphs: Any = job.graphs(model)
        seed = {"seed": job.seed} if "seed" in record.passes else {}
        try:
            study = record.function(
                graphs[0] if record.alone else graphs, job.model, **seed, **section.arguments
            )
        except InputError as error:
            # Of sampled graphs and a model that was loaded: there is nothing to ask it about.
            raise NotApplicableError(str(error)) from error
        drawings = [
            drawing(f"{record.stem}_{name}", figure, section.drawn_by[name])
            for name, figure in study.figures().items()
            if name in section.drawn_by
        ]
        return Contents([study.verdict()], drawings)

    return make
