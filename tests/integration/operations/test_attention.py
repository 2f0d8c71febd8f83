"""Attention, failures, a provider's day, and the activity log, on a day of jobs."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.integration.cli.conftest import Lives, environment, store
from tests.integration.console.scene import Scene, play
from worker.errors import CallsheetError
from worker.jobs.actor import Actor
from worker.jobs.states import JobState
from worker.operations import activity, attention, cancel, failures, provider_day
from worker.operations.attention import Attention, Item, Section
from worker.operations.view import Reader
from worker.services import Services
from worker.settings.settings import Settings
from worker.store import Store

__all__ = ["Lives", "environment", "store"]  # fixtures

MAYA = Actor("maya", "asked the provider")


@pytest.fixture
def services(environment: dict[str, str]) -> Services:
    return Services.from_settings(Settings.from_env(environment))


@pytest.fixture
def scene(services: Services) -> Scene:
    return play(services.settings, services.bucket)


@pytest.fixture
def reader(environment: dict[str, str], scene: Scene) -> Reader:
    return Reader.from_env(environment)


def items(found: Attention, section: Section) -> tuple[Item, ...]:
    return next(group.items for group in found.groups if group.section is section)


def test_each_trouble_is_in_its_section_with_its_reason_and_the_act_that_helps(reader: Reader) -> None:
    found = attention.look(reader)

    told = {section: [item.job_id for item in items(found, section)] for section in Section}
    assert told[Section.LINKS] == ["rush-cut"]
    assert told[Section.UNCONFIRMED] == ["hero-pickup"]
    assert told[Section.NOTIFICATIONS] == ["take-1008"]
    assert {"spot-1000", "spot-1013", "slow-pan"} <= set(told[Section.FAILED])
    assert len(items(found, Section.STRAYS)) == 1
    assert told[Section.PROCESSES] == []
    assert "its link dies in 3 h 59 min" in items(found, Section.LINKS)[0].reason
    assert items(found, Section.UNCONFIRMED)[0].act == "ask"
    assert {item.act for item in items(found, Section.FAILED)} == {"retry"}
    assert found.swept_at is not None


def test_an_empty_system_needs_nobody_but_for_its_processes(environment: dict[str, str], store: Store) -> None:
    store.heartbeats.beat(("worker", "archiver", "sweeper", "beat", "tick"), host="h", pid=1, version="1")

    assert attention.look(Reader.from_env(environment)).count == 0


def test_missing_processes_need_somebody(environment: dict[str, str], store: Store) -> None:
    store.heartbeats.beat(("worker", "archiver", "sweeper", "tick"), host="h", pid=1, version="1")

    found = items(attention.look(Reader.from_env(environment)), Section.PROCESSES)

    assert len(found) == 1
    assert "start the beat line of the Procfile" in found[0].reason


def test_what_was_seen_is_left_out_until_its_job_changes(reader: Reader, scene: Scene) -> None:
    key = items(attention.look(reader), Section.UNCONFIRMED)[0].key

    attention.mark_seen(reader, [key], MAYA, "asked them by mail")

    assert items(attention.look(reader), Section.UNCONFIRMED) == ()
    seen = items(attention.look(reader, with_seen=True), Section.UNCONFIRMED)[0]
    assert seen.mark is not None
    assert (seen.mark.by, seen.mark.note) == ("maya", "asked them by mail")
    scene.store.jobs.move("hero-pickup", JobState.ACCEPTED, attempt=1, path="submit", try_no=1)
    scene.clock.forward(10)
    again = scene.store.due.claim("hero-pickup", states=(JobState.ACCEPTED,), lease_ms=1000)
    assert again is not None
    assert scene.store.attempts.begin(again).applied
    scene.store.jobs.move("hero-pickup", JobState.UNCONFIRMED, attempt=1, path="submit", try_no=2)
    assert len(items(attention.look(reader), Section.UNCONFIRMED)) == 1


@pytest.mark.parametrize("keys", [[], ["unconfirmed"], ["nowhere/j1/3"], ["failed/j1/1/2"], ["failed/\n/1"]])
def test_only_items_can_be_marked(reader: Reader, keys: list[str]) -> None:
    with pytest.raises(CallsheetError, match="items: name one or more"):
        attention.mark_seen(reader, keys, MAYA)


def test_failures_are_grouped_by_code_provider_and_model(reader: Reader) -> None:
    found = failures.look(reader, "24h")

    told = {(group.code, group.provider): group for group in found.groups}
    moderation = told["moderation", "evolink"]
    assert moderation.count == 4
    assert (moderation.free, moderation.again, moderation.usd_again) == (0, 4, Decimal("2.24"))
    assert "Content was flagged" in moderation.sample
    assert (told["no_credit", "evolink"].free, told["no_credit", "evolink"].again) == (2, 0)
    assert told["dead", "evolink"].free == 1
    assert told["expired", "apimart"].free == 1
    assert found.count == 15
    assert found.searched_to is None


def test_failures_of_an_hour_are_those_that_failed_in_it(reader: Reader) -> None:
    assert {group.sample_id for group in failures.look(reader, "1h").groups} >= {"spot-1000", "spot-1001"}
    assert failures.look(reader, "1h").count < failures.look(reader, "24h").count


def test_a_providers_day_is_the_difference_of_its_looks(reader: Reader) -> None:
    day = provider_day.days(reader)["evolink"]

    assert len(day.slots) == 48
    assert sum(slot.submits.get("taken", 0) for slot in day.slots) >= 48
    assert day.total.submits["taken"] >= sum(slot.submits.get("taken", 0) for slot in day.slots)
    assert day.success_percent is not None
    assert 50 < day.success_percent < 100
    assert day.total.p50 is not None
    assert day.total.p90 is not None
    assert 45 <= day.total.p50 <= 90 < day.total.p90 <= 180


def test_a_look_is_taken_once_in_half_an_hour(store: Store) -> None:
    now = store.clock.now()

    assert store.series.look(now)
    assert not store.series.look(now)
    assert store.series.look(now + 30 * 60 * 1000)
    assert len(store.series.all()) == 2


def test_looks_older_than_a_day_are_forgotten(store: Store) -> None:
    for n in range(60):
        store.series.look(n * 30 * 60 * 1000)

    assert len(store.series.all()) == 50


def test_moves_are_counted_by_provider(services: Services, scene: Scene) -> None:
    counted = services.store.series.now()

    assert counted["entered", "apimart", "expired"] == 1


def test_an_act_is_in_the_log_with_who_and_why_and_a_preview_is_not(services: Services, scene: Scene) -> None:
    cancel.cancel("next-1000", services, MAYA, preview=True)
    cancel.cancel("next-1000", services, MAYA)

    last = activity.latest(services.store)[0]

    assert (last.by, last.act, last.subject, last.outcome, last.reason) == (
        "maya",
        "cancel",
        "next-1000",
        "cancelled",
        "asked the provider",
    )
    assert [entry.subject for entry in activity.latest(services.store)].count("next-1000") == 1


def test_pausing_is_in_the_log(services: Services, scene: Scene) -> None:
    told = [(entry.by, entry.act, entry.subject) for entry in activity.latest(services.store)]

    assert ("maya", "pause", "apimart") in told
