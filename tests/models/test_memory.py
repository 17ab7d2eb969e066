"""The allocator switch: it reports what happened, and can be refused."""

from __future__ import annotations

import platform

import pytest

from models import memory


@pytest.fixture(autouse=True)
def fresh() -> None:
    memory.keep_freed_memory.cache_clear()


def test_it_takes_effect_where_there_is_glibc() -> None:
    assert memory.keep_freed_memory() == (platform.libc_ver()[0] == "glibc")


def test_it_can_be_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(memory.SWITCH, "0")
    assert memory.keep_freed_memory() is False


def test_other_c_libraries_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "libc_ver", lambda: ("musl", "1.2"))
    assert memory.keep_freed_memory() is False
