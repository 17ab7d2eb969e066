"""What neighbouring papers ask of such a model: a record a paper."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import typer

from analyses.framework.record import Analysis, Page, Section
from analyses.framework.settings import Choice, Setting, count
from models.compiled_names import fitting_name

if TYPE_CHECKING:
    from models.graph import ComputationGraph

GROUP: Final = "Neighbours"
"""Of the pages, in the navigation."""
SHOWN_SHUFFLES: Final = 20
SHOWN_ROUNDS: Final = 100
SHOWN_STEPS: Final = 32
SHOWN_DEGENERACY: Final = {"chains": 1, "n_steps": 24, "plateau": False, "moments": 0, "length": 0.5}
"""Of a page, and of the report's section."""
MOST_N_BETA: Final = 1e6
MOST_LABEL_NOISE: Final = 0.99
MOST_LENGTH: Final = 1000.0


def weights_alone(context: typer.Context, settings: Mapping[str, Any]) -> tuple[str, list[ComputationGraph]]:
    """The model; no graphs are needed."""
    return fitting_name(context.params["model"], []), []


NEURONS = Analysis(
    name="neurons",
    about="Prune neurons from the least periodic, the most periodic and at random; graphs are not needed.",
    study="analyses.neighbours:study_neurons",
    settings=(
        count("draws", "Orders of each kind that are drawn.", 8, 1),
        Setting(
            "label_noise",
            "Share of pairs that had wrong labels in training, which are then looked at apart.",
            0.0,
            float,
            least=0,
            most=MOST_LABEL_NOISE,
        ),
    ),
    graphs=2,
    passes=("seed",),
    source=weights_alone,
    page=Page(
        title="Neurons",
        question="Do periodic neurons carry the sum?",
        intro="Every neuron's tuning to an operand is a curve over 23 values. How near it is to a single wave (IPR), "
        "and what is still answered right when neurons are pruned in that order; the control prunes others of equal "
        "energy. After Doshi et al., To grok or not to grok (2310.13061).",
        graphs=0,
        group=GROUP,
    ),
    section=Section(
        "Periodic neurons",
        "Neurons pruned from the least periodic, the most periodic, at random and at equal energy.",
        {"pruning": "interp/neighbours/pruning_figure.py"},
        needs="states",
        arguments={"draws": 3},
    ),
    loop="an MLP and operands of equations",
)
"""Functions: `analyses.neighbours`, `interp.neighbours.pruning`."""

MODULARITY = Analysis(
    name="modularity",
    about="Cluster the weights of MLPs, and ask what clusters match and cost; graphs are not needed.",
    study="analyses.neighbours:study_modularity",
    settings=(
        Setting("clusters", "How many.", 4, int, least=2, most=64),
        count("shuffles", "Of weights and of labels.", 100, 1),
    ),
    graphs=2,
    passes=("seed",),
    source=weights_alone,
    page=Page(
        title="Modularity",
        question="Is the MLP made of modules?",
        intro="Rows and columns of MLP weights are clustered together. How much of the squared weights lies inside "
        "clusters, beside shuffled and untrained weights; whether clusters of neurons match operands, frequencies, "
        "factors or operations; and what is lost without one. After Golechha et al., Modular Training of Neural "
        "Networks aids Interpretability (2502.02470).",
        graphs=0,
        group=GROUP,
        arguments=lambda model, chosen: {"shuffles": SHOWN_SHUFFLES},
    ),
    section=Section(
        "Modularity",
        "Clusters of MLP weights, beside shuffled and untrained ones, and answers without a cluster.",
        {"modularity": "interp/neighbours/modularity_figure.py"},
        needs="states",
        arguments={"shuffles": SHOWN_SHUFFLES},
    ),
    loop="an MLP and operands of equations",
)
"""Functions: `analyses.neighbours`, `interp.neighbours.modularity`."""

MASSIVE = Analysis(
    name="massive",
    about="Look for massive activations by step, layer and snapshot of training, and ask what the largest is worth.",
    study="analyses.neighbours:study_massive",
    settings=(
        Setting(
            "training", "Look at snapshots of its training, where there are some.", True, bool, revocable=True
        ),
    ),
    graphs=8,
    passes=("seed",),
    page=Page(
        title="Massive activations",
        question="Are there massive activations?",
        intro="The largest magnitude of the residual stream over the median one, by step and layer, beside untrained "
        "weights; how it grows in training, where snapshots were kept; and what is still written when the largest "
        "dimension is set to zero or to its mean. After Gallego-Feliciano et al., Hidden Dynamics of Massive "
        "Activations in Transformer Training (2508.03616).",
        graphs=8,
        at_once=200,
        group=GROUP,
    ),
    section=Section(
        "Massive activations",
        "The largest activation over the median one by step and layer, and what the largest dimension is worth.",
        {"massive": "interp/neighbours/massive_figure.py"},
        needs="states",
        arguments={"training": False},
    ),
    loop="the algorithm of computation graphs",
)
"""Functions: `analyses.neighbours`, `interp.neighbours.massive`."""

