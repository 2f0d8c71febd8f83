"""`deploy/env.example` names every variable that the code reads, and none that it does not."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from worker.settings.settings import PROVIDER_NAMES, Settings

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "deploy" / "env.example"

VARIABLE = re.compile(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)*")
OURS = re.compile(rf"(CALLSHEET|{'|'.join(PROVIDER_NAMES).upper()})_[A-Z_]+")
READERS = {"env", "os.environ", "read", "read.env", "self.env"}
OF_THE_TERMINAL = {"TERM", "NO_COLOR"}
OF_LIBRARIES = re.compile(r"AWS_\w+|FLOWER_\w+")  # boto3 and Flower read these themselves


def test_every_variable_that_is_read_is_explained() -> None:
    assert _read_by_the_code() - _explained().keys() == set()


def test_no_variable_is_explained_that_nobody_reads() -> None:
    unread = _explained().keys() - _read_by_the_code()

    assert {name for name in unread if not OF_LIBRARIES.fullmatch(name)} == set()


def test_the_example_is_a_configuration_that_is_accepted(tmp_path: Path) -> None:
    ca_file = tmp_path / "ca.pem"
    ca_file.touch()

    settings = Settings.from_env({**_explained(), "CALLSHEET_CA_FILE": str(ca_file)})

    assert tuple(settings.providers) == PROVIDER_NAMES


def test_the_required_variables_alone_are_a_configuration() -> None:
    required = dict(re.findall(r"^([A-Z0-9_]+)=(.*)$", EXAMPLE.read_text(), re.MULTILINE))

    assert Settings.from_env(required).bucket == required["CALLSHEET_BUCKET"]


def _explained() -> dict[str, str]:
    """Every variable with its example, the optional ones too; a line of words stands above each."""
    return dict(re.findall(r"^#?([A-Z0-9_]+)=(.*)$", EXAMPLE.read_text(), re.MULTILINE))


def _read_by_the_code() -> set[str]:
    files = [file for folder in ("worker", "webhook", "deploy") for file in (ROOT / folder).rglob("*.py")]
    own = [file for file in files if "local" not in file.relative_to(ROOT).parts]
    found = {name for file in own for name in _read_in(ast.parse(file.read_text()))}
    found |= set(re.findall(r"\$\{?([A-Z0-9_]+)", (ROOT / "Procfile").read_text()))
    return found - OF_THE_TERMINAL


def _read_in(tree: ast.AST) -> Iterator[str]:
    """Names of ours wherever they stand alone, and any name handed to `env.get`, `env[...]`, `read.optional`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and OURS.fullmatch(node.value):
            yield node.value
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
            yield from _names(node.args[0]) if ast.unparse(node.func.value) in READERS else ()
        elif isinstance(node, ast.Subscript) and ast.unparse(node.value) in READERS:
            yield from _names(node.slice)


def _names(key: ast.expr) -> list[str]:
    """The variables that *key* spells; one with a hole is spelt for each provider."""
    if isinstance(key, ast.Constant) and isinstance(key.value, str) and VARIABLE.fullmatch(key.value):
        return [key.value]
    if isinstance(key, ast.JoinedStr):
        ending = key.values[-1]
        assert isinstance(ending, ast.Constant)
        assert isinstance(ending.value, str)
        return [f"{provider.upper()}{ending.value}" for provider in PROVIDER_NAMES]
    return []


def test_the_search_sees_the_code() -> None:
    found = _read_by_the_code()

    assert {"CALLSHEET_REDIS_URL", "EVOLINK_BASE_URL", "PORT", "FLOWER_PORT", "CALLSHEET_TLS_KEY"} <= found
