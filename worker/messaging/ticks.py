"""The schedule of beat's ticks: so many seconds apart, whatever the host's clock is set to."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

from celery.schedules import schedule


def every(seconds: float, monotonic: Callable[[], float] = time.monotonic) -> schedule:
    """Celery's own interval, by the monotonic clock.

    By the host's clock, beat would send nothing for a minute once that has been set back by a minute.
    """
    return schedule(seconds, nowfun=lambda: datetime.fromtimestamp(monotonic(), UTC))
