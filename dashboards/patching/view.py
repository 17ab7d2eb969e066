"""What the Patching page shows, as one value, and its two ways into and out of the address bar.

Query parameters. The pair: `model`; `clean` and `corrupt` (two texts), or `n`, `seed`, `ops` of a sampled graph with
the `kind` of edit and, if it is not drawn, its `node`. The sweep: `look` (`step-pos`, `step-head`, `layer-pos`,
`layer-head`), `site`, `layer` or `step` (a number, or `all` at once), `pos`, `metric`, `direction`, `read` (names of
the nodes the metric reads; all that differ if left out). The cell opened: `cell` (index of its site in the sweep).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

from dashboards.address import ParamReader
from dashboards.selection import Selection
from interp.causal.metric_records import METRICS
from interp.causal.normalising import Direction
from interp.causal.pairs import KINDS, Pair, PairError, make_pair
from interp.engine.sites import OUTSIDE_BLOCKS, PER_HEAD, Site
from models import hook_points
from models.graph import ComputationGraph, GraphError
from models.recurrent import RecurrentTransformer
from models.trajectory import Trajectory

SIZES = (7, 128)
SEEDS = (0, 2**31 - 1)
LOOKS = {
    "step-pos": "step × position",
    "step-head": "step × head",
    "layer-pos": "layer × position",
    "layer-head": "layer × head",
}
SITES = tuple(
    sorted(
        (name for name, record in hook_points.SITES.items() if not record.needs),
        key=lambda name: name not in ("resid_pre", "z"),
    )
)
"""All that every model computes, those that are patched most first."""
POSITIONS = {"rhs": "right-hand sides", "operands": "operands", "all": "every token"}
DIRECTIONS = {"denoise": "clean into corrupt", "noise": "corrupt into clean"}

CLEAN_EXAMPLE = "20 = x_7; 2 = x_42; x_7 + x_42 = x_23; x_23 + x_7 = x_5"
CORRUPT_EXAMPLE = "20 = x_7; 9 = x_42; x_7 + x_42 = x_23; x_23 + x_7 = x_5"

_NAMES = re.compile(r"[^,]+(,[^,]+)*")


def allowed_sites(look: str) -> tuple[str, ...]:
    """The sites that have the axes of a look."""
    rows, columns = look.split("-")
    names = [name for name in SITES if columns == "pos" or name in PER_HEAD]
    return tuple(name for name in names if rows == "step" or name not in OUTSIDE_BLOCKS)


@dataclass(frozen=True)
class Settings:
    """What is patched where, and how it is measured.

    layer: for rows of steps. step: for rows of layers; None is all steps at once. pos: for columns of positions which
    (:data:`POSITIONS`), for columns of heads "all" at once or ``rhs:<index>``. read: own names of the nodes the metric
    reads, none for all that differ.
    """

    look: str = "step-pos"
    site: str = "resid_pre"
    layer: int = 0
    step: int | None = 0
    pos: str = "all"
    metric: str = "logit_diff"
    direction: Direction = "denoise"
    read: tuple[str, ...] = ()

    @property
    def rows(self) -> str:
        """The rows' axis: "step" or "layer"."""
        return self.look.split("-")[0]

    @property
    def columns(self) -> str:
        """The columns' axis: "pos" or "head"."""
        return self.look.split("-")[1]

    def with_look(self, look: str) -> Settings:
        """Another look, with a site and positions that it has."""
        if look == self.look:
            return self
        sites = allowed_sites(look)
        site = self.site if self.site in sites else sites[0]
        columns = look.split("-")[1]
        pos = self.pos if columns == self.columns else "all"
        return replace(self, look=look, site=site, pos=pos)

    def sites(self, model: RecurrentTransformer, run: Trajectory, n_steps: int) -> tuple[Site, ...]:
        """The sites, row by row. Raises `SiteError` for what the model or the graph does not have."""
        by_head = self.columns == "head"
        layers = "all" if self.rows == "layer" else [self.layer]
        steps: Any = range(n_steps) if self.rows == "step" else ["all" if self.step is None else self.step]
        pos = [self.pos] if by_head else self.pos
        return tuple(
            Site.grid(model, run.encoded, self.site, steps, layers, pos, "all" if by_head else None, n_steps)
        )

    def to_params(self) -> dict[str, str]:
        """As query parameters."""
        params = {"look": self.look, "site": self.site}
        if self.rows == "layer":
            params["step"] = "all" if self.step is None else str(self.step)
        elif self.site not in OUTSIDE_BLOCKS:
            params["layer"] = str(self.layer)
        params |= {"pos": self.pos, "metric": self.metric, "direction": self.direction}
        if self.read:
            params["read"] = ",".join(self.read)
        return params

    @classmethod
    def from_params(cls, reader: ParamReader, default: Settings) -> Settings:
        """From an address; what cannot be read is left out."""
        settings = default.with_look(reader.choice("look", list(LOOKS), default.look))
        site = reader.choice("site", allowed_sites(settings.look), settings.site)
        step, layer = settings.step, settings.layer
        if settings.rows == "step":
            reader.unused("step", "the rows of the heatmap are all steps")
        elif reader.params.get("step") == "all":
            step = None
        elif "step" in reader.params:
            step = reader.number("step", 0, 10**4, 0)
        if settings.rows == "layer":
            reader.unused("layer", "the rows of the heatmap are all layers")
        elif site in OUTSIDE_BLOCKS:
            reader.unused("layer", f"{site} is of no layer")
        else:
            layer = cast("int", reader.number("layer", 0, 10**3, settings.layer))
        pos = reader.params.get("pos", settings.pos)
        by_head = settings.columns == "head"
        if not (re.fullmatch(r"all|rhs:\d{1,4}", pos) if by_head else pos in POSITIONS):
            reader.ignored("pos", "all, or rhs:5 for node 5" if by_head else ", ".join(POSITIONS))
            pos = settings.pos
        read = reader.params.get("read", "")
        if read and not _NAMES.fullmatch(read):
            reader.ignored("read", "names of nodes between commas")
            read = ""
        direction = reader.choice("direction", list(DIRECTIONS), settings.direction)
        return replace(
            settings,
            site=site,
            layer=layer,
            step=step,
            pos=pos,
            metric=reader.choice("metric", list(METRICS), settings.metric),
            direction=cast("Direction", direction),
            read=tuple(read.split(",")) if read else (),
        )


