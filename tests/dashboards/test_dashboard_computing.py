"""Computations in the background: shared, watched, left, and never in the way of a short one."""

from __future__ import annotations

import threading
import time

import pytest
import torch

from dashboards import computing
from dashboards.cached import SharedModel
from dashboards.computing import Computation
from models.compiled import compile_model
from models.sharing import with_own_hooks

GRAPH = "20 = a; 2 = b; a + b = c"


@pytest.fixture
def places() -> computing._Places:
    return computing._Places(1)


def busy(seconds: float) -> None:
    """Processor time in operations of torch, as an analysis spends it."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        torch.ones(64).sum()


def until(condition, seconds: float = 60.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end and not condition():
        time.sleep(0.02)
    return condition()


def test_two_readers_share_a_computation_and_one_may_leave(places):
    calls: list[int] = []
    go_on = threading.Event()

    def work(progress: computing.Progress) -> str:
        calls.append(1)
        while not go_on.is_set():
            busy(0.02)
        return "found"

    job: Computation[str] = Computation(work, places)
    job.start("one")
    job.start("two")
    job.leave("one")
    assert not job.wait(0.3)
    go_on.set()
    assert job.wait(60)
    assert (job.result, calls) == ("found", [1])
    job.start("three")
    assert calls == [1]


def test_a_computation_that_nobody_waits_for_ends_and_can_begin_again(places):
    def work(progress: computing.Progress) -> str:
        busy(30.0)
        return "found"

    job: Computation[str] = Computation(work, places)
    job.start("one")
    job.leave("one")
    assert job.wait(20)
    assert (job.result, job.problem) == (None, None)
    job.start("one")
    assert job.running
    job.leave("one")
    assert job.wait(20)


def test_a_short_one_does_not_wait_for_a_long_one_and_a_second_long_one_says_that_it_does(
    places, monkeypatch
):
    monkeypatch.setattr(computing, "LONG", 0.05)
    release = threading.Event()

    def long(progress: computing.Progress) -> str:
        while not release.is_set():
            busy(0.02)
        return "long"

    first, second = Computation(long, places), Computation(long, places)
    first.start("one")
    assert until(lambda: first._has_place)
    second.start("two")
    assert until(lambda: second.waiting)
    assert second.words().startswith("waiting for another reader's computation; ")
    short: Computation[str] = Computation(lambda progress: "short", places)
    short.start("three")
    assert short.wait(20)
    assert short.result == "short"
    release.set()
    assert first.wait(60)
    assert second.wait(60)
    assert (first.result, second.result) == ("long", "long")
    assert places._free == 1


def test_a_waiting_one_can_be_left(places, monkeypatch):
    monkeypatch.setattr(computing, "LONG", 0.0)
    places.take(self := object(), lambda: None)
    job: Computation[None] = Computation(lambda progress: busy(30.0), places)
    job.start("one")
    assert until(lambda: job.waiting)
    job.leave("one")
    assert job.wait(20)
    assert (places.before(self), places._free) == (0, 0)


def test_progress_elapsed_and_remaining_time_are_told(places):
    release = threading.Event()

    def work(progress: computing.Progress) -> None:
        progress(1, 4)
        release.wait(60)

    job: Computation[None] = Computation(work, places)
    job.start("one")
    assert until(lambda: job.share == 0.25)
    job._begin = time.monotonic() - 10
    assert job.words() == "10 s so far, about 30 s more"
    release.set()
    assert job.wait(20)
    guessed: Computation[None] = Computation(work, places, expected=40.0)
    guessed._begin = time.monotonic() - 10
    assert guessed.words() == "10 s so far, about 30 s more"
    unknown: Computation[None] = Computation(work, places)
    unknown._begin = time.monotonic() - 10
    assert unknown.words() == "10 s so far; nothing to tell the rest by yet"


def test_a_mistake_is_a_message(places):
    def work(progress: computing.Progress) -> None:
        raise ValueError("no such thing")

    job: Computation[None] = Computation(work, places)
    job.start("one")
    assert job.wait(20)
    assert job.problem == "no such thing"


def test_a_model_can_be_used_twice_at_once_with_the_same_weights():
    shared = SharedModel(compile_model())
    seen: list[str] = []
    with shared.use() as one, shared.use() as two:
        assert one is not two
        for own, other in zip(one.parameters(), two.parameters(), strict=True):
            assert own.data_ptr() == other.data_ptr()
        with one.hooks(fwd_hooks=[("steps.0.hook_state", lambda value, hook: seen.append("one"))]):
            run = two.run(GRAPH)
            assert seen == []
        assert torch.equal(one.run(GRAPH).states, run.states)
    with shared.use() as again:
        assert again in (one, two)


def test_a_twin_has_switches_of_its_own():
    model = compile_model()
    twin = with_own_hooks(model)
    twin.set_use_attn_result(True)
    assert twin.cfg.use_attn_result
    assert not model.cfg.use_attn_result
    assert twin.training == model.training
    assert [own.requires_grad for own in twin.parameters()] == [
        own.requires_grad for own in model.parameters()
    ]


def test_untrained_weights_are_the_seed_s_however_many_threads_draw():
    model = compile_model()
    expected = {seed: model.untrained(seed).W_E.clone() for seed in range(3)}
    wrong: list[int] = []

    def draw(seed: int) -> None:
        wrong.extend(seed for _ in range(4) if not torch.equal(model.untrained(seed).W_E, expected[seed]))

    threads = [threading.Thread(target=draw, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
