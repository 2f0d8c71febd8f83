"""Error codes are one closed list, and the list for people says the same as the code."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from worker.bucket.client import STATUS_WORDS, WORDS
from worker.jobs.error_codes import MEANINGS, UNUSABLE, ErrorCode
from worker.providers import diagnosis

ROOT = Path(__file__).parents[3]
RUNBOOK = ROOT / "deploy" / "runbook.md"
BECOME_CODES = {
    "DownloadError",
    "NotAVideoError",
    "LinkDeadError",
    "SlowDownloadError",
    "BucketError",
    "ObjectConflict",
}
CODES = {str(code) for code in ErrorCode}


def literal_reasons() -> list[tuple[str, str]]:
    """The place and text of each reason that the source gives to an error that can end an archiving."""
    found = []
    for file in sorted((ROOT / "worker").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in BECOME_CODES and node.args:
                words = [part.value for part in ast.walk(node.args[0]) if isinstance(part, ast.Constant)]
                found += [(file.name, word) for word in words if isinstance(word, str)]
    return found


@pytest.mark.parametrize(("file", "reason"), sorted(set(literal_reasons())))
def test_every_reason_that_can_become_a_code_stands_in_the_list(file: str, reason: str) -> None:
    assert reason in CODES, f"{file}: add {reason} to worker/jobs/error_codes.py, with its meaning"


def test_every_word_for_s3s_own_codes_stands_in_the_list() -> None:
    assert {reason for reason, _ in (*WORDS.values(), *STATUS_WORDS.values())} <= CODES


def test_every_code_has_a_meaning() -> None:
    assert set(MEANINGS) == set(ErrorCode)
    assert set(UNUSABLE) <= CODES
    assert set(ErrorCode) >= diagnosis.LOCKS_OUT
    assert all(meaning.means and meaning.spent and meaning.do for meaning in MEANINGS.values())


def test_the_runbook_lists_every_code_as_the_code_has_it() -> None:
    section = RUNBOOK.read_text().partition("## Error codes\n")[2].partition("\n## ")[0]
    told = re.findall(r"^\| `.*", section, re.MULTILINE)

    assert told == [f"| `{code}` | {row.means} | {row.spent} | {row.do} |" for code, row in MEANINGS.items()]
