"""The rules of the claims on results made by hand; a report on a model whose mechanism is known, down to its bytes."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import plotly.io
import pytest

from analyses import claims, fourier_claims
from analyses.claims import Claim, graded
from analyses.correction import Correction, SizeCorrection
from analyses.evaluate import Evaluation, SizeResult
from analyses.inputs import InputError
from analyses.paper_claims import STATEMENTS
from analyses.report import ReportStudy, study_report, write_report
from analyses.reporting import sections
from analyses.reporting.html import page
from analyses.reporting.parts import Amounts, Contents, Job, NotApplicableError, drawing
from analyses.reporting.sections import KEYS, SECTIONS, make_part
from interp.figures.template import make_figure
from models import RecurrentConfig, RecurrentTransformer
from models.compiled import compile_model
from tests import small_models
from tests.small_models import save_compiled

TINY = Amounts((6, 9), 2, 4, 8, 8, 1, 4, False, 2)
SIZES: dict[str, Any] = {"modulus": 5, "n_variables": 16}
NAN = float("nan")

# Rules -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("share", "control", "verdict"),
    [
        (1.0, 0.0, "holds"),
        (0.95, 0.475, "holds"),
        (0.95, 0.48, "partly"),
        (0.94, 0.0, "partly"),
        (0.5, 0.5, "partly"),
        (0.49, 0.0, "not"),
        (1.0, NAN, "holds"),
        (NAN, 0.0, "not"),
    ],
)
def test_shares_are_graded(share: float, control: float, verdict: str):
    assert graded(share, control) == verdict


def evaluation(**solved: float) -> Evaluation:
    rows = [
        SizeResult(
            n_nodes=int(name[1:]),
            graphs=8,
            fully_solved=share,
            fully_solved_low=0.0,
            fully_solved_high=1.0,
            node_accuracy=share,
            solved_by_step=(share,),
            solved_at_depth=share,
            best_step=0,
            solved_best=share,
            mean_steps=3.0,
            max_steps=4,
            mean_levels=3.0,
            unsettled=0,
        )
        for name, share in solved.items()
    ]
    return Evaluation("m", tuple(rows))


def test_generalisation_is_judged_by_the_largest_size():
    good, bad = evaluation(n32=1.0, n128=1.0), evaluation(n32=1.0, n128=0.25)
    untrained = evaluation(n32=0.0, n128=0.0)
    assert claims.generalises(good, untrained).verdict == "holds"
    assert claims.generalises(bad, untrained).verdict == "not"
    assert claims.generalises(good, good).verdict == "partly"
    within = claims.generalises(evaluation(n16=1.0), evaluation(n16=0.0))
    assert (within.verdict, within.measured) == (
        "does not apply",
        "The largest graphs that were run have 16 nodes.",
    )


def correction(right: float, clean: int) -> Correction:
    size = SizeCorrection(8, 4, 20, clean, (0.4,) * 3, (right,) * 3, 0.01, 1.0, 1.0)
    return Correction("m", 0.25, None, (size, replace(size, clean_operands=0, right_after_clean=(NAN,) * 3)))


def test_correction_weighs_values_and_leaves_out_sizes_without_any():
    found = claims.corrects(correction(0.96, 10), correction(0.0, 10))
    assert found.verdict == "holds"
    assert found.numbers["corrupted"] == 10 and found.numbers["right_after"] == pytest.approx(0.96)
    assert found.numbers["corrupted_all"] == 40 and found.numbers["right_after_all"] == pytest.approx(0.4)
    assert "96.0% of 10" in found.measured and "40.0% of all 40" in found.measured
    assert claims.corrects(correction(NAN, 0), correction(NAN, 0)).verdict == "not"


def test_steps_adapt_only_at_a_level_a_step():
    assert claims.adapts(1.0, 1.0, 0.0, 0.0).verdict == "holds"
    assert claims.adapts(1.0, 0.95, 0.0, NAN).verdict == "holds"
    assert claims.adapts(1.0, 0.9, 0.0, 0.0).verdict == "partly"
    assert claims.adapts(1.0, NAN, 0.0, 0.0).verdict == "partly"
    assert claims.adapts(0.2, 1.0, 0.0, 0.0).verdict == "not"


def head_frame(*rows: tuple[int, int, float, float, float]) -> pd.DataFrame:
    """Layer, head, relative variance of the last, middle and first operand's name; half of it for values."""
    frame = pd.DataFrame(
        rows, columns=["layer", "head", *(f"operand_name:{place}" for place in claims.OPERANDS)]
    )
    for place in claims.OPERANDS:
        frame[f"operand_value:{place}"] = frame[f"operand_name:{place}"]
        for what in ("name", "value"):
            frame[f"operand_{what}:{place}:low"] = frame[f"operand_{what}:{place}"] - 0.05
            frame[f"operand_{what}:{place}:high"] = NAN if what == "value" else 0.95
    return frame.assign(roles="name:last, value:first")


