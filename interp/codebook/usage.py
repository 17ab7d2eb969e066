"""Codebook usage: which codes of a factor are used, how evenly, and what they say, state by state, counted over tokens.

``states[t]`` enters step t; state 0 is the text with every variable EMPTY, the last is what the last step wrote. A
model without a bottleneck has codes too: what it reads out after each step. Numbers are of tokens, not of batches:
histograms are added up before anything is computed from them. Entropies and mutual informations are in bits, each
beside its Miller-Madow correction and a shuffled baseline (:mod:`interp.codebook.information`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
from numpy.typing import NDArray

from interp.codebook import information
from interp.codebook.information import Counts, Floats
from interp.codebook.transitions import Transitions, transitions_of
from interp.npz import read_npz, write_npz
from models.one_line import one_line

if TYPE_CHECKING:
    import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]

SHUFFLES: Final = 20


@one_line
@dataclass(frozen=True, eq=False)
class CodeUsage:
    """The codes of every token in every state, and what is known of the tokens.

    Attributes:
        codes: int [state, token, factor].
        symbols: factor -> what its codes are called, in the order of the factor axis.
        tokens: name -> [token], what is known of them; of graphs :data:`interp.codebook.codes.TOKEN_COLUMNS`.
        variables: ground truth to hold codes against, int [token] or [state, token], -1 where a token has none of it.
        expected: int [step, token, factor]; the codes the oracle makes of each state; None where there is no oracle.
    """

    codes: Counts
    symbols: Mapping[str, tuple[str, ...]]
    tokens: Mapping[str, NDArray[Any]]
    variables: Mapping[str, Counts]
    expected: Counts | None = None

    @property
    def factors(self) -> tuple[str, ...]:
        """Names along the factor axis."""
        return tuple(self.symbols)

    @property
    def n_states(self) -> int:
        """Number of states: of steps, and one."""
        return len(self.codes)

    def __len__(self) -> int:
        """Number of tokens."""
        return self.codes.shape[1]

    def select(self, **conditions: Any) -> CodeUsage:
        """The tokens whose columns have a value, or one of several: ``select(role="rhs", depth=[1, 2])``.

        Raises:
            ValueError: an unknown column, or no such token.
        """
        chosen = np.ones(len(self), bool)
        for name, value in conditions.items():
            if name not in self.tokens:
                raise ValueError(f"tokens have no {name!r}; they have {', '.join(self.tokens)}")
            chosen &= np.isin(self.tokens[name], np.atleast_1d(np.asarray(value)))
        if not chosen.any():
            asked = ", ".join(f"{name}={value!r}" for name, value in conditions.items())
            raise ValueError(f"no token has {asked}")
        return replace(
            self,
            codes=self.codes[:, chosen],
            tokens={name: column[chosen] for name, column in self.tokens.items()},
            variables={name: array[..., chosen] for name, array in self.variables.items()},
            expected=None if self.expected is None else self.expected[:, chosen],
        )

    # One factor ---------------------------------------------------------------------------------------------

    def of(self, factor: str) -> Counts:
        """Int [state, token]: the codes of a factor; raises ValueError for one there is not."""
        return self.codes[..., self._index(factor)]

    def histogram(self, factor: str) -> Counts:
        """Int [state, code]: tokens with each code."""
        size = len(self._symbols(factor))
        return np.stack([np.bincount(codes, minlength=size) for codes in self.of(factor)])

    def entropy(self, factor: str, corrected: bool = False) -> Floats:
        """Float [state], bits."""
        return information.entropy(self.histogram(factor), corrected)

    def perplexity(self, factor: str, corrected: bool = False) -> Floats:
        """Float [state]; 2 ** entropy."""
        return information.perplexity(self.histogram(factor), corrected)

    def dead(self, factor: str) -> NDArray[np.bool_]:
        """Bool [state, code]: a code that no token has. One that is dead in every state is dead: ``.all(0)``."""
        return self.histogram(factor) == 0

    def divergence(self, factor: str) -> Floats:
        """Float [state, state]: Jensen-Shannon divergence in bits between the usage in two states."""
        counts = self.histogram(factor)
        return information.js_divergence(counts[:, None], counts[None])

    def transitions(self, factor: str) -> Transitions:
        """How codes of a factor follow each other."""
        expected = None if self.expected is None else self.expected[..., self._index(factor)]
        return transitions_of(self.of(factor), self._symbols(factor), factor, self.tokens, expected)

    # One factor and one variable ----------------------------------------------------------------------------

    def joint(self, factor: str, variable: str | None = None) -> Counts:
        """Int [state, code, truth]: tokens with a code and a truth (default: the variable of the factor's own name).

        Tokens without the variable are not counted. Raises ValueError for an unknown factor or variable.
        """
        size = len(self._symbols(factor))
        x, y = self.of(factor), self._variable(factor, variable)
        n_y = max(int(y.max(initial=0)) + 1, 1)
        return np.stack(
            [
                information.joint_counts(codes[truth >= 0], truth[truth >= 0], size, n_y)
                for codes, truth in zip(x, y, strict=True)
            ]
        )

    def mutual_information(self, factor: str, variable: str | None = None, corrected: bool = False) -> Floats:
        """Float [state], bits that the codes and the variable share; nan where no token has the variable."""
        return information.mutual_information(self.joint(factor, variable), corrected)

    def shuffled_information(
        self, factor: str, variable: str | None = None, n_shuffles: int = SHUFFLES, seed: int = 0
    ) -> Floats:
        """Float [state, shuffle], bits: the same with the variable permuted over the tokens."""
        size = len(self._symbols(factor))
        rows: list[Floats] = []
        for codes, truth in zip(self.of(factor), self._variable(factor, variable), strict=True):
            has = truth >= 0
            n_y = int(truth.max(initial=0)) + 1
            rows.append(information.shuffled_information(codes[has], truth[has], size, n_y, n_shuffles, seed))
        return np.stack(rows)

    def purity(self, factor: str, variable: str | None = None) -> Floats:
        """Float [state]: share of tokens that have the most frequent truth of their code."""
        return information.purity(self.joint(factor, variable))

    def detectors(self, factor: str, variable: str | None = None) -> pd.DataFrame:
        """For every truth of every state the code that detects it best, by F1: a row each.

        Columns: state, truth (a symbol where it is one), code, precision, recall, f1 (their harmonic mean), n (tokens
        that have the truth).
        """
        joint = self.joint(factor, variable)
        precision, recall = information.precision_recall(joint)
        with np.errstate(invalid="ignore"):
            f1 = np.nan_to_num(2 * precision * recall / (precision + recall))
        n = joint.sum(1)
        state, truth = n.nonzero()
        code = f1.argmax(1)[state, truth]
        return pd.DataFrame(
            {
                "state": state,
                "truth": [self._truth_name(variable or factor, int(number)) for number in truth],
                "code": np.array(self._symbols(factor))[code],
                "precision": precision[state, code, truth],
                "recall": recall[state, code, truth],
                "f1": f1[state, code, truth],
                "n": n[state, truth],
            }
        )

    # The whole ----------------------------------------------------------------------------------------------

    def to_frame(self, n_shuffles: int = SHUFFLES, seed: int = 0) -> pd.DataFrame:
        """A row per factor and state: n_tokens, used and dead (codes), entropy and perplexity, plug-in and corrected,
        js_to_previous and js_to_last (bits); and where there is a variable of the factor's name: information, plug-in
        and corrected, its mean and sd over shuffles, purity, and purity_constant, which a constant code has.
        """
        return pd.concat(
            [self._factor_frame(factor, n_shuffles, seed) for factor in self.factors], ignore_index=True
        )

    def _factor_frame(self, factor: str, n_shuffles: int, seed: int) -> pd.DataFrame:
        counts, divergence = self.histogram(factor), self.divergence(factor)
        columns: dict[str, Any] = {
            "factor": factor,
            "state": np.arange(self.n_states),
            "n_tokens": counts.sum(1),
            "used": (counts > 0).sum(1),
            "dead": (counts == 0).sum(1),
            "entropy": self.entropy(factor),
            "entropy_corrected": self.entropy(factor, corrected=True),
            "perplexity": self.perplexity(factor),
            "perplexity_corrected": self.perplexity(factor, corrected=True),
            "js_to_previous": [np.nan, *np.diagonal(divergence, 1)],
            "js_to_last": divergence[:, -1],
        }
        if factor not in self.variables:
            return pd.DataFrame(columns)
        joint = self.joint(factor)
        shuffled = self.shuffled_information(factor, None, n_shuffles, seed)
        truth = joint.sum(1)
        with np.errstate(invalid="ignore"):
            constant = truth.max(1) / truth.sum(1)
        columns |= {
            "information": information.mutual_information(joint),
            "information_corrected": information.mutual_information(joint, corrected=True),
            "information_shuffled": shuffled.mean(1),
            "information_shuffled_sd": shuffled.std(1),
            "purity": information.purity(joint),
            "purity_constant": constant,
        }
        return pd.DataFrame(columns)

    def save(self, path: str | Path) -> Path:
        """Write ``path`` (``.npz`` is added where it is missing) with everything :meth:`load` needs; returns the file.

        Raises:
            models.files.WriteError: it cannot be written.
        """
        arrays: dict[str, NDArray[Any]] = {
            "codes": self.codes,
            "symbols": np.array(json.dumps(dict(self.symbols))),
        }
        arrays |= {f"token {name}": column for name, column in self.tokens.items()}
        arrays |= {f"variable {name}": array for name, array in self.variables.items()}
        if self.expected is not None:
            arrays["expected"] = self.expected
        return write_npz(path, arrays)

    @classmethod
    def load(cls, path: str | Path) -> CodeUsage:
        """The inverse of :meth:`save`: the same ``path`` names the same file."""
        arrays = read_npz(path)
        symbols = {factor: tuple(names) for factor, names in json.loads(str(arrays["symbols"])).items()}
        tokens, variables = (
            {name.removeprefix(kind): array for name, array in arrays.items() if name.startswith(kind)}
            for kind in ("token ", "variable ")
        )
        return cls(arrays["codes"], symbols, tokens, variables, arrays.get("expected"))

    def figure(self, factor: str = "value", width: int = 1000) -> go.Figure:
        """:func:`interp.codebook.codes_figure.usage_figure`."""
        from interp.codebook.codes_figure import usage_figure

        return usage_figure(self, factor, width)

    def _index(self, factor: str) -> int:
        if factor not in self.symbols:
            raise ValueError(f"there is no factor {factor!r}; there are {', '.join(self.factors)}")
        return self.factors.index(factor)

    def _symbols(self, factor: str) -> tuple[str, ...]:
        return self.symbols[self.factors[self._index(factor)]]

    def _variable(self, factor: str, variable: str | None) -> Counts:
        """Int [state, token]."""
        self._index(factor)
        name = factor if variable is None else variable
        if name not in self.variables:
            known = ", ".join(self.variables) or "none"
            raise ValueError(f"there is no variable {name!r} to hold codes against; there are: {known}")
        return np.broadcast_to(self.variables[name], self.codes.shape[:2])

    def _truth_name(self, variable: str, number: int) -> str:
        names = self.symbols.get("value" if variable == "shown" else variable, ())
        return names[number] if number < len(names) else str(number)


def code_usage_of(
    states: NDArray[np.integer[Any]],
    symbols: Mapping[str, Sequence[str]],
    mask: NDArray[np.bool_] | None = None,
    tokens: Mapping[str, NDArray[Any]] | None = None,
    variables: Mapping[str, NDArray[np.integer[Any]]] | None = None,
    expected: NDArray[np.integer[Any]] | None = None,
) -> CodeUsage:
    """The codes of any looped model, from arrays.

    Args:
        states: int [state, batch, pos, factor].
        symbols: factor -> what its codes are called, in the order of the factor axis.
        mask: bool [batch, pos], True at tokens; default: everywhere. Tokens are counted row by row.
        tokens: name -> [token]; default: ``graph`` and ``pos``, its place on the batch and position axes.
        variables: name -> int [token] or [state, token], -1 where a token has none.
        expected: int [step, batch, pos, factor], what should follow each state.

    Raises:
        ValueError: shapes that do not fit together, a code that its factor has no symbol for.
    """
    states = np.asarray(states, dtype=np.int64)
    if states.ndim != 4 or states.shape[-1] != len(symbols) or not len(states):
        raise ValueError(
            f"states have shape {states.shape}; allowed is [state, batch, pos, factor] with {len(symbols)} factors"
        )
    mask = np.ones(states.shape[1:3], bool) if mask is None else mask
    codes = states[:, mask]
    graph, pos = np.nonzero(mask)
    table: dict[str, NDArray[Any]] = {"graph": graph, "pos": pos} if tokens is None else dict(tokens)
    given = {name: np.asarray(array, dtype=np.int64) for name, array in (variables or {}).items()}
    names = {factor: tuple(names) for factor, names in symbols.items()}
    for index, (factor, own) in enumerate(names.items()):
        if codes.size and not 0 <= codes[..., index].min() <= codes[..., index].max() < len(own):
            raise ValueError(
                f"codes of {factor!r} are {codes[..., index].min()}..{codes[..., index].max()}; "
                f"allowed are 0..{len(own) - 1}"
            )
    n_tokens = codes.shape[1]
    lengths = {name: array.shape[-1] for columns in (table, given) for name, array in columns.items()}
    wrong = [f"{name} has {length}" for name, length in lengths.items() if length != n_tokens]
    if wrong or not n_tokens:
        raise ValueError(f"there are {n_tokens} tokens, and {', '.join(wrong) or 'at least one is needed'}")
    return CodeUsage(
        codes,
        names,
        table,
        given,
        None if expected is None else np.asarray(expected, dtype=np.int64)[:, mask],
    )
