"""Single settings of a run by their dotted names: ``learning_rate``, ``phases.0.tokens``, ``model.modulus``.

What a name is must be allowed by `TrainingConfig` or, below ``model.``, by `RecurrentConfig`; so must its value.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

from pydantic import ValidationError

from models.config import ConfigError, RecurrentConfig
from models.training.presets import SettingsError, TrainingConfig, faults

OWN_OPTIONS: Final = {
    "method": "--method",
    "preset": "--preset",
    "ops": "--ops",
    "seed": "--seed",
    "start": "--from",
    "minutes": "--minutes",
    "steps": "--steps",
    "clock": "--clock",
    "supervision": "--supervision",
    "snapshots": "--snapshots",
}
"""Settings that have an option and an argument of their own, some of which others depend on."""
_FROM_THE_RUN: Final = {"ops": "--ops", "seed": "--seed", "method": "--method"}
"""Fields of the model that are those of the run."""


def read_setting(text: str) -> tuple[str, Any]:
    """The dotted name and the value of ``NAME=VALUE``, where VALUE is JSON, JSON values with commas between, or a text.

    Raises:
        SettingsError: there is no name, or no value.
    """
    name, sign, value = text.partition("=")
    name = name.strip()
    if not sign or not name:
        raise SettingsError(f"{text!r} is no setting: give NAME=VALUE, such as model.modulus=7")
    for written in (value, f"[{value}]"):
        try:
            return name, json.loads(written, parse_constant=_refuse_constant)
        except (ValueError, RecursionError):  # also numbers of thousands of digits, and deep nesting
            continue
    return name, value.strip()


def _refuse_constant(name: str) -> None:
    raise ValueError(name)  # NaN and the infinities, which are no JSON


def override(config: TrainingConfig, given: Mapping[str, Any]) -> TrainingConfig:
    """The settings with some of them changed, by dotted name. A field of the model is added to the preset's.

    Raises:
        SettingsError: a name there is not, one with an option of its own, a value that is not allowed.
        ConfigError: the same of the model.
    """
    settings = config.model_dump()
    for name, value in given.items():
        _put(settings, name, value)
    try:
        changed = TrainingConfig.model_validate(settings)
    except ValidationError as error:
        raise SettingsError(faults(error)) from error
    model = model_config(changed)
    largest = max(*changed.validation_sizes, *(phase.sizes[1] for phase in changed.phases))
    if largest > model.n_variables:
        raise SettingsError(
            f"graphs of {largest} nodes (validation_sizes, phases) need as many names, and model.n_variables is "
            f"{model.n_variables}: give more, or smaller graphs"
        )
    return changed


def model_config(config: TrainingConfig) -> RecurrentConfig:
    """The configuration of the model that a run begins with.

    Raises:
        ConfigError: a field there is not, or a value that is not allowed.
    """
    settings = {"ops": config.ops, "seed": config.seed, "method": config.method, **config.model}
    if settings.get("positions", RecurrentConfig.positions) == "relative_bias":
        settings = {"born_distances": config.born_distances, **settings}
    return RecurrentConfig.from_dict(settings)


def flat(settings: object, name: str = "") -> dict[str, Any]:
    """Dotted name -> value, of settings as JSON values; a list of plain values is a value."""
    return dict(_leaves(settings, name))


def _leaves(value: object, name: str) -> Iterator[tuple[str, Any]]:
    parts: list[tuple[str, object]] = []
    if isinstance(value, dict):
        parts = list(cast("dict[str, object]", value).items())
    elif isinstance(value, list) and any(isinstance(item, dict) for item in cast("list[object]", value)):
        parts = [(str(index), item) for index, item in enumerate(cast("list[object]", value))]
    if not parts:
        yield name, value
    for part, inner in parts:
        yield from _leaves(inner, f"{name}.{part}" if name else part)


def _put(settings: dict[str, Any], name: str, value: Any) -> None:
    """Change one of the settings in place."""
    first, *rest = name.split(".")
    if first not in settings:
        allowed = ", ".join(
            "model.NAME" if field == "model" else field for field in settings if field not in OWN_OPTIONS
        )
        raise SettingsError(f"there is no setting {name!r}; allowed are {allowed}, phases.NUMBER.NAME")
    if first in OWN_OPTIONS:
        raise SettingsError(f"{first} has an option of its own: give it as {OWN_OPTIONS[first]}")
    if first == "model":
        _put_in_model(settings["model"], ".".join(rest), value)
    elif first == "phases" and rest:
        _put_in_phase(settings["phases"], rest, value)
    elif rest:
        raise SettingsError(f"{name}: {first} is a single setting and has no {'.'.join(rest)!r}")
    else:
        settings[first] = value


def _put_in_model(model: dict[str, Any], field: str, value: Any) -> None:
    known = {known.name for known in dataclasses.fields(RecurrentConfig)} - _FROM_THE_RUN.keys()
    if field in _FROM_THE_RUN:
        raise SettingsError(f"model.{field} is that of the run: give it as {_FROM_THE_RUN[field]}")
    if field not in known:
        raise ConfigError(f"the model has no setting {field!r}; known are {', '.join(sorted(known))}")
    model[field] = value


def _put_in_phase(phases: Any, rest: list[str], value: Any) -> None:
    number, *field = rest
    if not number.isdecimal() or int(number) >= len(phases):
        names = ", ".join(f"{index} ({phase['name']})" for index, phase in enumerate(phases))
        raise SettingsError(f"there is no phase {number!r}; there are {names}")
    phase = phases[int(number)]
    if len(field) != 1 or field[0] not in phase:
        raise SettingsError(f"a phase has no setting {'.'.join(field)!r}; allowed are {', '.join(phase)}")
    phase[field[0]] = value
