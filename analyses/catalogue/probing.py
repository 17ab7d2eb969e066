"""What can be read from the hidden state, by step and site, beside what reads as much by chance."""

from __future__ import annotations

from analyses.framework.record import Analysis, OnLoops, Page
from analyses.framework.settings import JOBS, POSITIONS, PROBE, SITES, STEPS, TARGET, Choice, Setting, count
from analyses.probing import STATUSES
from interp.probing.estimators import ESTIMATORS

PROBING = Analysis(
    name="probe",
    files="probing",
    about="Fit probes at every step and site, with shuffled, untrained and control-task probes beside them.",
    study="analyses.probing:study_probes",
    settings=(
        TARGET,
        SITES,
        Setting(
            "status",
            "Nodes by what the step owes them: waiting,computing,done,all.",
            ",".join(STATUSES),
            argument="statuses",
            names=True,
        ),
        POSITIONS,
        Setting("role", "Of these, only: rhs, operand, 'leaf value', operation, equals, separator."),
        PROBE,
        count("folds", "Cross-validation folds, over graphs.", 5, 2),
        Setting("mdl", "Also description lengths (online code).", False, bool),
        Setting("transfer", "Also test the probes of this site across steps.", metavar="SITE"),
        Setting("circular", "Also read values as angles.", False, bool),
        STEPS,
        JOBS,
    ),
    passes=("seed",),
    figures=lambda study: study.figures(),
    page=Page(
        name="probing",
        further=("interchange", "lens"),
        title="Probing",
        question="What can be read from the hidden state?",
        intro="A linear probe per step and site is fitted on some graphs and tested on others. Its controls: "
        "shuffled labels, an untrained model, and random labels of names. In graphs of your own, probes that were "
        "fitted on sampled graphs are read.",
        choices=(
            Choice(
                "target",
                "Target",
                {
                    "value": "value of the node",
                    "depth": "depth of the node",
                    "operand_value_1": "value of its first operand",
                    "operand_value_2": "value of its second operand",
                    "n_operands": "number of its operands",
                    "shown": "what it shows before the step",
                },
                "What the probes are trained to tell, at right-hand sides.",
            ),
            Choice(
                "status",
                "Nodes",
                {
                    "computing": "computing in the step",
                    "waiting": "waiting",
                    "done": "done before the step",
                    "all": "all",
                },
                "By the depth of a node: at step t those of depth t are computed, those above wait.",
            ),
            Choice("kind", "Probe", {name: one.label for name, one in ESTIMATORS.items()}),
            Choice(
                "sites",
                "Sites",
                {
                    "post": "after every layer",
                    "residual": "whole residual stream",
                    "added": "attn_out and mlp_out",
                    "heads": "every head",
                },
                "Where the hidden state is taken from. Fewer sites are faster.",
            ),
            Choice(
                "across",
                "Across steps",
                {"yes": "yes", "no": "no"},
                "Also whether a probe of one step reads another, after the last layer.",
            ),
        ),
        at_once=1000,
    ),
    loop=OnLoops(
        "analyses.loops.observing:study_probes",
        takes=("steps", "target", "sites", "kind", "folds"),
        samples=32,
        passes_seed=True,
    ),
)
"""Functions: `analyses.probing`. Of typed graphs, the page shows `probe-reading`."""
