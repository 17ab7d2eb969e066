"""A share of the whole is told to who listens, however deep the loop is that makes progress."""

from __future__ import annotations

from interp import attribution_graph, story
from interp.progress import followed, listening, phase, told
from models import ComputationGraph, load

GRAPH = ComputationGraph.parse("20 = a; 2 = b; a + b = c; b + c = d")


def heard(work) -> list[float]:
    shares: list[float] = []
    with listening(shares.append):
        work()
    return [round(share, 4) for share in shares]


def test_an_inner_loop_divides_an_item_of_the_outer():
    def work() -> None:
        for _ in followed([1, 2]):
            for _ in followed(range(2)):
                pass

    assert heard(work) == [0.25, 0.5, 0.5, 0.75, 1, 1]


def test_what_is_made_on_the_way_belongs_to_its_item():
    def made():
        for number in range(4):
            told(1, 2)
            yield number

    def work() -> None:
        assert list(followed(made(), 4)) == [0, 1, 2, 3]

    assert heard(work)[:4] == [0.125, 0.25, 0.375, 0.5]


def test_phases_follow_each_other_and_nothing_falls():
    def work() -> None:
        with phase(0.0, 0.5):
            told(1, 2)
            told(0, 2)
        with phase(0.5, 1.0):
            told(3, 4)

    assert heard(work) == [0.25, 0.25, 0.5, 0.875, 1]


def test_a_loop_that_is_left_early_leaves_nothing_behind():
    def work() -> None:
        for number in followed(range(10)):
            if number == 4:
                break
        told(1, 2)

    assert heard(work)[-1] == 0.7  # 4 of 10, and half of what is left


def test_more_items_than_were_said_and_fewer():
    assert list(followed(iter("abc"), 2)) == list("abc")
    assert heard(lambda: list(followed(iter("abc"), 2)))[:2] == [0.5, 1]
    assert heard(lambda: list(followed(iter("a"), 2)))[-1] == 1
    assert list(followed([])) == []


def test_without_a_listener_nothing_happens():
    told(1, 2)
    with phase(0, 1):
        assert list(followed("ab")) == ["a", "b"]


def test_long_studies_tell_how_far_they_are():
    model = load("compiled")
    for work in (lambda: attribution_graph(model, GRAPH, draws=1), lambda: story(model, GRAPH, "d")):
        shares = heard(work)
        assert shares == sorted(shares) and len({share for share in shares if 0 < share < 1}) >= 3


def test_what_follows_a_phase_is_what_is_left():
    def work() -> None:
        with phase(0.0, 0.5):
            told(1, 1)
        told(1, 2)
        for _ in followed("ab"):
            pass

    assert heard(work) == [0.5, 0.5, 0.75, 0.75, 1]
