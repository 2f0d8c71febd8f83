"""A line of the log is one event, whatever a stranger wrote into it."""

from __future__ import annotations

import logging
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.logs import EventFormatter

HOSTILE = "\x1b[2J\r\n2026-01-01 INFO forged \x9b31m\u2028\u202e\x00"


def printed(message: str, fields: dict[str, object] | None = None, *, error: str | None = None) -> str:
    """The log line of this event."""
    record = logging.makeLogRecord({"name": "worker.tests", "levelname": "INFO", "msg": message, **(fields or {})})
    if error is not None:
        try:
            raise ValueError(error)
        except ValueError:
            record.exc_info = sys.exc_info()
    return EventFormatter().format(record)


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(printed(HOSTILE), id="in the message"),
        pytest.param(printed("job.accepted", {"job_id": HOSTILE}), id="in a field"),
        pytest.param(printed("job.accepted", {"given": [HOSTILE, {"a": HOSTILE}]}), id="inside a field"),
    ],
)
def test_nothing_breaks_a_line_or_steers_a_terminal(line: str) -> None:
    assert line.isprintable()
    assert "forged" in line


@given(st.text())
def test_whatever_is_logged_is_printable(text: str) -> None:
    assert printed(text, {"field": text}).isprintable()


@given(st.text(max_size=50))
def test_a_traceback_quotes_harmlessly(text: str) -> None:
    lines = printed("task.crashed", error=text).split("\n")

    assert all(line.isprintable() for line in lines)


def test_what_is_plain_stays_readable() -> None:
    assert printed("job.accepted", {"job_id": "job-1"}).endswith("INFO worker.tests job.accepted job_id=job-1")
