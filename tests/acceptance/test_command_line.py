"""`callsheet` beside a running system, and `callsheet demo` as a system of its own."""

from __future__ import annotations

import json
import re
import subprocess
from typing import Any

from celery.result import AsyncResult

from tests.acceptance.backend import WORDS, Backend
from tests.acceptance.conftest import Run, Stage
from tests.acceptance.objects import Proof
from tests.conftest import WaitUntil

PATIENCE_SECONDS = 60
DEMO_SECONDS = 100


def begin(stage: Stage) -> subprocess.Popen[str]:
    """The demo takes as long as its generations."""
    env = {"PATH": stage.system.env["PATH"], "HOME": str(stage.directory)}
    return stage.popen("callsheet", "demo", "--data", str(stage.directory / "demo"), env=env)


def test_show_tells_a_jobs_whole_story(backend: Backend, callsheet: Run, proof: Proof) -> None:
    told = backend.ask("evolink", metadata={"order": "1007"}).get(timeout=PATIENCE_SECONDS)
    assert proof.faults(told) == []

    shown = callsheet("show", told["job_id"])

    assert (shown.returncode, shown.stderr) == (0, "")
    [video] = told["videos"]
    for words in (video["uri"], video["sha256"], told["request_id"], WORDS, '{"order": "1007"}'):
        assert words in shown.stdout
    moves = re.findall(r"(?:-> )?(\w+), by", shown.stdout)
    assert moves == ["accepted", "submitting", "submitted", "generated", "archived"]
    assert "Signature" not in shown.stdout


def test_show_says_what_an_open_job_waits_for(backend: Backend, callsheet: Run, wait_until: WaitUntil) -> None:
    result = backend.ask("gmicloud", trouble=[{"on": "generation", "seconds": 600}])
    wait_until(lambda: result.state == "STARTED" and result.info["state"] == "submitted", PATIENCE_SECONDS)

    shown = json.loads(callsheet("show", str(result.id), "--json").stdout)

    assert (shown["state"], shown["open"], shown["spec"]["model"]) == ("submitted", True, "kling-3.0-turbo-t2v")
    assert "gmicloud" in shown["waits_for"]["words"]
    assert shown["due_at"]


def test_list_finds_jobs_by_what_they_are(backend: Backend, held: AsyncResult[Any], callsheet: Run) -> None:
    failed = backend.ask("evolink", trouble=[{"on": "generation", "outcome": "failed"}])
    failed.get(timeout=PATIENCE_SECONDS, propagate=False)

    failures = callsheet("list", "--state", "failed", "--provider", "evolink", "--since", "1h", "--json")
    waiting = callsheet("list", "--state", "accepted", "--provider", "gmicloud", "--limit", "500")

    found = [json.loads(line) for line in failures.stdout.splitlines()]
    assert str(failed.id) in [job["job_id"] for job in found]
    assert {(job["state"], job["provider"]) for job in found} == {("failed", "evolink")}
    assert (str(held.id) in waiting.stdout, str(failed.id) in waiting.stdout) == (True, False)
    assert (failures.returncode, waiting.returncode) == (0, 0)


def test_doctor_finds_the_local_system_well(callsheet: Run) -> None:
    doctor = callsheet("doctor")

    found = [line.split()[:2] for line in doctor.stdout.splitlines()]
    warned = {what for mark, what in found if mark == "warn"}
    # the loopback is open to downloads here, as it must not be in production
    of_other_tests = {"gmicloud", "evolink", "apimart", "counters"}  # they had providers fail, and callbacks forged
    assert warned - of_other_tests == {"networks"}
    assert [what for mark, what in found if mark == "FAIL"] == []
    assert {"processes", "clock", "records"} <= {what for mark, what in found if mark == "ok"}
    assert (doctor.returncode, doctor.stderr) == (3, "")


def test_the_demo_ends_with_a_table_of_nine_verified_videos(begun: subprocess.Popen[str]) -> None:
    output, errors = begun.communicate(timeout=DEMO_SECONDS)

    assert (begun.returncode, errors) == (0, "")
    row = r"^(\S+-[0-9a-f]{6}) +(\w+) .* (callback|poll) .* ([0-9a-f]{64}) +(s3://\S+)$"
    rows = re.findall(row, output, re.MULTILINE)
    assert len(rows) == 9
    assert {row[1] for row in rows} == {"gmicloud", "evolink", "apimart"}
    assert {row[2] for row in rows} == {"callback", "poll"}
    assert "9 of 9 videos are in the bucket and verified" in output
