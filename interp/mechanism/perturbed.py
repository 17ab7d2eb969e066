"""Controlled perturbations: states that enter a step and differ in exactly one thing of one equation.

The paper appends one equation to a solved graph and varies one of its variables (Altabaa et al. 2025, appendix on
mechanisms). Here the equation may be any node of any graph (:func:`append_equation` makes one), at any step of a run,
and what a variable stands for is taken apart:

    operand:K         operand K is another node: another name at its token, and with it another value
    operand_name:K    the same, while all nodes it could be show the value of the one it is: only the name varies
    operand_value:K   operand K's node shows another value (a leaf's number with it); the name stays
    rhs_name          the node itself has another name, one that nothing else in the text has
    operation:K       the operation before operand K + 1 is another one

K counts from 0. A step of a discrete model depends on nothing but the state that enters it, so these are states that
are written down, not graphs; what the algorithm makes of each is :func:`interp.oracle_step.oracle_step`'s answer.

A continuous model is entered by its hidden state, which is kept, and moved as little as its readout needs to show the
symbols of each variation instead of its own (``FactoredUnembed.rewrite``): a measure then says how a step responds to
what can be read from its state, not to all that is in it. Only models that step until nothing changes are taken, whose
steps have a schedule.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, cast

import numpy as np
import torch
from torch import Tensor

from interp.data.labels import STATUSES
from interp.engine.interventions import Recording, record
from interp.oracle_step import oracle_step
from models.graph import ComputationGraph, Node
from models.one_line import one_line
from models.recurrent import RecurrentTransformer
from models.vocabulary import FACTORS, EncodedGraphs, FactoredVocabulary

KINDS: Final = ("operand", "operand_name", "operand_value", "rhs_name", "operation")
"""What can be varied; all but ``rhs_name`` take a place, as in ``operand:0``."""
_VARIABLE, _OPERATION, _VALUE = (FACTORS.index(name) for name in ("variable", "operation", "value"))
_TO_LEAF: Final = 2
"""From a leaf's right-hand side back to its number."""


class ControlledError(ValueError):
    """A perturbation that cannot be made; the message says what is allowed."""


@one_line
@dataclass(frozen=True, eq=False)
class Controlled:
    """States that differ in one thing.

    Attributes:
        graph: the graph whose run they are taken from.
        node: index of the equation.
        vary: what varies, such as ``operand:0``.
        step: the step the states enter.
        status: of the node in that step's schedule, one of :data:`interp.data.labels.STATUSES`.
        states: int [variation, pos, factor].
        labels: what is there in each variation: a name, value or operation.
        encoded: the graph as the model reads it, a batch of one.
        hidden: float [variation, pos, d_model]; what enters the step of a continuous model, None of a discrete one.
    """

    graph: ComputationGraph
    node: int
    vary: str
    step: int
    status: str
    states: Tensor
    labels: tuple[str, ...]
    encoded: EncodedGraphs
    hidden: Tensor | None = None

    def __len__(self) -> int:
        """The number of variations."""
        return len(self.states)

    @property
    def rhs(self) -> int:
        """Position where the node shows its value."""
        return int(self.encoded.rhs[0, self.node])

    def truth(self, vocabulary: FactoredVocabulary) -> Tensor:
        """Int [variation]: the value symbol that one step of the symbolic algorithm writes at the node."""
        layout = self.encoded
        repeated = replace(
            layout,
            graphs=layout.graphs * len(self),
            **{name: getattr(layout, name).expand(len(self), *_rest(layout, name)) for name in _TENSORS},
        )
        return oracle_step(self.states, repeated, vocabulary)[:, self.rhs, _VALUE]


_TENSORS: Final = (
    "factors", "packed", "mask", "rhs", "operands", "operand_nodes", "operations", "values", "depths",
)  # fmt: skip


def append_equation(
    graph: ComputationGraph,
    operands: Sequence[int] | int = 3,
    operations: Sequence[str] | str = "ADD",
    seed: int = 0,
) -> ComputationGraph:
    """``graph`` with one equation more, at its end.

    Args:
        operands: indices of nodes, or how many different ones to draw.
        operations: one for all, or one fewer than operands.
        seed: of what is drawn, the new node's name among those not in use.

    Raises:
        ControlledError: more operands than nodes, or no free name. GraphError: nodes or operations that make no
            equation.

    Examples:
        >>> from interp import append_equation
        >>> from models import ComputationGraph
        >>> graph = ComputationGraph.parse("20 = a; 2 = b; a + b = c")
        >>> append_equation(graph, [2, 0], "SUB").equations[-1]
        'c SUB a = x_109'
    """
    rng = np.random.default_rng(seed)
    free = sorted(set(range(graph.n_variables)) - {node.variable for node in graph.nodes})
    named = {node.name for node in graph.nodes}
    free = [index for index in free if f"x_{index}" not in named]
    if not free:
        raise ControlledError(
            f"all {graph.n_variables} names are in use; a further equation needs a free one"
        )
    if isinstance(operands, int):
        if not 1 <= operands <= len(graph):
            raise ControlledError(
                f"{operands} operands of a graph of {len(graph)} nodes; allowed: 1 to {len(graph)}"
            )
        operands = cast("list[int]", rng.permutation(len(graph))[:operands].tolist())
    if isinstance(operations, str):
        operations = (operations,) * (len(operands) - 1)
    variable = int(rng.choice(free))
    node = Node(variable, f"x_{variable}", tuple(operands), tuple(operations))
    return replace(graph, nodes=(*graph.nodes, node))


