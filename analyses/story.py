"""The circuit story of one node, told and tested: `python -m analyses.story --help`.

Which head fetched what for the node at each step, what the MLPs made of it and what was written, every sentence with
the causal effect that backs it (`interp.circuits.circuit_story`). `--out` receives `story.csv` (a line a claim),
`.parquet`, `.json`, `.html`, `.png`, `story.txt`, the effects of all replacements as `story_effects.csv`, and
`config.yaml`, from which `--config` repeats the run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from analyses.inputs import bad_input, check_fits, load_model
from analyses.tables import joined, table_of_rows
from models.one_line import one_line

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go
    from rich.table import Table

    from interp.circuits.changes import Thing
    from interp.circuits.circuit_story import Story
    from models.graph import ComputationGraph


@one_line
@dataclass(frozen=True)
class StoryStudy:
    """The stories of nodes of one graph in `model` (its name)."""

    model: str
    stories: tuple[Story, ...]

    def to_frame(self) -> pd.DataFrame:
        """A row a claim: `Story.to_frame` of all nodes."""
        return joined(story.to_frame() for story in self.stories)

    def effects(self) -> pd.DataFrame:
        """A row a component and thing: `Story.effects_frame` of all nodes."""
        return joined(story.effects_frame().assign(node=story.name) for story in self.stories)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"model": self.model, "stories": [story.to_dict() for story in self.stories]}

    def table(self) -> Table:
        """A rich table of the components that change what is written, replaced alone: what came of it."""
        header = "node | step | component patched | what was swapped | as predicted | changed | tests"
        cells = "{story.name} | {effect.step} | {effect.parts[0]} | {thing} | {effect.predicted:.2f}"
        cells += " | {effect.changed:.2f} | {effect.n}"
        rows = [
            {"story": story, "effect": effect, "thing": _named(story, effect.thing)}
            for story in self.stories
            for effect in story.effects
            if effect.where == "alone" and effect.n and effect.changed
        ]
        words = "node | component patched | what was swapped"
        return table_of_rows(f"{self.model}: what patching one component does", header, cells, rows, words)

    def text(self) -> str:
        """All stories in English."""
        return "\n\n\n".join(story.text() for story in self.stories)

    def verdict(self) -> str:
        """One line per node."""
        return "\n".join(story.verdict() for story in self.stories)

    def figure(self) -> go.Figure:
        """That of the first node."""
        return self.stories[0].figure()

    def figures(self) -> dict[str, go.Figure]:
        """Those of all nodes by name."""
        return {story.name: story.figure() for story in self.stories}


def _named(story: Story, thing: Thing) -> str:
    """A kind of thing, and the operand that it is of."""
    if thing.operand is None:
        return thing.kind
    operands = story.graph.nodes[story.node].operands
    return f"{thing.kind} {story.graph.nodes[operands[thing.operand]].name}"


def study_story(
    graph: ComputationGraph,
    model: str = "compiled",
    nodes: Sequence[int | str] = (),
    n_steps: int | None = None,
    n: int = 4,
    least: float = 0.5,
    seed: int = 0,
) -> StoryStudy:
    """Tell the stories of some nodes.

    nodes: by name or index; default the last node of the text. n_steps, n, least, seed: as for `interp.story`.

    Raises:
        InputError: a model, graph, node or number that cannot be used.
    """
    from interp.circuits.circuit_story import story

    loaded = load_model(model)
    check_fits(graph, loaded)
    chosen = list(nodes) or [len(graph) - 1]
    with bad_input():
        stories = tuple(story(loaded, graph, node, n_steps, n, least, seed) for node in chosen)
    return StoryStudy(model, stories)


if __name__ == "__main__":
    from analyses.framework.command import run_named

    run_named("story")
