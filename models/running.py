"""Running a recurrent model until its discrete state stops changing.

Rows are independent, and without a watcher a step is a deterministic function of the discrete state. So a row
that has reached a fixed point, or a state it has been in before, needs no further computation: its
continuation is known exactly. Rows are run in chunks of similar length that bound the memory in use; padding
is never part of a state that changes, so results do not depend on the chunking.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Any, cast

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from models.bottleneck import symbol_probabilities
from models.bounds import MOST_STEPS
from models.config import Estimator
from models.position_encodings import POSITIONS
from models.trajectory import Trajectory
from models.vocabulary import EncodedGraphs, FactoredVocabulary

if TYPE_CHECKING:
    from models.recurrent import RecurrentTransformer

CHUNK_BYTES = 200 * 2**20
"""Working memory a chunk of rows may take in one step."""

RUN_BYTES = 8 * 2**30
"""Memory that the states and confidences of a run may take; a run of more steps is refused before it begins."""

LENGTH_SPREAD = 1.25
"""Longest over shortest graph in one chunk; padding is computed like any other position."""

CONTINUOUS_PATIENCE = 3
"""A continuous model counts as settled when its snapped readout has been the same this many steps in a row.
"""


def step_bound(vocabulary: FactoredVocabulary, state: Int[Tensor, "batch pos factor"]) -> int:
    """Steps after which a run is cut off: the number of equations (no graph is deeper) and two to see it
    settle.
    """
    equals = vocabulary.symbols("syntax").index("=")
    return int((state[..., 0] == equals).sum(-1).max()) + 2


def run(
    model: RecurrentTransformer,
    encoded: EncodedGraphs,
    initial: Int[Tensor, "batch pos factor"],
    n_steps: int | None,
    hidden: Float[Tensor, "batch pos d_model"] | None = None,
) -> Trajectory:
    """Run every graph; see :meth:`models.RecurrentTransformer.run`."""
    if model.cfg.writes_text:
        raise ValueError(
            "a chain-of-thought model writes its solution as text, token by token, so it has no states to run; "
            "models.solving.solve follows what it writes"
        )
    fixed = n_steps if n_steps is not None else model.cfg.default_steps
    bound = fixed if fixed is not None else step_bound(model.vocabulary, encoded.factors)
    known = model.cfg.bottleneck == "discrete" and not model.is_watched() and not _is_random(model)
    _check_size(bound, initial, known)
    padding, lengths = ~encoded.mask, encoded.mask.sum(-1)
    watched = model.is_watched()
    pieces: list[tuple[Tensor, _Rows]] = []
    for rows in [torch.arange(len(lengths))] if watched else _chunks(model, lengths):
        n_pos = int(lengths[rows].max()) if known else initial.shape[1]
        start, settle = (initial[rows, :n_pos], padding[rows, :n_pos]), fixed is None
        if known:
            pieces.append((rows, _run_discrete(model, *start, bound)))
        else:
            entering = None if hidden is None else hidden[rows]
            pieces.append((rows, _run_plainly(model, *start, bound, settle, entering)))
    n_states = max(len(piece.states) for _, piece in pieces) if fixed is None else fixed + 1
    states = initial.cpu().expand(n_states, *initial.shape).clone()
    confidence = torch.ones(n_states - 1, *initial.shape)
    fixed_point, cycle = (
        torch.empty(len(initial), dtype=torch.int64),
        torch.empty(len(initial), dtype=torch.int64),
    )
    for rows, piece in pieces:
        whole = piece.extended(n_states)
        states[:, rows, : whole.states.shape[2]] = whole.states
        confidence[:, rows, : whole.states.shape[2]] = whole.confidence
        fixed_point[rows], cycle[rows] = whole.fixed_point, whole.cycle
    return Trajectory(
        states=states,
        confidence=confidence,
        encoded=encoded,
        vocabulary=model.vocabulary,
        fixed_point=fixed_point,
        cycle=cycle,
        hit_bound=cycle == 0,
        bound=bound,
    )


def _check_size(bound: int, initial: Tensor, known: bool) -> None:
    """Raises ValueError for a run whose states would not fit into :data:`RUN_BYTES`, or that would never end.

    known: rows that have settled are continued by what is known of them; else every step is computed.
    """
    if not known and bound > MOST_STEPS:
        raise ValueError(
            f"n_steps is {bound}; allowed are up to {MOST_STEPS} where every step is computed: in a model without a "
            "discrete bottleneck, with hooks, or with noise"
        )
    most = RUN_BYTES // (initial.numel() * (torch.int64.itemsize + torch.float32.itemsize)) - 1
    if bound > most:
        raise ValueError(
            f"n_steps is {bound}, and the states of {len(initial)} graphs of up to {initial.shape[1]} tokens over so "
            f"many steps take more than {RUN_BYTES // 2**30} GiB; allowed are up to {most} steps"
        )


def iterate_until_settled(
    model: RecurrentTransformer,
    initial: Int[Tensor, "batch pos factor"],
    bound: int,
    estimator: Estimator | None = None,
    hidden: Float[Tensor, "batch pos d_model"] | None = None,
    padding: Bool[Tensor, "batch pos"] | None = None,
) -> Iterator[tuple[Float[Tensor, "batch pos d_vocab"], Int[Tensor, "batch pos factor"]]]:
    """``model.iterate``, ended when every row's snapped state has stayed the same: for one step where it is what
    enters the next, for :data:`CONTINUOUS_PATIENCE` steps where it is only read out.
    """
    patience = _patience(model)
    unchanged = torch.zeros(len(initial), dtype=torch.int64, device=initial.device)
    previous = initial
    for logits, state in model.iterate(initial, bound, estimator, hidden, padding):
        yield logits, state
        unchanged = torch.where((state == previous).flatten(1).all(-1), unchanged + 1, 0)
        if bool((unchanged >= patience).all()):
            return
        previous = state


def _patience(model: RecurrentTransformer) -> int:
    return CONTINUOUS_PATIENCE if model.cfg.bottleneck == "continuous" else 1


def _is_random(model: RecurrentTransformer) -> bool:
    """Whether two calls on one state may differ: dropout or attention noise, in training mode."""
    return model.training and (model.cfg.dropout > 0 or model.cfg.attention_noise > 0)


def _chunks(model: RecurrentTransformer, lengths: Int[Tensor, " batch"]) -> list[Int[Tensor, " row"]]:
    """Row indices, shortest graphs first, in chunks of similar length that fit into :data:`CHUNK_BYTES`."""
    chunks: list[Tensor] = []
    order = lengths.argsort(stable=True)
    most = {length: _rows_per_chunk(model, length) for length in set(_integers(lengths))}
    chunk: list[int] = []
    for row in _integers(order):
        length = int(lengths[row])
        if chunk and (len(chunk) >= most[length] or length > LENGTH_SPREAD * int(lengths[chunk[0]])):
            chunks.append(torch.tensor(chunk))
            chunk = []
        chunk.append(row)
    return [*chunks, torch.tensor(chunk)]


def _rows_per_chunk(model: RecurrentTransformer, n_pos: int) -> int:
    cfg = model.cfg
    d_mlp = cfg.d_mlp if cfg.d_mlp is not None else 4 * cfg.d_model
    floats = n_pos * (6 * cfg.d_model + 2 * d_mlp + 3 * cfg.n_heads * cfg.d_head + 3 * cfg.d_vocab)
    floats += POSITIONS[cfg.positions].pair_floats * cfg.n_heads * n_pos * n_pos
    return max(1, CHUNK_BYTES // (4 * floats))


class _Rows:
    """States and confidences of some rows, and where they settled."""

    def __init__(self, states: Tensor, confidence: Tensor, fixed_point: Tensor, cycle: Tensor) -> None:
        self.states = states
        self.confidence = confidence
        self.fixed_point = fixed_point
        self.cycle = cycle

    def extended(self, n_states: int) -> _Rows:
        """The same rows continued to ``n_states`` states by repeating what is known: the fixed point or the
        cycle.
        """
        known = len(self.states)
        if known == n_states:
            return self
        later = torch.arange(n_states - known)[:, None]
        period = self.cycle.clamp_min(1)
        same_as = known - period + later % period  # [later state, row]
        row = torch.arange(len(period))
        states = torch.cat([self.states, self.states[same_as, row]])
        confidence = torch.cat([self.confidence, self.confidence[same_as - 1, row]])
        return _Rows(states, confidence, self.fixed_point, self.cycle)


def _run_discrete(model: RecurrentTransformer, initial: Tensor, padding: Tensor, bound: int) -> _Rows:
    """Step all rows that have not settled, until none is left; the others are continued by what is known of them."""
    n_rows = len(initial)
    device = model.W_E.device
    padding = padding.to(device)
    packed = [model.vocabulary.pack(initial)]
    confidence: list[Tensor] = []
    fixed_point = torch.full((n_rows,), -1)
    cycle = torch.zeros(n_rows, dtype=torch.int64)
    seen: list[dict[bytes, int]] = [{_key(packed[0][row]): 0} for row in range(n_rows)]
    active = torch.arange(n_rows)
    for t in range(bound):
        if not len(active):
            break
        following = packed[t].clone()
        written = confidence[-1].clone() if confidence else torch.ones(*initial.shape)
        for row in _integers((cycle > 1).nonzero().flatten()):
            period = int(cycle[row])
            following[row] = packed[t + 1 - period][row]
            written[row] = confidence[t - period][row]
        state = model.vocabulary.unpack(packed[t][active]).to(device)
        # Nobody watches, so every step is the first one again: hook points for each would take most of the time.
        logits = model.transition(state, 0, padding[active])
        snapped = torch.where(padding[active, :, None], state, model.discretise(logits))
        following[active] = model.vocabulary.pack(snapped.cpu())
        written[active] = symbol_probabilities(model.vocabulary, logits, snapped).float().cpu()
        packed.append(following)
        confidence.append(written)
        for row in _integers(active):
            first = seen[row].setdefault(_key(following[row]), t + 1)
            if first <= t:
                cycle[row] = t + 1 - first
                if cycle[row] == 1:
                    fixed_point[row] = max(first - 1, 0)
        active = (cycle == 0).nonzero().flatten()
    states = model.vocabulary.unpack(torch.stack(packed))
    return _Rows(states, _stack(confidence, initial), fixed_point, cycle)


def _run_plainly(
    model: RecurrentTransformer,
    initial: Tensor,
    padding: Tensor,
    bound: int,
    settle: bool,
    hidden: Tensor | None,
) -> _Rows:
    """Step all rows together, with hooks or without a bottleneck, where rows cannot be continued from their
    state.
    """
    states = [initial]
    confidence: list[Tensor] = []
    device = model.W_E.device
    entering = None if hidden is None else hidden.to(device)
    given = initial.to(device), bound, None, entering, padding.to(device)
    steps = iterate_until_settled(model, *given) if settle else model.iterate(*given)
    for logits, snapped in steps:
        states.append(snapped.cpu())
        confidence.append(symbol_probabilities(model.vocabulary, logits, snapped).float().cpu())
    same = [(after == before).flatten(1).all(-1) for before, after in pairwise(states)]
    unchanged = torch.stack(same[::-1]).int().cumprod(0).sum(0) if same else torch.zeros(len(initial))
    settled = unchanged >= _patience(model)
    fixed_point = torch.where(settled, (len(same) - 1 - unchanged).clamp_min(0), -1)
    return _Rows(torch.stack(states), _stack(confidence, initial), fixed_point.long(), settled.long())


def _stack(confidence: list[Tensor], like: Tensor) -> Float[Tensor, "step batch pos factor"]:
    return torch.stack(confidence) if confidence else torch.empty(0, *like.shape)


def _integers(values: Int[Tensor, " n"]) -> list[int]:
    return cast(Any, values).tolist()


def _key(packed: Tensor) -> bytes:
    return packed.numpy().tobytes()
