"""The whole system as processes, started once; tests use it through the doors that users have.

Every job has an id of its own and every rule of the sandbox is for one job, so
no test needs the system to be emptied, and slow jobs run beside the others.
What takes long by nature (a lease that must end, a first poll, a system of its
own) is begun before the first test: a module's function `begin`, if it has one,
is called then, and its tests find what it returned in the fixture `begun`.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from celery.result import AsyncResult

from tests.acceptance.backend import Backend
from tests.acceptance.flower_api import Flower
from tests.acceptance.ledger import Ledger
from tests.acceptance.objects import Objects, Proof
from tests.acceptance.storm import Storm
from tests.acceptance.system import System, running
from tests.conftest import WaitUntil

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def system(tmp_path_factory: pytest.TempPathFactory, wait_until: WaitUntil) -> Iterator[System]:
    """The system as `callsheet up` runs it, at a sandbox that finishes a generation at once."""
    with running(tmp_path_factory.mktemp("system"), wait_until) as up:
        yield up


@pytest.fixture(scope="session")
def ledger(system: System) -> Iterator[Ledger]:
    history = Ledger(system.sandbox.url, system.sandbox.ca_file)
    yield history
    history.close()


@pytest.fixture(scope="session")
def backend(system: System, ledger: Ledger) -> Iterator[Backend]:
    service = Backend(system.redis_url, ledger.control)
    yield service
    service.close()


@pytest.fixture(scope="session")
def objects(system: System, wait_until: WaitUntil) -> Iterator[Objects]:
    bucket = Objects(system.env, wait_until)
    yield bucket
    bucket.close()


@pytest.fixture(scope="session")
def proof(ledger: Ledger, objects: Objects) -> Proof:
    return Proof(ledger, objects)


@pytest.fixture(scope="session")
def flower(system: System) -> Iterator[Flower]:
    view = Flower(system.env)
    yield view
    view.close()


@pytest.fixture(scope="session")
def callsheet(system: System) -> Run:
    """`callsheet("show", job_id)`: the command as a shell would start it, in the system's environment."""

    def run(*arguments: str, stdin: str = "", env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["callsheet", *arguments],
            env={**system.env, **(env or {})},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
        )

    return run


@pytest.fixture
def held(backend: Backend, callsheet: Run, wait_until: WaitUntil) -> Iterator[AsyncResult[Any]]:
    """A job that stays `accepted`, because its provider asks to wait; revoked after the test."""
    result = backend.ask("gmicloud", trouble=[{"on": "submit", "retry_after": 12, "times": None}])

    def is_held() -> bool:
        if result.state == "PENDING":
            return False
        shown = json.loads(callsheet("show", str(result.id), "--json").stdout)
        return bool(shown["state"] == "accepted" and shown["waits_for"]["words"].startswith("gmicloud to"))

    wait_until(is_held, 60)
    yield result
    result.revoke()


@dataclass(frozen=True)
class Stage:
    """The resources of a module's `begin`. `exits` is closed after the last test."""

    system: System
    backend: Backend
    ledger: Ledger
    wait_until: WaitUntil
    directory: Path
    exits: ExitStack

    def popen(self, *line: str, env: Mapping[str, str]) -> subprocess.Popen[str]:
        """Start a program; it is killed after the last test."""
        program = subprocess.Popen(line, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.exits.callback(program.communicate)
        self.exits.callback(program.kill)
        return program


@pytest.fixture(scope="session")
def survivors(system: System, backend: Backend, ledger: Ledger, wait_until: WaitUntil) -> Storm:
    """Jobs that were under way while every process was killed; the lease of a killed POST takes two minutes to end."""
    storm = Storm(system, backend, ledger, wait_until)
    storm.rage()
    return storm


@pytest.fixture(scope="session", autouse=True)
def _begun(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, wait_until: WaitUntil
) -> Iterator[Mapping[str, Any]]:
    """Begin what takes long, the storm before the rest; what each `begin` returned, by its module's name."""
    items = [item for item in request.session.items if isinstance(item, pytest.Function)]
    modules = {item.module.__name__: item.module for item in items if hasattr(item.module, "begin")}
    if any("survivors" in item.fixturenames for item in items):
        request.getfixturevalue("survivors")
    with ExitStack() as exits:
        begun = {}
        if modules:
            system, backend, ledger = map(request.getfixturevalue, ("system", "backend", "ledger"))
            stage = Stage(system, backend, ledger, wait_until, tmp_path_factory.mktemp("begun"), exits)
            begun = {name: module.begin(stage) for name, module in modules.items()}
        yield begun


@pytest.fixture(scope="module")
def begun(request: pytest.FixtureRequest, _begun: Mapping[str, Any]) -> Any:
    """The return value of this module's `begin`."""
    return _begun[request.module.__name__]
