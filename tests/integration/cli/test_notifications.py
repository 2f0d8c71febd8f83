"""`renotify`, `notify --test`, `listen` and what `show` and `list` tell of notifications."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest
import requests

from deploy.local.tls import LocalTls
from tests.conftest import WaitUntil
from tests.integration.cli.conftest import Run, Start, is_one_clear_line
from tests.integration.notifications.receiver import SECRET, Answer, Receiver, receiving
from worker.jobs.job import JobError
from worker.jobs.notification import Tries
from worker.jobs.states import JobState
from worker.notifications.signature import headers
from worker.store import Store

JOB = "order-7"
WORD = r"[\w.:/\[\]-]+"


@pytest.fixture
def receiver(tls: LocalTls) -> Iterator[Receiver]:
    with receiving(None) as receiver:
        yield receiver


@pytest.fixture
def environment(environment: dict[str, str], receiver: Receiver) -> dict[str, str]:
    return {**environment, "CALLSHEET_NOTIFY_SECRETS": SECRET, "CALLSHEET_NOTIFY_HOSTS": receiver.url("")}


@pytest.fixture
def failed(store: Store, receiver: Receiver) -> Callable[..., None]:
    """A told job whose notification is pending, or dead."""

    def end(job_id: str = JOB, *, is_dead: bool = False) -> None:
        spec = json.dumps({"notify_url": receiver.url("/hook?token=1"), "metadata": {"order": 7}})
        store.jobs.accept(job_id, spec_json=spec, spec_sha256="0" * 64, provider="evolink", model="m", notifies=True)
        error = JobError("submit", "refused", "no")
        store.jobs.move(job_id, JobState.FAILED, attempt=1, path="submit", error=error)
        ver = store.jobs.get(job_id).ver  # type: ignore[union-attr]
        store.jobs.delivered(job_id, ver=ver, outputs="result", rest_in_ms=1000)
        if is_dead:
            job = store.jobs.get(job_id)
            assert job is not None
            tried = {
                "at": store.clock.now(),
                "ver": ver,
                "path": "sweep",
                "status": 410,
                "ms": 3,
                "words": "no such hook",
            }
            store.notifications.notified(job, "dead", tried, rest_in_ms=1000)

    return end


def test_renotify_sends_the_notification_once_more_under_its_id(
    callsheet: Run, failed: Callable[..., None], store: Store, receiver: Receiver
) -> None:
    failed(is_dead=True)

    done = callsheet("renotify", JOB, "--reason", "they lost it")

    job = store.jobs.get(JOB)
    assert job is not None
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(rf"{JOB} is told: the receiver took it in \d+ ms \(answered 204\)\n", done.stdout)
    assert receiver.received[0].verified()["type"] == "job.failed"
    assert receiver.ids == [f"{JOB}.{job.ver}"]
    assert job.notified_ver == job.ver
    assert not job.notify_dead
    assert [tried["path"] for tried in store.notifications.deliveries(JOB)] == ["sweep", "operator"]
    assert store.history.entries(JOB)[-1].actor
    assert (store.history.entries(JOB)[-1].detail, store.history.entries(JOB)[-1].reason) == (
        "its notification was sent once more",
        "they lost it",
    )


def test_renotify_in_vain_changes_no_schedule(
    callsheet: Run, failed: Callable[..., None], store: Store, receiver: Receiver
) -> None:
    failed()
    job = store.jobs.get(JOB)
    assert job is not None
    now = store.clock.now()
    tries = Tries(3, now - 1000, now + 3_600_000)
    store.notifications.notified(job, "again", {"at": now, "ver": job.ver}, tries=tries, rest_in_ms=1000)
    due_at = store.due.at(JOB)
    receiver.answer = Answer(500, body=b"down")

    done = callsheet("renotify", JOB, "--json")

    after = store.jobs.get(JOB)
    assert after is not None
    assert done.returncode == 3
    document = json.loads(done.stdout)
    assert (document["outcome"], document["status"], document["answer"]) == ("failed", 500, "down")
    assert after.notify_tries == tries.text(job.ver)
    assert store.due.at(JOB) == due_at


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("renotify", "no-such"), "there is no job no-such"),
        (("renotify", "a b"), "a job id is 1 to 64"),
        (("notify", "--test", "http://10.0.0.1/"), "nothing can be sent there: the URL is plain HTTP"),
        (("notify", "--test", "nonsense"), "nothing can be sent there: the URL is not a URL that"),
    ],
)
def test_what_cannot_be_sent_is_one_line(callsheet: Run, arguments: tuple[str, ...], told: str) -> None:
    done = callsheet(*arguments)

    assert is_one_clear_line(done, 1)
    assert told in done.stderr


def test_a_job_that_has_not_ended_is_not_told(callsheet: Run, store: Store) -> None:
    store.jobs.accept(JOB, spec_json="{}", spec_sha256="0" * 64, provider="evolink", model="m")

    done = callsheet("renotify", JOB)

    assert is_one_clear_line(done, 3)
    assert f"{JOB} has not ended: it is accepted" in done.stderr


def test_a_job_that_is_told_nowhere_says_so(callsheet: Run, store: Store) -> None:
    store.jobs.accept(JOB, spec_json="{}", spec_sha256="0" * 64, provider="evolink", model="m")
    error = JobError("submit", "refused", "no")
    store.jobs.move(JOB, JobState.FAILED, attempt=1, path="submit", error=error)

    done = callsheet("renotify", JOB)

    assert is_one_clear_line(done, 3)
    assert "its spec names no notify_url" in done.stderr


def test_a_test_message_is_signed_and_tells_of_no_job(callsheet: Run, receiver: Receiver) -> None:
    done = callsheet("notify", "--test", receiver.url())

    assert done.returncode == 0
    assert receiver.received[0].verified()["type"] == "callsheet.test"
    assert receiver.received[0].webhook_id.startswith("test.")


def test_dead_notifications_are_listed_and_explained(callsheet: Run, failed: Callable[..., None]) -> None:
    failed("dead", is_dead=True)
    failed("pending")

    listed = callsheet("list", "--dead-notifications", "--json")
    shown = callsheet("show", "dead")

    assert [json.loads(line)["job_id"] for line in listed.stdout.splitlines()] == ["dead"]
    assert json.loads(listed.stdout)["notification"] == "dead"
    assert "its notification was given up: callsheet renotify dead" in shown.stdout
    assert "answered 410: no such hook (3 ms)" in shown.stdout
    assert "token" not in shown.stdout


def test_a_pending_notification_is_what_the_job_waits_for(callsheet: Run, failed: Callable[..., None]) -> None:
    failed()

    document = json.loads(callsheet("show", JOB, "--json").stdout)

    assert document["notification"] == "pending"
    assert document["waits_for"]["code"] == "notification"
    assert document["waits_for"]["words"].startswith("its notification to be taken by its receiver; tried now")


def _address(listening: subprocess.Popen[str]) -> str:
    assert listening.stderr is not None
    found = re.search(rf"listening on (http://{WORD})", listening.stderr.readline())
    assert found is not None
    return found[1]


def test_listen_verifies_and_prints(start_callsheet: Start, wait_until: WaitUntil) -> None:
    listening = start_callsheet("listen", "--port", "0", "--count", "2")
    address, content = _address(listening), '{"type":"job.archived"}'
    signed = headers((SECRET,), "order-7.5", time.time(), content)

    taken = requests.post(address, data=content, headers=signed, timeout=10)
    refused = requests.post(address, data="\x1b[31mforged", headers=signed, timeout=10)

    said, _ = listening.communicate(timeout=20)
    assert (taken.status_code, refused.status_code) == (204, 401)
    assert said.splitlines() == [
        'verified: order-7.5: {"type": "job.archived"}',
        r"REFUSED (No matching signature found): order-7.5: \x1b[31mforged",
    ]


def test_listen_says_which_variable_it_needs(callsheet: Run) -> None:
    unset = callsheet("listen", env={"CALLSHEET_NOTIFY_SECRETS": None})
    bad = callsheet("listen", env={"CALLSHEET_NOTIFY_SECRETS": "whsec_short"})

    assert is_one_clear_line(unset, 1)
    assert "CALLSHEET_NOTIFY_SECRETS is not set" in unset.stderr
    assert is_one_clear_line(bad, 1)
    assert "whsec_short" not in bad.stderr
