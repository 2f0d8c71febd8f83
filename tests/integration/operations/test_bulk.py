"""Bulk acts: what they cost is told before, each job is acted on at most once, and a kill anywhere loses nothing."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from decimal import Decimal

import pytest

from tests.conftest import WaitUntil
from tests.integration.cli.conftest import Lives, Start, environment, lives, start_callsheet, store
from tests.integration.notifications.receiver import SECRET, Answer, Receiver, receiving
from worker.errors import CallsheetError
from worker.jobs.actor import Actor
from worker.jobs.job import JobError
from worker.jobs.states import JobState
from worker.operations import bulk, bulk_work
from worker.operations.bulk import Act, Order
from worker.operations.filters import document, read_filter
from worker.operations.search import Filter
from worker.operations.view import Reader
from worker.services import Services
from worker.settings.settings import Settings
from worker.store import Fields

__all__ = ["environment", "lives", "start_callsheet", "store"]  # fixtures

ADA = Actor("ada", "the provider was down")
FAILED = Filter(states=frozenset({JobState.FAILED}))
COST = json.dumps({"amount": "0.375", "currency": "USD", "basis": "list_price"})
LONG = 60.0


@pytest.fixture
def services(environment: Mapping[str, str]) -> Services:
    return Services.from_settings(Settings.from_env(environment))


@pytest.fixture
def reader(services: Services) -> Reader:
    return Reader.of(services)


def accept(lives: Lives, job_id: str, cost: str = COST) -> None:
    facts: Fields = {"cost": cost} if cost else {}
    lives.store.jobs.accept(job_id, spec_json="{}", spec_sha256="0" * 64, provider="evolink", model="m", facts=facts)


def refused(lives: Lives, job_id: str, cost: str = COST) -> None:
    """A job that failed before anything was paid for it."""
    accept(lives, job_id, cost)
    lives.fail(job_id, JobError("submit", "unavailable", "no"))


def failed_there(lives: Lives, job_id: str) -> None:
    accept(lives, job_id)
    lives.submit(job_id)
    lives.fail(job_id, JobError("generate", "timed_out", "no"))


def lost_copy(lives: Lives, job_id: str) -> None:
    lives.accept(job_id)
    lives.submit(job_id)
    lives.store.jobs.move(job_id, JobState.GENERATED, attempt=1, path="poll")
    lives.fail(job_id, JobError("archive", "dead", "no"))


def finished(bulk_id: str, services: Services) -> dict[str, object]:
    assert bulk_work.work(services, LONG)
    told = bulk.told(bulk_id, services)
    assert told is not None
    return told


def test_a_preview_counts_what_is_free_what_is_paid_and_what_is_paid_again(
    services: Services, reader: Reader, lives: Lives
) -> None:
    for n in range(3):
        lost_copy(lives, f"free-{n}")
    refused(lives, "paid-0")
    refused(lives, "paid-1", cost="")
    failed_there(lives, "again-0")
    lives.accept("open")

    told = bulk.preview(Order(Act.RETRY, FAILED), reader, services)
    leave = bulk.preview(Order(Act.RETRY, FAILED, pay_again=True), reader, services)

    assert (told["jobs"], told["done"], told["not_done"], told["complete"]) == (6, 5, 1, True)
    assert told["pays"] == {"nothing": 3, "attempt": 2, "attempt_again": 1}
    assert told["costs"] == {"amount": "0.375", "currency": "USD", "jobs_without_price": 1}
    assert told["costs_again"] == {"amount": "0.375", "currency": "USD", "jobs_without_price": 0}
    assert told["outcomes"] == {"archiving": 3, "may_be_paid": 1, "new_attempt": 2}
    assert (leave["done"], leave["costs"]["amount"], leave["pays"]) == (6, "0.750", told["pays"])
    assert {job.attempt for job in services.store.records.scan()} == {1}
    assert services.store.bulks.all() == []


def test_a_retry_does_as_its_preview_said_and_each_outcome_is_kept(
    services: Services, reader: Reader, lives: Lives
) -> None:
    lost_copy(lives, "free")
    refused(lives, "paid")
    failed_there(lives, "again")

    bulk_id = bulk.start(Order(Act.RETRY, FAILED), ADA, reader, services)
    told = finished(bulk_id, services)

    assert (told["state"], told["jobs"], told["left"], told["done"], told["not_done"]) == ("done", 3, 0, 2, 1)
    assert (told["outcomes"], told["costs"]) == ({"archiving": 1, "may_be_paid": 1, "new_attempt": 1}, "0.375")
    assert {result["job_id"]: result["done"] for result in told["results"]} == {  # type: ignore[attr-defined]
        "free": True,
        "paid": True,
        "again": False,
    }
    entry = services.store.history.entries("paid")[-1]
    assert (entry.actor, entry.reason) == ("ada", f"bulk {bulk_id}: the provider was down")
    assert services.store.jobs.get("again").state is JobState.FAILED  # type: ignore[union-attr]


def test_leave_to_pay_again_is_not_used_where_a_job_goes_on_for_free(
    services: Services, reader: Reader, lives: Lives
) -> None:
    lost_copy(lives, "free")
    failed_there(lives, "again")

    bulk_id = bulk.start(Order(Act.RETRY, FAILED, pay_again=True), ADA, reader, services)
    finished(bulk_id, services)

    assert services.store.jobs.get("free").state is JobState.GENERATED  # type: ignore[union-attr]
    assert services.store.jobs.get("again").attempt == 2  # type: ignore[union-attr]


def test_no_job_that_came_later_is_acted_on(services: Services, reader: Reader, lives: Lives) -> None:
    lives.accept("before")
    bulk_id = bulk.start(Order(Act.CANCEL, Filter(states=frozenset({JobState.ACCEPTED}))), ADA, reader, services)
    while services.store.clock.now() <= services.store.bulks.get(bulk_id).at:  # type: ignore[union-attr]
        pass  # the next millisecond
    lives.accept("after")

    told = finished(bulk_id, services)

    assert (told["jobs"], told["done"]) == (1, 1)
    assert services.store.jobs.get("after").state is JobState.ACCEPTED  # type: ignore[union-attr]


def test_named_jobs_are_acted_on_and_one_that_is_not_there_is_told(
    services: Services, reader: Reader, lives: Lives
) -> None:
    lives.accept("a")
    order = bulk.checked(Order(Act.CANCEL, job_ids=("a", "none")))

    told = bulk.preview(order, reader, services)
    done = finished(bulk.start(order, ADA, reader, services), services)

    assert (told["outcomes"], done["outcomes"]) == ({"cancelled": 1, "no_such_job": 1},) * 2


def test_a_job_that_was_retried_meanwhile_is_left_alone(services: Services, reader: Reader, lives: Lives) -> None:
    refused(lives, "j1")
    bulk_id = bulk.start(Order(Act.RETRY, job_ids=("j1",)), ADA, reader, services)
    services.store.attempts.try_again("j1", attempt=1, pay_again=False)
    lives.store.jobs.move(
        "j1", JobState.FAILED, attempt=2, path="submit", error=JobError("submit", "unavailable", "no")
    )

    told = finished(bulk_id, services)

    assert told["outcomes"] == {"moved_on": 1}
    assert services.store.jobs.get("j1").attempt == 2  # type: ignore[union-attr]


def test_one_that_is_stopped_begins_no_other_job(services: Services, reader: Reader, lives: Lives) -> None:
    lives.accept("a")
    bulk_id = bulk.start(Order(Act.CANCEL, job_ids=("a",)), ADA, reader, services)

    stopped = bulk.stop(bulk_id, services)
    told = finished(bulk_id, services)

    assert stopped is not None
    assert (stopped["state"], told["state"], told["left"]) == ("stopped", "stopped", 1)
    assert services.store.jobs.get("a").state is JobState.ACCEPTED  # type: ignore[union-attr]
    assert services.store.bulks.working() == []


def test_one_process_at_a_time_works(services: Services, lives: Lives, reader: Reader) -> None:
    lives.accept("a")
    bulk.start(Order(Act.CANCEL, job_ids=("a",)), ADA, reader, services)
    held = services.store.bulks.lease(60)
    assert held is not None

    waits_while_held = services.store.bulks.are_waiting()
    refused_while_held = bulk_work.work(services, LONG)
    held.release()

    assert (waits_while_held, refused_while_held) == (False, False)
    assert services.store.bulks.are_waiting()
    assert bulk_work.work(services, LONG)


@pytest.mark.parametrize(
    "order",
    [
        Order(Act.CANCEL, Filter()),
        Order(Act.CANCEL),
        Order(Act.CANCEL, job_ids=("a b",)),
        Order(Act.CANCEL, job_ids=("a",) * 501),
        Order(Act.CANCEL, job_ids=("a",), pay_again=True),
    ],
)
def test_an_order_that_cannot_be_meant_is_refused(order: Order) -> None:
    with pytest.raises(CallsheetError):
        bulk.checked(order)


def test_a_filter_is_the_same_after_it_was_kept() -> None:
    given = {
        "state": ["expired", "failed"],
        "tenant": "acme",
        "open": False,
        "stuck": True,
        "since": "2026-12-01T08:00:00.001Z",
        "metadata": {"order": "1007"},
        "waits_for": "archive",
    }

    assert document(read_filter(given)) == given
    assert read_filter(document(read_filter(given))) == read_filter(given)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving(None) as receiver:
        yield receiver


@pytest.fixture
def told_environment(environment: dict[str, str], receiver: Receiver) -> dict[str, str]:
    environment |= {
        "CALLSHEET_NOTIFY_SECRETS": SECRET,
        "CALLSHEET_NOTIFY_URL": receiver.url(),
        "CALLSHEET_NOTIFY_HOSTS": receiver.url(""),
    }
    return environment


def test_a_process_that_is_killed_while_it_tells_tells_nobody_twice(
    told_environment: dict[str, str], receiver: Receiver, lives: Lives, start_callsheet: Start, wait_until: WaitUntil
) -> None:
    services = Services.from_settings(Settings.from_env(told_environment))
    jobs = [f"j{n:02}" for n in range(24)]
    for job_id in jobs:
        refused(lives, job_id)
    receiver.answer = Answer(204, before=lambda: time.sleep(0.5))
    killed = start_callsheet("renotify", "--where", "state=failed", "--yes")

    wait_until(lambda: len(receiver.received) >= 10, 60)
    killed.kill()
    killed.communicate()
    lives.store.scripts.client.delete("callsheet:{0}:bulks:lease")  # as if its time were over
    receiver.answer = Answer(204)
    [bulk_id] = services.store.bulks.working()
    told = finished(bulk_id, services)

    assert (told["state"], told["left"], told["not_done"]) == ("done", 0, 0)
    assert told["done"] + told["interrupted"] == len(jobs)  # type: ignore[operator]
    assert len(receiver.ids) == len(set(receiver.ids)), "no job was told twice"
    assert {result["job_id"] for result in told["results"]} == set(jobs)  # type: ignore[attr-defined]


def test_a_process_that_is_killed_while_it_retries_makes_no_second_attempt(
    services: Services, lives: Lives, start_callsheet: Start, wait_until: WaitUntil
) -> None:
    jobs = [f"j{n:03}" for n in range(200)]
    for job_id in jobs:
        refused(lives, job_id)
    killed = start_callsheet("retry", "--where", "state=failed", "--yes")

    wait_until(lambda: any(job.attempt == 2 for job in services.store.records.read(jobs[:8])), 60)
    killed.kill()
    killed.communicate()
    lives.store.scripts.client.delete("callsheet:{0}:bulks:lease")  # as if its time were over
    [bulk_id] = services.store.bulks.working()
    told = finished(bulk_id, services)

    assert (told["done"], told["interrupted"], told["left"]) == (len(jobs), 0, 0)
    assert {job.attempt for job in services.store.records.read(jobs)} == {2}
    assert Decimal(str(told["costs"])) <= Decimal("0.375") * len(jobs)
