"""How a process reaches the store's Redis."""

from __future__ import annotations

from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from worker.errors import StoreError
from worker.sentinels import Sentinels, is_by_sentinel


def connect(url: str, *, timeout_seconds: float = 5.0, kind: type[redis.Redis] = redis.Redis) -> redis.Redis:
    """A client of that *kind* for *url*; nothing connects before it is used.

    It never repeats a command by itself: redis-py would do so ten times after a
    time-out, holding its caller far longer than *timeout_seconds*, and the caller
    is the one who knows what a repeat means.
    """
    options: dict[str, Any] = {
        "decode_responses": True,
        # a provider's text may hold what UTF-8 cannot: it is kept readable, never a crash
        "encoding_errors": "backslashreplace",
        "socket_timeout": timeout_seconds,
        "socket_connect_timeout": timeout_seconds,
        "retry": Retry(NoBackoff(), 0),
        "health_check_interval": 0,
    }
    try:
        return Sentinels.of(url).client(kind, **options) if is_by_sentinel(url) else kind.from_url(url, **options)
    except ValueError as err:
        raise StoreError("CALLSHEET_REDIS_URL is no URL of a Redis: use redis://, rediss:// or sentinel://") from err
