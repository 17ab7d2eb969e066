"""Configuration of a recurrent, discretely bottlenecked Transformer.

One dataclass holds every size and switch. It has the fields of TransformerLens's own ``TransformerLensConfig``, which
its utilities read: ``cfg.d_model``, ``cfg.n_heads``, ``cfg.normalization_type`` ... mean here what they mean there,
and a test compares the two. TransformerLens itself is not imported: it takes longer than a run. JSON round trip:
``RecurrentConfig.from_dict(cfg.to_dict()) == cfg``.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

import torch

from models.bounds import json_problem
from models.graph_errors import clip
from models.position_encodings import POSITIONS
from models.settings import LARGEST_SIZE, declared_kinds, fault
from models.training.methods import TRAINING_METHODS
from models.vocabulary import FactoredVocabulary, VocabularyError

Bottleneck = Literal["discrete", "continuous"]
Estimator = Literal["none", "straight_through", "gumbel"]
AttentionDirection = Literal["causal", "bidirectional"]
AttentionScale = Literal["standard", "log"]
ACTIVATIONS = ("relu", "gelu")

_CHOICES: dict[str, tuple[Any, ...]] = {
    "bottleneck": get_args(Bottleneck),
    "estimator": get_args(Estimator),
    "attention_dir": get_args(AttentionDirection),
    "attention_scale": get_args(AttentionScale),
    "act_fn": ACTIVATIONS,
    "normalization_type": ("LN", "LNPre", None),
}
_POSITIVE = ("d_model", "d_head", "n_heads", "n_layers", "n_ctx", "d_mlp", "position_window", "n_variables")


DIGEST = "sha256"
"""An entry of a ``config.json`` that is no setting: the digest of the model that the file belongs to
(:mod:`models.storage`)."""
DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
"""What a model can compute with."""


class ConfigError(ValueError):
    """A configuration value that is not allowed; the message says what was given and what is allowed."""


@dataclass
class RecurrentConfig:
    """Sizes and switches of a :class:`models.RecurrentTransformer`.

    Task: ``n_variables``, ``modulus`` and ``ops`` fix the factored vocabulary; ``d_vocab`` is the sum of the
    four factors' sizes (rows of ``W_E``, columns of ``W_U``).

    Positions (Altabaa et al. 2025): ``deberta`` disentangled relative attention with scores over
    ``sqrt(3 d_head)``; ``relative_bias`` one learned number per head and distance; ``rotary`` adjacent pairs,
    base ``rotary_base``; ``absolute`` learned, added to the residual stream; ``none``. ``position_window``
    clips the relative distance. ``position_norm`` puts a LayerNorm on the relative embeddings (``deberta``)
    or on the sum of input and position (``absolute``), as the paper's encoder does.

    Recurrence: ``bottleneck`` is ``discrete`` (argmax per factor between steps) or ``continuous`` (the final
    hidden state enters the next step); ``default_steps`` fixes the number of steps where the method has one
    (``None``: until nothing changes). ``estimator`` lets gradients cross the discrete bottleneck
    (``straight_through`` or ``gumbel`` with ``temperature``); ``none`` stops them.

    Attention: ``attention_scale="log"`` multiplies the scores of a query that sees n keys by
    ``max(1, log n / log attention_scale_reference)`` (scalable softmax, against dilution among many keys);
    ``attention_noise`` is the standard deviation of Gaussian noise on the scores in training mode only.

    Initialisation: embeddings are Gaussian with standard deviation ``embed_std``; every linear map starts
    uniform in ``1 / sqrt(fan_in)``, biases at zero. ``born_distances`` plants which head of the first layer looks how
    far back: ``relative_bias`` of head j starts with it at distance j (0: no head is born with a distance).

    Raises:
        ConfigError: a value that is not allowed.

    Examples:
        >>> from models import RecurrentConfig
        >>> cfg = RecurrentConfig(d_model=64, n_heads=4, positions="rotary")
        >>> cfg.d_mlp, cfg.d_vocab
        (256, 162)
        >>> RecurrentConfig.from_json(cfg.to_json()) == cfg
        True
    """

    d_model: int = 128
    d_head: int = 16
    n_layers: int = 2
    n_ctx: int = 1024
    n_heads: int = 8
    d_mlp: int | None = None
    d_vocab: int = -1
    device: str | None = None
    use_attn_result: bool = False
    use_split_qkv_input: bool = False
    default_prepend_bos: bool = False
    positional_embedding_type: str = "none"
    n_key_value_heads: int | None = None
    attn_only: bool = False
    gated_mlp: bool = False
    uses_rms_norm: bool = False
    eps: float = 1e-5
    layer_norm_folding: bool = False
    act_fn: str = "relu"
    normalization_type: str | None = "LN"
    num_experts: int | None = None
    experts_per_token: int | None = None
    final_rms: bool = False
    dtype: torch.dtype = torch.float32
    use_attn_in: bool = False
    use_hook_mlp_in: bool = False
    parallel_attn_mlp: bool = False
    attention_dir: AttentionDirection = "causal"
    positions: str = "relative_bias"
    position_window: int = 64
    position_norm: bool = True
    rotary_base: int = 10_000
    attention_scale: AttentionScale = "standard"
    attention_scale_reference: int = 64
    attention_noise: float = 0.0
    bottleneck: Bottleneck = "discrete"
    estimator: Estimator = "none"
    temperature: float = 1.0
    default_steps: int | None = None
    dropout: float = 0.0
    embed_std: float = 1.0
    born_distances: float = 0.0
    n_variables: int = 128
    modulus: int = 23
    ops: tuple[str, ...] = ("ADD",)
    method: str = ""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.device is None:
            self.device = "cpu"
        self.ops = tuple(self.ops) if isinstance(cast(object, self.ops), list | tuple) else self.ops
        for name in _POSITIVE:
            value = getattr(self, name)
            if name == "d_mlp" and value is None:
                self.d_mlp = value = 4 * self.d_model
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ConfigError(f"{name} must be a positive integer, got {clip(repr(value))}")
        for name, kind in declared_kinds(type(self)).items():
            if expected := fault(getattr(self, name), kind):
                raise ConfigError(f"{name} must be {expected}, got {clip(repr(getattr(self, name)))}")
        _check_device(self.device)
        for name, allowed in {"positions": tuple(POSITIONS), **_CHOICES}.items():
            if getattr(self, name) not in allowed:
                raise ConfigError(f"{name}={getattr(self, name)!r} is not allowed; choose one of {allowed}")
        for name in (*_POSITIVE, "modulus", "default_steps"):
            if (getattr(self, name) or 0) > LARGEST_SIZE:
                raise ConfigError(f"{name} must be at most {LARGEST_SIZE}, got {getattr(self, name)}")
        encoding = POSITIONS[self.positions]
        if encoding.rotates and self.d_head % 2:
            raise ConfigError(
                f"{encoding.name} positions rotate pairs, so d_head must be even, got {self.d_head}"
            )
        if not 0.0 <= self.dropout < 1.0:
            raise ConfigError(f"dropout must lie in [0, 1), got {self.dropout}")
        if self.dtype not in DTYPES:
            allowed = ", ".join(str(dtype).removeprefix("torch.") for dtype in DTYPES)
            raise ConfigError(f"dtype={self.dtype} cannot be computed with; choose one of {allowed}")
        if self.rotary_base < 1:
            raise ConfigError(f"rotary_base must be at least 1, got {self.rotary_base}")
        if not self.seed >= 0:
            raise ConfigError(f"seed must not be negative, got {self.seed}")
        for name in ("attention_noise", "embed_std", "eps"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} must not be negative, got {getattr(self, name)}")
        if self.born_distances and self.positions != "relative_bias":
            raise ConfigError(
                f"born_distances={self.born_distances} needs positions='relative_bias', whose biases it sets; with "
                f"positions={self.positions!r} it must be 0"
            )
        if self.attention_scale_reference < 2:
            raise ConfigError(
                f"attention_scale_reference must be at least 2, got {self.attention_scale_reference}"
            )
        if self.temperature <= 0:
            raise ConfigError(f"temperature must be positive, got {self.temperature}")
        if self.default_steps is not None and self.default_steps < 1:
            raise ConfigError(f"default_steps must be at least 1 or None, got {self.default_steps}")
        self.positional_embedding_type = encoding.transformer_lens
        try:
            self.d_vocab = self.vocabulary.d_vocab
        except VocabularyError as error:
            raise ConfigError(str(error)) from error

    @property
    def vocabulary(self) -> FactoredVocabulary:
        """The factored vocabulary that ``n_variables``, ``modulus`` and ``ops`` define."""
        return FactoredVocabulary(n_variables=self.n_variables, modulus=self.modulus, ops=self.ops)

    @property
    def d_vocab_out(self) -> int:
        """Columns of ``W_U``: the four factors' sizes added up."""
        return self.d_vocab

    @property
    def writes_text(self) -> bool:
        """Whether models of this method predict the next token of a text instead of the next state."""
        method = TRAINING_METHODS.get(self.method)
        return method is not None and method.writes_text

    def to_dict(self) -> dict[str, Any]:
        """Every field as plain JSON values (``dtype`` as its name, ``ops`` as a list)."""
        fields: dict[str, Any] = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return fields | {"dtype": str(self.dtype).removeprefix("torch."), "ops": list(self.ops)}

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any]) -> RecurrentConfig:
        """The config that :meth:`to_dict` wrote.

        Raises:
            ConfigError: an unknown field or a value that is not allowed.
        """
        known = {f.name for f in dataclasses.fields(cls)}
        unknown = sorted(set(config_dict) - known)
        if unknown:
            shown = f"{unknown[:10]} and {len(unknown) - 10} more" if len(unknown) > 10 else unknown
            raise ConfigError(f"unknown configuration fields {shown}; known are {sorted(known)}")
        values = dict(config_dict)
        if isinstance(values.get("dtype"), str):
            dtype = getattr(torch, values["dtype"], None)
            if not isinstance(dtype, torch.dtype):
                raise ConfigError(f"dtype={values['dtype']!r} is not a torch dtype")
            values["dtype"] = dtype
        return cls(**values)

    def to_json(self) -> str:
        """This configuration as indented JSON text."""
        return json.dumps(self.to_dict(), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> RecurrentConfig:
        """The config in JSON ``text``; the digest of a stored model (:data:`DIGEST`) is left out.

        Raises:
            ConfigError: not JSON, not an object, or a value that is not allowed.
        """
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:  # also numbers of thousands of digits, and deep nesting
            raise ConfigError(f"not a JSON configuration: {json_problem(error)}") from error
        if not isinstance(values, dict):
            raise ConfigError(f"a configuration is a JSON object, got {type(values).__name__}")
        values.pop(DIGEST, None)  # pyright: ignore[reportUnknownMemberType]
        return cls.from_dict(values)  # pyright: ignore[reportUnknownArgumentType]


def _check_device(device: str | None) -> None:
    """Raises ConfigError for a device that this machine does not have, or that holds no numbers."""
    kinds = [
        "cpu",
        *(["cuda"] if torch.cuda.is_available() else []),
        *(["mps"] if torch.mps.is_available() else []),
    ]
    try:
        known = torch.device(str(device)).type in kinds
    except RuntimeError:
        known = False
    if not known:
        raise ConfigError(f"device={clip(repr(device))} cannot be used; here are {', '.join(kinds)}")
