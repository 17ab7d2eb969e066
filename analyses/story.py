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
from analyses.tables import table_of
from models.one_line import one_line

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go
    from rich.table import Table

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
        import pandas as pd

        return pd.concat([story.to_frame() for story in self.stories], ignore_index=True)

    def effects(self) -> pd.DataFrame:
        """A row a component and thing: `Story.effects_frame` of all nodes."""
        import pandas as pd

        parts = [story.effects_frame().assign(node=story.name) for story in self.stories]
        return pd.concat(parts, ignore_index=True)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"model": self.model, "stories": [story.to_dict() for story in self.stories]}

    def table(self) -> Table:
        """A rich table of the components that change what is written, replaced alone: what came of it."""
        words = ("node", "component", "as it is where another is")
        columns = ("node", "step", *words[1:], "as predicted", "changed", "tests")
        table = table_of(f"{self.model}: what replacing outputs does", columns, words)
        for story in self.stories:
            operands = story.graph.nodes[story.node].operands
            for effect in story.effects:
                if effect.where != "alone" or not effect.n or not effect.changed:
                    continue
                place, kind = effect.thing.operand, effect.thing.kind
                thing = kind if place is None else f"{kind} {story.graph.nodes[operands[place]].name}"
                shares = (f"{effect.predicted:.2f}", f"{effect.changed:.2f}", str(effect.n))
                table.add_row(story.name, str(effect.step), str(effect.parts[0]), thing, *shares)
        return table

    def text(self) -> str:
        """All stories in English."""
        return "\n\n\n".join(story.text() for story in self.stories)

    def verdict(self) -> str:
        """One line a node."""
        return "\n".join(story.verdict() for story in self.stories)

    def figure(self) -> go.Figure:
        """That of the first node."""
        return self.stories[0].figure()

    def figures(self) -> dict[str, go.Figure]:
        """Those of all nodes by name."""
        return {story.name: story.figure() for story in self.stories}


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
