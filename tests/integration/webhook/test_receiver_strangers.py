"""A stranger learns nothing from the shipped server, not even from the head of an answer."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from deploy.local.valkey import Valkey
from tests.integration.store.conftest import JOB, Lives
from tests.integration.webhook.conftest import SECRET, body, environment, path
from tests.integration.webhook.server import Server
from worker.jobs.callback_token import token

TOKEN = token(SECRET, "evolink", JOB, 1)
HERE = path().removesuffix(TOKEN)
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
    "no token": HERE,
    "half a token": HERE + TOKEN[:21],
    "a longer token": path() + "A",
    "a token with another first bit": HERE + chr(ord(TOKEN[0]) ^ 1) + TOKEN[1:],
    "a token with another last bit": HERE + TOKEN[:-1] + chr(ord(TOKEN[-1]) ^ 1),
    "the token of another job": HERE + token(SECRET, "evolink", "another-job", 1),
    "the token of another attempt": HERE + token(SECRET, "evolink", JOB, 2),
    "the token of another provider": HERE + token(SECRET, "apimart", JOB, 1),
    "a token in capitals": HERE + TOKEN.upper(),
    "a token in plain base64": HERE + TOKEN.replace("-", "+").replace("_", "/") + "=",
    "a token with padding": path() + "=",
    "a token decoded twice": HERE + "".join(f"%25{ord(c):02x}" for c in TOKEN),
    "a token and NUL": path() + "%00",
    "a token and a line break": path() + "%0d%0a",
    "a token and a space": path() + "%20",
    "a token that is no text": HERE + "%ff%fe",
    "a token that is half a surrogate pair": HERE + "%ed%a0%80",
    "a session": path() + ";jsessionid=1",
    "a part more and half a token": HERE + TOKEN[:21] + "/callback",
    "a slash more and half a token": HERE + TOKEN[:21] + "/",
    "a way up and back": f"/x/..{path()}",
    "a part that is here": f"/.{path()}",
    **{
        f"the job {job}": f"/callbacks/evolink/{job}/1/{TOKEN}"
        for job in ("%2e%2e%2f", "%2a", "%7b0%7d", "a%00b", "j%D0%BEb-1", "%0d%0aX-Injected:1", "j" * 65, "%ef%bc%8e")
    },
    **{
        f"the attempt {attempt}": f"/callbacks/evolink/{JOB}/{attempt}/{TOKEN}"
        for attempt in ("0", "01", "+1", "-1", "1.0", "1e0", "%D9%A1", "99999", "")
    },
    **{f"the provider {name}": f"/callbacks/{name}/{JOB}/1/{TOKEN}" for name in ("EVOLINK", "__class__", "p" * 300)},
    **{f"the file {name}": name for name in ("/.env", "/.git/config", "/openapi.yaml", "/server-status", "/callbacks")},
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