def test_an_operand_has_a_head_of_its_own():
    frame = head_frame(
        (0, 0, 0.9, 0.1, 0.0), (0, 1, 0.6, 0.3, 0.0), (0, 2, 0.0, 0.6, 0.2), (1, 0, 0.0, 0.0, 0.5)
    )
    nothing = head_frame((0, 0, 0.1, 0.1, 0.1), (1, 0, NAN, NAN, NAN))
    assert claims.own_heads(frame, "name") == {"last": [(0, 0)], "middle": [(0, 2)], "first": []}
    assert claims.own_heads(frame, "value") == {"last": [], "middle": [], "first": [(1, 0)]}
    assert claims.operand_heads("name_heads", frame, nothing).verdict == "partly"
    assert claims.operand_heads("name_heads", nothing, frame).verdict == "not"
    rest = head_frame((0, 3, 0.0, 0.0, 1.0))
    found = claims.operand_heads("name_heads", pd.concat([frame, rest]), nothing)
    assert (
        found.verdict == "holds"
        and found.numbers["first"] == ["0.3"]
        and "1 of these heads look" in found.measured
    )
    assert "first operand: 0.3 (1.00, 0.95 to 0.95)" in found.measured
    assert found.numbers["relative_variance"]["last"] == [[0.9, pytest.approx(0.85), 0.95]]
    assert claims.operand_heads("value_heads", rest, nothing).verdict == "does not apply"


def ov_frame(*rows: tuple[int, int, str]) -> pd.DataFrame:
    """Layer, head, its strongest factor."""
    lines = [
        (layer, head, source, target, (3.0 if source == best else 1.0) if source == target else 9.0)
        for layer, head, best in rows
        for source in ("variable", "value", "everything")
        for target in ("variable", "value", "everything")
    ]
    frame = pd.DataFrame(lines, columns=["layer", "head", "source", "target", "norm_ratio"])
    return frame.assign(norm=frame["norm_ratio"])


def test_amplification_is_of_both_layers():
    right = ov_frame((0, 0, "variable"), (0, 1, "variable"), (0, 2, "value"), (1, 0, "value"))
    half = ov_frame((0, 0, "variable"), (1, 0, "variable"))
    none = ov_frame((0, 0, "value"), (1, 0, "variable"))
    assert claims.strongest_factors(right) == (pytest.approx(2 / 3), 1.0)
    assert claims.amplifies(right, none).verdict == "holds"
    assert claims.amplifies(half, none).verdict == "partly"
    assert claims.amplifies(none, none).verdict == "not"
    assert claims.amplifies(right, right).verdict == "not"
    assert claims.amplifies(ov_frame((0, 0, "variable")), none).verdict == "does not apply"
    nothing = ov_frame((0, 0, "variable"), (1, 0, "value"))
    nothing.loc[nothing["layer"] == 1, "norm_ratio"] = 0.0
    assert claims.strongest_factors(nothing) == (1.0, 0.0)
    assert claims.amplifies(nothing, none).verdict == "partly"


