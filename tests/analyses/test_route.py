"""How many files of the project a command goes through (`analyses.benchmarks.route`); they may become fewer."""

from __future__ import annotations

from analyses.benchmarks.route import EXAMPLE, crossed


def test_few_files_lie_between_the_options_of_a_sweep_and_its_files() -> None:
    found = crossed(EXAMPLE)
    assert {"analyses/cli.py", "analyses/patching.py", "models/files.py"} <= set(found.on_the_way)
    assert {"interp/causal/patching.py", "interp/figures/panels.py"} <= set(found.on_the_way)
    assert set(found.on_the_way) <= found.executed
    assert len(found.on_the_way) <= 28
    assert len(found.executed) <= 79
