"""Settings of a run: `TrainingConfig`, and the presets `cpu`, `staged`, `mini`, `paper`, `smoke` for each method.

`cpu` trains `discrete-corrected` from scratch; `staged` trains every method in phases that accuracy ends, most of them
from the weights of the first stage they share (`models.training.stages`); `mini` does the same on a smaller task with a
smaller model (`models.training.mini`); `paper` has the sizes and the schedule of the paper's published configuration,
for a GPU; `smoke` runs in seconds, for tests.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from models.operations import OPERATIONS
from models.training import mini, stages
from models.training.curriculum import Phase
from models.training.methods import TRAINING_METHODS

Preset = Literal["cpu", "staged", "mini", "paper", "smoke"]
Supervision = Literal["transitions", "paper"]
Clock = Literal["wall", "processor"]
TRAINABLE = tuple(TRAINING_METHODS)
METHODS = tuple(name for name, method in TRAINING_METHODS.items() if not method.stage)
"""The paper's six."""
PRESETS: tuple[str, ...] = get_args(Preset)
STAGED = {"staged": stages, "mini": mini}
"""Presets whose methods have phases of their own, and most of them the weights of a first stage."""


class SettingsError(ValueError):
    """A method, preset, operation or budget that is not allowed; the message says what was given and what is."""


