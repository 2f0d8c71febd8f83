"""Checks run side by side, each in bounded time, and one that breaks hides no other."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest

from worker.cli.doctor import line
from worker.errors import StoreError
from worker.operations.doctor.findings import Check, Finding, Mark, fail, ok, side_by_side
from worker.operations.doctor.store_checks import connections, durability, eviction, networks
from worker.settings.settings import Settings
from worker.store import ServerFacts

ENV = {"CALLSHEET_REDIS_URL": "redis://h", "CALLSHEET_BUCKET": "bucket", "EVOLINK_API_KEY": "k"}


def facts(
    durability: str = "always", policy: str | None = "noeviction", fsync: str | None = "always", memory: int | None = 0
) -> ServerFacts:
    return ServerFacts("valkey 9", True, fsync, policy, memory, durability)


def broken() -> Iterator[Finding]:
    yield ok("b", "first")
    raise StoreError("Redis is gone")


def foreign() -> Iterator[Finding]:
    raise ConnectionResetError("secret://user:password@host")
    yield


def test_findings_come_in_the_order_of_the_checks() -> None:
    first_may_end = threading.Event()

    def slow() -> Iterator[Finding]:
        first_may_end.wait(10)
        yield ok("a", "slow")

    def quick() -> Iterator[Finding]:
        yield ok("b", "quick")
        first_may_end.set()

    found = list(side_by_side([Check("a", slow, ""), Check("b", quick, "")]))

    assert [finding.seen for finding in found] == ["slow", "quick"]


def test_an_error_of_ours_is_a_failure_with_advice_and_keeps_what_was_found_before() -> None:
    found = list(side_by_side([Check("b", broken, "look at Redis"), Check("c", lambda: [ok("c", "fine")], "")]))

    assert found == [ok("b", "first"), fail("b", "Redis is gone", "look at Redis"), ok("c", "fine")]


def test_a_library_s_error_is_told_by_its_type_because_its_text_may_hold_a_password() -> None:
    found = list(side_by_side([Check("broker", foreign, "check the URL")]))

    assert found == [fail("broker", "does not answer (ConnectionResetError)", "check the URL")]


def test_a_check_past_its_limit_fails_and_the_next_is_still_told() -> None:
    release = threading.Event()

    def stuck() -> Iterator[Finding]:
        release.wait(10)
        yield ok("s", "too late")

    found = list(
        side_by_side([Check("s", stuck, "wait", limit_seconds=0.05), Check("c", lambda: [ok("c", "fine")], "")])
    )
    release.set()

    assert found == [fail("s", "no answer within 0.05 s", "wait"), ok("c", "fine")]


@pytest.mark.parametrize("kept", ["always", "waitaof"])
def test_durability_is_sound_where_a_write_is_on_disk_first(kept: str) -> None:
    assert durability(facts(kept)).mark is Mark.OK


def test_no_durability_is_said_loudly() -> None:
    finding = durability(facts("none", fsync="everysec"))

    assert finding.mark is Mark.FAIL
    assert "PAID FOR TWICE (appendfsync everysec, no WAITAOF)" in finding.seen


@pytest.mark.parametrize(
    ("policy", "memory", "mark"),
    [
        ("noeviction", 10**9, Mark.OK),
        ("allkeys-lru", 10**9, Mark.FAIL),
        ("volatile-ttl", 10**9, Mark.FAIL),
        ("allkeys-lru", 0, Mark.WARN),
        (None, None, Mark.WARN),
    ],
)
def test_records_must_never_be_evicted(policy: str | None, memory: int | None, mark: Mark) -> None:
    assert eviction(facts(policy=policy, memory=memory)).mark is mark


@pytest.mark.parametrize(
    ("held", "most", "mark"),
    [(106, 10_000, Mark.OK), (8_000, 10_000, Mark.WARN), (20, 100, Mark.WARN), (None, None, Mark.OK)],
)
def test_redis_must_have_room_for_the_connections_of_all_processes(
    held: int | None, most: int | None, mark: Mark
) -> None:
    assert connections(replace(facts(), clients=held, most_clients=most)).mark is mark


@pytest.mark.parametrize(("allowed", "mark"), [("", Mark.OK), ("10.0.0.0/8", Mark.WARN)])
def test_opened_networks_are_a_warning(allowed: str, mark: Mark) -> None:
    settings = Settings.from_env({**ENV, "CALLSHEET_ALLOW_NETWORKS": allowed})

    assert [finding.mark for finding in networks(settings)] == [mark]


def test_a_line_says_what_to_do_and_cannot_be_obeyed_by_a_terminal() -> None:
    assert line(fail("Redis", "gone\x1b[2J", "start it")) == "FAIL  Redis          gone\\x1b[2J; start it"
