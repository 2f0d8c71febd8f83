"""Result and manifest of a job: the form that other software relies on."""

from __future__ import annotations

import json
from typing import Any

import fakeredis
import pytest

from worker.jobs.error_codes import ErrorCode
from worker.jobs.job import Job, JobError, Video, videos_json
from worker.jobs.manifest import manifest_of
from worker.jobs.money import day_of, day_text
from worker.jobs.result import EXPIRED, error_of, result_of
from worker.jobs.states import JobState
from worker.store import Store

S = JobState
VIDEO = Video("s3://bucket/callsheet/2026/11/20/job-1/1-1.mp4", 1000, "ab" * 32, 5.0, 1280, 720)
SPEC = {"model": "kling-3.0-turbo", "prompt": "a secret corgi", "metadata": {"order": 7}}
SPEC_JSON = json.dumps(SPEC)


@pytest.fixture
def store() -> Store:
    """A record of job-1; nothing here is about Redis."""
    store = Store(fakeredis.FakeRedis(decode_responses=True), retention_ms=1000, clock=lambda: 1_800_000_000_000)
    store.jobs.accept(
        "job-1",
        spec_json=SPEC_JSON,
        spec_sha256="cd" * 32,
        provider="evolink",
        model="kling-v3-turbo-image-to-video",
        facts={"cost": '{"amount": "0.53", "currency": "USD", "basis": "list_price"}'},
    )
    return store


def archived(store: Store) -> Job:
    store.attempts.bind(
        "job-1", attempt=1, provider="evolink", request_id="r1", path="submit", facts={"usage": '{"credits": 3}'}
    )
    store.jobs.move("job-1", S.GENERATED, attempt=1, path="callback", notes={"generated_by": "callback"})
    reply = store.jobs.move("job-1", S.ARCHIVED, attempt=1, path="callback", facts={"videos": videos_json((VIDEO,))})
    assert reply.job is not None
    return reply.job


def failed(store: Store, error: JobError) -> Job:
    reply = store.jobs.move("job-1", S.FAILED, attempt=1, path="submit", error=error)
    assert reply.job is not None
    return reply.job


def test_the_result_of_an_archived_job_has_the_fixed_form(store: Store) -> None:
    assert result_of(archived(store), SPEC_JSON) == {
        "job_id": "job-1",
        "state": "archived",
        "provider": "evolink",
        "model": "kling-v3-turbo-image-to-video",
        "request_id": "r1",
        "attempt": 1,
        "videos": [
            {
                "uri": "s3://bucket/callsheet/2026/11/20/job-1/1-1.mp4",
                "bytes": 1000,
                "sha256": "ab" * 32,
                "seconds": 5.0,
                "width": 1280,
                "height": 720,
                "content_type": "video/mp4",
            }
        ],
        "cost": {
            "amount": "0.53",
            "currency": "USD",
            "basis": "list_price",
            "usage": {"credits": 3},
            "total": {"spent": "0.530000"},
            "attempts": [
                {
                    "attempt": 1,
                    "standing": "spent",
                    "usd": "0.530000",
                    "basis": "list_price",
                    "day": day_text(day_of(store.clock.now())),
                    "seconds": 0.0,
                }
            ],
        },
        "metadata": {"order": 7},
    }


def test_the_result_of_a_failed_job_says_why(store: Store) -> None:
    result = result_of(failed(store, JobError("submit", "refused", "the provider said no")), SPEC_JSON)

    assert result["error"] == {"stage": "submit", "code": "refused", "message": "the provider said no"}
    assert (result["videos"], result["request_id"], result["state"]) == ([], None, "failed")


def test_the_providers_own_code_stands_beside_ours(store: Store) -> None:
    error = JobError("submit", ErrorCode.NO_CREDIT, "answered 429: balance not enough", "1102")

    result = result_of(failed(store, error), SPEC_JSON)

    assert (result["error"]["code"], result["error"]["provider_code"]) == ("no_credit", "1102")


def test_an_expired_jobs_reason_is_always_the_same(store: Store) -> None:
    store.attempts.bind("job-1", attempt=1, provider="evolink", request_id="r1", path="submit")
    job = store.jobs.move("job-1", S.EXPIRED, attempt=1, path="sweep").job

    assert job is not None
    assert error_of(job) == EXPIRED
    assert result_of(job, SPEC_JSON)["error"]["code"] == "expired"


def test_a_job_with_a_video_has_no_error(store: Store) -> None:
    assert error_of(archived(store)) is None


def test_the_metadata_comes_back_untouched(store: Store) -> None:
    odd: dict[str, Any] = {"a": [1, None, {"ü": "\u2028"}], "": 1e300}
    store.jobs.accept(
        "odd", spec_json=json.dumps({"metadata": odd}), spec_sha256="0", provider="evolink", model="kling"
    )
    job = store.jobs.get("odd")

    assert job is not None
    assert result_of(job, store.history.spec_json("odd"))["metadata"] == odd


def test_the_result_survives_json_as_it_is(store: Store) -> None:
    result = result_of(archived(store), SPEC_JSON)

    assert json.loads(json.dumps(result)) == result


def test_the_manifest_is_the_result_and_what_else_rebuilds_the_record(store: Store) -> None:
    job = archived(store)

    manifest = manifest_of(job, SPEC_JSON)

    assert result_of(job, SPEC_JSON).items() <= manifest.items()
    assert manifest["spec_sha256"] == "cd" * 32
    assert manifest["request_ids"] == {"1": "r1"}
    assert manifest["ver"] == job.ver
    assert (manifest["accepted_at"], manifest["archived_at"]) == (job.accepted_at, job.state_at)


def test_neither_holds_the_prompt(store: Store) -> None:
    job = archived(store)

    assert "secret corgi" not in json.dumps([result_of(job, SPEC_JSON), manifest_of(job, SPEC_JSON)])


def test_a_tombstone_can_still_be_told(store: Store) -> None:
    job = archived(store)
    store.jobs.delivered("job-1", ver=job.ver, outputs="result", rest_in_ms=1)
    client, keys = store.scripts.client, store.scripts.keys.of("job-1")
    client.delete(*(key for key in keys if "tombstone" not in key and "due" not in key))
    tombstone = store.jobs.get("job-1")

    assert tombstone is not None
    assert tombstone.is_tombstone
    assert result_of(tombstone, SPEC_JSON)["videos"][0]["sha256"] == "ab" * 32
