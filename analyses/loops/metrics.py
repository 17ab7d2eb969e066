"""What is measured of a looped model's last state: three by name, or one of a file of one's own."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any

from analyses.inputs import InputError
from analyses.own_function import OWN, own_function
from models.graph_errors import clip

if TYPE_CHECKING:
    from torch import Tensor

    from interp.causal.loop_metrics import Metric


def loop_metric(
    name: str, clean: Mapping[str, Tensor], corrupt: Mapping[str, Tensor], where: Mapping[str, Tensor]
) -> Metric:
    """A metric of what is read: mean over the positions of `where`, factor -> bool [batch, pos].

    clean, corrupt: factor -> int [batch, pos], the symbols that are compared. name: one of
    `interp.causal.loop_metrics.LOOP_METRICS`, or `FILE.py:FUNCTION`, which gets factor -> logits [batch, pos, size] and
    returns a number for each row.

    Raises:
        InputError: another name, or a file or function that is not there.
    """
    if ":" in name:
        return _own(name, own_function(name, "a metric")[1])
    from interp.causal.loop_metrics import LOOP_METRICS, symbol_metric

    if name not in LOOP_METRICS:
        raise InputError(
            f"--metric is {clip(name)!r}: of a looped model it must be one of {', '.join(LOOP_METRICS)}, or {OWN}."
        )
    return symbol_metric(name, clean, corrupt, where)


def chosen_positions(
    where: Mapping[str, Tensor], factor: str | None, positions: Collection[int]
) -> dict[str, Tensor]:
    """Of positions that could be read, those of one factor, or at some positions.

    Raises:
        InputError: a factor that is not there, or nothing left.
    """
    import torch

    if factor is not None and factor not in where:
        raise InputError(f"--factor is {clip(factor)!r}: it must be one of {', '.join(where)}.")
    found = {name: at for name, at in where.items() if factor in (None, name) and bool(at.any())}
    if positions:
        length = next(iter(where.values())).shape[-1]
        if not set(positions) <= set(range(length)):
            raise InputError(f"--read is {','.join(map(str, positions))}: positions are 0 to {length - 1}.")
        mask = torch.zeros(length, dtype=torch.bool)
        mask[list(positions)] = True
        found = {name: at & mask for name, at in found.items() if bool((at & mask).any())}
    if not found or not bool(torch.stack([at.any(1) for at in found.values()]).any(0).all()):
        raise InputError(
            "Nothing is left to be measured: at these positions the clean and the corrupt run end alike."
        )
    return found


def _own(name: str, function: Callable[..., Any]) -> Metric:
    def measured(logits: Mapping[str, Tensor]) -> Tensor:
        import torch

        found = function(logits)
        rows = len(next(iter(logits.values())))
        if not isinstance(found, torch.Tensor) or found.numel() not in (1, rows):
            raise InputError(
                f"{clip(name)} gave {clip(repr(found))}: it must be a tensor of one number for each of {rows} rows."
            )
        return found.float().reshape(-1).expand(rows)

    return measured
