"""What the heads of any loop do with positions and repeated tokens, step by step.

Shares of a head's attention, means over the destinations that could have given them any:

    own          the destination itself
    previous     the position before it
    duplicate    other positions with its token
    induction    positions behind other ones with its token (Olsson et al. 2022, arXiv 2209.11895: what followed it)

Beside each stands what attention that is spread evenly over the same sources would give: a text of few tokens makes
duplicates by chance. The sources of a destination are those to which some head, step or call of the site gives weight.
These are statistics of where a head looks. What it writes may be read by nothing: only an edit tells
(:func:`interp.ablate`).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
import torch
from torch import Tensor, nn

from interp.loop.protocol import Loop, LoopedError
from interp.mechanism.loop_attention import LoopAttention, step_attention
from models.one_line import one_line

KINDS: Final = ("own", "previous", "duplicate", "induction")


@one_line
@dataclass(frozen=True, eq=False)
class LoopHeadStatistics:
    """A line per site, step, call and head; :meth:`to_frame` has them.

    Attributes:
        attention: the patterns.
        words: int [batch, pos], equal for equal tokens, -1 at padding.
    """

    attention: LoopAttention
    words: Tensor

    def to_frame(self) -> pd.DataFrame:
        """``site``, ``step``, ``call``, ``head``, the shares, ``NAME_even`` of each, and what attention over steps has.

        A share is nan where no destination could give any. The other columns are those of
        :meth:`interp.LoopAttention.to_frame`: ``entropy`` (bits), ``distance`` and ``change``.
        """
        looks_at = _places(self.words)
        lines: list[dict[str, Any]] = []
        for site, pattern in self.attention.patterns.items():
            weights = pattern.float()
            allowed = (weights > 0).flatten(0, 1).any(0).any(1)  # [batch, destination, source]
            even = allowed / allowed.sum(-1, keepdim=True).clamp_min(1)
            could = {kind: (at & allowed).any(-1) for kind, at in looks_at.items()}
            by_chance = {
                f"{kind}_even": _mean((even * at).sum(-1), could[kind]) for kind, at in looks_at.items()
            }
            for step, call in (map(int, place) for place in self.attention.calls[site].nonzero()):
                for head, now in enumerate(weights[step, call].transpose(0, 1)):
                    shares = {kind: _mean((now * at).sum(-1), could[kind]) for kind, at in looks_at.items()}
                    place = {"site": site, "step": step, "call": call, "head": head}
                    lines.append(place | shares | by_chance)
        found = pd.DataFrame(lines)
        measures: Any = self.attention.to_frame()
        return found.merge(measures.drop(columns="own"), on=["site", "step", "call", "head"])


def head_statistics(
    model: Loop | nn.Module, inputs: Any, n_steps: int | None = None, words: Tensor | None = None
) -> LoopHeadStatistics:
    """Run a looped model, and hold where its heads look against its tokens.

    Args:
        model: a loop, or a model that :func:`models.as_loop` knows, those of this repository among them.
        words: int [batch, pos], equal for equal tokens, -1 at padding; default: the loop's own ``tokens``, else inputs
            that are ids.

    Raises:
        LoopedError, TypeError: as :func:`interp.step_attention`; no words, or of another shape than the attention.

    Examples:
        >>> from interp import head_statistics
        >>> from models.compiled import make
        >>> frame = head_statistics(make("parity"), ["0110"], n_steps=1).to_frame()
        >>> frame.loc[0, ["previous", "previous_even"]].astype(float).round(2).tolist()  # the head that copies the bit
        [1.0, 0.42]
    """
    return statistics_of(step_attention(model, inputs, n_steps), inputs, words)


def statistics_of(attention: LoopAttention, inputs: Any, words: Tensor | None = None) -> LoopHeadStatistics:
    """:func:`head_statistics` of patterns that were recorded."""
    known = _words(attention, inputs) if words is None else words
    for site, pattern in attention.patterns.items():
        shape = pattern.shape[2], *pattern.shape[-2:]
        if shape != (*known.shape, known.shape[1]):
            raise LoopedError(
                f"{site!r} attends as [batch, destination, source] = {shape}, and words are {tuple(known.shape)}; "
                "allowed are words [batch, pos] of the positions that are attended to"
            )
    return LoopHeadStatistics(attention, known)


loop_head_statistics = head_statistics
"""The name that it had for loops alone."""


def _words(attention: LoopAttention, inputs: Any) -> Tensor:
    if attention.tokens is None:
        if isinstance(inputs, Tensor) and not inputs.is_floating_point() and inputs.ndim == 2:
            return inputs
        raise LoopedError(
            "head statistics need words; allowed are `words`, a loop with `tokens`, or inputs that are ids [batch, pos]"
        )
    number = {text: index for index, text in enumerate(dict.fromkeys(chain(*attention.tokens)))}
    length = next(iter(attention.patterns.values())).shape[-1]
    rows = [[number[text] for text in row] + [-1] * (length - len(row)) for row in attention.tokens]
    return torch.tensor(rows)


def _places(words: Tensor) -> dict[str, Tensor]:
    """Of each share, bool [batch, destination, source]: the sources that count."""
    n_pos = words.shape[1]
    same = (words[:, :, None] == words[:, None]) & (words >= 0)[:, :, None]
    own = torch.eye(n_pos, dtype=torch.bool).expand_as(same)
    elsewhere = same & ~own
    after = torch.zeros_like(same)
    after[:, :, 1:] = elsewhere[:, :, :-1]
    real = (words >= 0)[:, :, None] & (words >= 0)[:, None]
    before = torch.diag(torch.ones(n_pos - 1, dtype=torch.bool), -1).expand_as(same)
    return dict(zip(KINDS, (own & real, before & real, elsewhere, after & real & ~own), strict=True))


def _mean(share: Tensor, could: Tensor) -> float:
    return float(share[could].mean()) if bool(could.any()) else float("nan")
