"""What the paper says about its models, claim by claim, and the rule by which a measurement is judged.

Altabaa et al. 2025, arXiv 2510.14095, in our words; what is measured, and the rules in full, are in `analyses.claims`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Statement:
    """What the paper says and where, and the rule that a verdict is given by."""

    paper: str
    where: str
    rule: str


STATEMENTS: Final[Mapping[str, Statement]] = {
    "generalises": Statement(
        "Trained on graphs of at most 32 nodes, the model with discrete states and self-correction fully solves all "
        "graphs of 128.",
        "results, out-of-distribution generalisation",
        "share of graphs of the largest size fully solved: holds from 95 %, partly from 50 %; control: untrained",
    ),
    "adapts": Statement(
        "The number of steps adapts to the input: it grows with the depth of the graph, a level a step.",
        "method, adaptive recurrence",
        "share of nodes that settle at the step equal to their depth: holds from 95 % with a frontier of 0.95 to 1.05 "
        "levels a step, partly from 50 %; control: untrained",
    ),
    "corrects": Statement(
        "A corrupted value is right again one step later, in close to all cases.",
        "method, error correction",
        "share of corrupted values with untouched operands that are right one step later: holds from 95 %, partly from "
        "50 %; control: untrained",
    ),
    "only_values": Statement(
        "Of the four factors only the value at right-hand sides has to change, from EMPTY to the node's value.",
        "method, factored discrete state",
        "no other symbol changes, and at most 0.1 % of all transitions are not those of the algorithm: holds; at most "
        "5 % each: partly; control: untrained",
    ),
    "name_heads": Statement(
        "First-layer heads form groups, one for each operand, and copy the operands' names to the right-hand side.",
        "mechanism study, relative variance",
        "an operand has a head of its own where at least 50 % of a first-layer head's output is about its name, and "
        "less than half as much about any other: all operands have one: holds; some: partly; control: untrained",
    ),
    "value_heads": Statement(
        "Second-layer heads form groups as well, one for each operand, and fetch the operands' values.",
        "mechanism study, relative variance",
        "the same of the values and the heads of all later layers; control: untrained",
    ),
    "amplifies": Statement(
        "First-layer heads amplify the variable factor, second-layer heads the value factor.",
        "mechanism study, norm amplification of the OV circuits",
        "share of first-layer heads whose strongest factor (norm of P_f W_OV P_f over that of a random subspace of its "
        "rank) is the variable, and of later heads with the value: both above 50 % and above the control: holds; "
        "one: partly; control: untrained",
    ),
    "first_mlp": Statement(
        "The first MLP does little: it changes the residual stream by less than 10 %.",
        "mechanism study, relative change by block",
        "mean relative change at the right-hand sides of nodes being computed: below 10 %: holds; below 25 %: partly; "
        "controls: the last MLP, and untrained",
    ),
    "induction": Statement(
        "Layer 1 copies the operands' names, layer 2 uses them as queries, finds where each was computed and copies "
        "its value.",
        "mechanism study, induction head circuit",
        "share of the claims 'this head fetched this name (or value)' that are causally backed: holds from 95 % if a "
        "head of an earlier layer fetches a name for every node, and one of a later layer a value, partly from 50 %; "
        "not better than partly where replacing other heads changes the answer in more than 5 % of cases",
    ),
    "dc_before": Statement(
        "Before the last MLP's non-linearity the spectrum over operand triples is dominated by frequency (0, 0, 0).",
        "mechanism study, Fourier",
        "DC share of the pre-activations of the last MLP that matters: holds from 50 %, partly where it is the largest "
        "single cell; control: untrained",
    ),
    "diagonal_after": Statement(
        "After the last MLP the diagonal (a, a, a), a > 0, dominates: the waves of the operands' sum.",
        "mechanism study, Fourier",
        "diagonal shares (without DC) of that MLP's output and of the residual stream after it: both from 50 %: holds; "
        "the output's from twice chance (values renamed, or untrained): partly; any adder, also by a table, has it "
        "where the answer is read, so it shows no algorithm",
    ),
    "fourier": Statement(
        "The sum is computed with sines and cosines: neurons of the last MLP work at frequencies of the operands' sum.",
        "mechanism study, Fourier",
        "structure in the neurons of an MLP that matters, by the rule of interp.fourier, and more right answers lost "
        "with the tuned neurons of one MLP ablated than with all its others: holds; structure alone: partly; "
        "none: not; controls: values renamed, untrained, the other neurons",
    ),
}  # fmt: skip
"""All claims, in the order of the table."""
