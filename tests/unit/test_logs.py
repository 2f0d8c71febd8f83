"""A line of the log is one event, whatever a stranger wrote into it."""

from __future__ import annotations

import io
import json
import logging
import sys
import threading
from collections.abc import Iterator
from contextvars import copy_context

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.logs import EventFormatter, JsonFormatter, bind, bound, configure

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


@pytest.fixture
def written() -> Iterator[tuple[logging.Logger, io.StringIO]]:
    """A logger of its own that writes text, and what it has written."""
    logger, out = logging.getLogger("worker.tests"), io.StringIO()
    handler = logging.StreamHandler(out)
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    configure(logger)
    yield logger, out
    logger.removeHandler(handler)


def test_every_line_of_a_step_names_its_job(written: tuple[logging.Logger, io.StringIO]) -> None:
    logger, out = written

    with bound(step="submit", job_id="job-1"):
        bind(attempt=2, provider="evolink")
        logger.info("request.taken", extra={"request_id": "r1"})
    logger.info("jobs.nudged")

    first, second = out.getvalue().splitlines()
    assert first.endswith("request.taken request_id=r1 step=submit job_id=job-1 attempt=2 provider=evolink")
    assert second.endswith("jobs.nudged")


def test_a_lines_own_field_counts_and_the_block_around_comes_back(
    written: tuple[logging.Logger, io.StringIO],
) -> None:
    logger, out = written

    with bound(job_id="job-1"):
        with bound(job_id="job-2"):
            logger.info("inner", extra={"job_id": "job-3"})
        logger.info("outer")

    assert [line.split()[-1] for line in out.getvalue().splitlines()] == ["job_id=job-3", "job_id=job-1"]


def test_threads_share_no_fields_unless_they_are_given_them(written: tuple[logging.Logger, io.StringIO]) -> None:
    logger, out = written

    with bound(job_id="job-1"):
        other = threading.Thread(target=logger.info, args=("other",))
        own = threading.Thread(target=copy_context().run, args=(logger.info, "own"))
        for thread in (other, own):
            thread.start()
            thread.join()

    lines = sorted(line.split(" worker.tests ")[1] for line in out.getvalue().splitlines())
    assert lines == ["other", "own job_id=job-1"]


def test_a_second_configuration_binds_nothing_twice(written: tuple[logging.Logger, io.StringIO]) -> None:
    logger, _ = written

    configure(logger, "json")

    assert [len(handler.filters) for handler in logger.handlers] == [1]


@given(st.text(), st.dictionaries(st.text(min_size=1), st.text() | st.floats() | st.lists(st.integers())))
def test_a_line_of_json_holds_what_was_logged(message: str, value: object) -> None:
    record = logging.makeLogRecord({"name": "worker.tests", "levelname": "INFO", "msg": message, "field": value})

    line = JsonFormatter().format(record)

    told = json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert line.isprintable()
    assert (told["event"], told["level"], "field" in told) == (message, "INFO", True)


def test_json_tells_time_logger_and_a_traceback() -> None:
    record = logging.makeLogRecord({"name": "worker.tests", "levelname": "ERROR", "msg": "step.broke", "created": 0.5})
    try:
        raise ValueError("boom")
    except ValueError:
        record.exc_info = sys.exc_info()

    told = json.loads(JsonFormatter().format(record))

    assert (told["time"], told["logger"]) == ("1970-01-01T00:00:00.500+00:00", "worker.tests")
    assert told["error"].endswith("ValueError: boom")
