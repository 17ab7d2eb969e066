"""Snap margins: how far from another code the hidden state is when it is snapped to codes.

For one factor, hidden state h (after the final LN), logits l = h W_U + b_U and the code a that is written (the best):

margin              l_a - l_b with b the second best: in logits, so the code is exp(margin) times as probable as b
boundary distance   min over c != a of (l_a - l_c) / |w_a - w_c|, over |h|: how far h is from the nearest hyperplane at
                    which a loses to another code c, in units of its own length. 0.05: a change of 5 % of |h|, in the
                    worst direction, is enough.
readout cosine      cos(h, w_a - mean of w over the factor): how far h points the way its code is read. (Adding one
                    vector to all w of a factor changes nothing that is read; so their mean is taken off.)
embedding distance  |h - e| / |h| with e the embedding of the four codes written: what replacing h by its codes moves.
                    A continuous model goes on with h, a discrete one with e. One number per token, for all factors.

``status`` is where a right-hand side is in the oracle's schedule when the step reads the state
(:mod:`interp.data.labels`): waiting, computing (this step has to write the value) or done. Other tokens are ``text``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cosine_similarity

from interp.codebook.codes import token_table
from interp.data import labels
from interp.npz import read_npz, write_npz
from interp.oracle_step import oracle_step
from models.graph import ComputationGraph
from models.one_line import one_line
from models.recurrent import RecurrentTransformer
from models.trajectory import Trajectory
from models.vocabulary import FACTORS, EncodedGraphs

if TYPE_CHECKING:
    import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]

Floats = NDArray[np.float32]

STATUSES: Final = (*labels.STATUSES, "text")
NEAR: Final = 0.1
"""Boundary distance below which a token counts as near unless another is asked for; only comparable inside a factor."""
QUANTILES: Final = (0.0, 0.05, 0.5)


@one_line
@dataclass(frozen=True, eq=False)
class SnapMargins:
    """The margins of a run; see the module for the definitions.

    Attributes:
        margin, boundary, cosine: float32 [step, token, factor]: margin, boundary distance, readout cosine.
        runner_up: int16 [step, token, factor]; the code with the second-best logit.
        written: int16 [step, token, factor]; the code with the best.
        legal: bool [step, token, factor]; the code is what one synchronous step on the state that entered gives.
        embedding: float32 [step, token]; embedding distance.
        status: int8 [step, token]; index into :data:`STATUSES`.
        tokens: name -> [token]; :data:`interp.codebook.codes.TOKEN_COLUMNS`.
        symbols: factor -> what its codes are called.
    """

    margin: Floats
    boundary: Floats
    cosine: Floats
    runner_up: NDArray[np.int16]
    written: NDArray[np.int16]
    legal: NDArray[np.bool_]
    embedding: Floats
    status: NDArray[np.int8]
    tokens: Mapping[str, NDArray[Any]]
    symbols: dict[str, tuple[str, ...]]

    @property
    def n_steps(self) -> int:
        """Number of steps."""
        return len(self.margin)

    def at_rhs(self, name: str, factor: str = "value") -> Floats:
        """Float [step, node]: ``"margin"``, ``"boundary"`` or ``"cosine"`` at right-hand sides.

        Raises:
            ValueError: another name, an unknown factor.
        """
        if name not in _MEASURES:
            raise ValueError(f"there is no measure {name!r}; there are {', '.join(_MEASURES)}")
        return getattr(self, name)[:, self.tokens["role"] == "rhs", self._index(factor)]

    def near_share(self, factor: str = "value", threshold: float = NEAR) -> float:
        """Share of all snaps at right-hand sides with a boundary distance below ``threshold``."""
        return float((self.at_rhs("boundary", factor) < threshold).mean())

    def near(self, factor: str = "value", threshold: float = NEAR) -> pd.DataFrame:
        """Share of right-hand sides with a boundary distance below ``threshold``: a row per step, a column per status.

        Raises:
            ValueError: an unknown factor, or a negative threshold.
        """
        if threshold < 0:
            raise ValueError(f"threshold is {threshold}; allowed are distances of 0 or more, in units of |h|")
        frame: Any = self.token_frame(factor)
        frame["near"] = frame["boundary"] < threshold
        present = [status for status in STATUSES if (frame["status"] == status).any()]
        return frame.pivot_table(index="step", columns="status", values="near")[present]

    def token_frame(self, factor: str = "value", role: str | None = "rhs") -> pd.DataFrame:
        """A row per step and token of a role (None: all): step, graph, node, pos, status, code and runner_up (symbols),
        legal, margin, boundary, cosine, embedding.

        Raises:
            ValueError: an unknown factor.
        """
        index = self._index(factor)
        roles = self.tokens["role"]
        chosen = np.flatnonzero(np.ones(len(roles), bool) if role is None else roles == role)
        step, where = np.repeat(np.arange(self.n_steps), len(chosen)), np.tile(chosen, self.n_steps)
        names = np.array(self.symbols[factor])
        return pd.DataFrame(
            {
                "step": step,
                **{name: column[where] for name, column in self.tokens.items()},
                "status": np.array(STATUSES)[self.status[step, where]],
                "code": names[self.written[step, where, index]],
                "runner_up": names[self.runner_up[step, where, index]],
                "embedding": self.embedding[step, where],
                **{name: getattr(self, name)[step, where, index] for name in _PER_FACTOR},
            }
        )

    def to_frame(self, threshold: float = NEAR) -> pd.DataFrame:
        """A row per factor, step and status: n (tokens), near and illegal (shares), median of embedding, and of margin,
        boundary and cosine the smallest, the 5 % quantile and the median.
        """
        parts: list[Any] = []
        for factor in FACTORS:
            frame: Any = self.token_frame(factor, role=None)
            frame["near"], frame["illegal"] = frame["boundary"] < threshold, ~frame["legal"]
            groups = frame.groupby(["step", "status"])
            table = groups.agg(
                n=("near", "size"),
                near=("near", "mean"),
                illegal=("illegal", "mean"),
                embedding_q50=("embedding", "median"),
            )
            quantiles = groups[list(_MEASURES)].quantile(list(QUANTILES)).unstack()
            quantiles.columns = [f"{name}_q{round(100 * share):02d}" for name, share in quantiles.columns]
            parts.append(table.join(quantiles).reset_index())
            parts[-1].insert(0, "factor", factor)
        return pd.concat(parts, ignore_index=True)

    def _index(self, factor: str) -> int:
        if factor not in FACTORS:
            raise ValueError(f"there is no factor {factor!r}; there are {', '.join(FACTORS)}")
        return FACTORS.index(factor)

    def save(self, path: str | Path) -> Path:
        """Write ``path`` (``.npz`` is added where it is missing) with everything :meth:`load` needs; returns the file.

        Raises:
            models.files.WriteError: it cannot be written.
        """
        arrays: dict[str, Any] = {name: getattr(self, name) for name in _ARRAYS}
        arrays |= {f"token {name}": column for name, column in self.tokens.items()}
        return write_npz(path, {"symbols": np.array(json.dumps(self.symbols)), **arrays})

    @classmethod
    def load(cls, path: str | Path) -> SnapMargins:
        """The inverse of :meth:`save`: the same ``path`` names the same file."""
        arrays = read_npz(path)
        symbols = {factor: tuple(names) for factor, names in json.loads(str(arrays["symbols"])).items()}
        tokens = {name.removeprefix("token "): a for name, a in arrays.items() if name.startswith("token ")}
        return cls(**{name: arrays[name] for name in _ARRAYS}, tokens=tokens, symbols=symbols)

    def figure(self, factor: str = "value", width: int = 1000) -> go.Figure:
        """:func:`interp.codebook.snapping_figure.margin_figure`."""
        from interp.codebook.snapping_figure import margin_figure

        return margin_figure(self, factor, width=width)


_MEASURES: Final = ("margin", "boundary", "cosine")
_PER_FACTOR: Final = (*_MEASURES, "legal")
_ARRAYS: Final = ("margin", "boundary", "cosine", "runner_up", "written", "legal", "embedding", "status")


def snap_margins(
    model: RecurrentTransformer,
    graphs: Trajectory | Sequence[ComputationGraph] | ComputationGraph | str,
    n_steps: int | None = None,
    tokens: int = 16384,
) -> SnapMargins:
    """Measure every token at every step.

    Args:
        graphs: graphs or the text of one (run first, ``n_steps`` as for ``model.run``), or a run of this model, whose
            length is taken.
        tokens: positions in one forward pass, about; bounds memory.

    Raises:
        ValueError: a run without steps; a model that is run token by token (chain of thought).
        VocabularyError: no graph, or one outside the vocabulary.

    Examples:
        >>> from interp import snap_margins
        >>> from models import load
        >>> found = snap_margins(load("compiled"), "20 = a; 2 = b; a + b = c")
        >>> found.margin.shape, bool(found.margin.min() > 0)
        ((3, 13, 4), True)
    """
    run = graphs if isinstance(graphs, Trajectory) else model.run(graphs, n_steps)
    if run.n_steps < 1:
        raise ValueError("the run has no steps, so nothing was snapped; allowed: 1 or more")
    parts = [
        _measured(model, model.vocabulary.encode(part), run.n_steps) for part in _parts(run.encoded, tokens)
    ]
    joined = {name: np.concatenate([part[name] for part in parts], axis=1) for name in _ARRAYS}
    symbols = {factor: model.vocabulary.symbols(factor) for factor in FACTORS}
    return SnapMargins(**joined, tokens=token_table(run.encoded, model.vocabulary.ops), symbols=symbols)


def _parts(encoded: EncodedGraphs, tokens: int) -> Iterator[list[ComputationGraph]]:
    """Consecutive graphs, as many as fit ``tokens`` positions with their padding, at least one."""
    part: list[ComputationGraph] = []
    longest = 0
    for graph, length in zip(encoded.graphs, encoded.mask.sum(1), strict=True):
        longest = max(longest, int(length))
        if part and longest * (len(part) + 1) > tokens:
            yield part
            part, longest = [], int(length)
        part.append(graph)
    yield part


@torch.no_grad()
def _measured(model: RecurrentTransformer, encoded: EncodedGraphs, n_steps: int) -> dict[str, NDArray[Any]]:
    """The arrays of :class:`SnapMargins` for some graphs, [step, token, ...]."""
    mask = encoded.mask
    on_device = mask.to(model.W_E.device)
    key_mask = on_device if model.cfg.attention_dir == "bidirectional" else None
    state = encoded.factors
    rows = labels.token_rows(encoded, "all", model.vocabulary.ops)
    is_rhs = rows.columns["role"] == labels.ROLES.index("rhs")
    depth = rows.columns["depth"]
    pair_norms = _pair_norms(model)
    steps: list[dict[str, NDArray[Any]]] = []
    hidden = None
    for step in range(n_steps):
        entering = hidden
        if entering is None or model.cfg.bottleneck == "discrete":
            entering = model.embed_state(state.to(model.W_E.device))
        hidden = model.step(entering, step, key_mask)
        logits = model.unembed(hidden)
        snapped = torch.where(mask[..., None], model.discretise(logits).cpu(), encoded.factors)
        found = _of_tokens(model, hidden[on_device], logits[on_device], pair_norms)
        moved = hidden - model.embed_state(snapped.to(hidden.device))
        found["embedding"] = _numpy((_length(moved) / _length(hidden))[on_device])
        found["written"] = _numpy(snapped[mask]).astype(np.int16)
        found["legal"] = _numpy((snapped == oracle_step(state, encoded, model.vocabulary))[mask])
        status = np.where(is_rhs, labels.statuses(depth, step), STATUSES.index("text"))
        found["status"] = status.astype(np.int8)
        steps.append(found)
        state = snapped
    return {name: np.stack([found[name] for found in steps]) for name in _ARRAYS}


def _of_tokens(
    model: RecurrentTransformer,
    hidden: Float[Tensor, "token d_model"],
    logits: Float[Tensor, "token d_vocab"],
    pair_norms: dict[str, Tensor],
) -> dict[str, NDArray[Any]]:
    """margin, boundary, cosine and runner_up, [token, factor]."""
    length = _length(hidden)
    by_factor: dict[str, list[Tensor]] = {name: [] for name in ("margin", "boundary", "cosine", "runner_up")}
    for factor in FACTORS:
        part = model.vocabulary.slice(factor)
        own = logits[:, part]
        best, second = own.topk(2, dim=-1).indices.unbind(-1)
        written = own.argmax(-1)
        second = torch.where(best == written, second, best)  # a tie is written as its smallest code
        gap = own.gather(-1, written[:, None]) - own
        by_factor["margin"].append(gap.gather(-1, second[:, None])[:, 0])
        norms = pair_norms[factor][written]
        distance = torch.where(norms > 0, gap / norms, torch.inf)  # no boundary where biases alone decide
        by_factor["boundary"].append(distance.amin(-1) / length)
        centred = (model.W_U[:, part] - model.W_U[:, part].mean(1, keepdim=True)).T
        by_factor["cosine"].append(cosine_similarity(hidden, centred[written], dim=-1))
        by_factor["runner_up"].append(second)
    found = {name: _numpy(torch.stack(parts, dim=-1)) for name, parts in by_factor.items()}
    return found | {"runner_up": found["runner_up"].astype(np.int16)}


def _pair_norms(model: RecurrentTransformer) -> dict[str, Float[Tensor, "code code"]]:
    """|w_a - w_c| of every factor; 0 between codes that are told apart by their biases alone."""
    norms: dict[str, Tensor] = {}
    for factor in FACTORS:
        w = model.W_U[:, model.vocabulary.slice(factor)].T
        norms[factor] = torch.cdist(w, w, compute_mode="donot_use_mm_for_euclid_dist")
    return norms


def _length(vectors: Float[Tensor, "*rows d_model"]) -> Float[Tensor, "*rows"]:
    return vectors.square().sum(-1).sqrt()


def _numpy(tensor: Tensor) -> NDArray[Any]:
    return tensor.numpy(force=True)