def test_other_settings_of_amplification_stand_beside_and_decide_nothing():
    right, none = (
        ov_frame((0, 0, "variable"), (1, 0, "value")),
        ov_frame((0, 0, "value"), (1, 0, "variable")),
    )
    found = claims.amplifies(none, none, {"both": (right, none)}, ["variable"])
    assert found.verdict == "not"
    assert "norm itself 0% and 0%; both 100% and 100%" in found.measured
    assert "embeddings of variable span the whole space, where it is 1" in found.measured
    assert found.numbers["beside"]["both"] == {"model": (1.0, 1.0), "untrained": (0.0, 0.0)}
    small = right.assign(norm=[0.5 if source == "value" else 1.0 for source in right["source"]])
    assert claims.strongest_factors(small, "norm") == (1.0, 0.0), "by another column"


def test_spectra():
    assert fourier_claims.diagonal_after(0.6, 0.5, 0.1, 0.0).verdict == "holds"
    assert fourier_claims.diagonal_after(0.6, 0.4, 0.1, 0.0).verdict == "partly"
    assert fourier_claims.diagonal_after(0.3, 0.9, 0.1, 0.0).verdict == "partly"
    assert fourier_claims.diagonal_after(0.6, 0.9, 0.1, 0.31).verdict == "not"


def test_every_claim_belongs_to_one_section():
    given = [key for section in SECTIONS for key in section.claims]
    assert sorted(given) == sorted(STATEMENTS)
    verdicts = [
        Claim("fourier", verdict, "", "") for verdict in ("holds", "holds", "does not apply", "not measured")
    ]
    assert claims.count_verdicts(verdicts) == "2 hold, 1 does not apply, 1 not measured"


# The report ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_compiled(tmp_path_factory.mktemp("model") / "small")


@pytest.fixture(scope="module")
def study(model: Path) -> ReportStudy:
    return study_report(Job(str(model), amounts=TINY))