class TrainingConfig(BaseModel):
    """Everything that decides a run, besides the code.

    start: name or folder of the checkpoint whose weights the run begins with; None for new weights.
    model: fields of `RecurrentConfig` that differ from its defaults.
    minutes, steps: the budget; a run ends at whichever comes first. Progress is the larger of the two shares.
    clock: what minutes are counted in; `processor` is the time of the process on all its threads, so that
    runs beside other work get equal budgets.
    learning_rate: warmed up linearly over `warmup` steps, constant, then linear to `final_rate` of it over
    the last `decay` of the progress.
    skew: probability, at the start, that a value is an operation's identity.
    random_states: share of examples of `discrete-corrected` that start from a random state.
    label_noise: share of operand tuples whose target is another value than the right one, always the same
    (`models.training.label_noise`); for `discrete` and `discrete-corrected`, supervision `transitions`.
    changed_weight: loss weight of the value factor where the target differs from the input.
    extra_steps: steps beyond depth + 1 that `continuous` is unrolled for, at most (drawn for each batch).
    born_distances: the model's field of this name, for models with relative_bias.
    ema: decay of the averaged weights that are saved; None saves the weights themselves.
    log_every: steps between log records. validate_*, checkpoint_*: minutes, or steps where given, between
    two.
    validation_sizes, validation_graphs: sizes at which graphs are solved, and how many of each.
    snapshots: log-spaced fp16 copies of the weights to keep.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    method: str
    preset: str = "cpu"
    ops: tuple[str, ...] = ("ADD",)
    seed: int = Field(default=0, ge=0)
    start: str | None = None
    model: dict[str, Any] = {}
    minutes: float | None = Field(default=None, gt=0)
    steps: int | None = Field(default=None, gt=0)
    clock: Clock = "wall"
    supervision: Supervision = "transitions"
    phases: tuple[Phase, ...] = (Phase(name="all"),)
    skew: float = Field(default=0.0, ge=0, le=1)
    random_states: float = Field(default=0.85, ge=0, le=1)
    label_noise: float = Field(default=0.0, ge=0, le=1)
    changed_weight: float = Field(default=6.0, gt=0)
    extra_steps: int = Field(default=0, ge=0)
    learning_rate: float = Field(default=2e-3, gt=0)
    betas: tuple[float, float] = (0.9, 0.98)
    weight_decay: float = Field(default=0.01, ge=0)
    clip: float = Field(default=1.0, gt=0)
    warmup: int = Field(default=100, ge=0)
    decay: float = Field(default=0.3, ge=0, le=1)
    final_rate: float = Field(default=0.02, ge=0, le=1)
    born_distances: float = 0.0
    ema: float | None = Field(default=None, gt=0, lt=1)
    log_every: int = Field(default=20, gt=0)
    validate_minutes: float = Field(default=5.0, gt=0)
    validate_steps: int | None = Field(default=None, gt=0)
    validation_sizes: tuple[int, ...] = (32, 64, 128)
    validation_graphs: int = Field(default=16, gt=0)
    checkpoint_minutes: float = Field(default=1.0, gt=0)
    checkpoint_steps: int | None = Field(default=None, gt=0)
    snapshots: int = Field(default=0, ge=0)

    @field_validator("method")
    @classmethod
    def _is_known(cls, method: str) -> str:
        if method not in TRAINING_METHODS:
            raise ValueError(f"choose one of {', '.join(TRAINING_METHODS)}")
        return method

    @field_validator("label_noise")
    @classmethod
    def _is_of_transitions(cls, label_noise: float, info: ValidationInfo) -> float:
        method, supervision = info.data.get("method"), info.data.get("supervision")
        if label_noise and method is not None:
            able = [name for name, record in TRAINING_METHODS.items() if "label_noise" in record.settings]
            if method not in able or supervision == "paper":
                raise ValueError(f"allowed above 0: supervision transitions and one of {', '.join(able)}")
        return label_noise


_SMALL_TO_FULL = (
    Phase(
        name="small",
        sizes=(5, 10),
        leaves=(3, 4),
        operand_weights=(1, 1, 4),
        gate=0.7,
        skew_step=0.00075,
        tokens=2900,
        latest=0.35,
    ),
    Phase(
        name="middle",
        sizes=(7, 18),
        leaves=(3, 6),
        operand_weights=(1, 1, 2),
        leave_at=0.97,
        tokens=3000,
        latest=0.45,
        most_skew=0.3,
        attention_noise=0.5,
    ),
    Phase(name="full", sizes=(8, 32), leaves=(6, 6), tokens=3200, most_skew=0.0, attention_noise=1.0),
)

_CPU_MODEL: dict[str, Any] = {
    "n_layers": 2,
    "d_model": 128,
    "n_heads": 8,
    "d_head": 32,
    "d_mlp": 512,
    "positions": "relative_bias",
    "position_window": 32,
    "attention_scale": "log",
    "embed_std": 0.1,
}

_SMOKE_MODEL: dict[str, Any] = {
    "n_layers": 1,
    "d_model": 32,
    "n_heads": 4,
    "d_head": 8,
    "d_mlp": 64,
    "positions": "relative_bias",
    "position_window": 16,
}

_PAPER_MODEL: dict[str, Any] = {
    "n_layers": 2,
    "d_model": 256,
    "n_heads": 16,
    "d_head": 16,
    "d_mlp": 1024,
    "positions": "deberta",
    "position_window": 64,
    "dropout": 0.1,
}

_PRESETS: dict[str, dict[str, Any]] = {
    "cpu": {
        "decay": 0.5,
        "model": _CPU_MODEL,
        "minutes": 100.0,
        "phases": _SMALL_TO_FULL,
        "skew": 0.75,
        "born_distances": 5.0,
    },
    "staged": {"model": _CPU_MODEL, "minutes": 60.0, "born_distances": 5.0},
    "mini": {"model": mini.MODEL, "minutes": mini.MINUTES, "born_distances": 5.0, **mini.VALIDATION},
    "smoke": {
        "model": _SMOKE_MODEL,
        "steps": 40,
        "phases": (Phase(name="tiny", sizes=(4, 6), leaves=(3, 3), tokens=400),),
        "skew": 0.5,
        "warmup": 5,
        "learning_rate": 5e-3,
        "log_every": 1,
        "validate_steps": 20,
        "validation_sizes": (6, 12),
        "validation_graphs": 4,
        "checkpoint_steps": 10,
    },
    "paper": {
        "model": _PAPER_MODEL,
        "steps": 100 * 50_000 // 32,
        "supervision": "paper",
        "phases": (Phase(name="paper", graphs=32),),
        "changed_weight": 1.0,
        "learning_rate": 1e-3,
        "betas": (0.9, 0.999),
        "warmup": 0,
        "decay": 0.0,
        "validate_minutes": 30.0,
        "checkpoint_minutes": 5.0,
    },
}


def training_config(
    method: str,
    preset: str = "cpu",
    ops: tuple[str, ...] = ("ADD",),
    seed: int = 0,
    minutes: float | None = None,
    steps: int | None = None,
    **changes: Any,
) -> TrainingConfig:
    """The settings of a method under a preset; `minutes` or `steps` replace the preset's budget, `changes`
    any other field.

    Raises:
        SettingsError: an unknown method, preset, operation, field, or a value out of range.
    """
    if method not in TRAINING_METHODS:
        raise SettingsError(f"unknown method {method!r}; choose one of {', '.join(TRAINING_METHODS)}")
    if preset not in PRESETS:
        raise SettingsError(f"unknown preset {preset!r}; choose one of {', '.join(PRESETS)}")
    unknown = [op for op in ops if op not in OPERATIONS]
    if unknown or not ops or len(set(ops)) < len(ops):
        raise SettingsError(
            f"operations {list(ops)} are not allowed; give each of {', '.join(OPERATIONS)} at most once"
        )
    ordered = OPERATIONS.ordered(ops)
    settings = {**_for_task(method, ordered, _PRESETS[preset]), **changes}
    if preset in STAGED:
        staged = STAGED[preset]
        if method not in staged.SETTINGS:
            known = ", ".join(staged.SETTINGS)
            raise SettingsError(f"preset {preset!r} has no phases for {method!r}; it has for {known}")
        model = {**settings["model"], **staged.MODELS.get(method, {}), **changes.get("model", {})}
        settings = {**staged.SETTINGS[method], **settings, "model": model}
    if minutes is not None or steps is not None:
        settings |= {"minutes": minutes, "steps": steps}
    try:
        return TrainingConfig(method=method, preset=preset, ops=ordered, seed=seed, **settings)  # type: ignore[arg-type]
    except ValidationError as error:
        raise SettingsError(faults(error)) from error


def faults(error: ValidationError) -> str:
    """What is wrong with every setting that is not allowed: its dotted name, what was given, and pydantic's message."""
    wrong = [
        f"{'.'.join(map(str, item['loc']))}={item.get('input')!r}: {item['msg']}" for item in error.errors()
    ]
    return "; ".join(wrong)


def _for_task(method: str, ops: tuple[str, ...], preset: dict[str, Any]) -> dict[str, Any]:
    """The preset with the model and the batch size that a method and its operations need."""
    own = TRAINING_METHODS[method]
    model = {**preset["model"], **own.model}
    # Two MLPs after the operands have been fetched learn the pairs of operations on three operands.
    if len(ops) > 1 and preset.get("supervision") != "paper":
        model |= {"n_layers": model["n_layers"] + 1, "d_mlp": model["d_mlp"] * 3 // 2}
    model["n_layers"] *= own.depth
    if "phases" not in preset:
        return {**preset, "model": model}
    phases: tuple[Phase, ...] = preset["phases"]
    if preset.get("supervision") != "paper":
        phases = tuple(
            phase.model_copy(update={"tokens": -(-phase.tokens // own.passes)}) for phase in phases
        )
    return {**preset, "model": model, "phases": phases}
