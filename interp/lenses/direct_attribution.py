"""Direct logit attribution by step: how much of a logit difference each head and MLP writes into the readout itself.

At one step the residual state that is read is a sum: what enters the step, every head's output, the attentions'
biases, every MLP's output. The readout is linear but for the scale of the final LN; with that scale held at its value,
the logit difference is the sum of what the components contribute to it (Wang et al. 2022, arXiv 2211.00593, section 3;
Elhage et al. 2021, "A Mathematical Framework for Transformer Circuits"):

    logit[answer] - mean of logit[against]  =  bias + sum over components c of ((c - mean(c)) / scale * w) . d

with ``d`` the same difference of columns of W_U, ``w`` the LN's learned scale, ``bias`` from b_U and the LN's bias.
TransformerLens's ``ActivationCache`` takes the residual state apart (``stack_head_results``, ``decompose_resid``) and
scales it (``apply_ln_to_stack``). Its ``logit_attrs`` leaves ``w`` out, so it is right only after
``model.process_weights(fold_ln=True)``, which a continuous model cannot have (its LN's output is what is fed back);
here ``w`` is put into the direction, and both agree.

Direct means: through nothing but the readout. A head whose output an MLP has to process first has no direct effect, in
the compiled model for instance every lookup head; what such a head is for, patching says.
"""

from __future__ import annotations

from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformer_lens import ActivationCache

from interp.data.labels import STATUSES
from interp.lenses.lens import collect_residuals
from interp.lenses.readout import check_factor, content_symbols, layer_points, to_tensor, true_symbols
from models.graph import ComputationGraph
from models.norm import LayerNorm
from models.one_line import one_line
from models.recurrent import RecurrentTransformer
from models.tokens import ModelInput

if TYPE_CHECKING:
    import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]

    from interp.data.datasets import ActivationDataset

ANSWERS: Final = ("true", "written")
OTHERS: Final = "others"


@one_line
@dataclass(frozen=True, eq=False)
class DirectAttribution:
    """Contributions of components to a logit difference, at the right-hand side of every node and every step.

    Attributes:
        factor: whose logits.
        answer: ``true`` or ``written``: which symbol is answered.
        against: ``others``, or the symbol it is compared with.
        components: ``embed`` (what enters the step); ``L0H0`` ..., ``0_attn_bias``, ``0_mlp_out`` and so on;
            ``readout_bias``.
        contributions: float [step, component, row]; units of the logits.
        logit_diff: float [step, row]; the difference in the model's own logits.
        labels: a line per row (node); :mod:`interp.data.labels`.
        status: int [step, row]; index into :data:`interp.data.labels.STATUSES`.
        answers: int [step, row]; the symbol that is answered.
    """

    factor: str
    answer: str
    against: str
    components: tuple[str, ...]
    graphs: tuple[ComputationGraph, ...]
    contributions: NDArray[np.float32]
    logit_diff: NDArray[np.float32]
    labels: pd.DataFrame
    status: NDArray[np.int64]
    answers: NDArray[np.int64]

    @property
    def n_steps(self) -> int:
        """How many steps were taken apart."""
        return len(self.contributions)

    @property
    def remainder(self) -> float:
        """The largest difference between the contributions' sum and the logit difference: rounding."""
        return float(np.abs(self.contributions.sum(1, dtype=np.float64) - self.logit_diff).max())

    def summary(self, by_step: bool = False) -> pd.DataFrame:
        """Means over rows: a line per status and component, and step if asked for.

        Columns: ``n`` rows, mean ``contribution`` and its standard deviation ``sd``, mean ``logit_diff``.
        """
        steps = [slice(step, step + 1) for step in range(self.n_steps)] if by_step else [slice(None)]
        records: list[dict[str, Any]] = []
        for status, name in enumerate(STATUSES):
            for step in steps:
                chosen = self.status[step] == status
                if not chosen.any():
                    continue
                total = float(self.logit_diff[step][chosen].mean())
                key = {"status": name} | ({"step": step.start} if by_step else {})
                for index, component in enumerate(self.components):
                    values = self.contributions[step, index][chosen]
                    mean, sd = float(values.mean()), float(values.std())
                    found = {"component": component, "n": len(values), "contribution": mean, "sd": sd}
                    records.append(key | found | {"logit_diff": total})
        return pd.DataFrame(records)

    def to_frame(self) -> pd.DataFrame:
        """A line per step, component and row: its graph, node, depth and status, contribution and logit difference."""
        step, component, row = (axis.ravel() for axis in np.indices(self.contributions.shape))
        labels = cast(Any, self.labels)
        columns: dict[str, Any] = {"step": step, "component": np.array(self.components)[component]}
        columns |= {name: labels[name].to_numpy()[row] for name in ("graph", "node", "depth")}
        columns |= {"status": np.array(STATUSES)[self.status[step, row]], "answer": self.answers[step, row]}
        columns |= {"contribution": self.contributions.ravel(), "logit_diff": self.logit_diff[step, row]}
        return pd.DataFrame(columns)

    def figure(self, status: str = "computing", width: int = 1000) -> go.Figure:
        """:func:`interp.lenses.direct_attribution_figure.direct_attribution_figure`."""
        from interp.lenses.direct_attribution_figure import direct_attribution_figure

        return direct_attribution_figure(self, status, width)


