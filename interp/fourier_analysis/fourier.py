"""Does a model add by Fourier? Spectra over all operand pairs or triples, with controls and a verdict.

The mechanism looked for (Nanda et al. 2023, arXiv 2301.05217; Altabaa et al. 2025, arXiv 2510.14095, section on the
last MLP): values are embedded as cos and sin of a few frequencies a, the MLP's neurons take each one frequency's waves
of the operands and make products of them, and from cos and sin of 2 pi a (x + y + z) / p the sum is read.

Which site can tell. The logits of *any* perfect adder depend on the sum alone, and so do those parts of the MLP's
output and the residual stream behind it that the answer is read from: their diagonal share is large however they were
computed, from a table too. That is the right function, not an algorithm. Before the MLP's nonlinearity the operands
enter one by one (on the axes (a, 0), (0, a)), so there is no diagonal yet, whatever the mechanism. What tells is the
layer of neurons, ``mlp_post``, whose basis is privileged because the nonlinearity acts neuron by neuron:

    by Fourier   a neuron's variation over the operands sits at one frequency, and part of it on the diagonal
    by a table   a neuron answers to one pair of values; its energy lies evenly over all cells, a frequency gets its
                 share and no more, and the diagonal its chance
    of the sum   a neuron that receives the sum ready-made and answers to one value of it is all diagonal, with all
                 frequencies alike: single-frequency share 1 / (number of frequencies), so no claim either

Verdict (:meth:`Fourier.verdict`): claimed iff ``mlp_post`` of some MLP that matters (energy of its ``mlp_out`` at least
:data:`MATTERS` of the strongest MLP's) has both
    diagonal share at least :data:`DIAGONAL_FACTOR` times chance, chance being the larger of the relabelled one and the
    untrained model's; and
    single-frequency share s at least :data:`TUNED`, and (s - c) / (1 - c) at least :data:`EXCESS`, c being the largest
    of the relabelled draws and the untrained model's.
It is correlational; the causal side is :attr:`interp.OwnFrequency.carries`, which decides. It cannot see
a Fourier algorithm whose neurons each mix several frequencies, and modulus 5 has two frequencies only, which makes s
large by chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
from numpy.typing import NDArray

from interp.fourier_analysis.characters import Characters
from interp.fourier_analysis.operand_tuples import collect_grid, hook_names, operand_grid
from interp.fourier_analysis.spectrum import SiteSpectrum, gini, key_frequencies, site_spectrum
from interp.fourier_analysis.symmetry import value_embeddings
from models.one_line import one_line
from models.recurrent import RecurrentTransformer

if TYPE_CHECKING:
    import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]

SITES: Final = ("resid_mid", "mlp_pre", "mlp_post", "mlp_out", "resid_post", "logits")
MATTERS: Final = 0.1
DIAGONAL_FACTOR: Final = 2.0
TUNED: Final = 0.5
EXCESS: Final = 0.25


@one_line
@dataclass(frozen=True, eq=False)
class EmbeddingSpectrum:
    """The 1-D spectrum of the value embeddings.

    Attributes:
        energy: float [frequency], of the rows of W_E, values in the order of the characters, summed over d_model.
        dc: energy of their mean.
        relabelled_gini: float [draw], Gini coefficient with the values in random order.
    """

    energy: NDArray[np.float64]
    dc: float
    relabelled_gini: NDArray[np.float64]

    @property
    def gini(self) -> float:
        """Gini coefficient of the energy over frequencies."""
        return gini(self.energy)

    @property
    def key_frequencies(self) -> tuple[int, ...]:
        """The fewest frequencies that hold 90 % of the energy without DC, strongest first."""
        return key_frequencies(self.energy)


@dataclass(frozen=True)
class LayerEvidence:
    """The numbers the verdict looks at, of one layer's ``mlp_post``; chances as the module's docstring says."""

    layer: int
    matters: bool
    diagonal_share: float
    diagonal_chance: float
    single_frequency_share: float
    single_frequency_chance: float

    @property
    def fourier(self) -> bool:
        """Whether this layer meets the rule."""
        s, c = self.single_frequency_share, self.single_frequency_chance
        return (
            self.matters
            and self.diagonal_share >= DIAGONAL_FACTOR * self.diagonal_chance
            and s >= TUNED
            and s - c >= EXCESS * (1 - c)
        )


@one_line
@dataclass(frozen=True)
class FourierVerdict:
    """Whether the arithmetic is claimed to be done by Fourier, and on what grounds."""

    claimed: bool
    layers: tuple[LayerEvidence, ...]

    def __str__(self) -> str:
        shown = [layer for layer in self.layers if layer.matters] or list(self.layers)
        grounds = "; ".join(
            f"mlp_post of layer {one.layer}: {one.single_frequency_share:.1%} of the energy at its neuron's frequency "
            f"(chance {one.single_frequency_chance:.1%}), {one.diagonal_share:.2%} on the diagonal "
            f"(chance {one.diagonal_chance:.2%})"
            for one in shown
        )
        claim = "Fourier structure in the neurons" if self.claimed else "no Fourier structure claimed"
        return f"{claim}: {grounds}"


@one_line
@dataclass(frozen=True, eq=False)
class Fourier:
    """Spectra at one equation's right-hand side over all tuples of operands.

    Attributes:
        model: the method, as in its configuration. status, step, seed: as given to :func:`fourier`.
        characters: what the axes are.
        accuracy: share of the tuples after which the step shows what is right.
        sites: in the order of the pass.
        embedding: of the values.
        control: the same of an untrained model of the same shape, or None.
    """

    model: str
    status: str
    step: int
    seed: int
    characters: Characters
    accuracy: float
    sites: tuple[SiteSpectrum, ...]
    embedding: EmbeddingSpectrum
    control: Fourier | None = None

    def site(self, name: str) -> SiteSpectrum:
        """The spectrum of a site by hook name.

        Raises:
            KeyError: a site that was not looked at.
        """
        for site in self.sites:
            if site.name == name:
                return site
        raise KeyError(f"{name!r} was not looked at; there are {', '.join(site.name for site in self.sites)}")

    def neurons(self, layer: int) -> SiteSpectrum:
        """The spectrum of ``mlp_post``."""
        return self.site(f"blocks.{layer}.mlp.hook_post")

    @property
    def untrained(self) -> Fourier:
        """The control.

        Raises:
            ValueError: it was left out.
        """
        if self.control is None:
            raise ValueError("there is no untrained control; measure with control=True")
        return self.control

    @property
    def main_layer(self) -> int:
        """The layer whose MLP's output varies most with the operands (``mlp_post`` where there is no ``mlp_out``)."""
        return max(self._mlp_energy(), key=lambda layer: self._mlp_energy()[layer])

    @property
    def layers_that_matter(self) -> tuple[int, ...]:
        """Layers whose MLP's output varies at least :data:`MATTERS` as much as that of :attr:`main_layer`, in the order
        of the pass; never empty.
        """
        energy = self._mlp_energy()
        return tuple(layer for layer, one in energy.items() if one >= MATTERS * max(energy.values()))

    def _mlp_energy(self) -> dict[int, float]:
        for suffix in ("hook_mlp_out", "mlp.hook_post"):
            found = {site.layer or 0: site.energy for site in self.sites if site.name.endswith(suffix)}
            if found:
                return found
        raise ValueError("no MLP was looked at; add 'mlp_out' and 'mlp_post' to the sites")

    def verdict(self) -> FourierVerdict:
        """The claim, by the rule of the module's docstring.

        Raises:
            ValueError: without ``mlp_post`` among the sites, or without controls.
        """
        matter = self.layers_that_matter
        evidence: list[LayerEvidence] = []
        for site in self.sites:
            if not site.name.endswith("mlp.hook_post"):
                continue
            if self.control is None or not site.relabelled.size:
                raise ValueError("a verdict needs controls: an untrained model, and relabelled draws")
            layer, other = site.layer or 0, self.control.site(site.name)
            evidence.append(
                LayerEvidence(
                    layer=layer,
                    matters=layer in matter,
                    diagonal_share=site.diagonal_share,
                    diagonal_chance=float(np.nanmax([site.chance_relabelled, other.diagonal_share, 0])),
                    single_frequency_share=site.single_frequency_share,
                    single_frequency_chance=float(
                        np.nanmax([*site.relabelled, other.single_frequency_share, 0])
                    ),
                )
            )
        if not evidence:
            raise ValueError("a verdict is about neurons; add 'mlp_post' to the sites")
        return FourierVerdict(any(layer.fourier for layer in evidence), tuple(evidence))

    def to_frame(self) -> pd.DataFrame:
        """A row per site; ``trained`` is False in those of the control. Columns: see `spectrum`."""
        first = {"model": self.model, "status": self.status, "step": self.step}
        rows = [
            first | {"trained": one is self, "accuracy": one.accuracy} | site.to_row()
            for one in (self, self.control)
            if one is not None
            for site in one.sites
        ]
        columns: dict[str, object] = {name: [row[name] for row in rows] for name in rows[0]}
        columns["layer"] = pd.array([row["layer"] for row in rows], dtype="Int64")
        return pd.DataFrame(columns)

    def figure(self, width: int = 1000) -> go.Figure:
        """:func:`interp.fourier_analysis.fourier_figure.fourier_figure`."""
        from interp.fourier_analysis.fourier_figure import fourier_figure

        return fourier_figure(self, width)


