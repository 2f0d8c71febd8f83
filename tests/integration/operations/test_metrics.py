"""Metrics: what Redis knows, at the moment of the scrape, whoever is asked."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal

import pytest
import redis
from click.testing import CliRunner
from prometheus_client.parser import text_string_to_metric_families

from tests.integration.store.conftest import DAY, MINUTE, RETENTION, Clock, Lives
from worker.cli import main
from worker.jobs.caps import Caps
from worker.jobs.states import JobState
from worker.operations.metrics import exposition
from worker.settings.settings import Settings
from worker.store import Store, connect
from worker.store.counters import Counter
from worker.store.metrics import Histogram, Outcome


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with connect(redis_url) as client:
        yield client


@pytest.fixture
def store(client: redis.Redis, clock: Clock) -> Store:
    return Store(client, retention_ms=RETENTION, clock=clock, monotonic=lambda: clock.now / 1000)


@pytest.fixture
def lives(store: Store) -> Lives:
    return Lives(store)


@pytest.fixture
def env(redis_url: str) -> dict[str, str]:
    return {"CALLSHEET_REDIS_URL": redis_url, "CALLSHEET_BUCKET": "bucket", "EVOLINK_API_KEY": "k"}


@pytest.fixture
def settings(env: dict[str, str]) -> Settings:
    return Settings.from_env(env)


def scraped(settings: Settings, store: Store) -> Callable[..., float]:
    """The value of a sample, by its name and the values of its labels, as Prometheus reads them."""
    families = text_string_to_metric_families(exposition(settings, store).decode())
    samples = {(s.name, frozenset(s.labels.values())): s.value for family in families for s in family.samples}
    return lambda name, *labels: samples[name, frozenset(labels)]


def test_jobs_and_their_moves_are_told(settings: Settings, store: Store, lives: Lives) -> None:
    lives.generated()
    lives.accepted("job-2")

    told = scraped(settings, store)

    assert {state: told("callsheet_jobs", state) for state in JobState} == {
        **dict.fromkeys(JobState, 0),
        JobState.GENERATED: 1,
        JobState.ACCEPTED: 1,
    }
    assert told("callsheet_moves_total", "submitted", "generated", "poll") == 1
    assert told("callsheet_moves_total", "none", "accepted", "submit") == 2


def test_the_longest_wait_of_a_due_job_goes_on_when_the_sweep_has_asked_in_vain(
    settings: Settings, store: Store, lives: Lives, clock: Clock
) -> None:
    lives.accepted("job-1", due_in_ms=MINUTE)
    lives.accepted("job-2", due_in_ms=DAY)

    clock.advance(3 * MINUTE)
    unseen = scraped(settings, store)("callsheet_due_oldest_seconds")
    for put_off_seconds in (15, 30, 60):  # by the sweep, which asks again when that is over
        store.due.nudge(["job-1"])
        clock.advance(put_off_seconds * 1000)

    assert (unseen, scraped(settings, store)("callsheet_due_oldest_seconds")) == (120, 15 + 30 + 60)


def test_waits_are_told_by_their_codes(settings: Settings, store: Store, lives: Lives, clock: Clock) -> None:
    lives.unconfirmed("job-1")
    clock.advance(MINUTE)
    lives.generated("job-2")
    clock.advance(2 * MINUTE)

    told = scraped(settings, store)

    assert told("callsheet_wait_oldest_seconds", "reconcile") == 180
    assert told("callsheet_wait_oldest_seconds", "archive") == 120
    assert told("callsheet_wait_oldest_seconds", "budget") == 0


def test_durations_are_histograms_by_provider(settings: Settings, store: Store) -> None:
    for seconds in (0.2, 0.3, 70.0):
        store.metrics.submitted("evolink", Outcome.TAKEN, seconds)

    told = scraped(settings, store)

    name = f"callsheet_{Histogram.POST_DURATION}"
    assert [told(f"{name}_bucket", "evolink", le) for le in ("0.1", "0.25", "0.5", "60.0", "+Inf")] == [0, 1, 2, 2, 3]
    assert (told(f"{name}_count", "evolink"), told(f"{name}_sum", "evolink")) == (3, 70.5)
    assert told("callsheet_submits_total", "evolink", "taken") == 3


def test_each_counter_is_told_under_its_own_sentence(settings: Settings, store: Store) -> None:
    store.counters.add(Counter.OBJECT_CONFLICTS, 2)

    text = exposition(settings, store).decode()

    assert scraped(settings, store)("callsheet_object_conflicts_total") == 2
    for counter in Counter:
        assert f"# HELP callsheet_{counter}_total {counter.sentence}\n" in text


def test_limits_breaker_pause_and_money_are_told(settings: Settings, store: Store, lives: Lives) -> None:
    settings = replace(settings, caps=Caps(Decimal(50)))
    store.pauses.pause("evolink")
    limits = settings.limits("evolink")
    lives.accepted()
    store.attempts.begin(lives.claimed(), limits=limits, cost=Decimal("1.5"))

    told = scraped(settings, store)

    assert told("callsheet_provider_paused", "evolink") == 1
    assert told("callsheet_breaker_open", "evolink", "submit") == 0
    assert told("callsheet_line_jobs", "evolink", "poll") == 0
    assert (told("callsheet_budget_spent_usd", "daily"), told("callsheet_budget_limit_usd", "daily")) == (1.5, 50)
    assert told("callsheet_budget_spent_usd", "monthly") == 1.5
    assert told("callsheet_money_usd", "evolink", "reserved") == 1.5
    assert told("callsheet_money_usd", "evolink", "unknown") == 0


def test_clock_and_processes_are_told(settings: Settings, store: Store, clock: Clock) -> None:
    store.heartbeats.beat(["worker"], host="h", pid=1, version="1")
    store.due.begin_sweep()
    clock.advance(10_000)

    told = scraped(settings, store)

    assert (told("callsheet_processes_alive", "worker"), told("callsheet_processes_alive", "beat")) == (1, 0)
    assert told("callsheet_sweep_age_seconds") == 10


def test_a_scrape_changes_nothing(settings: Settings, store: Store, lives: Lives, client: redis.Redis) -> None:
    lives.archived()
    before = client.info("persistence")["rdb_changes_since_last_save"]

    exposition(settings, store)

    assert client.info("persistence")["rdb_changes_since_last_save"] == before


def test_a_redis_that_is_away_is_one_line(env: dict[str, str]) -> None:
    found = CliRunner().invoke(main, ["metrics"], env={**env, "CALLSHEET_REDIS_URL": "redis://127.0.0.1:1/0"})

    assert (found.exit_code, found.stdout) == (1, "")
    assert "Redis" in found.stderr


def test_the_command_prints_what_a_scrape_tells(env: dict[str, str], lives: Lives) -> None:
    lives.accepted()

    found = CliRunner().invoke(main, ["metrics"], env=env)

    assert found.exit_code == 0
    assert re.search(r'^callsheet_jobs\{state="accepted"\} 1.0$', found.stdout, re.MULTILINE)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not here: apt install prometheus")
def test_prometheus_own_judge_has_nothing_to_say(settings: Settings, store: Store, lives: Lives) -> None:
    lives.archived()
    store.metrics.submitted("evolink", Outcome.TAKEN, 0.2)

    judged = subprocess.run(
        ["promtool", "check", "metrics"],
        input=exposition(settings, store),
        capture_output=True,
        check=False,
        timeout=30,
    )

    assert (judged.returncode, judged.stdout, judged.stderr) == (0, b"", b"")
