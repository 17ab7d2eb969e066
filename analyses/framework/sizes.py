"""Graphs sampled at several sizes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import typer

from analyses.inputs import load_model, parse_operations, parse_sizes
from models.compiled_names import fitting_name

if TYPE_CHECKING:
    from models.graph import ComputationGraph


def sized_source(
    context: typer.Context, settings: Mapping[str, Any], count: int, **limits: int
) -> tuple[str, list[ComputationGraph]]:
    """The model, and `count` graphs of every size of `--sizes`; limits: as for `analyses.evaluate.sample_sizes`."""
    from analyses.evaluate import sample_sizes

    operations = parse_operations(context.params["ops"])
    sizes = parse_sizes(settings["sizes"] or "")
    model = fitting_name(context.params["model"], operations)
    return model, sample_sizes(load_model(model), sizes, count, operations, context.params["seed"], **limits)
