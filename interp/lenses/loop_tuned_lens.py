"""The tuned lens on any loop: an affine translator per step and point of the cycle, fitted on the loop's own runs.

Belrose et al. 2023 (arXiv 2303.08112, section 3): ``lens(h) = readout(h + A h + b)``. The readout is the loop's own
(its ``lens``: final norm, coda, head; else ``read``), and every step has translators of its own, as the same weights
find something else in the residual stream at every step. They are fitted on some rows of the inputs and judged on
others, by KL(what is shown in the end || lens), with the plain lens beside them.

What the translators aim at is the last point of their own step, or that of the whole run (``towards``): what this step
is about to write, or what the run will come to. Fitting is that of :func:`interp.fit_tuned_lens`: ridge, and then Adam
on the KL divergence. A translator is a probe: it shows what is linearly there, not what the loop uses.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
import torch
from torch import Tensor

from interp.lenses.loop_lens import factor_of, reader_of
from interp.lenses.readout import kl_divergence
from interp.lenses.translators import check_fit, fit_translator, split_of, translated
from interp.loop.protocol import STATE, Loop, LoopedError, sites_of, steps_of
from interp.loop.running import run_loop
from models.one_line import one_line


@one_line
@dataclass(frozen=True, eq=False)
class LoopTunedLens:
    """Translators, and what is read with and without them in rows they were not fitted on.

    Attributes:
        factor: what is read.
        points: site and call of every point, in the order of the cycle. All aim at the last ``resid_post``.
        weight: float [step, point, d, d], ``A``, rows are outputs. bias: float [step, point, d].
        kl: float [step, point], nats, means over held-out positions; kl_plain: without translators.
        best: the share of held-out positions at which the lens has the symbol that is shown in the end; best_plain.
        fitted_on, held_out: rows of the inputs.
    """

    factor: str
    points: tuple[tuple[str, int], ...]
    weight: Tensor
    bias: Tensor
    kl: Tensor
    kl_plain: Tensor
    best: Tensor
    best_plain: Tensor
    fitted_on: tuple[int, ...]
    held_out: tuple[int, ...]

    def to_frame(self) -> pd.DataFrame:
        """A line per step and point: ``step``, ``site``, ``call``, ``kl``, ``kl_plain``, ``best``, ``best_plain``."""
        lines: list[dict[str, Any]] = []
        for step in range(len(self.kl)):
            for index, (site, call) in enumerate(self.points):
                line: dict[str, Any] = {"step": step, "site": site, "call": call}
                for name in ("kl", "kl_plain", "best", "best_plain"):
                    line[name] = float(getattr(self, name)[step, index])
                lines.append(line)
        return pd.DataFrame(lines)


def fit_loop_tuned_lens(
    loop: Loop,
    inputs: Any,
    n_steps: int | None = None,
    factor: str | None = None,
    kind: str = "resid_post",
    where: Tensor | None = None,
    towards: Literal["step", "run"] = "step",
    held_out: float = 0.25,
    ridge: float = 1.0,
    kl_steps: int = 0,
    seed: int = 0,
) -> LoopTunedLens:
    """Run a loop, fit translators on some rows, and read the others.

    Args:
        factor: default: the only one that the loop reads.
        kind: of sites; the last site's last call is what the loop reads at the end of a step.
        where: bool [batch, pos], positions to use (:meth:`interp.Task.answers`); default: all.
        held_out: share of the rows that are read, not fitted on.
        ridge, kl_steps: as for :func:`interp.fit_tuned_lens`.
        seed: of the split.

    Raises:
        LoopedError: as :func:`interp.loop_lens`; a module with a call that some step does not have; no position left.
        ValueError: fewer than two rows, a share outside (0, 1), a negative penalty or number of steps.

    Examples:
        >>> from interp import fit_loop_tuned_lens
        >>> from models.compiled import CompiledTask, make
        >>> loop = make("reachability")
        >>> graphs, task = loop.sample(24), CompiledTask(loop)
        >>> lens = fit_loop_tuned_lens(
        ...     loop, graphs, 3, "reached", "resid_mid", where=task.answers(graphs), towards="step"
        ... )
        >>> lens.points, bool(lens.kl[0, 1] < lens.kl_plain[0, 1])  # before the MLP writes who is reached
        ((('0.resid_mid', 0), ('1.resid_mid', 0)), True)
    """
    check_fit(held_out, ridge, kl_steps, "row")
    count = steps_of(loop, inputs, n_steps, "a tuned lens")
    sites = sites_of(loop, kind, "a tuned lens")
    ends = sites_of(loop, "resid_post", "a tuned lens")[-1]
    run = run_loop(loop, inputs, count, record=list(dict.fromkeys([*sites, ends])), keep_logits=True)
    missing = [site for site in (*sites, ends) if not bool(run.calls[site].all())]
    if missing:
        raise LoopedError(f"{missing[0]!r} has not the same calls in every step; allowed are sites that have")
    name = factor_of(run.logits, factor)
    reader = reader_of(loop, STATE in run.states)
    shown = run.logits[name][1:].float()
    use = torch.ones(shown.shape[1:3], dtype=torch.bool) if where is None else where
    fitted_on, others = split_of(len(use), held_out, seed, "row")
    train, test = (use & _rows(len(use), rows)[:, None] for rows in (fitted_on, others))
    if not bool(train.any()) or not bool(test.any()):
        raise LoopedError(
            f"`where` leaves {int(train.sum())} positions to fit on and {int(test.sum())} to read; allowed is 1 or more"
        )
    points = [(site, call) for site in sites for call in range(run.calls[site].shape[1])]
    width = run[ends].shape[-1]
    weight, bias = torch.zeros(count, len(points), width, width), torch.zeros(count, len(points), width)
    found = {key: torch.zeros(count, len(points)) for key in ("kl", "kl_plain", "best", "best_plain")}

    def read(mask: Tensor) -> Any:
        """Logits [row, symbol] of residual streams [row, d] that stand where ``mask`` is."""

        def logits(hidden: Tensor) -> Tensor:
            blank = torch.zeros(*mask.shape, width, dtype=hidden.dtype)
            return reader(blank.index_put((mask,), hidden), run.context)[name][mask].float()

        return logits

    for step in range(count):
        aim = step if towards == "step" else count - 1
        last, written = run[ends][aim, -1].float(), shown[aim][test]
        for index, (site, call) in enumerate(points):
            hidden = run[site][step, call].float()
            fitted = fit_translator(read(train), hidden[train], last[train], ridge, kl_steps)
            weight[step, index], bias[step, index] = fitted
            plain = hidden[test]
            for key, at in (("_plain", plain), ("", translated(plain, *fitted))):
                with torch.no_grad():
                    logits = read(test)(at)
                found[f"kl{key}"][step, index] = kl_divergence(written, logits).mean()
                found[f"best{key}"][step, index] = (logits.argmax(-1) == written.argmax(-1)).float().mean()
    return LoopTunedLens(name, tuple(points), weight, bias, **found, fitted_on=fitted_on, held_out=others)


def _rows(n: int, rows: tuple[int, ...]) -> Tensor:
    return torch.isin(torch.arange(n), torch.tensor(rows))