def direct_logit_attribution(
    model: RecurrentTransformer,
    graphs: ModelInput,
    n_steps: int | None = None,
    factor: str = "value",
    answer: str = "true",
    against: str = OTHERS,
) -> DirectAttribution:
    """Take the logit difference of every node and step apart.

    Activations lie in a temporary folder meanwhile, so that memory holds those of one step at a time.

    Args:
        n_steps: default as for :func:`interp.collect`: until every run has settled.
        answer: ``true`` (the node's value; of another factor what the text has there) or ``written`` (what the step
            writes).
        against: ``others`` (the mean of all other content symbols: which value), or a symbol of the factor, such as
            ``EMPTY`` (value or none).

    Raises:
        ValueError: an unknown factor, answer or symbol, and as :func:`interp.collect` (a chain-of-thought model).

    Examples:
        >>> from interp import direct_logit_attribution
        >>> from models import load
        >>> found = direct_logit_attribution(load("compiled"), "20 = a; 2 = b; a + b = c")
        >>> found.contributions.shape, found.remainder < 1e-3
        ((3, 26, 3), True)
    """
    check_factor(factor)
    symbols = model.vocabulary.symbols(factor)
    if answer not in ANSWERS:
        raise ValueError(f"answer is {answer!r}; allowed are {', '.join(ANSWERS)}")
    if against != OTHERS and against not in symbols:
        raise ValueError(f"against is {against!r}; allowed are {OTHERS!r} and {', '.join(symbols)}")
    with TemporaryDirectory() as folder:
        known, data = collect_residuals(
            model, graphs, folder, n_steps, "rhs", attribution_sites(model, factor)
        )
        return attribution_of(model, data, known, factor, answer, against)


def attribution_sites(model: RecurrentTransformer, factor: str) -> list[str]:
    """What has to be collected for :func:`attribution_of`, beside the residual states."""
    names = ("attn.hook_z", "hook_attn_out", "hook_mlp_out")
    parts = [f"blocks.{layer}.{name}" for layer in range(model.cfg.n_layers) for name in names]
    return [*parts, f"hook_logits.{factor}"]


@torch.no_grad()
def attribution_of(
    model: RecurrentTransformer,
    data: ActivationDataset,
    graphs: tuple[ComputationGraph, ...],
    factor: str = "value",
    answer: str = "true",
    against: str = OTHERS,
) -> DirectAttribution:
    """The same on activations that were collected, of ``graphs``: residual states and :func:`attribution_sites`."""
    true = to_tensor(true_symbols(model.vocabulary, data.labels, graphs, factor))
    content = to_tensor(content_symbols(model.vocabulary, factor))
    symbol = None if against == OTHERS else model.vocabulary.symbol_id(factor, against)
    contributions: list[NDArray[np.float32]] = []
    differences: list[NDArray[np.float32]] = []
    answers: list[NDArray[np.int64]] = []
    components: list[str] = []
    for step in range(data.n_steps):
        logits = to_tensor(data.activations[f"hook_logits.{factor}"][step])
        answered = true if answer == "true" else logits.argmax(-1)
        sides = _sides(answered, symbol, content)
        stack, components = residual_components(_cache_of(model, data, step))
        direction, constant = _readout_of(model, factor, sides)
        parts = torch.einsum("crd,rd->cr", stack, direction)
        contributions.append(torch.cat([parts, constant[None]]).numpy())
        differences.append((logits * sides).sum(-1).numpy())
        answers.append(answered.numpy())
    return DirectAttribution(
        factor=factor,
        answer=answer,
        against=against,
        components=(*components, "readout_bias"),
        graphs=graphs,
        contributions=np.stack(contributions),
        logit_diff=np.stack(differences),
        labels=data.labels,
        status=np.array(data.step_labels["status"], dtype=np.int64),
        answers=np.stack(answers),
    )


