"""Every kind of arrival has its answer, and its effect on the job (design section 5, "Callback route")."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis
from flask import Flask

from tests.conftest import WaitUntil
from tests.integration.store.conftest import BRINGS, JOB, Lives
from tests.integration.webhook.conftest import API_KEY, OLD_SECRET, SECRET, Client, body, path
from worker.jobs.callback_token import token
from worker.jobs.states import JobState
from worker.messaging.publisher import Publisher
from worker.store import Store

TOKEN = token(SECRET, "evolink", JOB, 1)


def test_a_callback_is_stored_and_its_job_is_due(client: Client, lives: Lives, store: Store) -> None:
    lives.submitted()

    answer = client.deliver()

    assert (answer.status_code, answer.json) == (200, {"outcome": "stored"})
    assert [event.request_id for event in store.callbacks.events(JOB)] == ["r1"]
    assert store.due.ids() == [JOB]


def test_a_callback_moves_nothing_by_itself(client: Client, lives: Lives, store: Store) -> None:
    lives.submitted()

    client.deliver()

    assert lives.job().state is JobState.SUBMITTED
    assert store.jobs.links(JOB) == ()


def test_a_stored_callback_nudges_the_archive_step(
    client: Client, lives: Lives, publisher: Publisher, nudged: list[str]
) -> None:
    lives.submitted()

    client.deliver()

    publisher.close(timeout_seconds=30)
    assert nudged == [JOB]


@pytest.mark.parametrize("changes", [{"status": "failed", "results": ...}, {"status": "cancelled", "results": ...}])
def test_a_bad_ending_is_stored_like_a_good_one(
    client: Client, lives: Lives, store: Store, changes: dict[str, Any]
) -> None:
    lives.submitted()

    answer = client.deliver(body(**changes))

    assert (answer.status_code, answer.json) == (200, {"outcome": "stored"})
    assert [event.is_terminal for event in store.callbacks.events(JOB)] == [True]


def test_the_same_callback_again_is_a_repeat_and_nudges_nobody(
    client: Client, lives: Lives, store: Store, publisher: Publisher, nudged: list[str]
) -> None:
    lives.submitted()
    client.deliver()

    again = client.deliver(json.dumps(json.loads(body()), indent=1, sort_keys=True).encode())

    assert (again.status_code, again.json) == (200, {"outcome": "repeat"})
    assert len(store.callbacks.events(JOB)) == 1
    publisher.close(timeout_seconds=30)
    assert nudged == [JOB]


def test_four_equal_callbacks_at_once_are_stored_once_and_all_thanked(app: Flask, lives: Lives, store: Store) -> None:
    lives.submitted()
    together = threading.Barrier(4)

    def deliver(_: int) -> tuple[int, str]:
        together.wait()
        answer = Client(app).deliver()
        return answer.status_code, answer.json["outcome"]  # type: ignore[index]

    with ThreadPoolExecutor(4) as pool:
        answers = sorted(pool.map(deliver, range(4)))

    assert answers == [(200, "repeat")] * 3 + [(200, "stored")]
    assert len(store.callbacks.events(JOB)) == 1


@pytest.mark.parametrize("held", ["submitting", "unconfirmed", "failed(confirm)"])
def test_an_early_callback_leaves_its_request_id_as_a_candidate(
    client: Client, lives: Lives, store: Store, held: str
) -> None:
    BRINGS[held](lives)

    answer = client.deliver()

    assert (answer.status_code, answer.json) == (200, {"outcome": "stored"})
    assert list(store.callbacks.candidates(JOB)) == ["r1"]


@pytest.mark.parametrize("held", ["expired", "failed(generate)", "failed(archive)"])
def test_late_truth_is_stored(client: Client, lives: Lives, store: Store, held: str) -> None:
    BRINGS[held](lives)

    answer = client.deliver()

    assert (answer.status_code, answer.json) == (200, {"outcome": "stored"})
    assert store.due.ids() == [JOB]


@pytest.mark.parametrize("held", ["generated", "archived", "failed(submit)", "cancelled"])
def test_a_callback_that_nobody_needs_is_late_and_nudges_nobody(
    client: Client, lives: Lives, publisher: Publisher, nudged: list[str], held: str
) -> None:
    BRINGS[held](lives)
    before = lives.job()

    answer = client.deliver()

    assert (answer.status_code, answer.json) == (200, {"outcome": "late"})
    assert lives.job() == before
    publisher.close(timeout_seconds=30)
    assert nudged == []


def test_a_callback_for_a_job_of_which_only_the_tombstone_is_left_is_late(
    client: Client, lives: Lives, raw: redis.Redis
) -> None:
    lives.closed(lives.archived())
    raw.delete(*raw.scan_iter("*:job:*"))

    answer = client.deliver()

    assert (answer.status_code, answer.json) == (200, {"outcome": "late"})


@pytest.mark.parametrize("status", ["pending", "processing", "half-baked"])
def test_a_word_that_ends_nothing_is_noted(client: Client, lives: Lives, store: Store, status: str) -> None:
    lives.submitted()

    answer = client.deliver(body(status=status, progress=50, results=...))

    assert (answer.status_code, answer.json) == (200, {"outcome": "noted"})
    assert (store.callbacks.events(JOB), store.due.ids()) == ((), [JOB])


def test_a_word_that_we_do_not_know_is_counted(client: Client, lives: Lives, store: Store) -> None:
    lives.submitted()

    client.deliver(body(status="half-baked", results=...))

    assert store.counters.all()["callbacks_unknown_status"] == 1


@pytest.mark.parametrize(("status", "told"), [("half-baked", "half-baked"), ("a corgi on the beach", "(not a word)")])
def test_a_word_that_we_do_not_know_is_logged_unless_it_could_be_a_prompt(
    client: Client, lives: Lives, caplog: pytest.LogCaptureFixture, status: str, told: str
) -> None:
    lives.submitted()

    client.deliver(body(status=status, results=...))

    [record] = [record for record in caplog.records if record.message == "status.unknown"]
    assert vars(record)["status"] == told


def test_a_callback_signed_with_the_older_secret_is_taken(client: Client, lives: Lives) -> None:
    lives.submitted()

    answer = client.deliver(to=path(secret=OLD_SECRET))

    assert answer.status_code == 200


def test_no_log_line_holds_a_token_a_link_or_a_key(
    client: Client, lives: Lives, caplog: pytest.LogCaptureFixture, wait_until: WaitUntil
) -> None:
    caplog.set_level("DEBUG")
    lives.submitted()

    client.deliver()
    client.deliver(body(id="r2"))
    client.deliver(b"{", to=path("job-2"))
    client.deliver(body(error={"message": API_KEY}, status="failed"))
    client.deliver(to=path()[:-1])
    client.deliver(b" " * 70_000)
    client.ask(path())

    told = " ".join(f"{record.getMessage()} {vars(record)}" for record in caplog.records)
    assert "callback.taken" in told
    assert not [secret for secret in (TOKEN, TOKEN[:20], API_KEY, SECRET, "OF-A-LINK") if secret in told]
