"""An environment that cannot be used: one line that says so, exit status 1, and nothing started."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from deploy.local.ports import free_port
from tests.acceptance import shell
from tests.acceptance.conftest import Stage
from tests.acceptance.shell import LINES, ROOT

BAD = {"CALLSHEET_REDIS_URL": "http://somewhere", "CALLSHEET_RETENTION_DAYS": "soon", "EVOLINK_API_KEY": "a space"}
COMMANDS = {
    **LINES,
    "submit": "callsheet submit --model kling-3.0-turbo --prompt x",
    "show": "callsheet show some-job",
    "list": "callsheet list",
    "up": "callsheet up --data $HOME/up",
}
"""Everything that reads the environment, as a shell runs it."""

COMPLETE = {
    "CALLSHEET_REDIS_URL": "redis://127.0.0.1:1/0",
    "CALLSHEET_BUCKET": "a-bucket",
    "EVOLINK_API_KEY": "a-key",
}
SUBTLE = {
    "CALLSHEET_REDIS_URL": ("redis://:pass#word@127.0.0.1:6379/0", "has a port that is no number"),
    "CALLSHEET_BROKER_URL": ("amqp://127.0.0.1:rabbit/", "has a port that is no number"),
    "CALLSHEET_CA_FILE": (str(ROOT / "README.md"), "names a file that holds no certificates"),
    "EVOLINK_FIELD_NAMES": ("frist_frame=image_url", "names unknown fields frist_frame"),
}
"""Values that look right until they are used, with the words of their refusal."""
USERS = ("web", "worker")

Done = Mapping[tuple[str, str], "Future[subprocess.CompletedProcess[str]]"]


def begin(stage: Stage) -> Done:
    """Each command in each bad environment, a few at a time; by its name, and by the one variable that is bad."""
    always = {
        "HOME": str(stage.directory / "refused"),
        "PORT": str(free_port()),
        "FLOWER_BASIC_AUTH": "somebody:a-password",
    }
    pool = stage.exits.enter_context(ThreadPoolExecutor(2))
    done = {(name, ""): pool.submit(shell.run, line, {**always, **BAD}) for name, line in COMMANDS.items()}
    for variable, (value, _) in SUBTLE.items():
        env = {**always, **COMPLETE, variable: value}
        done |= {(name, variable): pool.submit(shell.run, LINES[name], env) for name in USERS}
    return done


@pytest.mark.parametrize("name", COMMANDS)
def test_every_bad_variable_is_named_at_once(name: str, begun: Done) -> None:
    done = begun[name, ""].result()

    [line] = done.stderr.splitlines()
    assert done.returncode == 1
    assert [variable for variable in BAD if variable not in line] == []


@pytest.mark.parametrize("variable", SUBTLE)
@pytest.mark.parametrize("name", USERS)
def test_a_value_that_only_its_user_can_judge_is_one_line_too(name: str, variable: str, begun: Done) -> None:
    done = begun[name, variable].result()

    [line] = done.stderr.splitlines()
    assert done.returncode == 1
    assert f"{variable} {SUBTLE[variable][1]}" in line


def test_the_doctor_names_every_variable_and_what_to_do(tmp_path: Path) -> None:
    done = shell.run("callsheet doctor", {"HOME": str(tmp_path), **BAD})

    lines = done.stdout.splitlines()
    assert (done.returncode, done.stderr) == (1, "")
    assert all(line.startswith("FAIL  configuration") and "see deploy/env.example" in line for line in lines)
    assert [variable for variable in (*BAD, "CALLSHEET_BUCKET") if variable not in done.stdout] == []


def test_flower_without_a_password_does_not_start() -> None:
    done = shell.run(LINES["flower"], {})

    assert done.returncode != 0
    assert "FLOWER_BASIC_AUTH: set it to user:password" in done.stderr
    assert len(done.stderr.splitlines()) == 1