def controlled(
    model: RecurrentTransformer,
    base: ComputationGraph | Recording,
    vary: str,
    node: int = -1,
    step: int | None = None,
    n: int | None = None,
    seed: int = 0,
) -> Controlled:
    """States entering ``step`` of the run of ``base`` that differ in what ``vary`` says at one node alone.

    Args:
        base: a graph, or a recorded run of it (so that many perturbations share one run).
        vary: see the module's text.
        node: index of the equation; negative ones count from the end (-1: the appended one).
        step: default the node's depth, at which its operands are known and it is computed.
        n: at most so many variations, drawn with ``seed``; default all there are. The one that is there is the first.

    Raises:
        ControlledError: an unknown ``vary``, a leaf, an operand or operation the node does not have, a step beyond the
            run, fewer than two variations, or a value varied that is EMPTY at the step; a continuous model of
            fixed steps.

    Examples:
        >>> from interp import controlled
        >>> from models import ComputationGraph, load
        >>> graph = ComputationGraph.parse("20 = a; 2 = b; a + b = c")
        >>> found = controlled(load("compiled"), graph, "operand_value:1", n=4)
        >>> found.step, found.status, len(found.states)
        (1, 'computing', 4)
    """
    need_schedule(model)
    recording = base if isinstance(base, Recording) else record(model, base)
    graph = recording.graph
    if not -len(graph) <= node < len(graph):
        raise ControlledError(f"there is no node {node}; the graph has nodes 0..{len(graph) - 1}")
    index = node % len(graph)
    depth = graph.depths_by_node[index]
    step = depth if step is None else step
    if not 0 <= step <= recording.n_steps:
        raise ControlledError(f"step {step} is beyond the run; allowed: 0..{recording.n_steps}")
    kind, place = _parsed(vary, graph.nodes[index])
    builder = _Builder(model.vocabulary, recording, index, step)
    states, labels = _BUILDERS[kind](builder, place)
    if len(states) < 2:
        raise ControlledError(
            f"{vary} of {graph.equation(index)!r} at step {step} has only what is there already"
        )
    if n is not None and n < len(states):
        if n < 2:
            raise ControlledError(f"n is {n}; allowed: 2 or more")
        others = np.random.default_rng(seed).permutation(np.arange(1, len(states)))[: n - 1]
        chosen = [0, *sorted(others.tolist())]
        states, labels = states[chosen], [labels[i] for i in chosen]
    status = STATUSES[int(np.sign(step - depth)) + 1]
    hidden = None if model.cfg.bottleneck == "discrete" else _moved(model, recording, step, states)
    return Controlled(graph, index, vary, step, status, states, tuple(labels), recording.encoded, hidden)


def need_schedule(model: RecurrentTransformer) -> None:
    """Raises ControlledError for a continuous model whose number of steps is fixed: it is supervised after the last
    alone, so which node is computed in which step is not known.
    """
    if model.cfg.bottleneck != "discrete" and model.cfg.default_steps is not None:
        raise ControlledError(
            f"this model (method {model.cfg.method!r}) is supervised after the last of {model.cfg.default_steps} steps "
            "alone, so its hidden state has no schedule; allowed: models that step until nothing changes"
        )


@torch.no_grad()
def _moved(model: RecurrentTransformer, recording: Recording, step: int, states: Tensor) -> Tensor:
    """The hidden state that enters the step, moved to show each of the states, [variation, pos, d_model]."""
    device = model.W_E.device
    recording.keep([("hook_embed", step)])
    own = recording.activation("hook_embed", step).to(device).expand(len(states), -1, -1)
    shown = recording.trajectory.states[step, 0].to(device).expand(len(states), -1, -1)
    return model.unembed.rewrite(own, shown, states.to(device))


