"""The public names exist, and the examples in their docstrings are true. All of them together are quick."""

from __future__ import annotations

import doctest
import importlib
import inspect
import time

import pytest

PACKAGES = ("models", "interp")
NAMES = [f"{package}.{name}" for package in PACKAGES for name in importlib.import_module(package).__all__]
SECONDS = 120
"""Of the processor, for all examples; on one thread, that of an idle machine."""


def public(name: str) -> object:
    """What a public name stands for; it is imported when it is asked for."""
    package, attribute = name.split(".")
    return getattr(importlib.import_module(package), attribute)


def examples(name: str) -> list[doctest.DocTest]:
    """Those of a name and, where it is a class, of its methods."""
    found = doctest.DocTestFinder(exclude_empty=True).find(public(name), name)
    return [test for test in found if test.examples]


@pytest.mark.parametrize("name", NAMES)
def test_a_public_name_is_there_and_is_documented(name: str) -> None:
    assert inspect.getdoc(public(name))


def test_the_examples_of_public_names_are_true_and_quick() -> None:
    shown: set[str] = set()
    runner = doctest.DocTestRunner(verbose=False)
    report: list[str] = []
    began = time.process_time()
    for name in NAMES:
        for test in examples(name):
            shown.add(name)
            runner.run(test, out=report.append)
    assert runner.summarize(verbose=False).failed == 0, "".join(report)
    assert time.process_time() - began < SECONDS
    assert len(shown) >= 40
