"""How a process reaches the store's Redis."""

from __future__ import annotations

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from worker.errors import StoreError


def connect(url: str, *, timeout_seconds: float = 5.0, kind: type[redis.Redis] = redis.Redis) -> redis.Redis:
    """A client of that *kind* for *url*; nothing connects before it is used.

    It never repeats a command by itself: redis-py would do so ten times after a
    time-out, holding its caller far longer than *timeout_seconds*, and the caller
    is the one who knows what a repeat means.
    """
    try:
        return kind.from_url(
            url,
            decode_responses=True,
            # a provider's text may hold what UTF-8 cannot: it is kept readable, never a crash
            encoding_errors="backslashreplace",
            socket_timeout=timeout_seconds,
            socket_connect_timeout=timeout_seconds,
            retry=Retry(NoBackoff(), 0),
            health_check_interval=0,
        )
    except ValueError as err:
        raise StoreError("CALLSHEET_REDIS_URL is no URL that redis-py knows: use redis:// or rediss://") from err
