"""What a stranger learns from the shipped server: nothing, not even from the head of an answer."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from deploy.local.valkey import Valkey
from tests.integration.receiver.conftest import SECRET, body, environment, path
from tests.integration.receiver.server import Server
from tests.integration.store.conftest import JOB, Lives
from worker.callbacks import token

TOKEN = token(SECRET, "evolink", JOB, 1)
GUESSES = {
    "a wrong token": f"/callbacks/evolink/{JOB}/1/{'A' * 43}",
    "a token cut short": path()[:-1],
    "a token of an unknown secret": path(secret="a-secret-that-was-never-among-ours"),
    "an unknown job": f"/callbacks/evolink/no-such-job/1/{TOKEN}",
    "an unknown attempt": f"/callbacks/evolink/{JOB}/2/{TOKEN}",
    "an unknown provider": f"/callbacks/nobody/{JOB}/1/{TOKEN}",
    "a provider that never calls": f"/callbacks/gmicloud/{JOB}/1/{TOKEN}",
    "a true token without a record": path("no-such-job"),
    "no route": "/admin",
    "a way up": "/callbacks/%2e%2e/%2e%2e/etc/passwd",
}


@pytest.fixture(scope="module")
def server(valkey: Valkey, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("web"), environment(valkey.url))
    with running.process:
        yield running


def heard(server: Server, url: str, *lines: str) -> list[str]:
    """The whole answer to a callback at *url*, line by line, but for the time of day."""
    content = body().decode()
    head = [
        f"POST {url} HTTP/1.1",
        "Host: a",
        "Content-Type: application/json",
        f"Content-Length: {len(content)}",
        *lines,
    ]
    said = server.say("\r\n".join([*head, "Connection: close", "", content]).encode())
    return [line for line in said.decode().split("\r\n") if not line.startswith("Date:")]


def test_every_guess_has_the_same_answer_to_the_last_byte(server: Server, lives: Lives) -> None:
    lives.submitted()

    answers = {name: heard(server, url) for name, url in GUESSES.items()}

    [answer] = {tuple(lines) for lines in answers.values()}
    assert answer[0] == "HTTP/1.1 404 Not Found" or answer[0] == "HTTP/1.1 404 NOT FOUND"
    assert answer[-1] == '{"error": "not found"}'
    assert not [line for line in answer if "gunicorn/" in line.lower() or "werkzeug" in line.lower()]


@pytest.mark.parametrize(
    "line",
    [
        "X-Forwarded-For: 127.0.0.1",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Prefix: /callbacks",
        "X-Forwarded-Host: evil.example",
        "Forwarded: for=127.0.0.1;host=evil.example",
        "X-Original-URL: /ready",
        "X-HTTP-Method-Override: GET",
        f"X-Script-Name: /callbacks/evolink/{JOB}",
        "SCRIPT_NAME: /x",
        "PATH_INFO: /ready",
    ],
)
def test_no_header_makes_a_stranger_somebody(server: Server, lives: Lives, line: str) -> None:
    lives.submitted()

    guess, call = heard(server, GUESSES["a wrong token"], line), heard(server, path(), line)

    assert (guess[0].split()[1], call[0].split()[1]) in [("404", "200"), ("400", "400")]
