"""A table of claims by models: what fails on which, and what nothing fails, on small models and by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from analyses import claims_table
from analyses.claim import Claim
from analyses.claims_table import ClaimsTable, claims_by_model
from analyses.inputs import InputError
from analyses.paper_claims import STATEMENTS
from analyses.reporting import parts
from analyses.reporting.parts import Amounts
from tests.small_models import save_compiled

TINY = Amounts((6, 9), 2, 4, 8, 8, 1, 4, False, 2)
SECTIONS = ("codes", "correction", "changes")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_compiled(tmp_path_factory.mktemp("model") / "small"))


@pytest.fixture(scope="module")
def table(model: str) -> ClaimsTable:
    return claims_by_model([model, f"untrained:{model}"], amounts=TINY, sections=SECTIONS)


def test_an_untrained_model_fails_what_the_compiled_one_meets(model: str, table: ClaimsTable) -> None:
    untrained = f"untrained:{model}"
    assert table.models == (model, untrained)
    assert table.keys == tuple(key for key in STATEMENTS if key in ("corrects", "only_values", "first_mlp"))
    for key in ("corrects", "only_values"):
        assert table.claims[model][key].verdict == "holds" != table.claims[untrained][key].verdict
    assert table.failed_by("only_values") == (untrained,)
    assert "only_values" not in table.to_remove
    frame = table.to_frame()
    assert list(frame.columns) == ["claim", model, untrained, "failed_by", "remove"]
    assert dict(zip(frame["claim"], frame["remove"], strict=True)) == {
        key: key in table.to_remove for key in table.keys
    }


def by_hand(**verdicts: tuple[Any, Any]) -> ClaimsTable:
    rows = [{key: Claim(key, pair[k], "", "") for key, pair in verdicts.items()} for k in (0, 1)]
    return ClaimsTable({"good": rows[0], "bad": rows[1]}, 0, ("ADD",))


def test_a_claim_that_nothing_fails_is_to_be_removed() -> None:
    found = by_hand(
        corrects=("holds", "not"),
        adapts=("holds", "partly"),
        fourier=("does not apply", "not measured"),
        first_mlp=("not", "not"),
    )
    assert found.to_remove == ("adapts", "fourier")
    assert found.failed_by("corrects") == ("bad",) and found.failed_by("first_mlp") == ("good", "bad")
    assert "2 fail on at least one of 2 models; to be removed" in found.verdict()
    assert found.verdict().endswith("adapts, fourier.")
    data = json.loads(json.dumps(found.to_dict()))
    assert [row["remove"] for row in data["claims"]] == [False, True, True, False]
    assert data["claims"][0]["models"]["bad"]["verdict"] == "not"
    assert found.table().row_count == 4


def test_bad_models_are_refused(model: str) -> None:
    for models, message in (([], "Models are none"), ([model, model], "each once")):
        with pytest.raises(InputError, match=message):
            claims_by_model(models, amounts=TINY)
    for name in ("nobody", "untrained:nobody"):
        with pytest.raises(InputError, match="no model 'nobody'"):
            claims_by_model([name], amounts=TINY)


def test_the_command_writes_the_table(model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "QUICK", TINY)
    whole = claims_by_model

    def few(*given: Any) -> ClaimsTable:
        return whole(*given[:4], ("changes",), *given[5:])

    monkeypatch.setattr(claims_table, "claims_by_model", few)
    application = typer.Typer()
    application.command()(claims_table.main)
    file = tmp_path / "claims.json"
    done = CliRunner().invoke(application, ["--models", model, "--quick", "--json", str(file)])
    assert done.exit_code == 0, done.output
    assert "Change by block" in done.stderr and "Of 1 claims" in done.stdout
    assert json.loads(file.read_text())["models"] == [model]
