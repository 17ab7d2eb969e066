"""All sections of the report, in the order of the page, and how one is made."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from analyses.catalogue import every_record
from analyses.claims import not_told
from analyses.reporting import behaviour, mechanism, reading
from analyses.reporting.parts import Contents, Job, NotApplicableError, Part
from analyses.reporting.recorded import contents

if TYPE_CHECKING:
    from models.recurrent import RecurrentTransformer

ROOT: Final = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Section:
    """A section.

    Attributes:
        about: what is in it, a sentence.
        claims: rows of the claims table that it gives, by key.
        cost: roughly its share of the processor time; the dearest are begun first.
    """

    key: str
    title: str
    about: str
    make: Callable[[RecurrentTransformer, Job], Contents]
    claims: tuple[str, ...] = ()
    cost: int = 1


SECTIONS: Final = (
    Section(
        "accuracy",
        "Accuracy by size",
        "Sampled graphs of growing size, solved from the text alone and compared with the symbolic oracle.",
        behaviour.accuracy,
        ("generalises",),
        9,
    ),
    Section(
        "correction",
        "Error correction",
        "Some of the values that a state shows are replaced by wrong ones, and the run goes on from there.",
        behaviour.correction,
        ("corrects",),
        5,
    ),
    Section(
        "trajectory",
        "One run",
        "One graph, solved step by step; its text stands below.",
        behaviour.trajectory,
    ),
    Section(
        "heads",
        "Head roles and groups",
        "What every head's output responds to and where it looks, at right-hand sides of nodes being computed; which "
        "heads suffice when all others are at their mean.",
        mechanism.heads,
        ("name_heads", "value_heads", "heads_suffice"),
        9,
    ),
    Section(
        "subspaces",
        "Factor subspaces",
        "Which factor every head reads and writes, from the weights alone, against random subspaces.",
        mechanism.subspaces,
        ("amplifies",),
        3,
    ),
    Section(
        "changes",
        "Change by block",
        "How much attention and MLP of each layer change the residual stream, and where the first MLP is needed.",
        mechanism.changes,
        ("first_mlp",),
    ),
    Section(
        "fourier",
        "Fourier structure",
        "Spectra over all values of one equation's operands, with chance levels, and what neurons do with their own "
        "frequency: answers with it alone and without it, and phases.",
        mechanism.fourier,
        ("dc_before", "diagonal_after", "fourier"),
        8,
    ),
    Section(
        "patching",
        "Patching",
        "Activations of a run on one graph, put into the run on another that differs in a leaf's value.",
        mechanism.patching,
        (),
        2,
    ),
    Section(
        "probes",
        "Probes",
        "Logistic probes of the value of nodes being computed, by step and site, with controls.",
        reading.probes,
        (),
        6,
    ),
    Section(
        "codes",
        "Codes",
        "Which symbols are used, how they follow each other, how near the snap is, what edits of them lead to.",
        behaviour.codes,
        ("only_values",),
        4,
    ),
    *(
        Section(record.stem, record.section.title, record.section.about, contents(record), (), 2)
        for record in every_record()
        if record.section is not None
    ),
    Section(
        "dynamics",
        "Dynamics",
        "How the state moves, how fast graphs are solved, and what drifts when runs go on.",
        behaviour.dynamics,
        ("adapts",),
        4,
    ),
    Section(
        "failures",
        "Why it fails",
        "Graphs of three sizes: where runs break and what the fetching heads looked at there, how a hidden state "
        "drifts, where a text loses its place, or how deep a fixed number of steps gets; whichever the method has.",
        behaviour.failures,
        (),
        7,
    ),
    Section(
        "story",
        "The story of one node",
        "Which head fetched what, sentence by sentence, each tested by replacing the head's output; the first story is "
        "told in full.",
        mechanism.story,
        ("induction",),
        4,
    ),
    Section(
        "training",
        "Training",
        "What was learnt when, from snapshots of the training run.",
        reading.training,
        (),
        9,
    ),
)
KEYS: Final = tuple(section.key for section in SECTIONS)


def make_part(model: RecurrentTransformer, task: tuple[str, Job]) -> Part:
    """One section of the report on `model`; never raises.

    task: key of the section, and the report. An error becomes the section's, with where it was raised.
    """
    key, job = task
    section = SECTIONS[KEYS.index(key)]
    try:
        return Part(key, section.title, section.make(model, job))
    except NotApplicableError as reason:
        nothing = Contents((), claims=[not_told(claim, str(reason)) for claim in section.claims])
        return Part(key, section.title, nothing, reason=str(reason))
    except Exception as error:  # of any kind: one section's must not cost the others, and each is shown.
        message = f"{type(error).__name__}: {error} ({_raised_at(error)})"
        nothing = Contents((), claims=[not_told(claim, message, failed=True) for claim in section.claims])
        return Part(key, section.title, nothing, error=message)


def _raised_at(error: Exception) -> str:
    """The innermost line of this package on the way to the error."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).is_relative_to(ROOT)
    ]
    ours = [frame for frame in frames if "site-packages" not in frame.filename]
    return f"{Path(ours[-1].filename).relative_to(ROOT)}, line {ours[-1].lineno}" if ours else "outside"
