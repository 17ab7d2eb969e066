"""Which of the paper's claims each model fails: `python -m analyses.claims_table --help`.

A claim that every model meets says nothing about any of them. So each is run on models that lack what it is about:
untrained ones (`untrained:NAME` has the shape of NAME and weights that no training touched), one whose mechanism is
another (`compiled` adds by a table), one that learned no correction (`discrete`), one whose states are not discrete
(`continuous`). A claim *fails* on a model where its verdict is `not`; one that no model listed fails is flagged as one
to remove. What does not apply to a model, or could not be measured, is no failure.

Only sections of the report that give claims are made (`analyses.report`), with smaller amounts; `--json` receives every
row in full.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from analyses.export import Outputs, writing
from analyses.inputs import InputError, load_model, parse_operations
from analyses.options import (
    ConfigOption,
    JsonOption,
    OpsOption,
    QuickOption,
    QuietOption,
    SectionJobsOption,
    SeedOption,
    run_alone,
    split_names,
    wide_console,
)
from analyses.terminal import reports_bad_input
from models.compiled_names import fitting_name
from models.files import write_text
from models.one_line import one_line
from models.printable import printable

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table

    from analyses.claim import Claim
    from analyses.reporting.parts import Amounts

MODELS: Final = ("discrete-corrected", "untrained:discrete-corrected", "compiled", "discrete", "continuous")
UNTRAINED: Final = "untrained:"
OTHER_SEED: Final = 2
"""Added to the seed for an untrained model that is studied: it is not the one that its claims are held against."""
FAILED: Final = 1
"""Exit code where a section failed; everything is written all the same."""


@one_line
@dataclass(frozen=True)
class ClaimsTable:
    """The claims of every model.

    Attributes:
        claims: model -> its claims by key, in the order of `analyses.paper_claims.STATEMENTS`.
        seed, ops: what they were measured with.
    """

    claims: Mapping[str, Mapping[str, Claim]]
    seed: int
    ops: tuple[str, ...]

    @property
    def models(self) -> tuple[str, ...]:
        """Columns."""
        return tuple(self.claims)

    @property
    def keys(self) -> tuple[str, ...]:
        """Rows."""
        return tuple(next(iter(self.claims.values())))

    def failed_by(self, key: str) -> tuple[str, ...]:
        """The models on which a claim's verdict is `not`."""
        return tuple(model for model, found in self.claims.items() if found[key].verdict == "not")

    @property
    def to_remove(self) -> tuple[str, ...]:
        """Claims that no model fails."""
        return tuple(key for key in self.keys if not self.failed_by(key))

    def to_frame(self) -> pd.DataFrame:
        """One row per claim: ``claim``, a column of verdicts per model, ``failed_by`` (a text), ``remove``."""
        import pandas as pd

        return pd.DataFrame(
            [
                {
                    "claim": key,
                    **{model: found[key].verdict for model, found in self.claims.items()},
                    "failed_by": ", ".join(self.failed_by(key)),
                    "remove": key in self.to_remove,
                }
                for key in self.keys
            ]
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values: settings, and for every claim the row of every model."""
        return {
            "models": list(self.models),
            "seed": self.seed,
            "ops": list(self.ops),
            "claims": [
                {
                    "key": key,
                    "failed_by": list(self.failed_by(key)),
                    "remove": key in self.to_remove,
                    "models": {model: found[key].to_dict() for model, found in self.claims.items()},
                }
                for key in self.keys
            ],
        }

    def table(self) -> Table:
        """A rich table, claims by models."""
        from rich.table import Table

        table = Table(title="Claims by model", title_justify="left", show_lines=True)
        for column in ("claim", *self.models, "failed by"):
            table.add_column(column)
        for key in self.keys:
            verdicts = [found[key].verdict for found in self.claims.values()]
            table.add_row(key, *verdicts, ", ".join(self.failed_by(key)) or "none: remove it")
        return table

    def verdict(self) -> str:
        """How many claims some model fails, and which none does."""
        kept = len(self.keys) - len(self.to_remove)
        flagged = (
            f"; to be removed, as no model here fails them: {', '.join(self.to_remove)}"
            if self.to_remove
            else ""
        )
        return (
            f"Of {len(self.keys)} claims {kept} fail on at least one of {len(self.models)} models{flagged}."
        )


def claims_by_model(
    models: Sequence[str],
    seed: int = 0,
    ops: Sequence[str] = ("ADD",),
    amounts: Amounts | None = None,
    sections: Sequence[str] | None = None,
    jobs: int = 1,
    progress: Callable[[str], None] | None = None,
) -> ClaimsTable:
    """Measure the claims on every model.

    models: names or paths, or `untrained:` and one. amounts: default `BRIEF`. sections: of those that give claims;
    default all. jobs: sections made at the same time. progress: is told of every section that is done.

    Raises:
        InputError: no model, one twice or that cannot be loaded, operations it does not know, an unknown section.
    """
    from analyses.report import study_report
    from analyses.reporting.parts import BRIEF, Job
    from analyses.reporting.sections import SECTIONS

    if not models or len(set(models)) < len(models):
        raise InputError(f"Models are {', '.join(models) or 'none'}: give at least one, and each once.")
    wanted = [one.key for one in SECTIONS if one.claims and (sections is None or one.key in sections)]
    found: dict[str, Mapping[str, Claim]] = {}
    for name in models:
        with _a_model(fitting_name(name, ops), seed) as loadable:
            job = Job(loadable, seed, tuple(ops), amounts or BRIEF)

            def told(title: str, name: str = name) -> None:
                if progress is not None:
                    progress(f"{name}: {title}")

            study = study_report(job, wanted, jobs, told)
        found[name] = {claim.key: claim for claim in study.claims}
    return ClaimsTable(found, seed, tuple(ops))


@contextmanager
def _a_model(name: str, seed: int) -> Iterator[str]:
    """A name or path that can be loaded; of an untrained model a folder, which is deleted again."""
    if not name.startswith(UNTRAINED):
        yield name
        return
    trained = load_model(name.removeprefix(UNTRAINED))
    with TemporaryDirectory() as folder:
        trained.untrained(seed + OTHER_SEED).save_pretrained(folder)
        yield folder


@reports_bad_input
def main(
    models: Annotated[
        str, typer.Option("--models", metavar="NAME,...", help="Names, folders, or untrained:NAME.")
    ] = ",".join(MODELS),
    seed: SeedOption = 0,
    ops: OpsOption = "ADD",
    quick: QuickOption = False,
    jobs: SectionJobsOption = 1,
    json_file: JsonOption = None,
    quiet: QuietOption = False,
    config: ConfigOption = None,
) -> None:
    """Run every claim on every model, and say which fail, and which claim nothing fails."""
    from analyses.reporting.parts import BRIEF, QUICK

    Outputs("claims", json_file).check()
    console = wide_console()
    say = None if quiet else lambda text: typer.echo(printable(text), err=True)
    amounts = QUICK if quick else BRIEF
    found = claims_by_model(split_names(models) or [], seed, parse_operations(ops), amounts, None, jobs, say)
    if json_file is not None:
        with writing():
            write_text(json_file, json.dumps(found.to_dict(), indent=2) + "\n")
    if not quiet:
        console.print(found.table())
        if json_file is not None:
            console.print(f"Wrote {printable(str(json_file))}", soft_wrap=True)
    console.print(found.verdict(), soft_wrap=True)
    failed = [
        f"{model}, {key}: {claim.measured}"
        for model, claims in found.claims.items()
        for key, claim in claims.items()
        if claim.verdict == "not measured"
    ]
    for text in failed:
        typer.echo(printable(f"Not measured: {text}"), err=True)
    if failed:
        raise typer.Exit(FAILED)


if __name__ == "__main__":
    run_alone(main)
