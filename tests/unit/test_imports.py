"""Imports run one way (design section 8): a part knows what is below it and nothing above."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("worker", "webhook", "deploy")

LAYERS = (
    ("webhook", "worker.cli"),  # the doors
    ("worker.control",),
    ("worker.tasks", "worker.client"),
    (
        *("worker.celery", "worker.result", "worker.inbox", "worker.mailbox", "worker.nudges", "worker.outbox"),
        "worker.transports",
    ),
    ("worker.steps",),
    ("worker.services", "worker.outcome"),
    ("worker.providers", "worker.store", "worker.bucket", "worker.download"),  # the axes
    ("worker",),  # plain facts: jobs, states, spec, settings, callbacks, ...
    ("worker.errors",),
)
AXES = ("worker.providers", "worker.store", "worker.bucket", "worker.download")
KNOW_CELERY_OR_FLASK = (
    *("worker.celery", "worker.client", "worker.control", "worker.inbox", "worker.mailbox", "worker.nudges"),
    *("worker.outbox", "worker.result", "worker.tasks", "worker.transports"),
    "webhook",
)
FRAMEWORKS = ("celery", "kombu", "flask", "werkzeug")


def _within(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


def _layer(module: str) -> int:
    """The index in LAYERS whose longest name holds *module*; a greater one is lower."""
    matches = [(len(name), index) for index, names in enumerate(LAYERS) for name in names if _within(module, name)]
    return max(matches)[1]


@cache
def _modules() -> dict[str, Path]:
    files = (file for package in PACKAGES for file in (ROOT / package).rglob("*.py"))
    return {".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file for file in files}


@cache
def _imports(module: str, *, at_import: bool = False) -> frozenset[str]:
    """What *module* imports: anywhere in its source, or only what runs when it is imported itself."""
    tree = ast.parse(_modules()[module].read_text())
    nodes = _run_at_import(tree.body) if at_import else ast.walk(tree)
    return frozenset(target for node in nodes for target in _targets(node))


def _run_at_import(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    for node in body:
        if isinstance(node, ast.Try):
            yield from _run_at_import(node.body)
        else:
            yield node


def _targets(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert node.module is not None, "relative imports hide where a name comes from"
        for alias in node.names:
            inner = f"{node.module}.{alias.name}"
            yield inner if inner in _modules() else node.module


def _offences(importers: tuple[str, ...], forbidden: tuple[str, ...], *, except_in: tuple[str, ...] = ()) -> list[str]:
    return [
        f"{module} imports {target}"
        for module in _modules()
        if any(_within(module, name) for name in importers) and not any(_within(module, name) for name in except_in)
        for target in sorted(_imports(module))
        if any(_within(target, name) for name in forbidden)
    ]


def test_the_search_sees_the_source() -> None:
    assert "worker.errors" in _imports("worker.settings")
    assert {"worker.errors", "worker.settings", "deploy.local.stack", "webhook"} <= _modules().keys()


@pytest.mark.parametrize("module", sorted(m for m in _modules() if not _within(m, "deploy")))
def test_a_part_knows_only_what_is_below_it(module: str) -> None:
    above = [
        target
        for target in _imports(module)
        if any(_within(target, package) for package in ("worker", "webhook")) and _layer(target) < _layer(module)
    ]

    assert above == []


def test_no_import_goes_in_a_circle() -> None:
    graph = {module: _imports(module, at_import=True) & _modules().keys() - {module} for module in _modules()}

    try:
        TopologicalSorter(graph).prepare()
    except CycleError as err:
        pytest.fail(f"a circle of imports: {' -> '.join(err.args[1])}")


@pytest.mark.parametrize("axis", AXES)
def test_the_axes_do_not_know_each_other(axis: str) -> None:
    others = tuple(other for other in AXES if other != axis)

    assert _offences((axis,), others) == []


def test_worker_never_imports_webhook() -> None:
    assert _offences(("worker",), ("webhook",)) == []


def test_the_sandbox_imports_neither_worker_nor_webhook() -> None:
    assert _offences(("deploy.local.sandbox",), ("worker", "webhook")) == []


def test_only_the_celery_side_and_the_receiver_know_a_framework() -> None:
    assert _offences(("worker",), FRAMEWORKS, except_in=KNOW_CELERY_OR_FLASK) == []


def test_only_the_command_line_knows_the_local_system_and_only_when_asked() -> None:
    assert _offences(("worker", "webhook"), ("deploy",), except_in=("worker.cli",)) == []
    at_import = {module: _imports(module, at_import=True) for module in _modules() if _within(module, "worker.cli")}
    assert [module for module, targets in at_import.items() if any(_within(t, "deploy") for t in targets)] == []
