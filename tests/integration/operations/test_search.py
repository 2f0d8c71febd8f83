"""Pages of jobs: newest first, exact while jobs come and go, by each filter, and bounded."""

from __future__ import annotations

import json
import random
from typing import Unpack

import pytest

from tests.integration.cli.conftest import Lives, environment, lives, store
from worker.errors import CallsheetError
from worker.jobs.job import JobError
from worker.jobs.states import JobState
from worker.jobs.wait_codes import WaitCode
from worker.operations import search
from worker.operations.search import Filter, page, read_cursor, write_cursor
from worker.operations.view import Reader
from worker.store import Fields, Store
from worker.store.lists import Position

__all__ = ["environment", "lives", "store"]  # fixtures

S = JobState


@pytest.fixture
def reader(environment: dict[str, str]) -> Reader:
    return Reader.from_env(environment)


def accept(store: Store, job_id: str, *, spec: dict[str, object] | None = None, **facts: Unpack[Fields]) -> None:
    store.jobs.accept(
        job_id, spec_json=json.dumps(spec or {}), spec_sha256="0" * 64, provider="evolink", model="m", facts=facts
    )


def ids(reader: Reader, wanted: Filter, limit: int = 50) -> list[str]:
    """The wanted jobs through all pages."""
    found: list[str] = []
    cursor: str | None = None
    while True:
        part = page(reader, wanted, cursor, limit)
        found += [view.job.id for view in part.jobs]
        cursor = part.next
        if cursor is None:
            return found


def newest_first(store: Store) -> list[str]:
    return [job.id for job in sorted(store.records.scan(), key=lambda job: (job.accepted_at, job.id), reverse=True)]


@pytest.mark.parametrize("limit", [1, 2, 7, 50])
def test_pages_hold_every_job_once_newest_first(limit: int, reader: Reader, store: Store) -> None:
    for n in range(20):
        accept(store, f"j{n}")

    assert ids(reader, Filter(), limit) == newest_first(store)


def test_jobs_that_stay_are_met_once_while_others_come_move_and_go(reader: Reader, store: Store, lives: Lives) -> None:
    order = random.Random(7)
    for n in range(60):
        accept(store, f"j{n}")
    before, found, cursor = newest_first(store), list[str](), ""
    while cursor is not None:
        part = page(reader, Filter(), cursor or None, 4)
        found += [view.job.id for view in part.jobs]
        cursor = part.next  # type: ignore[assignment]
        accept(store, f"new-{len(found)}")
        for job_id in order.sample(before, 5):  # moves, on both sides of the cursor
            store.jobs.move(job_id, S.CANCELLED, attempt=1, path="operator")
            store.attempts.try_again(job_id, attempt=store.jobs.get(job_id).attempt, pay_again=False)  # type: ignore[union-attr]

    assert found == before


def test_each_filter_finds_its_jobs(reader: Reader, store: Store, lives: Lives) -> None:
    accept(store, "acme", tenant="acme", spec={"metadata": {"order": 1007, "who": "ada"}})
    accept(store, "paused", waits="paused", waiting_for="evolink to be resumed")
    lives.accept("other", "gmicloud")
    lives.accept("gone")
    lives.submit("gone")
    store.jobs.move("gone", S.EXPIRED, attempt=1, path="sweep")
    lives.accept("bad")
    lives.fail("bad", JobError("submit", "moderation", "no"))
    lives.accept("unlike")
    lives.submit("unlike")
    differs: Fields = {"differs": '[{"field":"seconds","asked":5,"made":3}]'}
    store.jobs.move("unlike", S.GENERATED, attempt=1, path="poll", facts=differs)

    expected: dict[str, Filter] = {
        "acme": Filter(tenant="acme"),
        "acme ": Filter(metadata=(("order", "1007"), ("who", "ada"))),
        "other": Filter(provider="gmicloud"),
        "bad": Filter(error_code="moderation"),
        "gone": Filter(error_code="expired"),
        "unlike": Filter(differs=True),
        "paused": Filter(waits_for=WaitCode.PAUSED),
        "unlike ": Filter(waits_for=WaitCode.ARCHIVE),
        "bad ": Filter(waits_for=WaitCode.NOTHING),
        "": Filter(metadata=(("order", "1008"),)),
        " ": Filter(states=frozenset({S.ARCHIVED}), error_code="expired"),
    }
    for name, wanted in expected.items():
        assert ids(reader, wanted) == name.split(), wanted


def test_time_is_a_bound_on_both_sides(reader: Reader, store: Store) -> None:
    for n in range(9):
        accept(store, f"j{n}")
    jobs = list(store.records.read(newest_first(store)))
    since, until = jobs[6].accepted_at, jobs[2].accepted_at

    found = ids(reader, Filter(since=since, until=until), 2)

    assert found == [job.id for job in jobs if since <= job.accepted_at <= until]


def test_a_page_looks_at_so_many_records_and_says_how_far(
    reader: Reader, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "MOST_RECORDS", 5)
    for n in range(12):
        accept(store, f"j{n}", tenant="acme" if n == 0 else "zeta")
    order = newest_first(store)

    pages = [page(reader, Filter(tenant="acme"))]
    while pages[-1].next:
        pages.append(page(reader, Filter(tenant="acme"), pages[-1].next))

    assert [len(part.jobs) for part in pages] == [0, 0, 1]
    assert read_cursor(pages[0].next or "") == Position(store.jobs.get(order[4]).accepted_at, order[4])  # type: ignore[union-attr]
    assert pages[0].searched_to == store.jobs.get(order[4]).accepted_at  # type: ignore[union-attr]
    assert pages[-1].searched_to is None


def test_a_page_reads_so_many_records_in_whole_and_none_is_left_out(
    reader: Reader, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "MOST_READ", 4)
    for n in range(11):
        accept(store, f"j{n}", spec={"metadata": {"n": n}})

    assert ids(reader, Filter(metadata=(("n", "0"),))) == ["j0"]
    assert page(reader, Filter(metadata=(("n", "0"),))).searched_to is not None


@pytest.mark.parametrize("text", ["", "nonsense", "ä", "MTIz", "a" * 3000, write_cursor(Position(10**13, "a"))])
def test_a_cursor_that_is_none_of_ours_is_refused_in_words(text: str, reader: Reader) -> None:
    with pytest.raises(CallsheetError, match="cursor: is none of ours"):
        page(reader, Filter(), text)


@pytest.mark.parametrize("limit", [0, -1, 501])
def test_a_limit_out_of_bounds_is_refused_in_words(limit: int, reader: Reader) -> None:
    with pytest.raises(CallsheetError, match="limit: must be 1 to 500"):
        page(reader, Filter(), limit=limit)
