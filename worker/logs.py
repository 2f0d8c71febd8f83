"""The log format: events with fields, one line each, safe to read in a terminal."""

from __future__ import annotations

import logging
from typing import Any

from worker.guard.text import printable

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "data"}


QUIET = (
    *("urllib3", "requests", "botocore", "boto3", "s3transfer"),  # they print URLs
    *("celery.app.trace", "celery.worker.strategy"),  # two lines for every nudge
)


class EventFormatter(logging.Formatter):
    """`time LEVEL logger event name=value ...`; values that could break a line or a terminal are escaped."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")

    def formatException(self, ei: Any) -> str:  # noqa: N802  logging's own name
        """The traceback; its last line quotes what failed, which may be a stranger's."""
        return "\n".join(printable(line) for line in super().formatException(ei).split("\n"))

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  logging's own name
        fields = {name: value for name, value in vars(record).items() if name not in _STANDARD}
        line = super().formatMessage(record)
        return " ".join([printable(line), *(f"{name}={printable(value)}" for name, value in fields.items())])


def configure(logger: logging.Logger) -> None:
    """Give every handler of *logger* our format, and keep libraries from printing URLs."""
    for handler in logger.handlers:
        handler.setFormatter(EventFormatter())
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("celery.beat").addFilter(_is_no_tick)


def _is_no_tick(record: logging.LogRecord) -> bool:
    """The clock ticks every second: a line for each would bury the rest."""
    return not record.getMessage().startswith("Scheduler: Sending due task")
