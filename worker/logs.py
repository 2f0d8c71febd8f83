"""The log formats: events with fields, one line each, safe to read in a terminal; and the fields of the step under way.

A step binds its job once (`bound`); every line that it causes carries the job's id, so that a job is followed across
processes by `grep <job id>`.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from worker.guard.text import printable

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "data"}
_BOUND: ContextVar[dict[str, object] | None] = ContextVar("bound", default=None)

QUIET = (
    *("urllib3", "requests", "botocore", "boto3", "s3transfer"),  # they print URLs
    *("celery.app.trace", "celery.worker.strategy"),  # two lines for every nudge
)


@contextmanager
def bound(**fields: object) -> Iterator[None]:
    """Give every line that is logged within the block *fields*, beside those of the blocks around it."""
    token = _BOUND.set({**(_BOUND.get() or {}), **fields})
    try:
        yield
    finally:
        _BOUND.reset(token)


def bind(**fields: object) -> None:
    """Add *fields* to the block of `bound` that is under way; outside of one it does nothing."""
    held = _BOUND.get()
    if held is not None:
        held.update(fields)


class _Context(logging.Filter):
    """Gives a record the fields that are bound where it is logged; those of its own count."""

    def filter(self, record: logging.LogRecord) -> bool:
        for name, value in (_BOUND.get() or {}).items():
            vars(record).setdefault(name, value)
        return True


class EventFormatter(logging.Formatter):
    """`time LEVEL logger event name=value ...`; values that could break a line or a terminal are escaped."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")

    def formatException(self, ei: Any) -> str:  # noqa: N802  logging's own name
        """The traceback; its last line quotes what failed, which may be a stranger's."""
        return "\n".join(printable(line) for line in super().formatException(ei).split("\n"))

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  logging's own name
        line = super().formatMessage(record)
        return " ".join([printable(line), *(f"{name}={printable(value)}" for name, value in _fields(record).items())])


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (RFC 3339), level, logger, event, the fields, and a traceback as `error`.

    All of it is ASCII; what is neither text nor number nor a list or an object of these is written as text.
    """

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "event": record.getMessage(),
        }
        line |= {name: _plain(value) for name, value in _fields(record).items() if name not in line}
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line)


FORMATS: Mapping[str, type[logging.Formatter]] = {"text": EventFormatter, "json": JsonFormatter}
"""By the words of CALLSHEET_LOG_FORMAT."""


def configure(logger: logging.Logger, log_format: str = "text") -> None:
    """Give every handler of *logger* our format, and keep libraries from printing URLs."""
    for handler in logger.handlers:
        handler.setFormatter(FORMATS[log_format]())
        if not any(isinstance(known, _Context) for known in handler.filters):
            handler.addFilter(_Context())
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("celery.beat").addFilter(_is_no_tick)


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    """The fields that a line carries beside logging's own."""
    return {name: value for name, value in vars(record).items() if name not in _STANDARD}


def _plain(value: object) -> object:
    """*value* as JSON can hold it."""
    if value is None or isinstance(value, str | int):
        return str(value) if isinstance(value, str) else value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return {str(name): _plain(held) for name, held in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(held) for held in value]
    return str(value)


def _is_no_tick(record: logging.LogRecord) -> bool:
    """The clock ticks every second: a line for each would bury the rest."""
    return not record.getMessage().startswith("Scheduler: Sending due task")