@dataclass(frozen=True)
class View:
    """The page's content. `clean` and `corrupt` are None for a pair that is made; `node` is None if it is drawn."""

    model: str = "compiled"
    clean: str | None = None
    corrupt: str | None = None
    n: int = 16
    seed: int = 0
    ops: tuple[str, ...] = ("ADD",)
    kind: str = KINDS[0]
    node: str | None = None
    settings: Settings = field(default_factory=Settings)
    cell: int | None = None

    def pair(self) -> Pair:
        """The two graphs. Raises `GraphError` or `PairError` for texts or choices that make no pair."""
        if self.clean is None or self.corrupt is None:
            graph = ComputationGraph.sample(self.n, ops=self.ops, seed=self.seed)
            return make_pair(graph, self.kind, self.seed, node=self.node, ops=self.ops)
        return typed_pair(self.clean, self.corrupt)

    @property
    def carried(self) -> tuple[str, ...]:
        """Nothing."""
        return ()

    def selected(self) -> Selection:
        """The model, and the graph of the clean run."""
        if self.clean is not None:
            return Selection(self.model, self.clean)
        return Selection(self.model, n=self.n, seed=self.seed, ops=self.ops)

    def with_selection(self, chosen: Selection) -> View:
        """The same of what is chosen; of a typed graph the corrupt one is made, and where none can be made the pair
        stays.
        """
        view = replace(self, model=chosen.model or self.model)
        if chosen.graph in (None, self.selected().graph):
            return view
        view = replace(view, node=None, settings=replace(view.settings, read=(), pos="all"), cell=None)
        if chosen.text is None:
            n, seed, ops = max(SIZES[0], chosen.n or self.n), chosen.seed or 0, chosen.ops or self.ops
            return replace(view, clean=None, corrupt=None, n=n, seed=seed, ops=ops)
        try:
            pair = make_pair(ComputationGraph.parse(chosen.text), self.kind, self.seed)
        except (GraphError, PairError):
            return replace(self, model=view.model)
        return replace(view, clean=chosen.text, corrupt=pair.corrupt.to_text("\n"))

    def texts(self) -> tuple[str, str]:
        """What was typed; else the equations of the pair that is made, a line each."""
        if self.clean is not None and self.corrupt is not None:
            return self.clean, self.corrupt
        try:
            pair = self.pair()
        except (GraphError, PairError):
            return CLEAN_EXAMPLE, CORRUPT_EXAMPLE
        return pair.clean.to_text("\n"), pair.corrupt.to_text("\n")

    def same_pair(self, other: View) -> bool:
        """Whether both show the same pair and model."""
        plain = {"settings": Settings(), "cell": None}
        return replace(self, **plain) == replace(other, **plain)

    def to_params(self) -> dict[str, str]:
        """As query parameters."""
        params = {"model": self.model}
        if self.clean is not None and self.corrupt is not None:
            params |= {"clean": self.clean, "corrupt": self.corrupt}
        else:
            params |= {"n": str(self.n), "seed": str(self.seed), "ops": ",".join(self.ops), "kind": self.kind}
            params |= {"node": self.node} if self.node is not None else {}
        params |= self.settings.to_params()
        if self.cell is not None:
            params["cell"] = str(self.cell)
        return params

    @classmethod
    def from_params(cls, params: Mapping[str, str], default: View) -> tuple[View, list[str]]:
        """The view of an address, and a message for every parameter that could not be read (and was left out)."""
        reader = ParamReader(params)
        clean, corrupt = params.get("clean"), params.get("corrupt")
        if (clean is None) != (corrupt is None):
            given = "clean" if corrupt is None else "corrupt"
            reader.problems.append(
                f"The address has {given}= alone, which was ignored; a pair needs both texts."
            )
            clean = corrupt = None
        view = replace(
            default,
            model=params.get("model", default.model),
            clean=clean,
            corrupt=corrupt,
            n=reader.number("n", *SIZES, default.n),
            seed=reader.number("seed", *SEEDS, default.seed),
            ops=reader.ops(default.ops),
            kind=reader.choice("kind", KINDS, default.kind),
            node=params.get("node"),
            settings=Settings.from_params(reader, default.settings),
            cell=reader.number("cell", 0, 10**7, None),
        )
        return view, reader.problems


def typed_pair(clean: str, corrupt: str) -> Pair:
    """The pair of two texts. Raises `GraphError` for one that is no graph, `PairError` if they make no pair."""
    graphs = []
    for name, text in (("clean", clean), ("corrupt", corrupt)):
        if not text.strip():
            raise PairError(f"The {name} text is empty. Type its equations.")
        graphs.append(ComputationGraph.parse(text))
    one, other = graphs
    edited = [(a, b) for a, b in zip(one.nodes, other.nodes, strict=False) if a != b]
    if any(a.operations != b.operations for a, b in edited):
        return Pair(one, other, "operation")
    return Pair(one, other, "operand" if any(a.operands != b.operands for a, b in edited) else "leaf-value")
