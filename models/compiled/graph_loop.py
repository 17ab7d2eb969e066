"""The graph solver as one of the compiled loops: with a decoy and a twin, and its symbolic step.

Its state is what the last block gives; a step begins with snapping it to symbols, which is the model's bottleneck.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from models.compiled.form import LoopForm, LoopInputError, Symbols, drawn
from models.compiled.graphs import CompiledTransformer, compile_model
from models.compiled.loop import integers
from models.components import Block
from models.graph import ComputationGraph
from models.one_line import one_line
from models.operations import OPERATIONS
from models.vocabulary import EncodedGraphs

FACTORS: Final = ("syntax", "variable", "operation", "value")


@one_line
@dataclass(frozen=True, eq=False)
class GraphContext:
    """What all steps of a run share: the graphs, and where they have tokens (``real``, bool [batch, pos])."""

    encoded: EncodedGraphs
    real: Bool[Tensor, "batch pos"]


class GraphLoop(LoopForm):
    """The graph solver of :func:`models.compiled.compile_model`, with spare heads, as a loop.

    Inputs are graphs or their text; the factors are those of the vocabulary. Hooks, and so sites, are those of step 0:
    ``step`` runs on these, whichever step it is.

    Examples:
        >>> from models.compiled import make
        >>> loop = make("graphs")
        >>> state, context = loop.begin("20 = a; 2 = b; a + b = c")
        >>> for step in range(2):
        ...     state = loop.step(state, step, context)
        >>> loop.codes(state, context)["value"][0, [2, 6, 12]].tolist()  # at the right-hand sides
        [20, 2, 22]
    """

    name = "graphs"
    about = "nodes whose operands are known get their value"
    factors = FACTORS
    hooks_in = "blocks"

    def __init__(self) -> None:
        super().__init__()
        self.model: CompiledTransformer = compile_model(spare_heads=True)
        self.circuit = self.model.circuit
        self.cfg = self.model.cfg
        self.eval()

    @property
    def module(self) -> nn.Module:
        """Whose submodules the addresses in :attr:`sites` name."""
        return self.model.steps[0]

    @property
    def layers(self) -> list[Block]:
        """The blocks."""
        return self.model.layers

    def begin(self, inputs: Any) -> tuple[Float[Tensor, "batch pos d_model"], GraphContext]:
        """The embedding of the graphs, and the context.

        Raises:
            GraphError: text that is no graph, or a graph outside the vocabulary.
        """
        encoded = self.model.to_encoded(inputs)
        return self.model.embed_state(encoded.factors), GraphContext(encoded, encoded.mask)

    def step(
        self, state: Float[Tensor, "batch pos d_model"], step: int, context: GraphContext
    ) -> Float[Tensor, "batch pos d_model"]:
        """Snap to symbols, embed, all blocks."""
        return self.model.step(self.model.embed_state(self.model.discretise(self.model.unembed(state))), 0)

    def read(self, state: Float[Tensor, "batch pos d_model"], context: GraphContext) -> dict[str, Tensor]:
        """Factor -> logits [batch, pos, size]."""
        logits = self.model.unembed(state)
        return {factor: logits[..., self.model.vocabulary.slice(factor)] for factor in FACTORS}

    def key(
        self, state: Float[Tensor, "batch pos d_model"], context: GraphContext
    ) -> Int[Tensor, "batch pos factor"]:
        """The symbols: all that the next step depends on."""
        return self.model.discretise(self.model.unembed(state))

    def take(self, context: GraphContext, rows: Sequence[int] | Tensor) -> GraphContext:
        """The context of these rows of the batch."""
        index = torch.as_tensor(rows, dtype=torch.long)
        encoded = context.encoded
        graphs = tuple(encoded.graphs[row] for row in integers(index))
        parts = {field.name: getattr(encoded, field.name)[index] for field in fields(encoded)[1:]}
        return GraphContext(EncodedGraphs(graphs, **parts), context.real[index])

    def tokens(self, inputs: Any) -> list[list[str]]:
        """The text at every position."""
        return [graph.to_text(" ; ").split() for graph in self.model.to_encoded(inputs).graphs]

    def start(self, context: GraphContext) -> Symbols:
        """The graphs' text, nothing computed."""
        return self._symbols(context.encoded.factors)

    def embed(self, symbols: Symbols, context: GraphContext) -> Float[Tensor, "batch pos d_model"]:
        """A state that shows these symbols."""
        return self.model.embed_state(torch.stack([symbols[factor] for factor in FACTORS], dim=-1))

    def oracle_step(self, symbols: Symbols, context: GraphContext, without: Collection[str] = ()) -> Symbols:
        """Every node computes its value from the values that its operands show, EMPTY where one shows none.

        Raises:
            LoopInputError: ``without`` heads: what is left of a lookup is a mixture, which no rule for symbols gives.
        """
        if without:
            raise LoopInputError(f"without is {sorted(without)}; allowed is none for the graph solver")
        encoded, vocabulary = context.encoded, self.model.vocabulary
        is_node, rhs = encoded.rhs >= 0, encoded.rhs.clamp_min(0)
        shown = symbols["value"].gather(1, rhs)
        operands = encoded.operand_nodes
        given = operands >= 0
        value = shown.gather(1, operands.clamp_min(0).flatten(1)).view(operands.shape)
        known = ((value < vocabulary.modulus) | ~given).all(-1)
        value = torch.where(value < vocabulary.modulus, value, 0)
        result = value[..., 0]
        for place in range(1, operands.shape[-1]):
            for symbol, name in enumerate(vocabulary.ops):
                acts = given[..., place] & (encoded.operations[..., place] == symbol)
                computed = OPERATIONS[name](result, value[..., place]) % vocabulary.modulus
                result = torch.where(acts, computed, result)
        leaf = ~given.any(-1)
        number = symbols["value"].gather(1, (rhs - 2).clamp_min(0))
        result = torch.where(leaf, number, torch.where(known, result, vocabulary.empty))
        after = symbols["value"].clone()
        batch, node = is_node.nonzero(as_tuple=True)
        after[batch, rhs[batch, node]] = result[batch, node]
        return {**symbols, "value": after}

    def scramble(self, context: GraphContext, generator: torch.Generator) -> Symbols:
        """Any value, or none, at every right-hand side."""
        encoded, vocabulary = context.encoded, self.model.vocabulary
        after = encoded.factors[..., 3].clone()
        batch, node = (encoded.rhs >= 0).nonzero(as_tuple=True)
        anything = torch.randint(0, vocabulary.modulus + 1, (len(batch),), generator=generator)
        anything[anything == vocabulary.modulus] = vocabulary.empty
        after[batch, encoded.rhs[batch, node]] = anything
        return {**self.start(context), "value": after}

    def may_change(self, context: GraphContext) -> Bool[Tensor, "batch pos"]:
        """The right-hand sides."""
        at = torch.zeros_like(context.real)
        batch, node = (context.encoded.rhs >= 0).nonzero(as_tuple=True)
        at[batch, context.encoded.rhs[batch, node]] = True
        return at

    def sample(self, n: int, seed: int = 0) -> list[ComputationGraph]:
        """Graphs of 1 to 32 nodes."""
        generator = torch.Generator().manual_seed(seed)
        sizes = integers(torch.randint(1, 33, (n,), generator=generator))
        return [
            ComputationGraph.sample(
                size, ops=self.cfg.ops, n_leaves=min(size, 4), seed=seed * 1_000_003 + row
            )
            for row, size in enumerate(sizes)
        ]

    def changed(self, given: Any, generator: torch.Generator) -> ComputationGraph:
        """One leaf of another value."""
        return with_other_leaf(self.model.to_encoded(given).graphs[0], generator)

    def n_steps(self, inputs: Any) -> int:
        """As many as the deepest graph is deep, and one."""
        return int(self.model.to_encoded(inputs).depths.max()) + 1

    def _symbols(self, factors: Tensor) -> Symbols:
        return {name: factors[..., index] for index, name in enumerate(FACTORS)}


def with_other_leaf(graph: ComputationGraph, generator: torch.Generator) -> ComputationGraph:
    """The graph with another value of one leaf; both are drawn."""
    leaves = [index for index, node in enumerate(graph.nodes) if not node.operands]
    at = leaves[drawn(len(leaves), generator)]
    node = graph.nodes[at]
    value = ((node.value or 0) + 1 + drawn(graph.modulus - 1, generator)) % graph.modulus
    return replace(graph, nodes=(*graph.nodes[:at], replace(node, value=value), *graph.nodes[at + 1 :]))
