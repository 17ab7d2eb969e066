"""A report on one checkpoint: the paper's claims against what is measured: `python -m analyses.report --help`.

Everything that the other commands measure, once, with controls, on one HTML page that needs no network
(`analyses.reporting`), the claims table first (`analyses.claims`). `--json` receives all numbers, and beside it a
folder NAME_figures with every figure as plotly JSON. The same command writes the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from analyses.export import writing
from analyses.inputs import InputError, load_model, parse_operations
from analyses.options import (
    MOST_GRAPHS,
    ConfigOption,
    ModelOption,
    OpsOption,
    QuickOption,
    QuietOption,
    SectionJobsOption,
    SeedOption,
    a_path,
    at_least,
    run_alone,
    wide_console,
)
from analyses.progress import progress_bar
from analyses.terminal import reports_bad_input
from models.compiled_names import fitting_name
from models.files import check_file, write_text
from models.one_line import one_line
from models.printable import printable

if TYPE_CHECKING:
    from rich.table import Table

    from analyses.claims import Claim
    from analyses.reporting.parts import Job, Part

FIGURES = "_figures"
FAILED = 1
"""Exit code where a section failed; everything is written all the same."""


@one_line
@dataclass(frozen=True)
class ReportStudy:
    """The report on `job.model`: its sections in the order of the page, and what the model is."""

    job: Job
    description: str
    parts: tuple[Part, ...]

    @property
    def claims(self) -> tuple[Claim, ...]:
        """Rows of the claims table, in its order."""
        from analyses.claims import STATEMENTS

        order = list(STATEMENTS)
        found = [claim for part in self.parts for claim in part.contents.claims]
        return tuple(sorted(found, key=lambda claim: order.index(claim.key)))

    @property
    def failed(self) -> tuple[Part, ...]:
        """The sections that failed."""
        return tuple(part for part in self.parts if part.error)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values: settings, claims, sections without their figures' data."""
        return {
            "model": self.job.model,
            "description": self.description,
            "seed": self.job.seed,
            "ops": list(self.job.ops),
            "amounts": asdict(self.job.amounts),
            "claims": [claim.to_dict() for claim in self.claims],
            "sections": [part.to_dict() for part in self.parts],
        }

    def html(self) -> str:
        """The page."""
        from analyses.reporting.html import page

        return page(self)

    def figures(self) -> dict[str, str]:
        """Name -> plotly JSON of every figure, in the order of the page."""
        return {drawing.name: drawing.plot for part in self.parts for drawing in part.contents.drawings}

    def table(self) -> Table:
        """A rich table of the claims."""
        from rich.table import Table

        table = Table(title=f"{self.job.model}: claims of the paper", title_justify="left", show_lines=True)
        for name in ("paper", "verdict", "measured here", "control"):
            table.add_column(name, ratio=None if name == "verdict" else 1)
        for claim in self.claims:
            table.add_row(claim.statement.paper, claim.verdict, claim.measured, claim.control)
        return table

    def verdict(self) -> str:
        """One sentence: how many claims hold, and which sections failed or do not apply."""
        from analyses.claims import count_verdicts

        parts = [f"{self.job.model}: of {len(self.claims)} claims {count_verdicts(self.claims)}"]
        left_out = [part.key for part in self.parts if part.reason]
        if left_out:
            parts.append(f"sections that do not apply: {', '.join(left_out)}")
        if self.failed:
            parts.append(f"sections that failed: {', '.join(part.key for part in self.failed)}")
        return "; ".join(parts) + "."


