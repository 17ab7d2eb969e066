"""Running a recurrent model until its discrete state stops changing.

Rows are independent, and without a watcher a step is a deterministic function of the discrete state. So a row
that has reached a fixed point, or a state it has been in before, needs no further computation: its
continuation is known exactly. Rows are run in chunks of similar length that bound the memory in use; padding
is never part of a state that changes, so results do not depend on the chunking. The loop itself is
:func:`models.stepper.run_steps`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor

from models.bottleneck import symbol_probabilities
from models.bounds import MOST_STEPS
from models.position_encodings import POSITIONS
from models.recurrence import DiscreteRows, Written, until_settled
from models.stepper import Memory, Recognised, run_steps
from models.trajectory import Trajectory
from models.vocabulary import EncodedGraphs, FactoredVocabulary

if TYPE_CHECKING:
    from models.network import Network

CHUNK_BYTES = 200 * 2**20
"""Working memory a chunk of rows may take in one step."""

RUN_BYTES = 8 * 2**30
"""Memory that the states and confidences of a run may take; a run of more steps is refused before it begins."""

LENGTH_SPREAD = 1.25
"""Longest over shortest graph in one chunk; padding is computed like any other position."""


def step_bound(vocabulary: FactoredVocabulary, state: Int[Tensor, "batch pos factor"]) -> int:
    """Steps after which a run is cut off: the number of equations (no graph is deeper) and two to see it
    settle.
    """
    equals = vocabulary.symbols("syntax").index("=")
    return int((state[..., 0] == equals).sum(-1).max()) + 2


def run(
    model: Network,
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
    known = model.cfg.bottleneck == "discrete" and not model.is_watched() and not is_random(model)
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


def is_random(model: Network) -> bool:
    """Whether two calls on one state may differ: dropout or attention noise, in training mode."""
    return model.training and (model.cfg.dropout > 0 or model.cfg.attention_noise > 0)


def _chunks(model: Network, lengths: Int[Tensor, " batch"]) -> list[Int[Tensor, " row"]]:
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


def _rows_per_chunk(model: Network, n_pos: int) -> int:
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


def _run_discrete(model: Network, initial: Tensor, padding: Tensor, bound: int) -> _Rows:
    """Step all rows that have not settled, until none is left; the others are continued by what is known of them."""
    padding = padding.to(model.W_E.device)
    memory = Memory(DiscreteRows(model, numbered=False, confidence=True))
    states = [Written(model.vocabulary.pack(initial))]
    met = [[-1] * len(initial)]
    for step in run_steps(memory, states[0], padding, bound, stop=Recognised(memory, padding)):
        states.append(step.state)
        met.append(memory.met(step.state, step.number + 1, padding))
    first = torch.tensor(met)
    recognised = first >= 0
    since = recognised.int().argmax(0)  # the first state of each row that it had been in, if any was
    first = first[since, torch.arange(len(initial))]
    cycle = torch.where(recognised.any(0), since - first, 0)
    return _Rows(
        model.vocabulary.unpack(torch.stack([state.packed for state in states])),
        _stack([state.confidence for state in states[1:] if state.confidence is not None], initial),
        torch.where(cycle == 1, (first - 1).clamp_min(0), -1),
        cycle,
    )


def _run_plainly(
    model: Network,
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
    rest = until_settled(model, ends=settle)
    for logits, snapped in model.iterate(initial.to(device), bound, None, entering, padding.to(device), rest):
        states.append(snapped.cpu())
        confidence.append(symbol_probabilities(model.vocabulary, logits, snapped).float().cpu())
    unchanged = rest.count.cpu().expand(len(initial))
    settled = unchanged >= rest.patience
    fixed_point = torch.where(settled, (len(confidence) - 1 - unchanged).clamp_min(0), -1)
    return _Rows(torch.stack(states), _stack(confidence, initial), fixed_point, settled.long())


def _stack(confidence: list[Tensor], like: Tensor) -> Float[Tensor, "step batch pos factor"]:
    return torch.stack(confidence) if confidence else torch.empty(0, *like.shape)


def _integers(values: Int[Tensor, " n"]) -> list[int]:
    return cast(Any, values).tolist()
