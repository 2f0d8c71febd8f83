"""The search for secrets at the end of a session finds what is there, and fails the session."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.canaries import Canaries

ROOT = Path(__file__).parents[2]
KEY = "sk-of-a-provider-0123456789"
ENVIRONMENT = {
    "EVOLINK_API_KEY": KEY,
    "CALLSHEET_CALLBACK_SECRETS": "the-first-of-the-secrets,the-second-of-the-secrets",
    "CALLSHEET_REDIS_URL": "redis://user:password-of-redis@127.0.0.1:1/0",
    "FLOWER_BASIC_AUTH": "operator:password-of-flower",
    "CALLSHEET_BUCKET": "no-secret-at-all-is-in-here",
}


@pytest.fixture
def left() -> Iterator[Path]:
    """A directory that the search at the end of this session does not see."""
    with tempfile.TemporaryDirectory() as directory:
        yield Path(directory)


@pytest.fixture
def canaries() -> Canaries:
    found = Canaries()
    found.of_environment(ENVIRONMENT)
    return found


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (f"failed: {KEY}", "EVOLINK_API_KEY"),
        ("the-second-of-the-secrets", "CALLSHEET_CALLBACK_SECRETS"),
        ("password-of-redis", "password of CALLSHEET_REDIS_URL"),
        ("password-of-flower", "FLOWER_BASIC_AUTH"),
        (f"POST /callbacks/evolink/job-1/1/{'t' * 43}", "a callback's token"),
        ("https://s3.example.com/k?X-Amz-Signature=0a1b", "a signed link"),
        (f"Authorization: Bearer {KEY[::-1]}", "a key in a header"),
        ("cannot reach redis://:a-password@10.0.0.1", "a password in a URL"),
    ],
)
@pytest.mark.parametrize("place", ["worker.log", "core.4711", "objects/2026/job.json", "dir/without-a-name"])
def test_a_secret_is_found_wherever_it_was_written(
    canaries: Canaries, left: Path, place: str, text: str, name: str
) -> None:
    (left / place).parent.mkdir(parents=True, exist_ok=True)
    (left / place).write_bytes(b"\xff\x00 a line\n" + text.encode() + b"\nanother")

    assert canaries.leaks(left) == [f"{name}: {place}"]


def test_a_secret_is_found_in_what_a_system_told(canaries: Canaries, left: Path) -> None:
    canaries.add("a prompt", "a corgi that nobody may hear of")
    canaries.told["Flower/tasks"] = b"<td>a corgi that nobody may hear of</td>"

    assert canaries.leaks(left) == ["a prompt: Flower/tasks"]


def test_what_is_there_to_hold_secrets_and_what_is_none_is_left_alone(canaries: Canaries, left: Path) -> None:
    for name in ("secrets.json", "worker.env", "appendonly.aof.1.incr.aof", "key.pem"):
        (left / name).write_text(KEY)
    (left / "web.log").write_text("/callbacks/<token> no-secret-at-all-is-in-here redis://10.0.0.1:6379/0")

    assert canaries.leaks(left) == []


PLANTED = """
import sys
from deploy.local.processes import Process

def test_that_passes(tmp_path):
    env = {"EVOLINK_API_KEY": %r}
    line = [sys.executable, "-c", "import os; print(os.environ['EVOLINK_API_KEY'])"]
    process = Process("chatterer", line, directory=tmp_path, logs=tmp_path, env=env, is_ready=lambda _: False)
    process.spawn()
    while process.is_running:
        pass
    process.stop()
"""


@pytest.mark.parametrize(("key", "status"), [(KEY, 1), ("short", 0)], ids=["a secret", "no secret"])
def test_a_session_whose_tests_all_pass_fails_for_a_secret_in_a_log(left: Path, key: str, status: int) -> None:
    (left / "test_planted.py").write_text(PLANTED % key)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.conftest", "-p", "no:cacheprovider"]

    done = subprocess.run(
        [*command, "--rootdir", str(left), "--basetemp", str(left / "temp"), str(left / "test_planted.py")],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == status, done.stdout + done.stderr
    assert "1 passed" in done.stdout
    assert ("EVOLINK_API_KEY: test_that_passes0/chatterer.log" in done.stdout) == bool(status)
    assert KEY not in done.stdout
