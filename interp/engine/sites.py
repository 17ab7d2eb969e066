"""Where in a run an activation is: recurrence step, hook point, layer, position, head, factor.

A :class:`Site` is a value: frozen, hashable, printable, JSON. It knows no model; :func:`resolve` looks it up in one
and says what exists where it does not. Positions may be given by what stands there: ``"rhs:x_5"`` is where node
x_5 shows its value, ``"operand:x_5:1"`` the token of its second operand.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from typing import TYPE_CHECKING, Any, Literal

from models.bounds import index_of
from models.factors import FACTORS
from models.graph import ComputationGraph
from models.hook_names import layer_of, split_step
from models.hook_points import SITES

if TYPE_CHECKING:
    from models.recurrent import RecurrentTransformer
    from models.vocabulary import EncodedGraphs

SHORT_NAMES = {short: point.name for short, point in SITES.items()}
"""Short name -> hook name within its block or, for the state, the embedding and the logits, within its step."""

OUTSIDE_BLOCKS = tuple(short for short, point in SITES.items() if point.where != "block")
PER_HEAD = tuple(short for short, point in SITES.items() if "head" in point.axes)
BY_DESTINATION = tuple(short for short, point in SITES.items() if "source" in point.axes)
"""[batch, head, destination, source]: the position is the destination, and the head comes before it."""
WITH_FACTORS = tuple(short for short, point in SITES.items() if point.has_factors)
_LONG_NAMES = {long: short for short, long in SHORT_NAMES.items()}

All = Literal["all"]


class SiteError(ValueError):
    """A site that does not exist, or that is no site; the message says which do.

    Examples:
        >>> from interp import Site, SiteError
        >>> try:
        ...     Site("z", layer=1, factor="value")
        ... except SiteError as error:
        ...     print(error)
        factor='value' of site 'z'; only 'state' and 'logits' have factors: syntax, variable, operation, value
    """


def rhs(node: int | str) -> str:
    """The position where a node (index in text order, or own name) shows its value."""
    return f"rhs:{node}"


def operand(node: int | str, index: int) -> str:
    """The position of a node's operand token, counted from 0."""
    return f"operand:{node}:{index}"