def study_report(
    job: Job,
    sections: Sequence[str] | None = None,
    jobs: int = 1,
    progress: Callable[[str], None] | None = None,
) -> ReportStudy:
    """Make the sections (None: all) of a report; `progress` is told the title of each that is done.

    jobs: sections that are made at the same time, each in a process of its own with one thread; the report does not
    depend on it.

    Raises:
        InputError: a model that cannot be loaded, operations it does not know, an unknown section.
    """
    from analyses.reporting.parts import check_operations
    from analyses.reporting.sections import KEYS, SECTIONS, make_part
    from analyses.sweeps import sweep_graphs

    model = load_model(job.model)
    job = replace(job, ops=check_operations(model, job.ops))
    wanted = KEYS if sections is None else tuple(sections)
    unknown = [key for key in wanted if key not in KEYS]
    if unknown:
        raise InputError(f"There is no section {', '.join(unknown)}: use some of {', '.join(KEYS)}.")
    chosen = [section for section in SECTIONS if section.key in wanted]
    dearest_first = sorted(chosen, key=lambda section: -section.cost)
    made: dict[str, Part] = {}
    for part in sweep_graphs(make_part, [(section.key, job) for section in dearest_first], job.model, jobs):
        made[part.key] = part
        if progress is not None:
            progress(part.title)
    cfg = model.cfg
    layers = f"{cfg.n_layers} layer{'s' * (cfg.n_layers != 1)} of {cfg.n_heads} heads"
    description = (
        f"Method {cfg.method}: {layers}, d_model {cfg.d_model}, {cfg.d_mlp} neurons a layer, values modulo "
        f"{model.vocabulary.modulus}, operations {', '.join(model.vocabulary.ops)}."
    )
    return ReportStudy(job, description, tuple(made[section.key] for section in chosen))


def check_outputs(out: Path, json_file: Path | None) -> None:
    """Raises InputError where nothing could be written; called before the work, not after it."""
    with writing():
        for path in (out, *([] if json_file is None else [json_file])):
            check_file(path)
    if json_file is not None and _figures_folder(json_file).is_file():
        raise InputError(f"Cannot write figures into {_figures_folder(json_file)}: it is a file.")


def write_report(study: ReportStudy, out: Path, json_file: Path | None = None) -> list[Path]:
    """Write the page, and with `json_file` all numbers and a folder of figures; returns the paths.

    Raises InputError where a file cannot be written.
    """
    files = {out: study.html()}
    if json_file is not None:
        files[json_file] = json.dumps(study.to_dict(), indent=2) + "\n"
        folder = _figures_folder(json_file)
        files |= {folder / f"{name}.json": plot + "\n" for name, plot in study.figures().items()}
    with writing():
        for path, text in files.items():
            write_text(path, text)
    return list(files)


def _figures_folder(json_file: Path) -> Path:
    return json_file.with_name(json_file.stem + FIGURES)


@reports_bad_input
def report_command(
    model: ModelOption = "discrete-corrected",
    out: Annotated[
        Path, typer.Option("--out", callback=a_path, metavar="FILE.html", help="The page.")
    ] = Path("report.html"),
    json_file: Annotated[
        Path | None,
        typer.Option(
            "--json",
            callback=a_path,
            metavar="FILE",
            help="All numbers; figures go into FILE_figures beside it.",
        ),
    ] = None,
    sections: Annotated[
        str | None, typer.Option("--sections", metavar="KEY,...", help="Only these.  [default: all]")
    ] = None,
    graphs: Annotated[
        int | None,
        typer.Option(
            "--graphs", callback=at_least(4, MOST_GRAPHS), help="Sampled graphs of a section.  [default: 24]"
        ),
    ] = None,
    seed: SeedOption = 0,
    ops: OpsOption = "ADD",
    quick: QuickOption = False,
    jobs: SectionJobsOption = 2,
    quiet: QuietOption = False,
    config: ConfigOption = None,
) -> None:
    """Measure a model against the paper's claims, and write one HTML page of everything."""
    from analyses.reporting.parts import FULL, QUICK, Job
    from analyses.reporting.sections import KEYS

    check_outputs(out, json_file)
    amounts = QUICK if quick else FULL
    if graphs is not None:
        amounts = replace(amounts, graphs=graphs, per_size=graphs)
    wanted = None if sections is None else [key.strip() for key in sections.split(",") if key.strip()]
    operations = parse_operations(ops)
    job = Job(fitting_name(model, operations), seed, operations, amounts)
    total = len(KEYS if wanted is None else wanted)
    with progress_bar("sections", total, quiet) as (bar, task):
        study = study_report(
            job, wanted, jobs, lambda title: bar.update(task, advance=1, description=f"done: {title}")
        )
    written = write_report(study, out, json_file)
    console = wide_console()
    if not quiet:
        console.print(study.table())
        for path in written[: 1 if json_file is None else 2]:
            console.print(f"Wrote {printable(str(path))}", soft_wrap=True)
    for part in study.failed:
        typer.echo(printable(f"Section {part.key} failed: {part.error}"), err=True)
    console.print(study.verdict(), soft_wrap=True)
    if study.failed:
        raise typer.Exit(FAILED)


if __name__ == "__main__":
    run_alone(report_command)
