"""Beat's ticks: a second apart whatever clocks are set to, and without an instant that another host could misread."""

from __future__ import annotations

from datetime import datetime, timedelta
from importlib import import_module
from typing import Any

import pytest
from celery import Celery, beat

from worker.messaging.ticks import every

SECOND, DAY = 1.0, 86_400.0
REQUIRED = {
    "CALLSHEET_REDIS_URL": "redis://127.0.0.1:6379/0",
    "CALLSHEET_BUCKET": "videos",
    "EVOLINK_API_KEY": "a-key-of-evolink",
}


class Host:
    """A host with a clock that can be set, and one that cannot."""

    def __init__(self) -> None:
        self.wall = datetime(2026, 12, 1, 12, 0, 0)  # noqa: DTZ001  as Celery's own without time zone
        self.monotonic = 1000.0

    def passes(self, seconds: float) -> None:
        self.monotonic += seconds
        self.wall += timedelta(seconds=seconds)


class Beat(beat.Scheduler):
    """Celery's scheduler, which counts what it would send."""

    sent = 0

    def apply_async(self, *_: Any, **__: Any) -> Any:
        self.sent += 1

    def setup_schedule(self) -> None:
        self.update_from_dict(self.app.conf.beat_schedule)


@pytest.fixture
def host() -> Host:
    return Host()


@pytest.fixture
def scheduler(host: Host) -> Beat:
    app = Celery("studio", broker="memory://", set_as_current=False)
    app.now = lambda: host.wall  # type: ignore[method-assign]
    app.conf.beat_schedule = {"sweep": {"task": "callsheet.sweep", "schedule": every(SECOND, lambda: host.monotonic)}}
    return Beat(app, lazy=False)


def ticks_in(scheduler: Beat, host: Host, seconds: float) -> int:
    """The number of ticks sent while beat looks four times a second."""
    before = scheduler.sent
    for _ in range(int(4 * seconds)):
        scheduler.tick()
        host.passes(0.25)
    return scheduler.sent - before


def test_a_tick_is_sent_every_second(scheduler: Beat, host: Host) -> None:
    assert ticks_in(scheduler, host, 60) in (59, 60)


@pytest.mark.parametrize("jump", [-60.0, -DAY, 60.0, DAY])
def test_a_hosts_clock_that_is_set_changes_nothing(scheduler: Beat, host: Host, jump: float) -> None:
    ticks_in(scheduler, host, 10)

    host.wall += timedelta(seconds=jump)

    assert ticks_in(scheduler, host, 60) in (59, 60)


def test_ticks_that_were_missed_are_not_made_up_for(scheduler: Beat, host: Host) -> None:
    ticks_in(scheduler, host, 2)
    host.passes(300)

    assert ticks_in(scheduler, host, 10) <= 11


def test_no_instant_of_beats_host_goes_along_with_a_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sweeper's host that is 3 s ahead would hold it against every tick."""
    for name, value in REQUIRED.items():
        monkeypatch.setenv(name, value)
    options = import_module("worker.celeryconfig").beat_schedule["sweep"]["options"]

    assert not {"expires", "eta", "countdown"} & set(options)
