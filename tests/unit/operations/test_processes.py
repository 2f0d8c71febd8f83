"""Which processes are missing, told from their heartbeats alone."""

from __future__ import annotations

import pytest

from worker.operations.processes import troubles
from worker.store.heartbeats import Heartbeat

NOW = 1_795_000_000_000
MINUTE = 60_000
ALL = ("web", "worker", "archiver", "sweeper", "beat", "tick")


def beat(kind: str, *, pid: int = 1, ago: int = 1000, started_ago: int = 60 * MINUTE) -> Heartbeat:
    return Heartbeat(kind, "host", pid, "1.0", NOW - started_ago, NOW - ago)


def told(beats: list[Heartbeat], *, takes_callbacks: bool = True) -> dict[str, str]:
    return {trouble.kind: trouble.seen for trouble in troubles(beats, NOW, takes_callbacks=takes_callbacks)}


def test_nothing_is_told_while_all_live() -> None:
    assert told([beat(kind) for kind in ALL]) == {}


@pytest.mark.parametrize("kind", [kind for kind in ALL if kind != "tick"])
def test_a_kind_that_fell_silent_is_told_with_its_last_sign(kind: str) -> None:
    beats = [beat(other, ago=15 * MINUTE if other == kind else 1000) for other in ALL]

    assert told(beats)[kind].startswith(f"no {kind} is alive (the last sign was 15 min ago, of pid 1 on host): ")


def test_after_all_signs_are_lost_every_kind_is_missing() -> None:
    assert set(told([])) == {"web", "worker", "archiver", "sweeper", "beat"}


def test_without_callbacks_no_receiver_is_missed() -> None:
    assert "web" not in told([], takes_callbacks=False)


def test_the_console_is_missed_where_tokens_are_set_alone() -> None:
    beats = [beat(kind) for kind in ALL]

    served = {trouble.kind for trouble in troubles(beats, NOW, takes_callbacks=True, serves_api=True)}

    assert (served, told(beats)) == ({"console"}, {})


def test_one_frozen_worker_of_two_is_told() -> None:
    beats = [*(beat(kind) for kind in ALL), beat("worker", pid=2, ago=15 * MINUTE)]

    assert told(beats) == {
        "worker": "a worker has given no sign for 15 min (pid 2 on host); alive beside it: 1",
    }


def test_a_worker_that_another_was_started_for_since_is_not_missed() -> None:
    others = [beat(kind) for kind in ALL if kind != "worker"]
    beats = [*others, beat("worker", pid=2, ago=15 * MINUTE), beat("worker", pid=3, started_ago=14 * MINUTE)]

    assert told(beats) == {}


def test_ticks_that_no_sweeper_gets_are_told_though_both_live() -> None:
    beats = [beat(kind, ago=5 * MINUTE if kind == "tick" else 1000) for kind in ALL]

    assert told(beats)["sweeper"].startswith(
        "beat and the sweeper are alive, but no tick arrives (the last sign was 5 min"
    )


def test_the_first_tick_may_take_its_time() -> None:
    beats = [beat(kind, started_ago=10_000) for kind in ALL if kind != "tick"]

    assert told(beats) == {}
