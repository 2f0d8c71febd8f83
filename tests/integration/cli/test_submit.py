"""`callsheet submit`: durable when the id is printed, all problems at once, and waiting that never touches the job."""

from __future__ import annotations

import json
import os
import pty
import signal
from pathlib import Path

import pytest

from tests.conftest import WaitUntil
from tests.integration.cli.conftest import Lives, Run, Start, is_one_clear_line
from worker.jobs.job import JobError
from worker.jobs.states import JobState
from worker.store import Store

TEXT = ("--model", "kling-3.0-turbo", "--provider", "apimart", "--prompt", "A corgi on the beach")


def test_the_id_is_printed_and_the_job_is_recorded(callsheet_process: Run, store: Store) -> None:
    done = callsheet_process(
        "submit", *TEXT, "--id", "order-1", "--metadata", "order=1", "--duration", "6", "--no-watermark"
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "order-1\n", "")
    job = store.jobs.get("order-1")
    assert job is not None
    assert job.state is JobState.ACCEPTED
    assert json.loads(store.history.spec_json("order-1") or "") == {
        "model": "kling-3.0-turbo",
        "provider": "apimart",
        "prompt": "A corgi on the beach",
        "duration": 6,
        "watermark": False,
        "metadata": {"order": "1"},
    }


def test_a_new_id_is_made_where_none_is_given(callsheet_process: Run, store: Store) -> None:
    done = callsheet_process("submit", *TEXT, "--json")

    assert store.jobs.get(json.loads(done.stdout)["job_id"]) is not None


def test_a_spec_can_be_a_document(callsheet_process: Run, store: Store, tmp_path: Path) -> None:
    file = tmp_path / "spec.json"
    file.write_text('{"model": "kling-3.0-turbo", "provider": "apimart", "prompt": "ä"}')

    done = callsheet_process("submit", "--id", "d1", "--spec", str(file))

    assert done.stdout == "d1\n"
    assert json.loads(store.history.spec_json("d1") or "")["prompt"] == "ä"


def test_the_same_again_is_the_same_job_and_another_spec_is_a_conflict(callsheet_process: Run, store: Store) -> None:
    callsheet_process("submit", *TEXT, "--id", "j1")

    again = callsheet_process("submit", *TEXT, "--id", "j1")
    other = callsheet_process("submit", *TEXT, "--id", "j1", "--duration", "9")

    assert (again.returncode, again.stdout) == (0, "j1\n")
    assert is_one_clear_line(other, 1)
    assert "job j1 already exists with another spec" in other.stderr
    assert "duration" not in (store.history.spec_json("j1") or "")


def test_five_problems_of_a_spec_are_told_in_one_line_and_nothing_is_recorded(callsheet: Run, store: Store) -> None:
    done = callsheet(
        "submit", "--id", "bad", "--model", "kling-3.0-turbo-t2v", "--provider", "gmicloud",
        "--duration", "99", "--resolution", "4k", "--aspect-ratio", "7:3", "--sound", "--watermark",
    )  # fmt: skip

    assert is_one_clear_line(done, 1)
    for field in ("duration", "resolution", "aspect_ratio", "sound", "watermark", "prompt"):
        assert f"{field}: " in done.stderr
    assert store.jobs.get("bad") is None


@pytest.mark.parametrize(
    ("arguments", "stdin", "status", "words"),
    [
        ((), b"", 2, "give a spec"),
        (("--model", "no-such-model", "--prompt", "x"), b"", 1, "model: there is no such model here"),
        (
            ("--model", "kling-3.0-turbo", "--duration", "x", "--prompt", "p"),
            b"",
            1,
            "duration: must be a whole number",
        ),
        (("--prompt", "p"), b"", 1, "model: is missing"),
        ((*TEXT, "--shot", "no colon"), b"", 2, "--shot must be SECONDS:PROMPT"),
        ((*TEXT, "--metadata", "no equals"), b"", 2, "--metadata must be KEY=VALUE"),
        ((*TEXT, "--notify-url", "ftp://example.com"), b"", 1, "notify_url: is not an https:// or http:// URL"),
        ((*TEXT, "--notify-url", "https://example.com"), b"", 1, "notify_url: notifications are not set up here"),
        ((*TEXT, "--id", "a b"), b"", 1, "job id: must be 1 to 64"),
        ((*TEXT, "--id", ""), b"", 2, "--id must not be empty"),
        ((*TEXT, "--id", "a\x1b[31m\r\nb"), b"", 1, "job id: must be 1 to 64"),
        ((*TEXT, "--first-frame", "http://10.0.0.1/a.png"), b"", 1, "first_frame: must be an https:// URL"),
        (("--model", "kling-3.0-turbo", "--prompt", "a\x1b[31m"), b"", 1, "prompt: holds a control character"),
        ((*TEXT, "--timeout", "5"), b"", 2, "--timeout needs --wait"),
        ((*TEXT, "--wait", "--timeout", "-1"), b"", 2, "--timeout"),
        ((*TEXT, "--spec", "-"), b"{}", 2, "--spec gives the whole spec; leave out --model"),
        (("--spec", "/nonexistent/spec.json"), b"", 2, "No such file"),
        (("--spec", "-"), b"", 1, "the spec is not JSON"),
        (("--spec", "-"), b"{}", 1, "model: is missing"),
        (("--spec", "-"), b"[1]", 1, "must be one JSON object"),
        (("--spec", "-"), b"\xff\xfe", 1, "not JSON"),
        (("--spec", "-"), b'{"model": "m", "colour": 1, "duration": "5"}', 1, "colour: is not a field of a spec"),
    ],
)
def test_bad_input_is_one_clear_line(
    arguments: tuple[str, ...], stdin: bytes, status: int, words: str, callsheet: Run, store: Store
) -> None:
    done = callsheet("submit", *arguments, stdin=stdin)

    assert is_one_clear_line(done, status)
    assert words in done.stderr
    assert store.due.open_count() == 0


