"""The judge itself: a sound history is let pass, and every kind of breach, put into one by hand, is found."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from tests.chaos.checker import assert_sound, judge
from tests.chaos.ear import Ear
from tests.chaos.history import History, JobHistory, Notified, Outage, Request, Sample
from tests.chaos.promises import MIB
from tests.chaos.s3_gate import S3Call
from worker.jobs.job import Job, Video
from worker.jobs.rate_limits import Limits
from worker.jobs.states import JobState
from worker.store import TimelineEntry

pytestmark = pytest.mark.subset

JOB, KEY, DIGEST, TOKEN = "job-1", "2026/11/20/job-1/1-1.mp4", "ab" * 32, "t" * 43
VIDEO = Video(f"s3://bucket/{KEY}", 1000, DIGEST, 3.0, 640, 640)
MOVES = ("", "accepted", "submitting", "submitted", "generated", "archived")


TOLD = Notified(f"{JOB}.5", "job.archived", 5, "archived", (DIGEST,), b"{}")


def put(key: str = KEY, *, is_conditional: bool = True) -> S3Call:
    return S3Call(1, 5.0, "PUT", key, "", 200, is_conditional, DIGEST)


def callback(**changes: Any) -> dict[str, Any]:
    return {"at": 3.0, "ended_at": 3.1, "status": 200, "seconds": 0.1, "letter": "true", **changes}


def sound() -> History:
    """One job that went as it should, at a provider that may have one job at once and two requests a minute."""
    job = Job(
        JOB,
        JobState.ARCHIVED,
        ver=5,
        provider="evolink",
        request_ids={1: "r1"},
        videos=(VIDEO,),
        told_ver=5,
        closed_at=6,
    )
    request = Request("r1", JOB, 1, 2.0, "completed", (DIGEST,), "evolink", 3.0)
    told = {"status": "SUCCESS", "result": {"videos": [{"sha256": DIGEST}], "request_id": "r1"}}
    return History(
        {
            JOB: JobHistory(
                job,
                timeline=[
                    TimelineEntry(n, source, target, "poll", 1) for n, (source, target) in enumerate(pairwise(MOVES))
                ],
                callbacks=[callback()],
                requests=[request],
                puts=[put()],
                objects={KEY: DIGEST, "2026/11/20/job-1/job.json": "x"},
                told=told,
                wants_notification=True,
                notified=[TOLD, TOLD],
                versions=[1, 2, 5],
            )
        },
        texts={"worker.log": "nothing to see"},
        canaries=("canary-key",),
        tokens=frozenset({TOKEN}),
        indexes={"occupied": (frozenset(), frozenset())},
        limits={"evolink": Limits("evolink", max_concurrent=1, per_minute=2)},
        calls_at={"evolink": [1.0, 2.0, 61.5]},
        requests=[request],
        samples=[Sample("worker", 80 * MIB)] * 12 + [Sample("redis", MIB)],
        most_redis_bytes=2 * MIB,
    )


def job_is(**changes: Any) -> Callable[[History], object]:
    def change(history: History) -> None:
        told = history.jobs[JOB]
        assert told.job is not None
        told.job = replace(told.job, **changes)

    return change


def of_job(**changes: Any) -> Callable[[History], object]:
    return lambda history: history.jobs[JOB].__dict__.update(changes)


def of_run(**changes: Any) -> Callable[[History], object]:
    return lambda history: history.__dict__.update(changes)


def paid(request_id: str, attempt: int = 1, at: float = 20.0) -> Request:
    return Request(request_id, JOB, attempt, at, "completed", (DIGEST,), "evolink", at + 1)


FIRST = paid("r1", at=2.0)
GROWING = [Sample("worker", (80 + 7 * n) * MIB) for n in range(12)]

DOCTORED: dict[str, tuple[Callable[[History], object], str]] = {
    "record gone": (of_job(job=None), "the record is gone"),
    "never ended": (job_is(state=JobState.SUBMITTED), "it never ended"),
    "not told": (job_is(told_ver=4), "version 5 is not told"),
    "told otherwise": (of_job(told={"status": "FAILURE"}), "the caller was told FAILURE"),
    "told another video": (
        of_job(told={"status": "SUCCESS", "result": {"videos": [{"sha256": "0"}], "request_id": "r1"}}),
        "the told videos are not those on record",
    ),
    "told another request": (
        of_job(told={"status": "SUCCESS", "result": {"videos": [{"sha256": DIGEST}], "request_id": "r2"}}),
        "the told request is not the one on record",
    ),
    "never notified": (of_job(notified=[]), "version 5 was not notified (only none)"),
    "notified too early": (of_job(notified=[replace(TOLD, ver=6)]), "version 6 was notified before it was durable"),
    "notified of an older version": (of_job(notified=[replace(TOLD, ver=4)]), "version 5 was not notified (only 4)"),
    "notified under another id": (
        of_job(notified=[TOLD, replace(TOLD, webhook_id="job-1.4")]),
        "version 5 was notified as job-1.4",
    ),
    "notified with two bodies": (of_job(notified=[TOLD, replace(TOLD, body=b"[]")]), "was sent with two bodies"),
    "notified as another end": (of_job(notified=[replace(TOLD, type="job.failed")]), "was notified as job.failed"),
    "notified without its video": (of_job(notified=[replace(TOLD, digests=())]), "is not what is on record"),
    "notified by a stranger": (of_job(notified=[replace(TOLD, is_genuine=False)]), "is not genuine"),
    "notified unasked": (of_job(wants_notification=False), "a notification came that nobody wanted"),
    "unlisted move": (
        of_job(
            timeline=[TimelineEntry(1, "", "accepted", "submit", 1), TimelineEntry(2, "accepted", "archived", "", 1)]
        ),
        "an unlisted move: accepted",
    ),
    "version fell": (of_job(versions=[1, 5, 2]), "`ver` fell"),
    "paid twice": (of_job(requests=[FIRST, paid("r2")]), "attempt 1 was paid 2 times"),
    "paid too often": (of_job(requests=[FIRST, paid("r2", attempt=2)]), "2 requests are paid for 1 attempts"),
    "paid video forgotten": (of_job(requests=[paid("r9")]), "the paid, finished request r9 is forgotten"),
    "paid and cancelled": (job_is(state=JobState.CANCELLED), "it is cancelled and was paid for"),
    "paid and lost": (job_is(state=JobState.EXPIRED), "its video was made and paid for"),
    "bucket empty": (of_job(objects={}), "the bucket does not hold what the record says"),
    "bytes of another": (of_job(requests=[replace(FIRST, digests=("cd" * 32,))]), "what the provider served"),
    "no manifest": (of_job(objects={KEY: DIGEST}), "there is no job.json"),
    "written twice": (of_job(puts=[put(), put()]), "was written 2 times"),
    "written over": (of_job(puts=[put(is_conditional=False)]), "put without a condition"),
    "sum lost": (of_run(breaches_of_money=["1|p|m||spent: the ledger has 1"]), "the sums are not those of the records"),
    "due broken": (of_run(breaches_of_due=["job-1 is closed but due"]), "open <=> due is broken"),
    "thanked for and gone": (
        lambda history: (job_is(state=JobState.SUBMITTED)(history), of_job(kept_events=0)(history)),
        "a callback was thanked for and is gone",
    ),
    "too many at once": (of_run(requests=[FIRST, paid("r2", at=2.5)]), "evolink had 2 jobs at once, not 1"),
    "too many a minute": (of_run(calls_at={"evolink": [1.0, 2.0, 60.5]}), "called 3 times in a minute, not 2"),
    "a process too large": (of_run(samples=[Sample("web", 400 * MIB)]), "web grew to"),
    "a process that grows": (of_run(samples=GROWING), "worker was 29360128 bytes larger"),
    "Redis too large": (of_run(samples=[Sample("redis", 3 * MIB)]), "Redis holds 3145728 bytes"),
    "a secret in a log": (of_run(texts={"web.log": "key=canary-key"}), "a secret stands in web.log"),
    "a token in a log": (of_run(texts={"web.log": f"POST /callbacks/a/b/1/{TOKEN}"}), "1 tokens stand in web.log"),
    "a place kept": (
        of_run(indexes={"occupied": (frozenset({"evolink:job-1"}), frozenset())}),
        "evolink:job-1 stands in `occupied`",
    ),
    "a place missing": (
        of_run(indexes={"occupied": (frozenset(), frozenset({"evolink:job-1"}))}),
        "evolink:job-1 is missing in `occupied`",
    ),
    "an error from input": (of_job(callbacks=[callback(status=503)]), "answered 503 though nothing was broken"),
    "an error of ours": (
        lambda history: (
            of_job(callbacks=[callback(status=500)])(history),
            of_run(outages=[Outage("store", 0.0, 9.0)])(history),
        ),
        "answered 500 though nothing was broken",
    ),
    "no answer": (of_job(callbacks=[callback(status=None, error="reset")]), "was not answered though"),
    "a slow answer": (of_job(callbacks=[callback(seconds=2.5)]), "answered after 2.5 s"),
    "a slow answer while the store is away": (
        lambda history: (
            of_job(callbacks=[callback(status=503, seconds=2.5)])(history),
            of_run(outages=[Outage("store", 0.0, 9.0)])(history),
        ),
        "answered after 2.5 s",
    ),
    "a forged token thanked": (of_job(callbacks=[callback(letter="wrong_token")]), "a forged token was thanked for"),
}


def test_a_sound_history_is_let_pass() -> None:
    assert_sound(sound())


@pytest.mark.parametrize("name", DOCTORED)
def test_a_doctored_history_is_found_out(name: str) -> None:
    doctor, expected = DOCTORED[name]
    history = sound()

    doctor(history)

    found = [breach.what for breach in judge(history)]
    assert any(expected in what for what in found), found


def test_a_request_of_two_jobs_is_found_out() -> None:
    history, other = sound(), sound().jobs[JOB]

    history.jobs["job-2"] = other

    assert "request r1 belongs to 2 jobs" in [breach.what for breach in judge(history)]


@pytest.mark.parametrize(
    ("outage", "changes"),
    [
        (Outage("store", 0.0, 9.0), {"status": 503, "seconds": 1.9}),
        (Outage("store", 0.0, 1.0), {"status": 503}),  # what it left behind
        (Outage("receiver", 0.0, 9.0), {"status": None, "error": "refused"}),
        (Outage("receiver", 0.0, 9.0), {"seconds": 9.0}),
    ],
)
def test_what_is_broken_excuses_what_it_must_and_no_more(outage: Outage, changes: dict[str, Any]) -> None:
    history = sound()
    history.jobs[JOB].callbacks = [callback(**changes)]
    history.outages = [outage]

    assert_sound(history)

    history.outages = [replace(outage, began=-20.0, ended=-10.0)]
    assert judge(history) != []


def message(task: str, kwargs: dict[str, Any]) -> str:
    """The commands of one message of Celery's, as the broker's monitor shows them."""
    body = base64.b64encode(json.dumps([[], kwargs, {}]).encode()).decode()
    text = json.dumps({"body": body, "headers": {"task": task}})
    return f"LPUSH callsheet {json.dumps(text)}"


def test_the_ear_hears_a_secret_in_an_internal_message_and_leaves_the_senders_own_alone() -> None:
    ear = Ear(lambda: "", ("canary prompt",))

    ear.hear(message("callsheet.generate", {"prompt": "canary prompt"}))
    ear.hear(message("callsheet.poll", {"job_ids": ["job-1"]}))
    ear.hear("BRPOP callsheet 1")
    unheard = list(ear.overheard)
    ear.hear(message("callsheet.poll", {"job_ids": ["canary prompt"]}))
    ear.hear(message("callsheet.archive", {"link": "https://x.example/1.mp4"}))

    assert unheard == []
    assert len(ear.overheard) == 2
    assert ear.messages == 3
