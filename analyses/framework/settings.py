"""An argument of an analysis as an option of its command, and a choice on its page; each said once.

A `Setting` is an argument of the function that computes. A `Choice` is what a page offers: usually some values of one
setting, under the same name; `gives` says what a value means where it is not that.
"""

from __future__ import annotations

import inspect
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Annotated, Any, get_args

import typer

from analyses.inputs import InputError
from analyses.options import (
    MOST_GRAPHS,
    MOST_SETTLED_STEPS,
    MOST_WORKERS,
    STEPS_HELP,
    at_least,
    from_to,
    split_names,
)
from interp.engine.sparse.tally import Exactness
from interp.probing.estimators import ESTIMATORS
from models.bounds import MOST_STEPS


@dataclass(frozen=True)
class Setting:
    """An argument of an analysis.

    Attributes:
        name: in the shell, with dashes for `_`.
        help: a line for `--help`.
        default: None: not given.
        type: str, int, float or bool.
        argument: of the function; default: the name.
        revocable: whether a flag has a `--no-` form too.
        metavar: what stands for the value in `--help`.
        least, most: limits of a number; above: `least` itself is not allowed.
        short: the flag in short, such as `-n`.
        names: whether it is a list of names, which the shell separates by commas.
        parse: what the function gets for the text of the shell, where it is something else; raises InputError.
        of_study: whether the function takes it; otherwise it only says which graphs there are.
    """

    name: str
    help: str
    default: Any = None
    type: type = str
    argument: str = ""
    revocable: bool = False
    metavar: str | None = None
    least: float | None = None
    most: float | None = None
    above: bool = False
    short: str = ""
    names: bool = False
    parse: Callable[[Any], Any] | None = None
    of_study: bool = True

    @property
    def written(self) -> str:
        """How it is written in the shell."""
        return f"--{self.name.replace('_', '-')}"

    @property
    def passed_as(self) -> str:
        """The argument of the function."""
        return self.argument or self.name

    def parameter(self) -> inspect.Parameter:
        """The parameter of a function that typer makes a command of."""
        limits: Callable[..., Any] | None = None
        if self.least is not None and self.type is int:
            limits = at_least(int(self.least), None if self.most is None else int(self.most))
        elif self.least is not None:
            limits = from_to(self.least, self.most, self.above)
        flag = f"{self.written}/--no-{self.written[2:]}" if self.revocable else self.written
        flags = (flag, self.short) if self.short else (flag,)
        option = typer.Option(*flags, help=self.help, metavar=self.metavar, callback=limits)
        kind: Any = self.type if self.default is not None else self.type | None
        return inspect.Parameter(
            self.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=self.default,
            annotation=Annotated[kind, option],
        )

    def read(self, value: Any) -> Any:
        """What the function gets for what the shell has given."""
        if self.parse is not None:
            return self.parse(value)
        return split_names(value) if self.names else value

    def line(self, value: Any) -> str:
        """The part of a command line that gives a value to the function; empty for None, False and no names."""
        if value is None or value is False or (self.names and not value):
            return ""
        text = ",".join(map(str, value)) if self.names else str(value)
        return f" {self.written}" + ("" if value is True else f" {shlex.quote(text)}")


@dataclass(frozen=True)
class Choice:
    """One choice of a page.

    Attributes:
        name: in the address.
        label: above its box.
        offers: value (as in the address) -> label, the first is the default; or a function that returns that, where it
            takes a while.
        help: beside its box.
        computed: whether results depend on it, not only which figures are shown.
        gives: of a value, the arguments of the study that it stands for; None: the setting of the choice's name.
        typed: a pattern of what may be typed, where that is not one of `offers`, whose first is then no more than what
            stands in the empty box.
    """

    name: str
    label: str
    offers: Mapping[str, str] | Callable[[], Mapping[str, str]]
    help: str | None = None
    computed: bool = True
    gives: Callable[[str], Mapping[str, Any]] | None = None
    typed: str | None = None

    @cached_property
    def options(self) -> Mapping[str, str]:
        """Value -> label."""
        return self.offers() if callable(self.offers) else self.offers

    @property
    def default(self) -> str:
        """The value of a bare address."""
        return next(iter(self.options))

    def arguments(self, value: str) -> Mapping[str, Any]:
        """Arguments of the study that a value stands for."""
        if not self.computed:
            return {}
        return {self.name: value} if self.gives is None else self.gives(value)


