"""What can be done to a run: set, patch from another run, ablate, set a code; each a value with a site.

An intervention writes at its site and nowhere else. Several in one list act in the same run, in the order of the
forward pass. Values are taken from :class:`Recording` s: runs whose activations are computed when asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from interp.engine.sites import BY_DESTINATION, Place, Site, SiteError, resolve
from interp.loop.either import also_for_loops
from interp.loop.running import record_loop
from models.cache import StepCache
from models.graph import ComputationGraph
from models.hook_points import SITES
from models.one_line import in_one_line, one_line
from models.recurrent import RecurrentTransformer
from models.trajectory import Trajectory
from models.vocabulary import FACTORS, EncodedGraphs, FactoredVocabulary


class Recording:
    """A run of one graph whose activations can be asked for by name and step.

    Attributes:
        trajectory: its states.
        n_steps: how many steps were run.

    Raises:
        ValueError: a run that began elsewhere than in its graph's text (``initial_state``): activations are computed
            again from the text.
    """

    def __init__(self, model: RecurrentTransformer, trajectory: Trajectory) -> None:
        if not torch.equal(trajectory.states[0].long(), trajectory.encoded.factors.long()):
            raise ValueError(
                "the run began in another state than its graph's text (initial_state), and a recording computes "
                "activations again from the text: record the graph, and write what differs by interventions at step 0"
            )
        self.model = model
        self.trajectory = trajectory
        self.n_steps = trajectory.n_steps
        self._kept: dict[tuple[str, int], Tensor] = {}

    def __repr__(self) -> str:
        return in_one_line("Recording", steps=self.n_steps, graph=self.graph, kept=len(self._kept))

    @property
    def encoded(self) -> EncodedGraphs:
        """The graph as the model read it."""
        return self.trajectory.encoded

    @property
    def graph(self) -> ComputationGraph:
        """The graph."""
        return self.encoded.graphs[0]

    def keep(self, wanted: Iterable[tuple[str, int]]) -> None:
        """Compute the activations of (hook name, step) pairs that are not kept yet, in one run."""
        missing = [pair for pair in dict.fromkeys(wanted) if pair not in self._kept]
        if not missing:
            return
        steps = sorted({step for _, step in missing})
        if steps[-1] >= self.n_steps:
            raise SiteError(
                f"step {steps[-1]} is beyond the run, which has steps 0..{self.n_steps - 1}; "
                "give n_steps for a longer one"
            )
        names = list(dict.fromkeys(name for name, _ in missing))
        with torch.no_grad():
            _, cache = self.model.run_with_cache(
                self.encoded, steps=steps, names=names, n_steps=self._length(steps[-1])
            )
        self._take(cache, names, steps)

    def kept(self, name: str, step: int) -> Tensor | None:
        """What the hook point saw at the step, if it is kept already."""
        return self._kept.get((name, step))

    def _length(self, last: int) -> int:
        return last + 1

    def _take(self, cache: StepCache, names: Sequence[str], steps: Sequence[int]) -> None:
        for name in names:
            if name not in cache:
                raise SiteError(f"{name!r} is not computed by this model as it is configured")
            for row, step in enumerate(steps):
                self._kept[name, step] = cache[name][row, 0].clone()

    def activation(self, name: str, step: int) -> Tensor:
        """What the hook point saw at the step, without the batch axis."""
        self.keep([(name, step)])
        return self._kept[name, step]


@also_for_loops(record_loop)
def record(
    model: RecurrentTransformer, graph: ComputationGraph | str, n_steps: int | None = None
) -> Recording:
    """Run one graph, or the text of one (default: until it settles); activations follow when asked for.

    Of another looped model: :func:`interp.run_loop`, its ``sites`` recorded and its logits kept.

    Raises:
        ValueError: more than one graph.

    Examples:
        >>> from interp import record
        >>> from models import load
        >>> run = record(load("compiled"), "20 = a; 2 = b; a + b = c")
        >>> run.n_steps, run.trajectory.values[-1].tolist()
        (3, [[20, 2, 22]])
    """
    trajectory = model.run(graph, n_steps=n_steps)
    if len(trajectory.encoded) != 1:
        raise ValueError(f"expected one graph, got {len(trajectory.encoded)}")
    return Recording(model, trajectory)


@one_line
@dataclass(frozen=True, eq=False)
class SetValue:
    """Write a value: a number, or a tensor that broadcasts to the activation at the site.

    Examples:
        >>> from interp import SetValue, Site, run_interventions
        >>> from models import ComputationGraph, load
        >>> model = load("compiled")
        >>> graph = ComputationGraph.parse("20 = a; 2 = b; a + b = c")
        >>> off = SetValue(Site("attn_out", step=1, layer=2, pos="rhs:c"), 0.0)
        >>> (replay,) = run_interventions(model, graph, [off], n_steps=2)
        >>> replay.changed[-1].tolist()  # [node]
        [False, False, True]
    """

    site: Site
    value: Tensor | float


@one_line
@dataclass(frozen=True, eq=False)
class SetFrom:
    """Write what another run had at the same site, at the same or another ``step`` of it.

    Examples:
        >>> from interp import SetFrom, Site, record, run_interventions
        >>> from models import ComputationGraph, load
        >>> model = load("compiled")
        >>> graph = ComputationGraph.parse("20 = a; 2 = b; a + b = c")
        >>> source = record(model, ComputationGraph.parse("7 = a; 2 = b; a + b = c"))
        >>> patch = SetFrom(Site("resid_post", step=1, layer=2, pos="rhs:c"), source)
        >>> (replay,) = run_interventions(model, graph, [patch], n_steps=2)
        >>> replay.values[:, 2].tolist()  # 24 is EMPTY, and 9 is 7 + 2
        [24, 24, 9]
    """

    site: Site
    source: Recording
    step: int | None = None


@dataclass(frozen=True)
class ZeroAblate:
    """Write zeros.

    Examples:
        >>> from interp import Site, ZeroAblate, run_interventions
        >>> from models import ComputationGraph, load
        >>> model = load("compiled")
        >>> graph = ComputationGraph.parse("20 = a; 2 = b; a + b = c")
        >>> heads = [ZeroAblate(Site("z", layer=layer, head=0)) for layer in range(3)]  # at every step
        >>> [bool(replay.changed[-1].any()) for replay in run_interventions(model, graph, heads)]
        [True, False, True]
    """

    site: Site


@one_line
@dataclass(frozen=True, eq=False)
class MeanAblate:
    """Write the mean over the positions of the sources at the same step.

    Examples:
        >>> from interp import MeanAblate, Site, record, run_interventions
        >>> from models import load
        >>> model = load("compiled")
        >>> run = record(model, "20 = a; 2 = b; a + b = c")
        >>> mean = MeanAblate(Site("z", step=1, layer=2, head=0), run)
        >>> (replay,) = run_interventions(model, run, [mean])
        >>> replay.changed.any(1).tolist()
        [False, False, True, False]
    """

    site: Site
    source: Recording | Sequence[Recording]


@one_line
@dataclass(frozen=True, eq=False)
class ResampleAblate:
    """Write what stands at positions of the source drawn at random, with replacement, at the same step.

    Examples:
        >>> from interp import ResampleAblate, Site, record, run_interventions
        >>> from models import load
        >>> model = load("compiled")
        >>> run = record(model, "20 = a; 2 = b; a + b = c")
        >>> resample = ResampleAblate(Site("z", step=1, layer=2, head=0), run, seed=0)
        >>> (replay,) = run_interventions(model, run, [resample])
        >>> replay.changed.any(1).tolist()
        [False, False, True, False]
    """

    site: Site
    source: Recording
    seed: int = 0


@dataclass(frozen=True)
class SetCode:
    """Write one factor's symbol into the discrete state that enters ``step``; ``symbol`` is an id or its text.

    The state that enters step t is ``states[t]`` of a run (the text for step 0, else what step t - 1 wrote), here as in
    :class:`interp.Overwrite`.

    A model without a bottleneck is entered by a hidden state from step 1 on, of which symbols are only read. There the
    hidden state is kept, and moved as little as is needed for the readout to show the new symbol instead of the one it
    shows (:meth:`models.embedding.FactoredUnembed.rewrite`). To write the symbol that is shown anyway changes nothing,
    exactly.

    Examples:
        >>> from interp import SetCode, run_interventions
        >>> from models import ComputationGraph, load
        >>> model = load("compiled")
        >>> graph = ComputationGraph.parse("20 = a; 2 = b; a + b = c")
        >>> wrong = SetCode(1, "rhs:a", "value", 5)  # a is taken for 5
        >>> (replay,) = run_interventions(model, graph, [wrong])
        >>> replay.changed.any(1).tolist()  # [state]
        [False, True, True, False]
    """

    step: int
    pos: int | str
    factor: str
    symbol: int | str

    @property
    def site(self) -> Site:
        """Where it acts."""
        return Site("state", step=self.step, pos=self.pos, factor=self.factor)


Intervention = SetValue | SetFrom | ZeroAblate | MeanAblate | ResampleAblate | SetCode


@one_line
@dataclass(frozen=True, eq=False)
class Edit:
    """One intervention at one step, ready to be written: at ``place``, the tensor ``value``.

    value: what the activation is at the place, without batch: its position axis is there if ``place.pos`` is
    None, its head axis if the site has no head.
    """

    place: Place
    step: int
    value: Tensor

    def write(self, state: Tensor) -> None:
        """Write into a discrete state int [pos, factor], in place; for edits of the state only."""
        part = state if self.place.pos is None else state[self.place.pos]
        index = slice(None) if self.place.site.factor is None else FACTORS.index(self.place.site.factor)
        part[..., index] = self.value.squeeze(-1) if self.place.site.factor is not None else self.value


def sources_of(interventions: Iterable[Intervention], n_steps: int) -> None:
    """Compute all activations that the interventions take from other runs: one run for each source."""
    wanted: dict[int, tuple[Recording, list[tuple[str, int]]]] = {}
    for given in interventions:
        if isinstance(given, SetFrom | MeanAblate | ResampleAblate):
            for source in [given.source] if isinstance(given.source, Recording) else given.source:
                steps = (
                    [given.step]
                    if isinstance(given, SetFrom) and given.step is not None
                    else steps_of(given, n_steps)
                )
                pairs = wanted.setdefault(id(source), (source, []))[1]
                pairs += [(given.site.hook_name, step) for step in steps]
    for source, pairs in wanted.values():
        source.keep(pairs)


def steps_of(given: Intervention, n_steps: int) -> list[int]:
    """The steps an intervention acts at.

    Raises:
        SiteError: a step beyond the run.
    """
    step = given.site.step
    if step == "all":
        return list(range(n_steps))
    if step >= n_steps:
        raise SiteError(f"{given.site}: step {step} is beyond the run, which has steps 0..{n_steps - 1}")
    return [step]


def edits_of(
    given: Intervention, model: RecurrentTransformer, encoded: EncodedGraphs, n_steps: int
) -> list[Edit]:
    """What an intervention writes, step by step.

    Raises:
        SiteError: a site that does not exist, a value of the wrong shape, a source of another length.
    """
    place = resolve(given.site, model, encoded)
    steps = steps_of(given, n_steps)
    symbols_enter = model.cfg.bottleneck == "discrete" or place.site.name != "state" or max(steps) == 0
    if not symbols_enter and not isinstance(given, SetCode | SetValue):
        raise SiteError(
            f"{place.site}: this model passes on a hidden state, so its symbols enter at step 0 only; allowed later "
            "are SetCode and SetValue, which move the hidden state, and the site 'embed', which is all of it"
        )
    return [Edit(place, step, _value(given, place, step, model, encoded)) for step in steps]


def shape_of(place: Place, model: RecurrentTransformer, n_pos: int) -> tuple[int, ...]:
    """Shape of the activation at a place, without batch."""
    sizes = {
        "pos": n_pos,
        "source": n_pos,
        "head": model.cfg.n_heads,
        "factor": len(FACTORS),
        **{axis: getattr(model.cfg, axis) for axis in ("d_model", "d_head", "d_mlp", "d_vocab")},
    }
    shape = [(axis, sizes[axis]) for axis in SITES[place.site.name].axes]
    if place.site.factor is not None:
        part = factor_slice(place.site, model.vocabulary)
        shape[-1] = ("part", part.stop - part.start)
    dropped = {axis for axis, given in (("pos", place.pos), ("head", place.site.head)) if given is not None}
    return tuple(size for axis, size in shape if axis not in dropped)


def at(activation: Tensor, place: Place, vocabulary: FactoredVocabulary) -> Tensor:
    """The part of a whole activation (without batch) that a place names."""
    site = place.site
    if site.name in BY_DESTINATION:
        part = activation if site.head is None else activation[site.head]
        return part if place.pos is None else part[..., place.pos, :]
    part = activation if place.pos is None else activation[place.pos]
    if site.head is not None:
        part = part[..., site.head, :]
    return part if site.factor is None else part[..., factor_slice(site, vocabulary)]


def factor_slice(site: Site, vocabulary: FactoredVocabulary) -> slice:
    """Where a site's factor is on the last axis of its activation."""
    if site.factor is None:
        return slice(None)
    if site.name == "logits":
        return vocabulary.slice(site.factor)
    index = FACTORS.index(site.factor)
    return slice(index, index + 1)


