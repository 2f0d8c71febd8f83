"""No secret of the processes that tests have started stands where others read, when the tests are over.

While tests run, each process's keys and passwords are noted as it starts, and of each whole system, as it is
stopped, what only its providers were told (prompts, callback tokens, signed links), the pages of its Flower and the
results that it has written. At the end all that was written down is searched for all of it: logs, crash reports,
manifests, whatever else lies in the session's directory, but for the few files that are there to hold secrets.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis
import requests

from deploy.local.processes import Process
from deploy.local.stack import Stack
from deploy.sandbox.client import SandboxControl

LEAST_CHARACTERS = 16
"""The least length of a canary: a shorter one could stand anywhere by chance."""
FILE_BYTES = 64 * 1024 * 1024
SECRET_VARIABLES = re.compile(r"\w+(_API_KEY|_API_TOKENS?|FAL_KEY|_SECRETS|_SECRET_ACCESS_KEY|_BASIC_AUTH)")
URL_VARIABLES = re.compile(r"CALLSHEET_(REDIS_URL|BROKER_URL|RESULT_BACKEND)")
KEEPERS = re.compile(
    r"secrets\.(json|draft)|env|.*\.env|key\.pem|.*\.(rdb|aof|manifest|conf|acl|mp4|pyc|so)|.*\.aof\..*|users.*"
)
"""Files whose purpose is to hold secrets or specs, or that are no text."""
SHAPES = {
    "a callback's token": re.compile(rb"/callbacks/[a-z]+/[A-Za-z0-9_-]{1,64}/[0-9]+/[A-Za-z0-9_-]{43}"),
    "a signed link": re.compile(rb"X-Amz-(Signature=[0-9a-f]|Credential=|Security-Token=)"),
    "a key in a header": re.compile(rb"Bearer [A-Za-z0-9_-]{16}"),
    "a password in a URL": re.compile(rb"(rediss?|amqps?|sentinel)://[^\s/@:]*:[^\s/@*]{6,}@"),
}
PAGES = ("/workers", "/tasks", "/broker", "/metrics", "/api/workers", "/api/tasks")


@dataclass
class Canaries:
    """The secrets that must not be found, and the text that was read of systems that are gone."""

    secrets: dict[bytes, str] = field(default_factory=dict)
    told: dict[str, bytes] = field(default_factory=dict)

    def add(self, name: str, secret: object) -> None:
        if isinstance(secret, str) and len(secret) >= LEAST_CHARACTERS:
            self.secrets[secret.encode()] = name

    def of_environment(self, env: Mapping[str, str]) -> None:
        for name, value in env.items():
            if SECRET_VARIABLES.fullmatch(name):
                for secret in value.split(","):
                    self.add(name, secret.rpartition(":")[2])
            elif URL_VARIABLES.fullmatch(name):
                self.add(f"password of {name}", urlsplit(value).password)

    def of_system(self, stack: Stack) -> None:
        """The texts that a running system sent to its providers and to others."""
        control = SandboxControl(stack.sandbox.url, stack.sandbox.ca_file)
        for call in control.history(kind="call"):
            self._of_call(call["body"] if isinstance(call["body"], dict) else {})
        self.told |= {f"{stack.data.path} {name}": page for name, page in _pages(stack.env)}
        self.told |= {f"{stack.data.path} {name}": result for name, result in _results(stack.env)}

    def _of_call(self, body: Mapping[str, Any]) -> None:
        payload = body.get("payload")
        self.add("a prompt", (payload if isinstance(payload, dict) else body).get("prompt"))
        self.add("a callback's token", str(body.get("callback_url") or "").rpartition("/")[2])

    def leaks(self, root: Path) -> list[str]:
        """Which secret stands where, below *root* and in what was told."""
        found = [f"{name}: {place}" for place, text in self.told.items() for name in self._in(text)]
        for file in _written(root):
            found += [f"{name}: {file.relative_to(root)}" for name in self._in(file.read_bytes())]
        return sorted(set(found))

    def _in(self, text: bytes) -> Iterator[str]:
        yield from (name for secret, name in self.secrets.items() if secret in text)
        yield from (name for name, shape in SHAPES.items() if shape.search(text))


def _written(root: Path) -> Iterator[Path]:
    for directory, _, names in os.walk(root):
        for file in (Path(directory) / name for name in names if not KEEPERS.fullmatch(name)):
            with suppress(OSError):
                if not file.is_symlink() and file.is_file() and file.stat().st_size <= FILE_BYTES:
                    yield file


def _pages(env: Mapping[str, str]) -> Iterator[tuple[str, bytes]]:
    user, _, password = env["FLOWER_BASIC_AUTH"].partition(":")
    with requests.Session() as session, suppress(requests.RequestException):  # a test may have killed Flower
        session.trust_env, session.auth = False, (user, password)
        for page in PAGES:
            yield f"Flower{page}", session.get(f"http://127.0.0.1:{env['FLOWER_PORT']}{page}", timeout=5).content


def _results(env: Mapping[str, str]) -> Iterator[tuple[str, bytes]]:
    url = env.get("CALLSHEET_RESULT_BACKEND") or env["CALLSHEET_REDIS_URL"]
    with redis.Redis.from_url(url, socket_timeout=5) as client, suppress(redis.RedisError):  # or Redis
        for key in client.scan_iter("celery-task-meta-*", count=1000):
            yield key.decode(), client.get(key) or b""


def watch(canaries: Canaries) -> None:
    """Note the secrets of every process that is started from here on, and of every system that is stopped."""
    Process.spawn = _before(Process.spawn, lambda process: canaries.of_environment(process.env))  # type: ignore[method-assign]
    Stack.stop = _before(Stack.stop, lambda stack: _note(canaries, stack))  # type: ignore[method-assign]


def _note(canaries: Canaries, stack: Stack) -> None:
    if "sandbox" in stack.processes:
        with suppress(requests.RequestException, OSError):
            canaries.of_system(stack)


def _before(method: Callable[..., Any], act: Callable[[Any], None]) -> Callable[..., Any]:
    @wraps(method)
    def acting(self: Any, *args: Any, **options: Any) -> Any:
        act(self)
        return method(self, *args, **options)

    return acting


def of_files(canaries: Canaries, root: Path) -> None:
    """The secrets of systems that were started as programs of their own, by the files they keep them in."""
    for file in root.rglob("secrets.json"):
        with suppress(ValueError, AttributeError):
            for name, secret in json.loads(file.read_text()).items():
                if name != "s3_access_key":  # stands in every request
                    canaries.add(name, secret)


def report(canaries: Canaries, session: pytest.Session, root: Path) -> None:
    """Fail the session where a secret is found; tell the place, never the secret."""
    of_files(canaries, root)
    leaks = canaries.leaks(root)
    if leaks:
        reporter: Any = session.config.pluginmanager.get_plugin("terminalreporter")
        reporter.ensure_newline()
        reporter.section("secrets where they should not be", red=True)
        for leak in leaks:
            reporter.line(leak)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
