"""Callbacks as they really come: lost, late, many, early, forged, untrue."""

from __future__ import annotations

import json
from typing import Any

import pytest
from celery.result import AsyncResult

from tests.acceptance.backend import Backend
from tests.acceptance.conftest import Run
from tests.acceptance.ledger import Ledger
from tests.acceptance.objects import Objects, Proof
from tests.conftest import WaitUntil
from worker.errors import JobFailed

PATIENCE_SECONDS = 60


def statuses(ledger: Ledger, result: AsyncResult[Any]) -> dict[str, list[int | None]]:
    """The receiver's answers to each kind of arrival for a job."""
    answers: dict[str, list[int | None]] = {}
    for delivery in ledger.callbacks(str(result.id)):
        answers.setdefault(delivery["letter"], []).append(delivery.get("status"))
    return answers


def test_four_callbacks_at_once_archive_one_video(backend: Backend, ledger: Ledger, proof: Proof) -> None:
    result = backend.ask("evolink", trouble=[{"on": "callback", "concurrent": 4}])

    told = result.get(timeout=PATIENCE_SECONDS)

    assert proof.faults(told) == []
    assert statuses(ledger, result) == {"true": [200] * 4}


def test_callbacks_that_repeat_and_then_tell_older_news_change_nothing(
    backend: Backend, ledger: Ledger, proof: Proof, wait_until: WaitUntil
) -> None:
    result = backend.ask("evolink", trouble=[{"on": "callback", "duplicates": 2, "reordered": True}])

    told = result.get(timeout=PATIENCE_SECONDS)
    wait_until(lambda: "reordered" in statuses(ledger, result), PATIENCE_SECONDS)

    assert proof.faults(told) == []
    assert statuses(ledger, result) == {"true": [200] * 3, "reordered": [200]}
    assert backend.result(str(result.id)).get(timeout=5) == told


def test_a_callback_before_the_answer_to_its_submit_counts(
    backend: Backend, ledger: Ledger, objects: Objects, proof: Proof
) -> None:
    result = backend.ask("evolink", trouble=[{"on": "callback", "early": True}])

    told = result.get(timeout=PATIENCE_SECONDS)

    assert proof.faults(told) == []
    assert statuses(ledger, result) == {"true": [200]}
    assert objects.manifest(told)["generated_by"] == "callback"


def test_a_callback_after_the_end_changes_nothing(
    backend: Backend, ledger: Ledger, objects: Objects, proof: Proof
) -> None:
    result = backend.ask("evolink")
    told = result.get(timeout=PATIENCE_SECONDS)
    before = objects.manifest(told)

    [late] = ledger.control.callback(told["request_id"], status="failed")

    assert late["status"] == 200
    assert backend.result(str(result.id)).get(timeout=5) == told
    assert objects.manifest(told) == before
    assert proof.faults(told) == []


def test_forged_callbacks_are_refused_and_leave_the_job_as_it_was(
    backend: Backend, ledger: Ledger, objects: Objects, callsheet: Run, wait_until: WaitUntil
) -> None:
    result = backend.ask("evolink", trouble=[{"on": "generation", "seconds": 600}])
    job_id = str(result.id)
    wait_until(lambda: result.state == "STARTED" and result.info["state"] == "submitted", PATIENCE_SECONDS)
    [request_id] = ledger.created(job_id)
    url = ledger.request(request_id)["callback_url"]
    start, _, token = url.rpartition("/")
    good = {"status": "completed", "change": {"results": ["https://videos.example.com/forged.mp4"]}}

    answers = [
        ledger.control.callback(request_id, **forgery)[0]["status"]
        for forgery in (
            {**good, "url": f"{start}/{token[::-1]}"},
            {**good, "url": url.replace(job_id, "nobodys-job")},
            {**good, "url": url.replace("/evolink/", "/gmicloud/")},
            {**good, "url": f"{start.removesuffix('1')}2/{token}"},
            {**good, "change": {"id": f"{request_id[:-8]}deadbeef"}},
            {"text": "<html>completed</html>"},
        )
    ]
    shown = json.loads(callsheet("show", job_id, "--json").stdout)

    assert answers == [404, 404, 404, 404, 400, 400]
    assert (shown["state"], shown["events"], shown["contradictions"]) == ("submitted", 0, 0)
    assert objects.of(job_id) == []


def test_a_stranger_who_is_faster_than_the_provider_decides_nothing(
    backend: Backend, ledger: Ledger, proof: Proof
) -> None:
    """Right behind the answer to the submit, before its request id may be on record."""
    trouble: list[dict[str, Any]] = [
        {"on": "generation", "seconds": 2},
        {"on": "callback", "forged": ["wrong_token", "wrong_id"]},
    ]
    result = backend.ask("evolink", trouble=trouble)

    told = result.get(timeout=PATIENCE_SECONDS)

    assert proof.faults(told) == []
    assert statuses(ledger, result)["wrong_token"] == [404]
    assert statuses(ledger, result)["true"] == [200]


@pytest.mark.parametrize("outcome", ["completed", "failed"])
def test_a_callback_that_the_provider_itself_denies_is_counted_and_not_believed(
    backend: Backend, ledger: Ledger, objects: Objects, callsheet: Run, outcome: str
) -> None:
    trouble: list[dict[str, Any]] = [
        {"on": "generation", "seconds": 2, "outcome": outcome},
        {"on": "callback", "forged": ["contradiction"]},
    ]
    result = backend.ask("evolink", trouble=trouble)

    if outcome == "completed":
        assert result.get(timeout=PATIENCE_SECONDS)["state"] == "archived"
    else:
        with pytest.raises(JobFailed):
            result.get(timeout=PATIENCE_SECONDS)
        assert objects.of(str(result.id)) == []

    shown = json.loads(callsheet("show", str(result.id), "--json").stdout)
    assert statuses(ledger, result) == {"contradiction": [200], "true": [200]}
    assert shown["contradictions"] == 1
