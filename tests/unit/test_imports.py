"""Imports run one way, by folder: a room knows the rooms below it and nothing above."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

LAYERS = (
    {"worker.cli", "worker.console", "worker.control", "worker.tasks", "webhook"},  # the doors do not know each other
    {"worker.client", "worker.runtime", "worker.celeryconfig"},
    {"worker.operations", "worker.messaging"},
    {"worker.celery", "worker.probes"},
    {"worker.steps"},
    {"worker.heartbeat"},
    {"worker.services"},
    {"worker.store", "worker.providers", "worker.bucket", "worker.notifications"},  # the axes do not know each other
    {"worker.settings"},
    {"worker.jobs", "worker.video"},
    {"worker.logs"},
    {"worker.guard"},
    {"worker.errors"},
)
LEVEL = {room: level for level, rooms in enumerate(LAYERS) for room in rooms}
KNOW_CELERY_OR_FLASK = {
    "worker.celery",
    "worker.probes",
    "worker.celeryconfig",
    "worker.tasks",
    "worker.control",
    "worker.client",
    "worker.console",
    "worker.messaging",
    "webhook",
}
FRAMEWORKS = {"celery", "kombu", "flask", "werkzeug"}

FILES = {
    ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file
    for package in ("worker", "webhook", "deploy")
    for file in (ROOT / package).rglob("*.py")
}


def room_of(module: str) -> str:
    """The folder of *module*, or the module itself where it lies directly in `worker/`."""
    return ".".join(module.split(".")[: 2 if module.startswith("worker.") else 1])


def imports_of(module: str) -> set[str]:
    """All modules that the source of *module* imports, wherever it does so."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(FILES[module].read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.module is not None, "relative imports hide where a name comes from"
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= (inner & FILES.keys()) or {node.module}
    return found


@pytest.mark.parametrize("module", sorted(name for name in FILES if room_of(name) in LEVEL))
def test_a_room_imports_only_what_is_below_it(module: str) -> None:
    own = room_of(module)
    others = {room_of(target) for target in imports_of(module)} - {own, "worker"}

    assert {room for room in others if room == "deploy" or LEVEL.get(room, len(LAYERS)) <= LEVEL[own]} == set()


def test_each_folder_of_worker_stands_in_the_layers() -> None:
    assert {room_of(module) for module in FILES if module.startswith("worker.")} - LEVEL.keys() == set()


def test_no_import_goes_in_a_circle() -> None:
    graph = {module: imports_of(module) & FILES.keys() - {module} for module in FILES}

    try:
        TopologicalSorter(graph).prepare()
    except CycleError as err:
        pytest.fail(f"a circle of imports: {' -> '.join(err.args[1])}")


def test_the_sandbox_imports_nothing_of_ours() -> None:
    sandbox = [module for module in FILES if module.startswith("deploy.sandbox")]

    assert {
        target for module in sandbox for target in imports_of(module) if target.startswith(("worker", "webhook"))
    } == set()


def test_only_the_celery_side_and_the_http_doors_know_a_framework() -> None:
    others = [module for module in FILES if module.startswith("worker") and room_of(module) not in KNOW_CELERY_OR_FLASK]

    assert {module for module in others if {name.split(".")[0] for name in imports_of(module)} & FRAMEWORKS} == set()
