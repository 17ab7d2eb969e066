"""What the paper says about its models, claim by claim, and the rule by which a measurement is judged.

Altabaa et al. 2025, arXiv 2510.14095, in our words; what is measured, and the rules in full, are in `analyses.claims`
and `analyses.fourier_claims`.
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
        "The number of steps adapts to the input: it grows with the depth of the graph, a level per step.",
        "method, adaptive recurrence",
        "share of nodes that settle at the step equal to their depth: holds from 95 % with a frontier of 0.95 to 1.05 "
        "levels per step, partly from 50 %; control: untrained",
    ),
    "corrects": Statement(
        "A corrupted value is right again one step later, in close to all cases.",
        "method, error correction",
        "share of corrupted values with untouched operands that are right one step later: holds from 95 %, partly from "
        "50 %; the share of all corrupted values is said beside it; control: untrained",
    ),
    "only_values": Statement(
        "Of the four factors only the value at right-hand sides has to change, from EMPTY to the node's value.",
        "method, factored discrete state",
        "share of right-hand sides that are due (all operands known, the result not there yet) which get the "
        "algorithm's value in that step: holds from 95 % if no other symbol ever becomes what it should not, partly "
        "from 50 % if at most 5 % of the others do; controls: the identity map, which changes nothing, and untrained",
    ),
    "name_heads": Statement(
        "First-layer heads form groups, one for each operand, and copy the operands' names to the right-hand side.",
        "mechanism study, relative variance",
        "an operand has a head of its own where at least 50 % of a first-layer head's output is about its name, and "
        "less than half as much about any other: all operands have one: holds; some: partly; which head looks how far "
        "back may have been given at initialisation, so that is no finding; control: untrained, born with the same "
        "distances",
    ),
    "value_heads": Statement(
        "Second-layer heads form groups as well, one for each operand, and fetch the operands' values.",
        "mechanism study, relative variance",
        "the same of the values and the heads of all later layers; control: untrained",
    ),
    "amplifies": Statement(
        "First-layer heads amplify the variable factor, second-layer heads the value factor.",
        "mechanism study, norm amplification of the OV circuits",
        "by the paper's formula, the operator norm of P_f W_V W_O P_f with P_f on the whole span of the factor's "
        "embeddings and no LayerNorm folded in: share of first-layer heads whose strongest factor (norm over that of a "
        "random subspace of its rank, as a larger subspace has a larger norm in an untrained model too) is the "
        "variable, and of later heads with the value: both above 50 % and above the control: holds; one: partly; "
        "control: untrained. Other settings stand beside and decide nothing",
    ),
    "first_mlp": Statement(
        "The first MLP does little: it changes the residual stream by less than 10 %.",
        "mechanism study, relative change by block",
        "mean relative change at the right-hand sides of nodes being computed, and graphs still solved with the MLP "
        "zeroed there, and everywhere else: below 10 % and 95 % solved either way: holds; below 25 % and 50 % solved "
        "with it zeroed at right-hand sides: partly; controls: the last MLP, and untrained",
    ),
    "induction": Statement(
        "Layer 1 copies the operands' names, layer 2 uses them as queries, finds where each was computed and copies "
        "its value.",
        "mechanism study, induction head circuit",
        "share of nodes at which a head of an earlier layer fetches the name and one of a later layer the value of "
        "every operand, all claims about heads being causally backed: holds from 95 %, partly from 50 %; not better "
        "than partly where replacing other heads changes the answer in more than 5 % of cases",
    ),
    "heads_suffice": Statement(
        "The heads that copy the operands' names and those that fetch their values, with the MLPs, are the mechanism.",
        "mechanism study, taken together; which heads suffice is asked here",
        "share of graphs solved with all other heads at their mean at every step, MLPs kept: the operands' own heads "
        "alone from 95 %: holds; at least 50 %, or 95 % with all heads that cost right nodes when one of them is off: "
        "partly; control: as many heads drawn at random",
    ),
    "dc_before": Statement(
        "Before the last MLP's non-linearity the spectrum over operand triples is dominated by frequency (0, 0, 0): "
        "the operands are not yet combined.",
        "mechanism study, Fourier",
        "DC alone shows nothing, since an untrained model has more of it (99 %). So: DC is the largest single cell of "
        "the pre-activations of the last MLP that matters, at most 5 % of the rest is on the diagonal there, and more "
        "than 5 % of its output: partly; at least 50 % of the residual stream after it as well: holds. A model that "
        "cannot add, or has added before that MLP, fails; control: untrained",
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
        "within every neuron of the MLP that carries most, over operand pairs (no threshold on how tuned one is): "
        "share answered right with its own frequency alone: holds from 95 %, partly from 50 %, if another frequency "
        "alone gives less than half as many, and without the own one less than half as many are right as without "
        "another, as with the own one weakened to equal energy and as with equal energy taken out evenly; holds only "
        "where phases add as well (what a neuron writes has the sum of its operands' phases: at most 45 degrees off, "
        "and every control twice that); controls: another frequency, equal energy, another neuron, values renamed, "
        "untrained",
    ),
}  # fmt: skip
"""All claims, in the order of the table."""