@dataclass(frozen=True)
class Site:
    """One place in a run, or all places along the axes that say "all" (steps, positions) or None (heads, factors).

    name: a short name (:data:`SHORT_NAMES`); full hook names (``blocks.1.attn.hook_z``, also with ``steps.3.``
    before it) are taken apart.
    step: index of the recurrence step, or "all".
    layer: block within the step; None for points outside the blocks.
    pos: index, "all", or :func:`rhs` or :func:`operand` of a node.
    head: for ``q k v z result pattern attn_scores``; None is all heads.
    factor: for ``state`` and ``logits``; None is all four.

    Raises:
        SiteError: a name, layer, head or factor that cannot go together.

    Examples:
        >>> from interp import Site
        >>> from models import ComputationGraph, load
        >>> graph = ComputationGraph.parse("20 = a; 2 = b; a + b = c")
        >>> site = Site("z", step=2, layer=1, pos="rhs:c", head=0)
        >>> print(site)
        step 2 · blocks.1.attn.hook_z · pos rhs:c · head 0
        >>> len(Site.grid(load("compiled"), graph, "resid_pre", n_steps=2, pos="rhs"))
        18
    """

    name: str
    step: int | All = "all"
    layer: int | None = None
    pos: int | str = "all"
    head: int | None = None
    factor: str | None = None

    def __post_init__(self) -> None:
        name, step, layer = _taken_apart(self.name)
        object.__setattr__(self, "name", name)
        for field, found in (("step", step), ("layer", layer)):
            given = getattr(self, field)
            if found is None:
                continue
            if given not in (None, "all", found):
                raise SiteError(f"the name says {field} {found}, but {field}={given!r} is given as well")
            object.__setattr__(self, field, found)
        if name not in SHORT_NAMES:
            raise SiteError(f"there is no site {self.name!r}; there are {', '.join(SHORT_NAMES)}")
        if (self.layer is None) != (name in OUTSIDE_BLOCKS):
            need = "no layer" if name in OUTSIDE_BLOCKS else "a layer"
            raise SiteError(f"site {name!r} has {need}, got layer={self.layer}")
        if self.head is not None and name not in PER_HEAD:
            raise SiteError(f"site {name!r} has no heads; those that have are {', '.join(PER_HEAD)}")
        if self.factor is not None and (name not in WITH_FACTORS or self.factor not in FACTORS):
            those = " and ".join(map(repr, WITH_FACTORS))
            raise SiteError(
                f"factor={self.factor!r} of site {name!r}; only {those} have factors: {', '.join(FACTORS)}"
            )
        _check_position(self.pos)
        if self.step != "all" and (isinstance(self.step, str) or self.step < 0):
            raise SiteError(f"step must be 0 or more, or 'all', got {self.step!r}")

    @property
    def hook_name(self) -> str:
        """The hook name within a step, as TransformerLens calls it."""
        long = SHORT_NAMES[self.name]
        return long if self.layer is None else f"blocks.{self.layer}.{long}"

    def __str__(self) -> str:
        parts = [f"step {self.step}", self.hook_name, f"pos {self.pos}"]
        if self.head is not None:
            parts.append(f"head {self.head}")
        if self.factor is not None:
            parts.append(self.factor)
        return " · ".join(parts)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Site:
        """The inverse of :meth:`to_dict`."""
        try:
            return cls(**data)
        except TypeError as error:
            raise SiteError(f"{data!r} is no site: {error}") from error

    @staticmethod
    def grid(
        model: RecurrentTransformer,
        graph: ComputationGraph | EncodedGraphs,
        name: str,
        step: All | Iterable[int | All] = "all",
        layer: All | Iterable[int] = "all",
        pos: str | Iterable[int | str] = "all",
        head: All | Iterable[int] | None = "all",
        n_steps: int | None = None,
    ) -> list[Site]:
        """One site for every combination, ordered by step, layer, position, head.

        step, layer, pos, head: "all", or those wanted; ``pos`` also "rhs" or "operands" (of every node);
        ``head=None`` takes all heads as one site. ``n_steps``: how many steps "all" are, needed for it.

        Raises:
            SiteError: an unknown name, or a layer, position or head that the model or graph does not have.
        """
        encoded = model.to_encoded(graph)
        short = _taken_apart(name)[0]
        if step == "all" and n_steps is None:
            raise SiteError("step='all' needs n_steps, the length of the run")
        steps: Iterable[int | All] = range(n_steps or 0) if step == "all" else step
        layers: Iterable[int | None] = range(model.cfg.n_layers) if layer == "all" else layer
        heads: Iterable[int | None] = range(model.cfg.n_heads) if head == "all" else head or (None,)
        if short in OUTSIDE_BLOCKS:
            layers = (None,)
        if short not in PER_HEAD:
            heads = (None,)
        steps, layers, heads = tuple(steps), tuple(layers), tuple(heads)
        positions = _positions(encoded, pos)
        # Each axis by itself, before there are as many sites as their product.
        if n_steps is not None and (
            beyond := [one for one in steps if isinstance(one, int) and one >= n_steps]
        ):
            raise SiteError(f"there is no step {beyond[0]}; the run has steps 0..{n_steps - 1}")
        for one in product(steps[:1], layers[:1], positions, heads[:1]):
            resolve(Site(name, *one), model, encoded)
        for one in product(steps[:1], layers, positions[:1], heads):
            resolve(Site(name, *one), model, encoded)
        return [Site(name, *one) for one in product(steps, layers, positions, heads)]


@dataclass(frozen=True)
class Place:
    """A site looked up in a model and a graph: ``layer`` is -1 before the blocks and n_layers after them, ``pos``
    the position's index or None for all.
    """

    site: Site
    hook_name: str
    layer: int
    pos: int | None

    @property
    def local(self) -> bool:
        """Whether what is changed here reaches no other position before the next layer's attention."""
        return SITES[self.site.name].local