def _value(
    given: Intervention, place: Place, step: int, model: RecurrentTransformer, encoded: EncodedGraphs
) -> Tensor:
    n_pos, vocabulary = encoded.factors.shape[1], model.vocabulary
    whole = place.site.name in BY_DESTINATION
    if isinstance(given, SetCode):
        return torch.tensor(_symbol(given, vocabulary)).expand(shape_of(place, model, n_pos))
    if isinstance(given, ZeroAblate):
        return torch.zeros(shape_of(place, model, n_pos))
    if isinstance(given, SetValue):
        shape = shape_of(place, model, n_pos)
        value = torch.as_tensor(given.value)
        try:
            return value.expand(shape)
        except RuntimeError as error:
            raise SiteError(
                f"{place.site}: the value has shape {tuple(value.shape)}, the activation {shape}"
            ) from error
    sources = [given.source] if isinstance(given.source, Recording) else list(given.source)
    at_step = given.step if isinstance(given, SetFrom) and given.step is not None else step
    taken = [source.activation(place.hook_name, at_step) for source in sources]
    if (isinstance(given, SetFrom) or whole) and taken[0].shape[1 if whole else 0] != n_pos:
        length = taken[0].shape[1 if whole else 0]
        raise SiteError(
            f"{place.site}: the source run has {length} positions, this one {n_pos}; "
            "runs can be patched into each other only if their texts are equally long"
        )
    if isinstance(given, SetFrom):
        return at(taken[0], place, vocabulary)
    everywhere = Place(place.site, place.hook_name, place.layer, None)
    if isinstance(given, MeanAblate):
        if place.site.name == "state":
            raise SiteError(f"{place.site}: symbols have no mean; use resample ablation or SetCode")
        mean = torch.stack([at(t, everywhere, vocabulary).mean(-2 if whole else 0) for t in taken]).mean(0)
        if place.pos is None:
            mean = mean.unsqueeze(-2 if whole else 0)
        return mean.expand(shape_of(place, model, n_pos))
    generator = torch.Generator().manual_seed(given.seed)
    count = n_pos if place.pos is None else 1
    drawn = torch.randint(taken[0].shape[1 if whole else 0], (count,), generator=generator)
    picked = at(taken[0], everywhere, vocabulary).index_select(-2 if whole else 0, drawn)
    return picked if place.pos is None else picked.select(-2 if whole else 0, 0)


def _symbol(given: SetCode, vocabulary: FactoredVocabulary) -> int:
    if isinstance(given.symbol, str):
        return vocabulary.symbol_id(given.factor, given.symbol)
    size = len(vocabulary.symbols(given.factor))
    if not 0 <= given.symbol < size:
        raise SiteError(
            f"there is no symbol {given.symbol} of factor {given.factor!r}; allowed are 0..{size - 1}"
        )
    return given.symbol