SUBNETWORK = Analysis(
    name="subnetwork",
    about="Search for the smallest set of heads and neurons that makes one step right.",
    study="analyses.neighbours:study_subnetwork",
    settings=(
        Setting("whole_mlps", "Take MLPs whole, not neuron by neuron.", False, bool),
        count("rounds", "Updates of every search.", 250, 1),
        count("n_steps", "Steps that it is found on, at most, and as many that it is judged on.", 96, 1),
        count("draws", "Random sets.", 8, 1),
    ),
    graphs=96,
    passes=("seed",),
    page=Page(
        title="Subnetworks",
        question="What is the least that one step needs?",
        intro="Masks over heads and neurons, trained on some steps under a pressure that closes them, and judged on "
        "others. Beside the smallest set that suffices are random ones of its size, its heads with other neurons of "
        "equal energy, and what every head is worth alone. After Chang and Bergen, Bigram Subnetworks (2504.15471).",
        choices=(
            Choice(
                "units",
                "Units",
                {"mlps": "heads and MLPs", "neurons": "heads and neurons"},
                gives=lambda value: {"whole_mlps": value == "mlps"},
            ),
        ),
        graphs=24,
        at_once=384,
        group=GROUP,
        arguments=lambda model, chosen: {
            "whole_mlps": chosen["units"] == "mlps",
            "rounds": SHOWN_ROUNDS,
            "n_steps": SHOWN_STEPS,
        },
    ),
    section=Section(
        "The least that one step needs",
        "The smallest set of heads and neurons that writes what is due in one step, beside others of its size.",
        {"subnetwork": "interp/neighbours/subnetwork_figure.py"},
        needs="states",
        arguments={"rounds": SHOWN_ROUNDS, "n_steps": SHOWN_STEPS},
    ),
    loop="the algorithm of computation graphs",
)
"""Functions: `analyses.neighbours`, `interp.neighbours.subnetwork`."""

ADDITION = Analysis(
    name="addition",
    about="Ask how a sum is made: streams, phases, an ideal network in place of the MLP, and which triples fail.",
    study="analyses.neighbours:study_addition",
    settings=(Setting("operation", "Between all operands.", "ADD"),),
    graphs=16,
    passes=("seed",),
    page=Page(
        title="Addition",
        question="How is a sum made, and when does it fail?",
        intro="All triples of operands of one equation. Whether operands come side by side to the last MLP; whether "
        "its neurons have one frequency each, whose phases add; what is answered, and how many graphs are solved, when "
        "each neuron's input is reduced to one wave per operand; and which triples fail or nearly do. After Quirke and "
        "Barez, Understanding Addition in Transformers (2310.13121), 2602.16849 and 2603.23784.",
        graphs=16,
        at_once=512,
        group=GROUP,
    ),
    section=Section(
        "How a sum is made",
        "Streams before the last MLP, one wave per operand in place of its neurons' inputs, and all triples.",
        {"addition": "interp/neighbours/addition_figure.py"},
        needs="states",
    ),
    loop="an MLP and operands of equations",
)
"""Functions: `analyses.neighbours`, `interp.neighbours.addition`."""

DEGENERACY = Analysis(
    name="degeneracy",
    about="Estimate local learning coefficients of all weights, heads and MLPs, and what directions a step needs.",
    study="analyses.neighbours:study_degeneracy",
    settings=(
        count("chains", "Of every estimate of the model.", 2, 1),
        count("n_steps", "Steps that the loss is the mean of, at most.", 48, 1),
        Setting(
            "n_beta",
            "Of the density that is drawn from.",
            100.0,
            float,
            least=0,
            most=MOST_N_BETA,
            above=True,
        ),
        Setting(
            "plateau",
            "Estimate at half and double the step and n beta too.",
            True,
            bool,
            revocable=True,
        ),
        count("moments", "Snapshots of its training, at most, where there are some.", 4),
        Setting(
            "length",
            "Of chains, relative to the usual.",
            1.0,
            float,
            least=0,
            most=MOST_LENGTH,
            above=True,
        ),
    ),
    graphs=48,
    passes=("seed",),
    page=Page(
        title="Degeneracy",
        question="How degenerate is the loss of a step?",
        intro="How much of the loss's surroundings are as good as the weights themselves: the local learning "
        "coefficient of every head and MLP, beside what the loss rises by without it, and the directions of the "
        "residual stream that one step depends on. The command also takes snapshots of training. After Bushnaq et "
        "al., Using Degeneracy in the Loss Landscape (2405.10927), and Lau et al. (2308.12108).",
        graphs=16,
        at_once=256,
        group=GROUP,
        arguments=lambda model, chosen: SHOWN_DEGENERACY,
    ),
    section=Section(
        "Degeneracy",
        "Local learning coefficients of heads and MLPs, and the directions that one step depends on.",
        {"degeneracy": "interp/neighbours/degeneracy_figure.py"},
        needs="states",
        arguments=SHOWN_DEGENERACY,
    ),
    loop="the algorithm of computation graphs",
)
"""Functions: `analyses.neighbours`, `interp.neighbours.degeneracy`."""

SEPARATION = Analysis(
    name="separation",
    about="Watch how heads that look at names and heads that look values up separate in training.",
    study="analyses.neighbours:study_separation",
    graphs=4,
    passes=("seed",),
    page=Page(
        title="Heads in training",
        question="How do heads separate in training?",
        intro="A head is a mark in a plane: how much it looks at an operand's name, and at the place where its value "
        "stands. Move the slider through the snapshots of training, where there are some; the first moment is an "
        "untrained model. Beside it the embeddings of the values. After Clustering Head (2410.24050).",
        graphs=4,
        at_once=100,
        group=GROUP,
    ),
    section=Section(
        "Heads in training",
        "How far heads that look at names and heads that look values up are apart, over snapshots of training.",
        {"separation": "interp/neighbours/separation_figure.py"},
        needs="levels",
    ),
    loop="the equations of computation graphs",
)
"""Functions: `analyses.neighbours`, `interp.neighbours.separation`."""
