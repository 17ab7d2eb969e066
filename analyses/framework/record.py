"""The record of an analysis: all that its command, its page and its section of the report are made from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

from analyses.framework.settings import Choice, Setting

if TYPE_CHECKING:
    import plotly.graph_objects as go
    import typer
    from rich.console import Console

Chosen = Mapping[str, str]
"""Name of a page's choice -> its value."""


@dataclass(frozen=True)
class Page:
    """The page of an analysis.

    Attributes:
        title: in the navigation. question: above the page. intro: a sentence or two below that.
        choices: what it offers besides model and graphs.
        name: in the address; default: that of the analysis.
        graphs: sampled by a bare address; with 1 the page is about one graph, which the function gets alone; with 0 it
            offers none: the study needs none, or draws its own.
        at_once: nodes of all graphs together up to which the page does not ask before it computes; 0: it always asks.
        model: whether it is about a model that is chosen; otherwise the function gets an empty name.
        further: names of pages that go on from here, to which it links.
        shown: names of the figures that choices show, of those that there are; or names and the code that makes each of
            `study`. None: all that there are.
        figures: of a study, all figures that may be shown, by name.
        missing: why there is nothing to show, given the study's `to_dict`.
        arguments: of a model's name and the choices, arguments of the study; None: what each choice gives.
        beside: of the same, names of other models that are shown.
        variants: choices whose results are computed beforehand (`python -m dashboards.precomputed`).
        texts: whether models that write their solution as text are offered too.
        group: heading of the navigation that it stands under; those without one stand above.
    """

    title: str
    question: str
    intro: str
    choices: tuple[Choice, ...] = ()
    name: str = ""
    graphs: int = 32
    at_once: int = 4000
    model: bool = True
    further: tuple[str, ...] = ()
    shown: Callable[[Chosen], Iterable[str] | Mapping[str, str]] | None = None
    figures: Callable[[Any], Mapping[str, go.Figure]] = lambda study: study.figures()
    missing: Callable[[Mapping[str, Any]], str] | None = None
    arguments: Callable[[str, Chosen], Mapping[str, Any]] | None = None
    beside: Callable[[str, Chosen], Sequence[str]] = lambda model, chosen: ()
    variants: tuple[Chosen, ...] = ({},)
    texts: bool = False
    group: str = ""


@dataclass(frozen=True)
class Section:
    """The section of the report that shows a study's verdict and figures.

    Attributes:
        title: above it. about: a sentence.
        drawn_by: name of a figure -> the file that draws it. Figures without one are left out.
        needs: what the model must have: "steps", "levels" or "states" (`analyses.reporting.parts`).
        arguments: of the study, where the report asks for less than the command.
    """

    title: str
    about: str
    drawn_by: Mapping[str, str]
    needs: str = "steps"
    arguments: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True)
class OnLoops:
    """What an analysis does with any looped model (`analyses.loops`).

    Attributes:
        study: `module:function` of the model (`analyses.loops.opening.Opened`), what it is run on
            (`analyses.loops.inputs.Wanted`), and settings by their names (`steps` as `n_steps`).
        takes: settings of the command that it has too. settings: others, for looped models alone.
        samples: inputs that are drawn where none are given.
        about: what it does there, a sentence, where the command's own does not fit.
        pair: whether it is about a clean and a corrupt input.
        passes_seed: whether the function takes the seed, too.
        alone: whether the command is about looped models alone; models of graphs are taken as such then.
    """

    study: str
    takes: tuple[str, ...] = ("steps",)
    settings: tuple[Setting, ...] = ()
    samples: int = 4
    pair: bool = False
    passes_seed: bool = False
    alone: bool = False
    about: str = ""

    @property
    def function(self) -> Callable[..., Any]:
        """The function, imported when it is asked for."""
        module, name = self.study.split(":")
        return getattr(import_module(module), name)


def _figures(study: Any) -> Mapping[str, go.Figure]:
    return dict(list(study.figures().items())[1:]) if hasattr(study, "figures") else {}


def _frames(study: Any) -> Mapping[str, Any]:
    return study.frames() if hasattr(study, "frames") else {}


def _shows(study: Any, console: Console) -> None:
    console.print(study.table())


@dataclass(frozen=True)
class Analysis:
    """An analysis.

    Attributes:
        name: of the command. files: what names of its files begin with; default: the name, with `_` for dashes.
        about: what the command does, a sentence.
        study: `module:function`. The function takes the graphs (one where `graphs` is None), the name of a model and
            the settings, and returns a study: `to_dict`, `to_frame`, `table`, `verdict`, `figure`, and, where there are
            several, `figures`.
        settings: its other arguments.
        graphs: sampled where none are given in full, unless `--graphs` says otherwise; None: there is no such option.
        alone: whether it is about one graph, which the function gets alone.
        takes: options that say which graphs and which model, by the names of `analyses.framework.command`.
        passes: names of options that are no settings and that the function takes too: seed, out, quiet.
        arguments: of the settings, further arguments of the function, which several of them make together.
        check: called with all settings before anything is done; raises InputError where they do not go together.
        source: of the command's context and settings, the model to load and the graphs, or whatever the function takes
            in their place; None: the usual options.
        frames: of a study, tables beside the first; default: its `frames`, if it has some. figures: those beside the
            first. `--out` receives them.
        drawn: whether a study has a table (`to_frame`) and a `figure` to write; otherwise `--out` receives its `rows`.
        shows: prints a study; as_text: whether its `text()` is written too.
        hooked: whether it watches or edits a model; what only runs one loads it without hooks, which is quicker.
        swept: of a study that is written, whether it was a sweep that kept its parts in the folder of `--out`.
        page, section: where it is shown besides.
        loop: what it does with any looped model; or what it needs that such a model does not have.
    """

    name: str
    about: str
    study: str
    settings: tuple[Setting, ...] = ()
    graphs: int | None = 64
    alone: bool = False
    takes: tuple[str, ...] = ("text", "graph", "graphs_file", "n_nodes", "seed", "ops", "model")
    passes: tuple[str, ...] = ()
    arguments: Callable[[Mapping[str, Any]], Mapping[str, Any]] = lambda settings: {}
    check: Callable[[Mapping[str, Any]], None] | None = None
    source: Callable[[typer.Context, Mapping[str, Any]], tuple[str, Sequence[Any]]] | None = None
    frames: Callable[[Any], Mapping[str, Any]] = _frames
    figures: Callable[[Any], Mapping[str, go.Figure]] = _figures
    drawn: bool = True
    hooked: bool = True
    shows: Callable[[Any, Console], None] = _shows
    as_text: bool = False
    swept: Callable[[Any], bool] = lambda study: False
    files: str = ""
    page: Page | None = None
    section: Section | None = None
    loop: OnLoops | str = "a graph"

    @property
    def function(self) -> Callable[..., Any]:
        """The function that computes, imported when it is asked for."""
        module, name = self.study.split(":")
        return getattr(import_module(module), name)

    @property
    def stem(self) -> str:
        """What names of its files begin with."""
        return self.files or self.name.replace("-", "_")
