"""Invariants after a whole run: nothing was lost, nothing paid twice, nothing told to the logs.

The last file of the directory: the system has then been through all its other
tests, and ends here by being stopped and started again.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from celery.result import AsyncResult

from tests.acceptance.backend import SIGNATURE, WORDS, Backend
from tests.acceptance.conftest import Run
from tests.acceptance.ledger import Ledger
from tests.acceptance.objects import Proof
from tests.acceptance.storm import Storm
from tests.acceptance.system import System, alive
from tests.conftest import WaitUntil
from worker.settings.settings import KEY_NAMES

PATIENCE_SECONDS = 60
LONG_GENERATION_SECONDS = 15
LEASE_SECONDS = 150
"""A worker that is killed in a POST holds its lease for two minutes."""

README_WORDS = "A corgi running on the beach"


def test_stopped_in_order_it_leaves_nothing_running_and_goes_on_where_it_was(
    system: System, backend: Backend, ledger: Ledger, proof: Proof, wait_until: WaitUntil
) -> None:
    # each is waited for alone, and lasts until the other is there: another test's trouble may hold a provider's room
    polled = backend.ask("apimart", trouble=[{"on": "generation", "seconds": LONG_GENERATION_SECONDS}])
    wait_until(lambda: _is_submitted(polled), PATIENCE_SECONDS)
    called = backend.ask("evolink", trouble=[{"on": "generation", "seconds": LONG_GENERATION_SECONDS}])
    wait_until(lambda: _is_submitted(called), PATIENCE_SECONDS)
    waiting = backend.ask("evolink", trouble=[{"on": "submit", "retry_after": 5}])
    wait_until(lambda: ledger.posts(str(waiting.id)), PATIENCE_SECONDS)
    groups = system.groups()

    system.stack.stop()
    left = alive(groups.values())
    system.start_again()

    assert left == []
    for job in (polled, called, waiting):
        assert proof.faults(job.get(timeout=PATIENCE_SECONDS)) == []


def _is_submitted(job: AsyncResult[Any]) -> bool:
    return bool(job.state == "STARTED" and job.info["state"] == "submitted")


@pytest.mark.timeout(LEASE_SECONDS + PATIENCE_SECONDS)
def test_every_job_ends_with_its_video_whatever_was_killed_under_it(survivors: Storm, proof: Proof) -> None:
    results = {job_id: survivors.result(job_id).get(timeout=LEASE_SECONDS) for job_id in survivors.jobs}

    faults = {job_id: proof.faults(result) for job_id, result in results.items()}

    assert {job_id: found for job_id, found in faults.items() if found} == {}


@pytest.mark.timeout(LEASE_SECONDS + PATIENCE_SECONDS)
def test_a_worker_killed_in_its_post_is_never_followed_by_another_post(
    survivors: Storm, ledger: Ledger, callsheet: Run
) -> None:
    shown = []
    for job_id in survivors.in_post:
        survivors.result(job_id).get(timeout=LEASE_SECONDS)
        shown.append(json.loads(callsheet("show", job_id, "--json").stdout))

    assert [len(ledger.posts(job_id)) for job_id in survivors.in_post] == [1, 1]
    assert [[entry["target"] for entry in job["timeline"] if entry["kind"] == "move"] for job in shown] == [
        ["accepted", "submitting", "unconfirmed", "submitted", "generated", "archived"]
    ] * 2


def test_a_killed_process_is_named(survivors: Storm, system: System) -> None:
    said = "\n".join(system.said)

    for name in ("worker", "archiver", "sweeper", "beat", "web", "valkey"):
        assert f"{name} (pid" in said


def test_no_log_of_the_whole_run_tells_a_prompt_a_key_a_token_or_a_link(
    system: System, backend: Backend, ledger: Ledger
) -> None:
    told = backend.ask("evolink").get(timeout=PATIENCE_SECONDS)
    posts = [post["body"] for post in ledger.control.history(kind="call") if post["method"] == "POST"]
    tokens = [post["callback_url"].rpartition("/")[2] for post in posts if "callback_url" in post]
    links = [link.rpartition("/")[2] for request in ledger.control.requests() for link in request["links"]]
    keys = [system.env[name] for name in KEY_NAMES.values()]
    kept = list(json.loads((system.data / "secrets.json").read_text()).values())

    logs = {file.name: file.read_text(errors="replace") for file in (system.data / "logs").glob("*.log*")}

    secret = [WORDS, SIGNATURE, README_WORDS, "Signature=", *tokens, *links, *keys, *kept]
    leaks = {name: [word for word in secret if word in text] for name, text in logs.items()}
    assert {name: found for name, found in leaks.items() if found} == {}
    assert tokens
    assert links
    assert told["job_id"] in logs["worker.log"]
    assert told["job_id"] in logs["web.log"]
    assert told["job_id"] in logs["archiver.log"]


def test_the_doctor_finds_nothing_wrong_after_all_that(callsheet: Run) -> None:
    doctor = callsheet("doctor", "--json")

    findings = [json.loads(line) for line in doctor.stdout.splitlines()]
    assert [finding for finding in findings if finding["mark"] == "FAIL"] == []
    assert doctor.returncode == 3  # warned of at least: the loopback is open to downloads here