class _Builder:
    """The state a node is perturbed in."""

    def __init__(self, vocabulary: FactoredVocabulary, recording: Recording, index: int, step: int) -> None:
        self.vocabulary, self.graph, self.index = vocabulary, recording.graph, index
        self.node = self.graph.nodes[index]
        self.state = recording.trajectory.states[step, 0]
        self.rhs = cast("list[int]", cast(Any, recording.encoded.rhs[0]).tolist())
        self.operand_pos = cast("list[int]", cast(Any, recording.encoded.operands[0, index]).tolist())
        self.step = step

    def operand(self, place: int) -> tuple[Tensor, list[str]]:
        return self._named(place, self._could_be(place))

    def operand_name(self, place: int) -> tuple[Tensor, list[str]]:
        known = self._could_be(place)
        states, labels = self._named(place, known)
        for candidate in known:
            self._show(states, candidate, self.shown(known[0]))
        return states, labels

    def operand_value(self, place: int) -> tuple[Tensor, list[str]]:
        operand = self.node.operands[place]
        now = self.shown(operand)
        if now >= self.vocabulary.modulus:
            raise ControlledError(
                f"operand {place} of {self.graph.equation(self.index)!r} shows no value at step {self.step}; "
                "allowed: operands that do"
            )
        values = [now, *(value for value in range(self.vocabulary.modulus) if value != now)]
        states = self._copies(len(values))
        for row, value in enumerate(values):
            self._show(states[row : row + 1], operand, value)
        return states, [str(value) for value in values]

    def rhs_name(self, place: int) -> tuple[Tensor, list[str]]:
        used = {node.variable for node in self.graph.nodes}
        free = [v for v in range(self.vocabulary.n_variables) if v not in used]
        variables = [self.node.variable, *free]
        states = self._copies(len(variables))
        states[:, self.rhs[self.index], _VARIABLE] = torch.tensor(variables)
        symbols = self.vocabulary.symbols("variable")
        return states, [self.node.name, *(symbols[v] for v in free)]

    def operation(self, place: int) -> tuple[Tensor, list[str]]:
        ops = self.vocabulary.ops
        names = [self.node.operations[place], *(name for name in ops if name != self.node.operations[place])]
        states = self._copies(len(names))
        states[:, self.operand_pos[place] + 1, _OPERATION] = torch.tensor([ops.index(name) for name in names])
        return states, names

    def shown(self, node: int) -> int:
        """Value symbol at a node's right-hand side."""
        return int(self.state[self.rhs[node], _VALUE])

    def _could_be(self, place: int) -> list[int]:
        """Nodes that can stand at an operand: earlier ones, no other operand, that show a value if it does."""
        own = self.node.operands[place]
        shows = self.shown(own) < self.vocabulary.modulus
        return [own] + [
            other
            for other in range(self.index)
            if other not in self.node.operands and (self.shown(other) < self.vocabulary.modulus) == shows
        ]

    def _named(self, place: int, nodes: Sequence[int]) -> tuple[Tensor, list[str]]:
        states = self._copies(len(nodes))
        variables = [self.graph.nodes[node].variable for node in nodes]
        states[:, self.operand_pos[place], _VARIABLE] = torch.tensor(variables)
        return states, [self.graph.nodes[node].name for node in nodes]

    def _show(self, states: Tensor, node: int, value: int) -> None:
        """Make a node show a value symbol; a leaf's number says the same."""
        states[:, self.rhs[node], _VALUE] = value
        if self.graph.nodes[node].value is not None and value < self.vocabulary.modulus:
            states[:, self.rhs[node] - _TO_LEAF, _VALUE] = value

    def _copies(self, n: int) -> Tensor:
        return self.state.repeat(n, 1, 1)


_BUILDERS: Final[dict[str, Callable[[_Builder, int], tuple[Tensor, list[str]]]]] = {
    kind: getattr(_Builder, kind) for kind in KINDS
}


def perturbations_of(node: Node) -> tuple[str, ...]:
    """Everything that can be varied at a node that is no leaf."""
    operands = range(len(node.operands))
    return (
        *(f"{kind}:{place}" for kind in KINDS[:3] for place in operands),
        "rhs_name",
        *(f"operation:{place}" for place in range(len(node.operations))),
    )


def _parsed(vary: str, node: Node) -> tuple[str, int]:
    if not node.operands:
        raise ControlledError(f"node {node.name} is a leaf; allowed are nodes with operands")
    known = perturbations_of(node)
    if vary not in known:
        raise ControlledError(f"vary is {vary!r}; allowed at node {node.name}: {', '.join(known)}")
    kind, _, place = vary.partition(":")
    return kind, int(place or 0)


def _rest(encoded: EncodedGraphs, name: str) -> tuple[int, ...]:
    return tuple(cast(Tensor, getattr(encoded, name)).shape[1:])
