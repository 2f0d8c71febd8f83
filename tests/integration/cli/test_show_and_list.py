"""`callsheet show` and `callsheet list` on records as workers leave them."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.integration.cli.conftest import ROOT, Lives, Run, is_one_clear_line
from worker.jobs.job import JobError
from worker.jobs.states import JobState
from worker.store import Store

SIGNED = "https://cdn.example.com/start.png?X-Amz-Signature=0123456789"


def ids(printed: str) -> list[str]:
    return [line.split()[0] for line in printed.splitlines()[1:]]


def test_a_job_is_shown_with_all_that_is_known(callsheet: Run, store: Store, lives: Lives) -> None:
    spec = json.dumps({"model": "m", "prompt": "A corgi", "first_frame": SIGNED})
    store.jobs.accept("j1", spec_json=spec, spec_sha256="0" * 64, provider="evolink", model="m", request=None)
    lives.submit("j1")
    store.callbacks.arrive("j1", attempt=1, request_id="r-j1", fingerprint="f", is_terminal=True, event_json="{}")

    done = callsheet("show", "j1")

    assert done.returncode == 0
    assert "state       submitted at 0 %" in done.stdout
    assert "waits for   evolink to finish the video (0 %): " in done.stdout
    assert "request id  r-j1 (attempt 1)" in done.stdout
    assert "prompt: A corgi" in done.stdout
    assert "first_frame: <link at cdn.example.com>" in done.stdout
    assert "heard       0 polls, 1 callback events kept, 0 candidate request ids" in done.stdout
    assert "accepted -> submitting" in done.stdout
    assert "Signature" not in done.stdout


def test_the_json_of_a_job_is_one_document(callsheet: Run, lives: Lives) -> None:
    lives.accept("j1")
    lives.submit("j1")
    lives.close(lives.archive("j1"))

    shown = json.loads(callsheet("show", "j1", "--json").stdout)

    assert (shown["state"], shown["open"], shown["due_at"]) == ("archived", False, None)
    assert shown["waits_for"]["code"] == "nothing"
    assert shown["waits_for"]["words"].startswith("nothing: the video is in the bucket")
    assert [move["target"] for move in shown["timeline"]] == [
        "accepted", "submitting", "submitted", "generated", "archived"
    ]  # fmt: skip


def test_an_unconfirmed_job_says_how_it_can_be_settled(callsheet: Run, store: Store, lives: Lives) -> None:
    lives.accept("j1", "gmicloud")
    claim = store.due.claim("j1", states=(JobState.ACCEPTED,), lease_ms=60_000)
    assert claim is not None
    store.attempts.begin(claim)
    store.jobs.move("j1", JobState.UNCONFIRMED, attempt=1, path="submit", due_in_ms=60_000)
    store.callbacks.arrive("j1", attempt=1, request_id="r-x", fingerprint="f", is_terminal=True, event_json="{}")

    waits = json.loads(callsheet("show", "j1", "--json").stdout)["waits_for"]
    words = waits["words"]

    assert (waits["code"], waits["settled_by"]) == ("reconcile", ["candidate", "list", "deadline"])
    assert "one of 1 request ids told by callbacks" in words
    assert "gmicloud's list of requests" in words
    assert "a callback of gmicloud" not in words


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("show", "nobody"), 1, "there is no job nobody"),
        (("show", "../etc"), 1, "a job id is 1 to 64"),
        (("show", "a\x1b[31m"), 1, "a job id is 1 to 64"),
        (("show",), 2, "Missing argument 'JOB'"),
        (("list", "--state", "done"), 2, "'done' is not one of"),
        (("list", "--provider", "other"), 2, "'other' is not one of"),
        (("list", "--since", "2 hours"), 2, "such as 90s, 15m, 2h or 7d"),
        (("list", "--limit", "0"), 2, "--limit"),
        (("list", "--cursor", "nonsense"), 1, "cursor: is none of ours"),
        (("list", "--nonsense"), 2, "No such option"),
    ],
)
def test_bad_input_is_one_clear_line(arguments: tuple[str, ...], status: int, words: str, callsheet: Run) -> None:
    done = callsheet(*arguments)

    assert is_one_clear_line(done, status)
    assert words in done.stderr
    assert "\x1b" not in done.stderr


@pytest.mark.parametrize("verb", [("list",), ("show", "j1"), ("submit", "--model", "kling-3.0-turbo", "--prompt", "x")])
def test_an_unreachable_redis_is_one_clear_line(verb: tuple[str, ...], callsheet: Run) -> None:
    done = callsheet(*verb, env={"CALLSHEET_REDIS_URL": "redis://:secret-word@127.0.0.1:1/0"})

    assert is_one_clear_line(done, 1)
    assert "is CALLSHEET_REDIS_URL right? callsheet doctor looks at everything" in done.stderr
    assert "secret-word" not in done.stderr


@pytest.mark.parametrize("verb", [("list",), ("show", "j1"), ("submit", "--model", "m", "--prompt", "x")])
def test_every_missing_or_broken_variable_is_named_at_once(verb: tuple[str, ...], callsheet: Run) -> None:
    done = callsheet(
        *verb, env={"CALLSHEET_REDIS_URL": None, "CALLSHEET_BUCKET": "NO", "CALLSHEET_PUBLIC_URL": "http://plain"}
    )

    assert is_one_clear_line(done, 1)
    for name in ("CALLSHEET_REDIS_URL", "CALLSHEET_BUCKET", "CALLSHEET_PUBLIC_URL"):
        assert name in done.stderr


def test_open_jobs_come_newest_first(callsheet: Run, store: Store, lives: Lives) -> None:
    for job_id, due_in_ms in (("first", 90_000), ("second", 5_000), ("third", 30_000)):
        lives.accept(job_id)
        lives.submit(job_id, due_in_ms=due_in_ms)

    done = callsheet("list", "--open")

    assert ids(done.stdout) == newest_first(store, "first", "second", "third")
    assert done.stdout.startswith("job")
    assert "polled in" in done.stdout


def test_jobs_are_filtered(callsheet: Run, lives: Lives) -> None:
    lives.accept("new", "gmicloud")
    lives.accept("busy")
    lives.submit("busy")
    lives.accept("done")
    lives.submit("done")
    lives.close(lives.archive("done"))
    lives.accept("bad")
    lives.fail("bad", JobError("submit", "refused", "no"))

    def listed(*arguments: str) -> list[str]:
        return sorted(
            json.loads(line)["job_id"] for line in callsheet("list", *arguments, "--json").stdout.splitlines()
        )

    assert listed() == ["bad", "busy", "done", "new"]
    assert listed("--open") == ["busy", "new"]
    assert listed("--closed") == ["bad", "done"]
    assert listed("--state", "submitted") == ["busy"]
    assert listed("--state", "failed", "--state", "accepted") == ["bad", "new"]
    assert listed("--provider", "gmicloud") == ["new"]
    assert listed("--open", "--provider", "evolink") == ["busy"]
    assert listed("--since", "1h") == ["bad", "busy", "done", "new"]
    assert listed("--since", "0s") == []


def test_a_failed_job_says_why_in_the_list_and_its_json(callsheet: Run, lives: Lives) -> None:
    lives.accept("bad")
    lives.fail("bad", JobError("submit", "moderated", "the prompt was refused\x1b[2J"))

    text, row = callsheet("list").stdout, json.loads(callsheet("list", "--json").stdout)

    assert "submit (moderated): the prompt was refused\\x1b[2J; nothing: it ended without a video" in text
    assert row["error"] == {"stage": "submit", "code": "moderated", "message": "the prompt was refused\x1b[2J"}


def test_a_stuck_job_says_what_its_last_tries_failed_with(callsheet: Run, store: Store, lives: Lives) -> None:
    lives.accept("slow")
    lives.submit("slow")
    store.jobs.note("slow", failures="4", waiting_for="evolink to be polled (server_error: out of capacity)")

    text, row = callsheet("list", "--stuck").stdout, json.loads(callsheet("list", "--stuck", "--json").stdout)

    assert "4 tries in a row failed: evolink to be polled (server_error: out of capacity)" in text
    assert row["last_failure"] == "evolink to be polled (server_error: out of capacity)"
    assert row["failures"] == 4


def test_a_limit_is_kept_and_told(callsheet: Run, lives: Lives) -> None:
    for n in range(3):
        lives.accept(f"j{n}")

    done = callsheet("list", "--limit", "2")

    assert len(ids(done.stdout)) == 2
    assert "older ones: --cursor " in done.stderr
    rest = callsheet("list", "--limit", "2", "--cursor", done.stderr.split()[-1])
    assert sorted(ids(done.stdout) + ids(rest.stdout)) == ["j0", "j1", "j2"]
    assert rest.stderr == ""


def test_the_newest_closed_jobs_come_first(callsheet: Run, store: Store, lives: Lives) -> None:
    for job_id in ("first", "second", "third"):
        lives.accept(job_id)
        lives.submit(job_id)
        lives.close(lives.archive(job_id))

    done = callsheet("list", "--closed", "--limit", "2")

    assert ids(done.stdout) == newest_first(store, "first", "second", "third")[:2]


def test_nothing_found_is_said_on_stderr(callsheet: Run) -> None:
    done = callsheet("list")

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "no such jobs\n")


def newest_first(store: Store, *job_ids: str) -> list[str]:
    """*job_ids* by when they were accepted; of one instant, the greater id is first."""
    return [
        job.id for job in sorted(store.records.read(job_ids), key=lambda job: (job.accepted_at, job.id), reverse=True)
    ]


@pytest.mark.parametrize("command", ["list", "watch j1"])
def test_a_verb_started_without_stdout_ends_well_and_says_nothing(
    environment: dict[str, str], lives: Lives, command: str
) -> None:
    lives.accept("j1")
    lives.submit("j1")
    lives.close(lives.archive("j1"))

    done = subprocess.run(
        ["/bin/sh", "-c", f'exec "{sys.executable}" -m worker.cli {command} <&- >&-'],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert (done.returncode, done.stderr) == (0, "")
