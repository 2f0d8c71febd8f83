"""Reads that are shared: fewer of them, and none that began before it was asked for."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.conftest import WaitUntil
from worker.console.shared_reads import SharedReads


class Source:
    """Answers each read with its number, once it may."""

    def __init__(self) -> None:
        self.may_go_on = threading.Event()
        self.begun = 0

    def read(self, name: str) -> str:
        self.begun += 1
        number = self.begun
        assert self.may_go_on.wait(30)
        return f"{name} {number}"


def test_those_who_ask_during_a_read_share_the_next_one(wait_until: WaitUntil) -> None:
    source = Source()
    reads = SharedReads(source.read)

    with ThreadPoolExecutor(51) as callers:
        first = callers.submit(reads.get, "j1")
        wait_until(lambda: source.begun == 1)
        others = [callers.submit(reads.get, "j1") for _ in range(50)]
        wait_until(lambda: reads._names["j1"].callers == 51)
        source.may_go_on.set()
        answers = [first.result(), *(other.result() for other in others)]

    assert answers == ["j1 1", *["j1 2"] * 50]
    assert source.begun == 2
    assert reads._names == {}


def test_one_name_does_not_wait_for_another(wait_until: WaitUntil) -> None:
    source = Source()
    reads = SharedReads(source.read)

    with ThreadPoolExecutor(2) as callers:
        both = [callers.submit(reads.get, name) for name in ("j1", "j2")]
        wait_until(lambda: source.begun == 2)
        source.may_go_on.set()

    assert {one.result()[:2] for one in both} == {"j1", "j2"}


def test_an_error_is_told_to_all_who_share_it_and_kept_for_nobody_else() -> None:
    answers: Iterator[ValueError | str] = iter([ValueError("silent"), "there"])

    def read(_name: str) -> str:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    reads = SharedReads(read)

    with pytest.raises(ValueError, match="silent"):
        reads.get("j1")
    assert reads.get("j1") == "there"