def resolve(site: Site, model: RecurrentTransformer, encoded: EncodedGraphs) -> Place:
    """Look a site up.

    Raises:
        SiteError: no such layer, head, position or node; the message says which there are.
    """
    cfg = model.cfg
    if site.layer is not None and not 0 <= site.layer < cfg.n_layers:
        raise SiteError(f"{site}: there is no layer {site.layer}; the model has layers 0..{cfg.n_layers - 1}")
    if site.head is not None and not 0 <= site.head < cfg.n_heads:
        raise SiteError(f"{site}: there is no head {site.head}; the model has heads 0..{cfg.n_heads - 1}")
    point = SITES[site.name]
    if point.needs and not getattr(cfg, point.needs):
        raise SiteError(f"{site}: {site.name!r} is computed after model.set_{point.needs}(True) only")
    layer = -1 if point.where == "before" else cfg.n_layers
    return Place(
        site, site.hook_name, layer if site.layer is None else site.layer, position_of(site.pos, encoded)
    )


def position_of(pos: int | str, encoded: EncodedGraphs) -> int | None:
    """The index a site's position stands for in a single graph; None for all.

    Raises:
        SiteError: no such position, node or operand.
    """
    if pos == "all":
        return None
    if isinstance(pos, int):
        length = int(encoded.mask[0].sum())
        if not 0 <= pos < length:
            raise SiteError(f"there is no position {pos}; the text has positions 0..{length - 1}")
        return pos
    kind, node, *rest = pos.split(":")
    index = _node_index(node, encoded.graphs[0])
    if kind == "rhs":
        return int(encoded.rhs[0, index])
    count = len(encoded.graphs[0].nodes[index].operands)
    if not int(rest[0]) < count:
        raise SiteError(f"{pos!r}: node {node} has {count} operands, counted from 0")
    return int(encoded.operands[0, index, int(rest[0])])


def _node_index(node: str, graph: ComputationGraph) -> int:
    names = [known.name for known in graph.nodes]
    if node in names:
        return names.index(node)
    index = index_of(node)
    if index is None or index >= len(names):
        raise SiteError(f"there is no node {node!r}; there are 0..{len(names) - 1}, named {', '.join(names)}")
    return index


def _positions(encoded: EncodedGraphs, pos: str | Iterable[int | str]) -> Sequence[int | str]:
    graph = encoded.graphs[0]
    if pos == "all":
        return range(int(encoded.mask[0].sum()))
    if pos == "rhs":
        return [rhs(node) for node in range(len(graph))]
    if pos == "operands":
        return [operand(i, j) for i, node in enumerate(graph.nodes) for j in range(len(node.operands))]
    return [pos] if isinstance(pos, str) else list(pos)


def _check_position(pos: int | str) -> None:
    if isinstance(pos, int) and pos >= 0:
        return
    parts = str(pos).split(":")
    right = (
        pos == "all"
        or (parts[0] == "rhs" and len(parts) == 2)
        or (parts[0] == "operand" and len(parts) == 3 and index_of(parts[2]) is not None)
    )
    if not right:
        raise SiteError(f"pos={pos!r}; allowed are an index, 'all', 'rhs:<node>', 'operand:<node>:<j>'")


def _taken_apart(name: str) -> tuple[str, int | None, int | None]:
    """Short name, step, layer of a short or full hook name."""
    step = layer = None
    if name.startswith("steps."):
        try:
            step, name = split_step(name)
        except ValueError as error:
            raise SiteError(str(error)) from error
    if name.startswith("blocks."):
        try:
            layer = layer_of(name)
        except ValueError as error:
            raise SiteError(str(error)) from error
        name = name.split(".", 2)[2]
    for candidate in (name, f"attn.{name}", f"mlp.{name}"):
        if candidate in _LONG_NAMES:
            return _LONG_NAMES[candidate], step, layer
    if name not in SHORT_NAMES:
        raise SiteError(f"there is no site {name!r}; there are {', '.join(SHORT_NAMES)}")
    return name, step, layer