def test_a_job_is_recorded_although_the_broker_is_down(callsheet_process: Run, store: Store) -> None:
    done = callsheet_process("submit", *TEXT, "--id", "j1", env={"CALLSHEET_BROKER_URL": "redis://127.0.0.1:1/0"})

    assert (done.returncode, done.stdout, done.stderr) == (0, "j1\n", "")
    assert store.jobs.get("j1") is not None


def test_waiting_in_a_pipe_tells_each_change_and_the_video(
    start_callsheet: Start, store: Store, lives: Lives, wait_until: WaitUntil
) -> None:
    process = start_callsheet("submit", *TEXT, "--id", "j1", "--wait")
    assert process.stdout is not None
    lines = [process.stdout.readline(), process.stdout.readline()]

    lives.submit("j1")
    lines.append(process.stdout.readline())
    lives.progress("j1", 42)
    lines.append(process.stdout.readline())
    lives.archive("j1")
    rest, complaint = process.communicate(timeout=30)

    assert lines == ["j1\n", "accepted\n", "submitted at apimart 0 %\n", "submitted at apimart 42 %\n"]
    assert rest.splitlines() == [
        "archived",
        f"s3://bucket/j1/1-1.mp4  1000 bytes, 5 s, sha256 {'ab' * 32}",
    ]
    assert complaint == ""
    assert process.returncode == 0


def test_waiting_for_json_ends_with_the_result(start_callsheet: Start, store: Store, lives: Lives) -> None:
    process = start_callsheet("submit", *TEXT, "--id", "j1", "--wait", "--json")
    assert process.stdout is not None
    first = [json.loads(process.stdout.readline()) for _ in range(2)]

    lives.submit("j1")
    lives.archive("j1")
    rest, _ = process.communicate(timeout=30)
    documents = [json.loads(line) for line in rest.splitlines()]

    assert first == [{"job_id": "j1"}, {"job_id": "j1", "state": "accepted", "progress": 0, "provider": "apimart"}]
    assert documents[-1]["state"] == "archived"
    assert documents[-1]["videos"][0]["uri"] == "s3://bucket/j1/1-1.mp4"
    assert process.returncode == 0


def test_waiting_for_a_job_that_fails_exits_1_and_says_why(start_callsheet: Start, store: Store, lives: Lives) -> None:
    process = start_callsheet("submit", *TEXT, "--id", "j1", "--wait")
    assert process.stdout is not None
    process.stdout.readline()

    lives.submit("j1")
    error = JobError("generate", "moderated", "not\x1b[2J this")
    store.jobs.move("j1", JobState.FAILED, attempt=1, path="poll", error=error)
    shown, complaint = process.communicate(timeout=30)

    assert process.returncode == 1
    assert complaint == ("Error: job j1 failed: generate (moderated): not\\x1b[2J this; more: callsheet show j1\n")
    assert "\x1b" not in shown


def test_time_runs_out_in_words_and_the_job_stays(callsheet_process: Run, store: Store) -> None:
    done = callsheet_process("submit", *TEXT, "--id", "j1", "--wait", "--timeout", "0.1")

    assert done.returncode == 1
    assert done.stderr.startswith("Error: job j1 is still accepted after ")
    assert done.stderr.endswith("; it goes on: callsheet show j1\n")
    assert store.due.open_count() == 1


def test_ctrl_c_leaves_the_job_running_and_says_how_to_look_at_it(start_callsheet: Start, store: Store) -> None:
    process = start_callsheet("submit", *TEXT, "--id", "j1", "--wait")
    assert process.stdout is not None
    assert [process.stdout.readline(), process.stdout.readline()] == ["j1\n", "accepted\n"]

    process.send_signal(signal.SIGINT)
    _, complaint = process.communicate(timeout=30)

    assert process.returncode == 130
    assert complaint.strip() == "the job goes on; look at it: callsheet show j1"
    assert store.due.open_count() == 1


def test_a_terminal_sees_one_line_redrawn(start_callsheet: Start, lives: Lives) -> None:
    ours, theirs = pty.openpty()
    process = start_callsheet("submit", *TEXT, "--id", "j1", "--wait", stdout=theirs)
    os.close(theirs)
    shown = _read_until(ours, "accepted")

    lives.submit("j1")
    lives.archive("j1")
    shown += _read_until(ours, "sha256")
    process.wait(timeout=30)
    os.close(ours)

    assert "\x1b[1A\x1b[J" in shown
    assert process.returncode == 0


def _read_until(terminal: int, words: str) -> str:
    shown = ""
    while words not in shown:
        shown += os.read(terminal, 4096).decode()
    return shown