STEPS = Setting("steps", STEPS_HELP, type=int, argument="n_steps", least=1, most=MOST_STEPS)
RUN_STEPS = replace(STEPS, most=MOST_SETTLED_STEPS)
"""For runs alone: steps that change nothing cost nothing."""
TARGET = Setting(
    "target", "What is read: value, depth, operand_1, operand_value_2, operation, shown, ...", "value"
)
SITES = Setting(
    "sites",
    "Such as resid_post,blocks.1.attn.hook_z.  [default: all of the residual stream]",
    names=True,
)
POSITIONS = Setting("positions", "Tokens: rhs, operands or all.", "rhs")
PROBE = Setting("kind", f"{', '.join(ESTIMATORS)}, or FILE.py:FUNCTION.", next(iter(ESTIMATORS)))
JOBS = Setting("jobs", "Workers, each with one thread.", 1, int, least=1, most=MOST_WORKERS)


def exactness(text: str) -> str:
    """The same text. Raises InputError for what is no mode of the replay engine."""
    if text not in get_args(Exactness):
        raise InputError(f"--exact is {text!r}: it must be one of {', '.join(get_args(Exactness))}.")
    return text


EXACT = Setting(
    "exact",
    f"Which positions are computed: one of {', '.join(get_args(Exactness))} (docs, Speed).",
    "states",
    parse=exactness,
)
SWEEP = (
    JOBS,
    Setting("backend", "Of joblib: loky, threading, ray or dask.", "loky"),
    Setting(
        "address",
        "A running cluster, with --backend dask (tcp://host:8786) or ray (ray://host:10001, auto).",
        metavar="ADDRESS",
    ),
    Setting("resume", "Go on with the sweep that was interrupted in the folder of --out.", False, bool),
)
"""Of an analysis that is spread over workers (`analyses.sweeps`) and keeps its parts (`analyses.kept`)."""


def count(
    name: str, help: str, default: int, least: int = 0, argument: str = "", of_study: bool = True
) -> Setting:
    """A setting that counts something."""
    return Setting(name, help, default, int, argument, least=least, most=MOST_GRAPHS, of_study=of_study)


ROW = Setting("row", "Of a looped model: the input that figures show.", 0, int, least=0, most=MOST_GRAPHS)
LOOP_SITES = replace(SITES, help="Of a looped model: sites, kinds of them, or addresses of modules.")
LOOP_FACTOR = Setting("factor", "Of a looped model: the factor whose symbols are measured.")
LOOP_METRIC = Setting(
    "metric", "Of a looped model: logit_diff, prob, accuracy, or FILE.py:FUNCTION.", "logit_diff"
)
CLEAN, CORRUPT = (
    Setting(f"{name}", f"Of a looped model: the {name} input, as --inputs has it.", metavar="TEXT")
    for name in ("clean", "corrupt")
)
"""Of an analysis that takes any looped model (`analyses.loops`)."""
PAIRS = (
    Setting(
        "pair_kind",
        "How the corrupt graph is made: leaf-value, operand, operation, leaf-swap.",
        "leaf-value",
        of_study=False,
    ),
    Setting("node", "The node that is edited.  [default: drawn]", of_study=False),
    count("n_pairs", "Sampled pairs, of seed, seed + 1, ...", 1, 1, of_study=False),
)
"""Of an analysis of pairs of graphs (`analyses.framework.pairs`)."""