def fourier(
    model: RecurrentTransformer,
    ops: str | Sequence[str] = "ADD",
    n_operands: int | None = None,
    at: Sequence[str] = SITES,
    status: str = "computing",
    step: int = 0,
    control: bool = True,
    draws: int = 8,
    seed: int = 0,
    tokens: int = 8192,
) -> Fourier:
    """Spectra of a model at the right-hand side of one equation, over all values of its 2 or 3 operands.

    Args:
        ops, n_operands: see :func:`interp.operand_grid`; MUL is analysed in its non-zero
            values. at: short names (every layer) or hook names of what is transformed. status: ``computing``, or an
            idle equation as contrast: see `operand_tuples`. step: a step is a function of the
            state alone; only hooks that act at single steps make a difference. control: also an untrained model of
            the same shape, initialised with ``seed`` + 1. draws: random relabellings behind the chance of the
            single-frequency share. seed: of names, places, relabellings. tokens: positions in one forward pass,
            about.

    Raises:
        ValueError: operations, operands, status or step that are not allowed. SiteError: a site that does not exist.
    """
    if step < 0:
        raise ValueError(f"step is {step}; allowed: 0 or more")
    grid = operand_grid(model, ops, n_operands, status, seed)
    names = hook_names(model, at)
    collected = collect_grid(model, grid, list(dict.fromkeys([*names, "hook_logits"])), step, tokens)
    accuracy = float((collected["hook_logits"].argmax(-1) == grid.truth).mean())
    sites: list[SiteSpectrum] = []
    for name in names:
        activations = collected.pop(name)
        in_use = draws if name.endswith(("hook_pre", "hook_post")) else 0
        sites.append(site_spectrum(activations, grid.characters, name, in_use, seed))
    untrained = None
    if control:
        other = model.untrained(seed + 1)
        untrained = fourier(other, ops, n_operands, at, status, step, False, 0, seed, tokens)
    return Fourier(
        model=model.cfg.method,
        status=status,
        step=step,
        seed=seed,
        characters=grid.characters,
        accuracy=accuracy,
        sites=tuple(sites),
        embedding=embedding_spectrum(model, grid.characters, seed=seed),
        control=untrained,
    )


