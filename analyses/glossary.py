"""What the words of pages, tables and figures mean; shown by the dashboard on every page, and by the documentation."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

GLOSSARY: Final[Mapping[str, str]] = MappingProxyType(
    {
        "Ablation": "An activation taken out, set to zero or to its mean, to see what needed it.",
        "Clean and corrupt": "Two graphs that differ in little. A patch carries something of one into the other.",
        "Code": "One symbol of one factor, as it is kept between two steps: an entry of that factor's codebook.",
        "Control": "The same measured where no effect can be: an untrained model, shuffled labels, a random place.",
        "Depth": "How many steps a node has to wait: 0 for a leaf, else one more than its deepest operand.",
        "Effect": "How far a patch moves the answer: 0 leaves the run as it was, 1 makes it end as the other run does.",
        "Equation": "How a node is written: `20 = a` gives a leaf its value, `a + b = c` computes one.",
        "Factor": "One of the four parts of a token: syntax, variable, operation, value. Each has its own symbols.",
        "Fixed point": "A state that the next step leaves as it is. A run ends there.",
        "Frontier": "The nodes that the next step can compute: their operands are known, their values not yet.",
        "Graph": "Equations over named nodes. The text is what the model reads; the graph is what it means.",
        "Head": "One of the parts of an attention layer. It looks at some positions and copies from them.",
        "Healed": "Right again after a wrong value, with nobody's help: a later step wrote the true one.",
        "Leaf": "A node whose value is given in the text, such as `20 = a`.",
        "Lens": "What would be shown if the model stopped in the middle of a step and read its symbols out there.",
        "MLP": "The part of a layer that works at each position alone; sums are made there.",
        "Node": "One variable of a graph, with the equation that gives it its value.",
        "Operand": "A node that another one is computed from.",
        "Oracle": "The true values, computed from the equations by ordinary arithmetic, without the model.",
        "Patch": "An activation of one run put into another, at one place and step: does it carry the answer?",
        "Position": "The place of a token in the text, counted from 0.",
        "Probe": "A linear classifier that tries to read something from an activation. What it reads need not be used.",
        "Residual stream": "The vector of a position that every layer reads and adds to: `resid_pre` enters a layer, "
        "`resid_post` leaves it.",
        "Right-hand side": "The last token of an equation, behind `=`: the place where the value of its node appears.",
        "Run": "A model applied to one graph again and again, until nothing changes.",
        "Seed": "A number that decides what is drawn. The same seed gives the same graph.",
        "Site": "A place inside a step where an activation can be read or changed, such as `resid_post` or `attn_out`.",
        "Snap": "The end of a step: at every position and factor, the nearest code is kept and the rest is dropped.",
        "State": "All that one step hands to the next: one symbol of each factor at every position.",
        "Step": "One application of the model's layers to the state. The same weights work in every step.",
        "Token": "One word of the text: a number, a name, an operation, `=` or `;`.",
        "Value": "The number of a node, from 0 to 22; sums and products are taken modulo 23.",
    }
)  # fmt: skip
"""Word -> one or two sentences, in the order of the alphabet."""


def as_markdown() -> str:
    """The words as a list."""
    return "\n".join(f"- **{word}**: {meaning}" for word, meaning in GLOSSARY.items())