def residual_components(cache: ActivationCache) -> tuple[Tensor, list[str]]:
    """What the final residual state of a step is the sum of, centred and scaled as its final LN does: float [component,
    row, d_model], and the components' names, layer after layer.

    cache: batch of one; ``hook_embed``, every layer's ``z``, ``attn_out`` and ``mlp_out``, and the final LN's scale.
    """
    model: Any = cache.model
    heads, head_names = cast(Any, cache.stack_head_results(return_labels=True))
    parts, part_names = cast(Any, cache.decompose_resid(return_labels=True))
    by_name: dict[str, Tensor] = dict(zip([*part_names, *head_names], [*parts, *heads], strict=True))
    found = {"embed": by_name["embed"]}
    for layer in range(model.cfg.n_layers):
        own = {name: by_name[name] for name in head_names if name.startswith(f"L{layer}H")}
        found |= own
        found[f"{layer}_attn_bias"] = by_name[f"{layer}_attn_out"] - sum(own.values())
        found[f"{layer}_mlp_out"] = by_name[f"{layer}_mlp_out"]
    return cache.apply_ln_to_stack(torch.stack(list(found.values())))[:, 0], list(found)


def _cache_of(model: RecurrentTransformer, data: ActivationDataset, step: int) -> ActivationCache:
    """TransformerLens's cache of one step: a batch of one, rows as its positions. What enters the step, learned
    positions included, is its ``hook_embed``.
    """

    def stored(name: str) -> Tensor:
        return to_tensor(data.activations[name][step])[None]

    points = list(layer_points(model).values())
    cache = {"hook_embed": stored(points[0])}
    for layer in range(model.cfg.n_layers):
        z = f"blocks.{layer}.attn.hook_z"
        cache[z] = torch.stack([stored(f"{z}.{head}") for head in range(model.cfg.n_heads)], dim=2)
        for name in ("attn_out", "mlp_out"):
            cache[f"blocks.{layer}.hook_{name}"] = stored(f"blocks.{layer}.hook_{name}")
    last = stored(points[-1])
    cache["ln_final.hook_scale"] = (last.var(-1, correction=0, keepdim=True) + model.cfg.eps).sqrt()
    return ActivationCache(cache, model.at_step(step))


def _sides(answered: Tensor, symbol: int | None, content: Tensor) -> Tensor:
    """Float [row, symbol]: weights of the logits in the difference; 1 at the answer, -1 in all on the other side."""
    plus = torch.nn.functional.one_hot(answered, len(content)).float()
    minus = content * (1 - plus) if symbol is None else torch.zeros_like(plus)
    if symbol is not None:
        minus[:, symbol] = 1
    return plus - minus / minus.sum(-1, keepdim=True)


def _readout_of(model: RecurrentTransformer, factor: str, sides: Tensor) -> tuple[Tensor, Tensor]:
    """Directions float [row, d_model] in the normalised residual stream before the LN's learned scale, and constants
    float [row].
    """
    chosen = model.vocabulary.slice(factor)
    columns, constant = model.W_U[:, chosen], model.b_U[chosen]
    norm = model.ln_final
    if isinstance(norm, LayerNorm) and norm.affine:
        columns, constant = norm.w[:, None] * columns, constant + norm.b @ columns
    return (sides.to(columns.device) @ columns.T).cpu(), (sides.to(constant.device) @ constant).cpu()