def embedding_spectrum(
    model: RecurrentTransformer, characters: Characters, draws: int = 100, seed: int = 0
) -> EmbeddingSpectrum:
    """The spectrum of the value factor's embeddings, the values in the order of the characters."""
    rows = value_embeddings(model, characters)

    def transform(rows: NDArray[np.float64]) -> NDArray[np.float64]:
        cells = (np.abs(np.fft.fft(rows, axis=0, norm="forward")) ** 2).sum(1)
        own = np.arange(len(cells))
        cells[own != -own % len(cells)] *= 2  # a and -a are one frequency
        return cells[[0, *characters.frequencies]]

    rng = np.random.default_rng(seed)
    energy = transform(rows)
    shuffled = [gini(transform(rng.permutation(rows))[1:]) for _ in range(draws)]
    return EmbeddingSpectrum(energy[1:], float(energy[0]), np.array(shuffled))


def idle_contrast(
    model: RecurrentTransformer, ops: str | Sequence[str] = "ADD", n_operands: int = 3, seed: int = 0
) -> pd.DataFrame:
    """The same equation computing and idle: :meth:`Fourier.to_frame` for each status.

    ``waiting`` is left out with 2 operands; with 3 its diagonal is that of the two known ones. Read ``energy`` first:
    an MLP that only computes when there is something to compute varies less with the operands when idle.
    """
    statuses = ("computing", "done", "corrupted", *(("waiting",) if n_operands > 2 else ()))
    results = [
        fourier(model, ops, n_operands, status=one, control=False, draws=0, seed=seed) for one in statuses
    ]
    return pd.concat([result.to_frame() for result in results], ignore_index=True)
