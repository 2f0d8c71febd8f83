"""Signed messages: a stranger at the broker orders no video, and changes none that was ordered.

Two secrets are live, as while they are being changed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import pytest
import redis
from celery import Celery
from celery.signals import before_task_publish

from callsheet_client import celery as client
from deploy.local.valkey import Valkey
from tests.conftest import WaitUntil
from tests.integration.messaging.conftest import PATIENCE_SECONDS, ROOT, Office
from tests.integration.messaging.letters import letter
from tests.integration.messaging.test_messages import CANARY, HOSTILE, assert_harmless
from worker.messaging import signatures
from worker.messaging.results import GENERATE
from worker.store import Store

SECRET, OLD_SECRET = "the-secret-that-signs-new-messages", "the-secret-that-signed-old-messages"
SPEC: Mapping[str, Any] = {
    "model": "kling-v3-turbo-image-to-video",
    "prompt": CANARY,
    "first_frame": "https://pictures.example.com/frame-640x640.png",
    "duration": 3,
    "metadata": {"for": "Zoë 🐕", "share": 0.25, "n": 10**17},
}
LINK = {"callbacks": [{"task": "theirs", "args": [], "kwargs": {}, "options": {"queue": "theirs"}}]}


@pytest.fixture(scope="module")
def office(valkey: Valkey, tmp_path_factory: pytest.TempPathFactory, wait_until: WaitUntil) -> Iterator[Office]:
    with redis.Redis.from_url(valkey.url) as client:
        client.flushall()
    secrets = {"CALLSHEET_MESSAGE_SECRETS": f"{SECRET},{OLD_SECRET}"}
    logs = tmp_path_factory.mktemp("signed-office")
    office = Office(valkey.url, logs, wait_until, secret=SECRET, env=secrets)
    try:
        office.worker.start()
        yield office
    finally:
        office.close()


def ask(job_id: str, secret: str = SECRET, *, signed_as: str | None = None, **changes: Any) -> bytes:
    """The message for *job_id*, signed by *secret* for the spec `SPEC` and the id *signed_as*."""
    given = signatures.signature(secret, signed_as or job_id, SPEC)
    headers = {"id": job_id, signatures.HEADER: given, **changes.pop("headers", {})}
    return letter(GENERATE, kwargs={**SPEC, **changes.pop("fields", {})}, headers=headers, **changes)


def of_protocol_1(job_id: str, signed_as: str) -> bytes:
    body = {"task": GENERATE, "id": signed_as, "args": [], "kwargs": SPEC}
    headers = {"id": job_id, signatures.HEADER: signatures.signature(SECRET, signed_as, SPEC)}
    return letter(..., body=json.dumps(body).encode(), headers=headers)


NO_SIGNATURES: tuple[Any, ...] = (
    None,
    "",
    5,
    [],
    {"a": 1},
    "v1,",
    HOSTILE,
    "v1," + "A" * 43 + "=",
    "v1," + "ä" * 43 + "=",
    "x" * 10**6,
)
FORGED: Mapping[str, Callable[[], bytes]] = {
    "no signature": lambda: ask("forged", headers={signatures.HEADER: ...}),
    **{
        f"a signature {given!r:.30}": partial(ask, "forged", headers={signatures.HEADER: given})
        for given in NO_SIGNATURES
    },
    "a signature of another version": lambda: ask(
        "forged", headers={signatures.HEADER: signatures.signature(SECRET, "forged", SPEC).replace("v1", "v2")}
    ),
    "two signatures, the second of them right": lambda: ask(
        "forged", headers={signatures.HEADER: "v1,A= " + signatures.signature(SECRET, "forged", SPEC)}
    ),
    "a secret that is none": lambda: ask("forged", "a-secret-that-somebody-has-made-up"),
    "the signature of another job": lambda: ask("forged", signed_as="signed"),
    "the signature of another spec": lambda: ask("forged", fields={"prompt": "another"}),
    "a field more": lambda: ask("forged", fields={"resolution": "1080p"}),
    "a field of nothing more": lambda: ask("forged", fields={"resolution": None}),
    "a number of another type": lambda: ask("forged", fields={"duration": 3.0}),
    "a number that languages write differently": lambda: ask("forged", fields={"metadata": {"n": 1e300}}),
    "no spec": lambda: letter(GENERATE, headers={"id": "forged"}),
    "a link that was not signed": lambda: ask("forged", embed=LINK),
    "a chain that was not signed": lambda: ask("forged", embed={"chain": LINK["callbacks"]}),
    "a chord that was not signed": lambda: ask("forged", embed={"chord": LINK["callbacks"][0]}, headers={"group": "g"}),
    "arguments by place": lambda: ask("forged", args=[{"model": "x"}], fields={"model": "y"}),
    "the id of another job in the headers": lambda: of_protocol_1("forged", "signed").replace(b"callsheet_sig", b"x"),
}


@pytest.mark.parametrize("forge", FORGED.values(), ids=FORGED)
def test_what_is_not_signed_is_dropped_and_leaves_no_trace_but_a_count(
    office: Office, store: Store, forge: Any
) -> None:
    counted = store.counters.all().get("messages_unsigned", 0)

    log = office.after(lambda: office.post(forge()))

    assert "message.refused" in log
    assert_harmless(log)
    assert store.counters.all()["messages_unsigned"] == counted + 1
    assert store.jobs.get("forged") is None
    assert office.redis.exists("celery-task-meta-forged") == 0


@pytest.mark.parametrize("secret", [SECRET, OLD_SECRET])
def test_what_any_live_secret_signed_is_a_job(office: Office, store: Store, secret: str) -> None:
    job_id = f"signed-{secret[-12:]}"

    log = office.after(lambda: office.post(ask(job_id, secret)))

    assert store.jobs.get(job_id) is not None
    assert_harmless(log)


def test_a_signed_message_that_is_sent_again_is_the_same_job(office: Office, store: Store) -> None:
    office.after(lambda: office.post(ask("again")))
    first, jobs = store.jobs.get("again"), store.due.open_count()

    for _ in range(3):
        office.after(lambda: office.post(ask("again")))

    assert first is not None
    found = store.jobs.get("again")
    assert found is not None
    assert (found.attempt, found.accepted_at, store.due.open_count()) == (1, first.accepted_at, jobs)


@pytest.mark.parametrize(
    "headers",
    [
        {"expires": "2020-01-01T00:00:00+00:00"},
        {"ignore_result": True},
        {"stamps": {"a": [1]}, "stamped_headers": ["a"]},
    ],
    ids=lambda headers: next(iter(headers)),
)
def test_whoever_sends_a_signed_message_again_decides_nothing_of_its_job(
    office: Office, store: Store, headers: Mapping[str, Any]
) -> None:
    job_id = f"again-with-{next(iter(headers))}"
    office.after(lambda: office.post(ask(job_id)))

    office.after(lambda: office.post(ask(job_id, headers=headers)))
    office.after(lambda: office.post(ask(f"{job_id}-first", headers=headers)))

    for told in (job_id, f"{job_id}-first"):
        assert json.loads(office.redis.get(f"celery-task-meta-{told}") or "{}")["status"] == "STARTED"
        assert not {"ignore_result", "stamps"} & json.loads("".join(store.history.requests(told)) or "{}").keys()


def test_protocol_1_is_signed_in_its_headers_for_the_id_in_its_body(office: Office, store: Store) -> None:
    office.after(lambda: office.post(of_protocol_1("of-the-headers", "of-the-body")))

    assert store.jobs.get("of-the-body") is not None
    assert store.jobs.get("of-the-headers") is None


def test_nudges_need_no_signature(office: Office) -> None:
    def nudge() -> None:
        for step in ("submit", "poll", "confirm", "deliver", "revisit"):
            office.post(letter(f"callsheet.{step}", kwargs={"job_ids": ["no-such-job"]}))

    log = office.after(nudge)

    assert "message.refused" not in log


def test_a_broadcast_that_nobody_signed_cancels_nothing(office: Office, store: Store) -> None:
    store.pauses.pause("evolink")
    office.after(lambda: office.post(ask("kept")))

    log = office.after(lambda: office.app.control.revoke(["kept", "later"]))
    office.after(lambda: office.post(ask("later")))

    assert "revoke.unheeded" in log
    for job_id in ("kept", "later"):
        job = store.jobs.get(job_id)
        assert job is not None
        assert job.state == "accepted"


@pytest.fixture(params=[signatures, client], ids=["with Callsheet installed", "with callsheet-client"])
def signing_app(office: Office, request: pytest.FixtureRequest) -> Iterator[Celery]:
    """A backend that has called `sign_messages`."""
    request.param.sign_messages(OLD_SECRET)
    request.param.sign_messages(SECRET)
    yield office.app
    before_task_publish.disconnect(sender=GENERATE, dispatch_uid=request.param.__name__)


def test_a_backend_in_python_signs_with_all_that_hangs_on_the_task(
    office: Office, store: Store, signing_app: Celery
) -> None:
    job_id = f"linked-{uuid.uuid4()}"
    theirs = signing_app.signature("theirs", queue="theirs", countdown=5)
    asked = signing_app.signature(GENERATE, kwargs=SPEC, task_id=job_id, queue="callsheet")

    office.after(lambda: (asked.set(link=theirs, link_error=theirs) | theirs).apply_async())

    assert store.jobs.get(job_id) is not None
    saved = json.loads(store.history.requests(job_id)[0])
    assert [len(saved[name]) for name in ("callbacks", "errbacks", "chain")] == [1, 1, 1]


def test_an_order_of_the_client_s_is_taken_with_its_link(office: Office, store: Store, signing_app: Celery) -> None:
    job_id = f"ordered-{uuid.uuid4()}"
    theirs = signing_app.signature("theirs", queue="theirs")

    office.after(lambda: client.order(signing_app, SPEC, job_id, link=theirs))

    assert json.loads(store.history.spec_json(job_id) or "{}") == SPEC
    assert len(json.loads(store.history.requests(job_id)[0])["callbacks"]) == 1


@pytest.mark.parametrize(
    "script",
    [
        "from worker.client import enqueue; enqueue(SPEC, JOB)",
        'from worker.celery import app; app.send_task("callsheet.generate", kwargs=SPEC, task_id=JOB)',
    ],
    ids=["the client's nudge", "what a worker sends on"],
)
def test_what_callsheet_itself_sends_is_signed(
    office: Office, store: Store, valkey: Valkey, wait_until: WaitUntil, script: str
) -> None:
    job_id = f"own-{len(script)}"
    env = {
        "PATH": os.environ.get("PATH", os.defpath),
        "CALLSHEET_REDIS_URL": valkey.url,
        "CALLSHEET_BUCKET": "bucket",
        "CALLSHEET_MESSAGE_SECRETS": SECRET,
        "EVOLINK_API_KEY": "key",
        "AWS_DEFAULT_REGION": "eu-central-1",
    }
    line = f"import json; SPEC, JOB = json.loads({json.dumps(SPEC)!r}), {job_id!r}; {script}"

    subprocess.run([sys.executable, "-c", line], cwd=ROOT, env=env, timeout=60, check=True)

    wait_until(lambda: office.redis.exists(f"celery-task-meta-{job_id}"), PATIENCE_SECONDS)
    assert store.jobs.get(job_id) is not None
