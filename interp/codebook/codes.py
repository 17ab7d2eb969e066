"""The codes of graphs: what a run shows at every token, held against the graph.

What codes are held against (``variables`` of :class:`CodeUsage`), int [token] or [state, token], -1 where a token has
none of it:

value                        at a right-hand side the true value of its node, whatever is shown
shown                        at a right-hand side what the oracle shows in this state: EMPTY up to the node's depth
depth                        at a right-hand side the depth of its node
syntax, variable, operation  what the text has at the token
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from interp.codebook.loop_codes import loop_code_usage
from interp.codebook.usage import CodeUsage as CodeUsage
from interp.codebook.usage import code_usage_of as code_usage_of
from interp.data import labels
from interp.loop.either import also_for_loops
from interp.oracle_step import oracle_steps
from models.graph import ComputationGraph
from models.recurrent import RecurrentTransformer
from models.trajectory import Trajectory
from models.vocabulary import FACTORS, EncodedGraphs

TOKEN_COLUMNS: Final = ("graph", "node", "pos", "role", "value", "depth")


@also_for_loops(loop_code_usage)
def code_usage(
    model: RecurrentTransformer,
    graphs: Trajectory | Sequence[ComputationGraph] | ComputationGraph | str,
    n_steps: int | None = None,
) -> CodeUsage:
    """The codes of a run, with the oracle's; graphs, or the text of one, are run (``n_steps`` as in ``model.run``).

    Of another looped model arguments are those of :func:`interp.loop_code_usage`.

    Raises:
        VocabularyError: no graph, or one outside the vocabulary. ValueError: a model that is run token by token.

    Examples:
        >>> from interp import code_usage
        >>> from models import load
        >>> usage = code_usage(load("compiled"), "20 = a; 2 = b; a + b = c")
        >>> usage.n_states, usage.factors
        (4, ('syntax', 'variable', 'operation', 'value'))
    """
    run = graphs if isinstance(graphs, Trajectory) else model.run(graphs, n_steps)
    encoded, vocabulary, mask = run.encoded, run.vocabulary, run.encoded.mask
    tokens = token_table(encoded, vocabulary.ops)
    is_rhs = tokens["role"] == "rhs"
    value, depth = (np.where(is_rhs, tokens[name], -1) for name in ("value", "depth"))
    text = encoded.factors[mask].numpy()
    due = np.arange(len(run.states))[:, None] > depth
    return code_usage_of(
        run.states.numpy(),
        {factor: vocabulary.symbols(factor) for factor in FACTORS},
        mask=mask.numpy(),
        tokens=tokens,
        variables={
            "value": value,
            "shown": np.where(is_rhs, np.where(due, value, vocabulary.empty), -1),
            "depth": depth,
            **{factor: text[:, index] for index, factor in enumerate(FACTORS[:3])},
        },
        expected=oracle_steps(run.states, encoded, vocabulary).numpy(),
    )


def token_table(encoded: EncodedGraphs, ops: Sequence[str]) -> dict[str, NDArray[Any]]:
    """:data:`TOKEN_COLUMNS` of every token of a batch, row by row (:mod:`interp.data.labels` has the definitions)."""
    rows = labels.token_rows(encoded, "all", ops)
    columns = {"graph": rows.graph, **rows.columns, "role": np.array(labels.ROLES)[rows.columns["role"]]}
    return {name: columns[name] for name in TOKEN_COLUMNS}
