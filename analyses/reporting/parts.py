"""What a section of the report is made of, how much is measured for it, and when it does not apply to a model."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from analyses.claims import Claim
from analyses.inputs import InputError, sample_graph
from models.one_line import one_line
from models.position_encodings import POSITIONS

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from models.graph import ComputationGraph
    from models.recurrent import RecurrentTransformer


class NotApplicableError(Exception):
    """A section that a model has nothing for; the message is the reason, a sentence."""


@dataclass(frozen=True)
class Amounts:
    """How much is measured.

    Attributes:
        sizes: nodes of the graphs whose accuracy is counted. per_size: graphs of each.
        graphs: of every other section that samples many. nodes: of these graphs; small: of those that are patched or
            told about, and of those that head roles are measured on.
        stories: nodes that are told about. draws: random draws behind every chance level that has them.
        triples: whether spectra are taken over operand triples as well as over pairs.
        folds: of cross-validation.
    """

    sizes: tuple[int, ...] = (8, 16, 32, 48, 64, 96, 128)
    per_size: int = 32
    graphs: int = 24
    nodes: int = 24
    small: int = 14
    stories: int = 6
    draws: int = 50
    triples: bool = True
    folds: int = 4


FULL = Amounts()
BRIEF = Amounts((8, 32, 64), 16, 10, 16, 12, 4, 20, False, 2)
"""For a table of many models (`analyses.claims_table`)."""
QUICK = Amounts((8, 16, 40), 4, 6, 12, 8, 2, 8, False, 2)


@dataclass(frozen=True)
class Job:
    """A report to make: of which model (name or path), from which seed and operations, with which amounts."""

    model: str
    seed: int = 0
    ops: tuple[str, ...] = ("ADD",)
    amounts: Amounts = FULL

    def sample(self, model: RecurrentTransformer, n_nodes: int, count: int) -> list[ComputationGraph]:
        """`count` graphs of `n_nodes`, or as many as the model can be shown; of seeds seed, seed + 1, ..."""
        nodes = min(n_nodes, most_nodes(model))
        return [sample_graph(model, nodes, self.ops, self.seed + index) for index in range(count)]

    def graphs(self, model: RecurrentTransformer, n_nodes: int | None = None) -> list[ComputationGraph]:
        """The graphs of a section."""
        return self.sample(model, n_nodes or self.amounts.nodes, self.amounts.graphs)

    def untrained(self, model: RecurrentTransformer) -> RecurrentTransformer:
        """The control of every section."""
        return model.untrained(self.seed + 1)


@dataclass(frozen=True)
class Drawing:
    """A figure as JSON.

    Attributes:
        title, reading: the figure's own, or those given; also in the plot's `layout.meta`.
        captioned: whether both stand in the figure itself.
        source: the module that drew it, from the repository's root.
        plot: what `plotly.io.from_json` reads.
    """

    name: str
    title: str
    reading: str
    captioned: bool
    source: str
    plot: str

    @property
    def height(self) -> int:
        """In pixels, as laid out."""
        return int(json.loads(self.plot)["layout"].get("height", 450))


def drawings(stem: str, figures: Mapping[str, go.Figure], drawn_by: Mapping[str, str]) -> list[Drawing]:
    """Those figures that some file draws, under names that begin with the stem; drawn_by: name -> the file."""
    return [
        drawing(f"{stem}_{name}", figure, drawn_by[name])
        for name, figure in figures.items()
        if name in drawn_by
    ]


def drawing(name: str, figure: go.Figure, source: str, title: str = "", reading: str = "") -> Drawing:
    """A figure for the report; `title` and `reading` (both, or neither) for those that do not have them inside.

    Raises ValueError for a figure that has neither a title nor a sentence on how to read it.
    """
    layout: Any = figure.layout
    own = layout.title
    captioned = not title
    found, said = (title, reading) if title else (own.text or "", own.subtitle.text or "")
    if not found or not said:
        raise ValueError(f"the figure {name!r} needs a title and a sentence on how to read it")
    if not captioned:
        figure.update_layout(title={"text": ""})
    found, said = (text.replace("<br>", " ") for text in (found, said))
    figure.update_layout(meta={"title": found, "reading": said})
    return Drawing(name, found, said, captioned, source, str(figure.to_json()))


@one_line
@dataclass(frozen=True)
class Contents:
    """What a section found: sentences, a text set in columns, figures, rows of the claims table."""

    sentences: Sequence[str]
    drawings: Sequence[Drawing] = ()
    claims: Sequence[Claim] = ()
    text: str = ""


@dataclass(frozen=True)
class Part:
    """A section: its contents; or why it does not apply; or how it failed."""

    key: str
    title: str
    contents: Contents = field(default_factory=lambda: Contents(()))
    reason: str = ""
    error: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, without the figures' data."""
        contents = self.contents
        figures = [
            {"name": one.name, "title": one.title, "reading": one.reading, "source": one.source}
            for one in contents.drawings
        ]
        return {
            "section": self.key,
            "title": self.title,
            "does_not_apply": self.reason or None,
            "error": self.error or None,
            "sentences": list(contents.sentences),
            "text": contents.text or None,
            "figures": figures,
        }


def most_nodes(model: RecurrentTransformer) -> int:
    """Nodes of the largest graphs that can be shown to a model: it has a name for each, and a place for each token."""
    names = model.vocabulary.n_variables
    return min(names, model.cfg.n_ctx // 8) if POSITIONS[model.cfg.positions].limited else names


def need_steps(model: RecurrentTransformer) -> None:
    """Raises NotApplicableError for a model that writes its answer out as text."""

    if model.cfg.writes_text:
        raise NotApplicableError(
            "A chain-of-thought model writes the solution out token by token: it has no recurrence steps."
        )


def need_states(model: RecurrentTransformer) -> None:
    """Raises NotApplicableError unless the model steps from discrete state to discrete state until nothing changes."""
    from analyses.correction import passes_states

    need_steps(model)
    if not passes_states(model.cfg):
        raise NotApplicableError(
            f"A model of method {model.cfg.method!r} does not step from one discrete state to the next until nothing "
            "changes, so there is no state between steps that could be read as symbols or written down."
        )


def need_levels(model: RecurrentTransformer) -> None:
    """Raises NotApplicableError unless the model is trained to compute a level of the graph in every step."""
    need_steps(model)
    if model.cfg.default_steps is not None:
        steps = "step" if model.cfg.default_steps == 1 else f"{model.cfg.default_steps} steps"
        raise NotApplicableError(
            f"A model of method {model.cfg.method!r} is supervised at the end of its {steps} alone, so which node is "
            "computed in which step is not known."
        )


def check_operations(model: RecurrentTransformer, ops: Sequence[str]) -> tuple[str, ...]:
    """`ops`, in the order of the vocabulary; raises InputError for what the model does not know."""
    unknown = [name for name in ops if name not in model.vocabulary.ops]
    if unknown:
        raise InputError(f"The model knows {', '.join(model.vocabulary.ops)}, not {', '.join(unknown)}.")
    return tuple(name for name in model.vocabulary.ops if name in ops)
