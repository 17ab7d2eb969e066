"""How codes follow each other: P(code after a step | code before it), token by token, and what is illegal in it.

Illegal     a code that the oracle does not write. The oracle is one synchronous step of the symbolic algorithm on the
            state as it is (:mod:`interp.oracle_step`): at a right-hand side the value factor must become what the
            node's operands, as they are shown now, give; every other factor and token must stay. A model is thus
            judged step by step: after a mistake it is illegal no more, as long as it computes rightly from there.
Idempotent  a code that stays what it is.
Reversion   a change back to a code that the token has had in an earlier state.
Commit      the step that wrote a token's last code: the first from which on it never changes. For a perfect model that
            is the node's depth, at a right-hand side; -1 where the code never changed at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
from numpy.typing import NDArray

from interp.codebook.information import Floats
from models.one_line import one_line

if TYPE_CHECKING:
    import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]

Codes = NDArray[np.int64]


@one_line
@dataclass(frozen=True, eq=False)
class Transitions:
    """The transitions of one factor.

    Attributes:
        symbols: what the codes are called.
        counts: int [step, code before, code after]; tokens.
        illegal: int, the same shape: how many of them the oracle does not write; None where there is no oracle.
        reversions: int [step]; tokens that change back to a code they have had.
        commit: int [token]; see the module.
        settled: bool [token]; False where the last step still changed the code, so that nobody saw it stay.
        tokens: name -> [token], whatever is known of them; of graphs :data:`interp.codebook.codes.TOKEN_COLUMNS`.
        committed_code: int [token]; the code of the last state.
    """

    factor: str
    symbols: tuple[str, ...]
    counts: Codes
    illegal: Codes | None
    reversions: Codes
    commit: Codes
    settled: NDArray[np.bool_]
    committed_code: Codes
    tokens: Mapping[str, NDArray[Any]]

    @property
    def n_steps(self) -> int:
        """Number of steps."""
        return len(self.counts)

    def probabilities(self, step: int | None = None) -> Floats:
        """P(code after | code before), [before, after], of one step or pooled over all; nan for a code not seen before.

        Raises:
            IndexError: a step beyond the run.
        """
        counts = self.counts.sum(0) if step is None else self.counts[step]
        with np.errstate(invalid="ignore", divide="ignore"):
            return counts / counts.sum(1, keepdims=True)

    @property
    def n_illegal(self) -> int:
        """Illegal transitions in all.

        Raises:
            ValueError: there was no oracle.
        """
        return int(self._illegal().sum())

    def illegal_share(self) -> Floats:
        """Float [step]: share of tokens whose transition is illegal; raises ValueError without oracle."""
        return self._illegal().sum((1, 2)) / self.counts.sum((1, 2))

    def idempotence(self) -> Floats:
        """Float [step]: share of tokens whose code stays."""
        return np.trace(self.counts, axis1=1, axis2=2) / self.counts.sum((1, 2))

    def reversion_rate(self) -> Floats:
        """Float [step]: share of the changes that go back to a code the token has had; nan where nothing changes."""
        changes = self.counts.sum((1, 2)) - np.trace(self.counts, axis1=1, axis2=2)
        with np.errstate(invalid="ignore", divide="ignore"):
            return self.reversions / changes

    def commits(self) -> pd.DataFrame:
        """A row per token: :attr:`tokens` with ``commit``, ``settled`` and the ``code`` it ends with (a symbol)."""
        code = np.array(self.symbols)[self.committed_code]
        return pd.DataFrame({**self.tokens, "commit": self.commit, "settled": self.settled, "code": code})

    def on_time(self) -> float:
        """Share of right-hand sides that settle at their depth; nan without any.

        Raises:
            ValueError: tokens of which ``role`` and ``depth`` are not known.
        """
        if not {"role", "depth"} <= set(self.tokens):
            raise ValueError(
                f"of these tokens only {', '.join(self.tokens)} are known; role and depth are needed"
            )
        rhs = self.tokens["role"] == "rhs"
        on_time = self.settled & (self.commit == self.tokens["depth"])
        return float(on_time[rhs].mean()) if rhs.any() else float("nan")

    def to_frame(self) -> pd.DataFrame:
        """A row per step and a pair of codes that occurs: factor, step, before, after, count, probability, illegal."""
        step, before, after = self.counts.nonzero()
        count = self.counts[step, before, after]
        names = np.array(self.symbols)
        frame = pd.DataFrame(
            {
                "factor": self.factor,
                "step": step,
                "before": names[before],
                "after": names[after],
                "count": count,
                "probability": count / self.counts.sum(2)[step, before],
            }
        )
        if self.illegal is not None:
            frame["illegal"] = self.illegal[step, before, after]
        return frame

    def figure(self, step: int | None = None, width: int = 1000) -> go.Figure:
        """:func:`interp.codebook.codes_figure.transition_figure`."""
        from interp.codebook.codes_figure import transition_figure

        return transition_figure(self, step, width)

    def _illegal(self) -> Codes:
        if self.illegal is None:
            raise ValueError(
                "what is illegal is known from the oracle; these codes came without its answers (expected=...)"
            )
        return self.illegal


def transitions_of(
    codes: Codes,
    symbols: tuple[str, ...],
    factor: str,
    tokens: Mapping[str, NDArray[Any]],
    expected: Codes | None = None,
) -> Transitions:
    """Count the transitions of one factor.

    Args:
        codes: int [state, token].
        expected: int [step, token], the code that should follow each state; None: no legality.
    """
    size = len(symbols)
    before, after = codes[:-1], codes[1:]
    pair = before * size + after
    illegal = None if expected is None else _counted(pair, after != expected, size)
    changed = before != after
    seen_before = np.zeros_like(changed)
    for step in range(1, len(changed)):
        seen_before[step] = (codes[:step] == codes[step + 1]).any(0)
    numbers = np.arange(1, len(codes))[:, None]
    commit = np.where(changed, numbers, 0).max(0, initial=0) - 1
    return Transitions(
        factor=factor,
        symbols=symbols,
        counts=_counted(pair, np.ones_like(changed), size),
        illegal=illegal,
        reversions=(changed & seen_before).sum(1),
        commit=commit,
        settled=commit < len(changed) - 1,
        committed_code=codes[-1],
        tokens=tokens,
    )


def _counted(pair: Codes, where: NDArray[np.bool_], size: int) -> Codes:
    """Int [step, before, after] of pairs int [step, token], where True."""
    counts = [
        np.bincount(row[mask], minlength=size * size).reshape(size, size)
        for row, mask in zip(pair, where, strict=True)
    ]
    return np.stack(counts) if counts else np.zeros((0, size, size), dtype=np.int64)