class Page(HTMLParser):
    """What a page refers to, and its ids."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.tags: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.append(tag)
        self.ids += [given["id"] or ""] if "id" in given else []
        self.links += [given[name] or "" for name in ("src", "href", "action", "data") if name in given]


def test_a_table_that_adds_is_no_fourier_algorithm(study: ReportStudy):
    assert study.failed == ()
    verdicts = {claim.key: claim.verdict for claim in study.claims}
    assert list(verdicts) == list(STATEMENTS)
    assert verdicts["fourier"] == "not"
    for key in ("adapts", "corrects", "only_values", "name_heads", "value_heads", "induction"):
        assert verdicts[key] == "holds", key
    assert verdicts["generalises"] == "does not apply"
    left_out = {part.key: part.reason for part in study.parts if part.reason}
    assert list(left_out) == ["training"] and "has no snapshots" in left_out["training"]
    assert (
        "1 do not apply" not in study.verdict() and "sections that do not apply: training." in study.verdict()
    )


def test_the_page_is_whole_and_fetches_nothing(study: ReportStudy):
    text = study.html()
    found = Page(text)
    assert len(found.ids) == len(set(found.ids))
    assert {"claims", *KEYS} <= set(found.ids)
    assert {link for link in found.links if not link.startswith("#")} == set()
    assert {link[1:] for link in found.links} <= set(found.ids)
    assert not {"link", "img", "iframe", "object"} & set(found.tags)
    assert not re.search(r"@import|url\(", text[: text.index("<script>")])
    assert text.count("plotly.js v") <= 2 and len(text) < 15e6
    assert re.search(r"\b20\d\d-\d\d-\d\d\b", page(replace(study, parts=())).split("</script>")[-1]) is None


def test_every_figure_is_named_explained_and_drawn_by_a_module_that_exists(study: ReportStudy, root: Path):
    drawings = [one for part in study.parts for one in part.contents.drawings]
    assert len(drawings) > 20 and len({one.name for one in drawings}) == len(drawings)
    for one in drawings:
        assert one.title and len(one.reading.split()) > 5 and (root / one.source).is_file(), one.name
        figure: Any = plotly.io.from_json(one.plot)
        assert figure.layout.meta["title"] == one.title
        assert bool(figure.layout.title.text) == one.captioned
    with pytest.raises(ValueError, match="'bare' needs a title"):
        drawing("bare", make_figure([], {}), "interp/figures/template.py")


def test_the_same_report_is_the_same_bytes(study: ReportStudy, model: Path, tmp_path: Path):
    """Also in two processes; of the sections that draw random numbers or solve anything by iteration."""
    some = ("correction", "subspaces", "fourier", "codes", "dynamics")
    again = study_report(Job(str(model), amounts=TINY), some, jobs=2)
    same = tuple(part for part in study.parts if part.key in some)
    for name, made in (("one", replace(study, parts=same)), ("two", again)):
        write_report(made, tmp_path / f"{name}.html", tmp_path / f"{name}.json")
    for kind in ("html", "json"):
        assert (tmp_path / f"one.{kind}").read_bytes() == (tmp_path / f"two.{kind}").read_bytes()


def test_json_has_all_numbers_and_figures(study: ReportStudy, tmp_path: Path):
    written = write_report(study, tmp_path / "r.html", tmp_path / "r.json")
    data = json.loads((tmp_path / "r.json").read_text())
    assert [row["key"] for row in data["claims"]] == list(STATEMENTS)
    names = [figure["name"] for section in data["sections"] for figure in section["figures"]]
    assert sorted(path.stem for path in (tmp_path / "r_figures").iterdir()) == sorted(names)
    assert len(written) == 2 + len(names)
    first: Any = plotly.io.read_json(tmp_path / "r_figures" / f"{names[0]}.json")
    assert first.data


def test_a_section_that_fails_costs_no_other_and_is_shown(model: Path, monkeypatch: pytest.MonkeyPatch):
    def broken(*_: Any) -> Contents:
        raise KeyError("<nothing> there")

    def idle(*_: Any) -> Contents:
        raise NotApplicableError("It has no heads.")

    table = [replace(one, make={"fourier": broken, "heads": idle}.get(one.key, one.make)) for one in SECTIONS]
    monkeypatch.setattr(sections, "SECTIONS", tuple(table))
    job, loaded = Job(str(model), amounts=TINY), compile_model(("ADD",), **SIZES)
    parts = tuple(make_part(loaded, (key, job)) for key in ("trajectory", "heads", "fourier"))
    study = ReportStudy(job, "", parts)
    verdicts = {claim.key: (claim.verdict, claim.measured) for claim in study.claims}
    assert verdicts["name_heads"] == ("does not apply", "It has no heads.")
    assert verdicts["fourier"][0] == "not measured" and "KeyError" in verdicts["fourier"][1]
    assert study.verdict().endswith("sections that failed: fourier.") and [
        part.key for part in study.failed
    ] == ["fourier"]
    text = study.html()
    assert "&lt;nothing&gt; there" in text and "<nothing> there" not in text and "figure-trajectory" in text


@pytest.mark.parametrize("method", ["continuous", "recurrent", "feedforward", "chain-of-thought"])
def test_other_methods_have_sections_left_out_and_none_that_fails(method: str, tmp_path: Path):
    cfg = RecurrentConfig(
        n_layers=2,
        bottleneck="continuous" if method in ("continuous", "recurrent") else "discrete",
        method=method,
        default_steps={"recurrent": 3, "feedforward": 1, "chain-of-thought": 1}.get(method),
        **small_models.TINY,
        **SIZES,
    )
    RecurrentTransformer(cfg).save_pretrained(tmp_path / "m")
    amounts = replace(TINY, sizes=(6,), per_size=2, graphs=4, nodes=6, small=8)
    study = study_report(Job(str(tmp_path / "m"), amounts=amounts), [key for key in KEYS if key != "probes"])
    assert [part.error for part in study.failed] == []
    reasons = {part.key: part.reason for part in study.parts if part.reason}
    assert {"correction", "fourier", "story"} <= set(reasons) and "failures" not in reasons
    assert ("heads" in reasons) == (method != "continuous")
    assert all(reason.endswith(".") for reason in reasons.values())
    assert {claim.key for claim in study.claims} == set(STATEMENTS)


def test_what_cannot_be_reported_is_said(model: Path):
    with pytest.raises(InputError, match="knows ADD, not MUL"):
        study_report(Job(str(model), ops=("MUL",), amounts=TINY))
    with pytest.raises(InputError, match="no section nothing: use some of accuracy"):
        study_report(Job(str(model), amounts=TINY), ["nothing"])
    with pytest.raises(InputError, match="no model 'nobody'"):
        study_report(Job("nobody"))
