"""What a run of a recurrent model leaves behind: its discrete states, step by step."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from models.one_line import in_one_line
from models.vocabulary import EncodedGraphs, FactoredVocabulary

if TYPE_CHECKING:
    import pandas as pd  # pyright: ignore[reportMissingTypeStubs]


@dataclass(frozen=True)
class Trajectory:
    """The discrete latent state over the steps of one run, and when each node was solved.

    Attributes:
        states: int [step + 1, batch, pos, factor]; ``states[t]`` enters step t, ``states[-1]`` is the last.
            Where the model has no bottleneck these are the readouts of each step, snapped, which are not fed
            back.
        confidence: float [step, batch, pos, factor]; probability the readout of step t gave to the symbol it
            wrote.
        encoded: the graphs as the model read them, with the positions of every node.
        vocabulary: what the symbols mean.
        fixed_point: int [batch]; the last step that changed the state (0 where none did); -1 where none was
            reached.
        cycle: int [batch]; length of the cycle the state fell into, 1 for a fixed point, 0 where neither was
            seen.
        hit_bound: bool [batch]; the run stopped because the bound on steps was reached, not because it had
            settled.
        bound: the largest number of steps this run was allowed to take.

    Examples:
        >>> from models import load
        >>> run = load("compiled").run("20 = a; 2 = b; a + b = c")
        >>> run.values[:, 0].tolist()  # [state][node]; 24 is EMPTY
        [[24, 24, 24], [20, 2, 24], [20, 2, 22], [20, 2, 22]]
        >>> run.solved_at[0].tolist(), run.fully_solved.tolist()
        ([0, 0, 1], [True])
    """

    states: Int[Tensor, "state batch pos factor"]
    confidence: Float[Tensor, "step batch pos factor"]
    encoded: EncodedGraphs
    vocabulary: FactoredVocabulary
    fixed_point: Int[Tensor, " batch"]
    cycle: Int[Tensor, " batch"]
    hit_bound: Bool[Tensor, " batch"]
    bound: int

    def __repr__(self) -> str:
        return in_one_line(
            "Trajectory",
            graphs=len(self.encoded),
            steps=self.n_steps,
            fully_solved=int(self.fully_solved.sum()),
            states=self.states,
            confidence=self.confidence,
            bound=self.bound,
        )

    @property
    def n_steps(self) -> int:
        """How many steps were run."""
        return len(self.states) - 1

    @property
    def values(self) -> Int[Tensor, "state batch node"]:
        """Value symbol at every node's rhs in every state (``vocabulary.empty`` = not computed yet); -1: no
        such node.
        """
        return self._at_rhs(self.states[..., 3])

    @property
    def value_confidence(self) -> Float[Tensor, "step batch node"]:
        """Probability of the value symbol each step wrote at every node's rhs; nan where there is no such
        node.
        """
        picked = self._at_rhs(self.confidence[..., 3])
        return picked.masked_fill(self.encoded.rhs < 0, torch.nan)

    @property
    def right(self) -> Bool[Tensor, "state batch node"]:
        """Whether a node shows its true value in a state."""
        return (self.values == self.encoded.values) & (self.encoded.rhs >= 0)

    @property
    def solved_at(self) -> Int[Tensor, "batch node"]:
        """The step that first wrote a node's true value: its depth, for a perfect model; -1 if none did."""
        written = self.right[1:]
        if not len(written):
            return torch.full(self.encoded.rhs.shape, -1)
        return torch.where(written.any(0), written.int().argmax(0), -1)

    @property
    def solved(self) -> Bool[Tensor, "batch node"]:
        """Whether a node shows its true value at the end."""
        return self.right[-1]

    @property
    def fully_solved(self) -> Bool[Tensor, " batch"]:
        """Whether every node of a graph shows its true value at the end."""
        return (self.solved | (self.encoded.rhs < 0)).all(-1)

    def _at_rhs(self, per_position: Tensor) -> Tensor:
        index = self.encoded.rhs.clamp_min(0).expand(*per_position.shape[:-1], -1)
        return per_position.gather(-1, index).masked_fill(self.encoded.rhs < 0, -1)

    def to_frame(self, per: str = "node") -> pd.DataFrame:
        """The run as a tidy frame, sorted by graph, then node or position, then step.

        ``per="node"`` has one row per graph, node and step:

        ===============  ============================================================================
        ``graph``        index in the batch
        ``node``         index in the graph's text, ``name`` and ``equation`` its own words
        ``depth``        0 for a leaf
        ``position``     of the node's right-hand side, where its value appears
        ``step``         0 .. ``n_steps`` - 1
        ``before``       value in the state that enters the step (Int64; NA: not computed yet)
        ``value``        value that the step writes (Int64; NA as above)
        ``true_value``   what the graph says
        ``right``        whether ``value`` is ``true_value``
        ``confidence``   probability of the symbol that the step writes
        ``solved_at``    :attr:`solved_at` of the node
        ===============  ============================================================================

        ``per="position"`` has one row per graph, position (without padding) and step:

        =========================  ==================================================================
        ``graph``, ``position``    indices; ``node``: whose right-hand side this is, -1 elsewhere
        ``step``                   as above
        ``token``                  what the step writes, as text
        ``syntax`` .. ``value``    the symbols that the step writes, one column per factor
        ``changed``                whether any of them differs from the state that enters the step
        ``syntax_confidence`` ..   probability of each symbol
        =========================  ==================================================================

        Raises:
            ValueError: another ``per``.
        """
        from models.run_frames import node_frame, position_frame

        if per not in ("node", "position"):
            raise ValueError(f"per is {per!r}; allowed are 'node' and 'position'")
        return node_frame(self) if per == "node" else position_frame(self)

    def to_dict(self) -> dict[str, Any]:
        """The run as JSON values: per graph its text, and per node name, equation, depth, truth, values by
        state.
        """
        values, confidence, solved_at = self.values, self.value_confidence, self.solved_at
        symbols = self.vocabulary.symbols("value")
        graphs: list[dict[str, Any]] = []
        for row, graph in enumerate(self.encoded.graphs):
            nodes: list[dict[str, Any]] = []
            for index, (node, equation) in enumerate(zip(graph.nodes, graph.equations, strict=True)):
                nodes.append(
                    {
                        "name": node.name,
                        "equation": equation,
                        "depth": int(self.encoded.depths[row, index]),
                        "true_value": int(self.encoded.values[row, index]),
                        "values": [symbols[int(code)] for code in values[:, row, index]],
                        "confidence": [float(p) for p in confidence[:, row, index]],
                        "solved_at": int(solved_at[row, index]),
                    }
                )
            graphs.append(
                {
                    "text": graph.to_text(),
                    "n_nodes": len(graph),
                    "n_steps": self.n_steps,
                    "fully_solved": bool(self.fully_solved[row]),
                    "fixed_point": int(self.fixed_point[row]),
                    "cycle": int(self.cycle[row]),
                    "hit_bound": bool(self.hit_bound[row]),
                    "nodes": nodes,
                }
            )
        return {"format": "recurlens.trajectory.1", "bound": self.bound, "graphs": graphs}

    def to_json(self) -> str:
        """:meth:`to_dict` as indented JSON text."""
        return json.dumps(self.to_dict(), indent=2) + "\n"
