"""An ear on the broker: every message as it is published, searched for what no internal message may hold."""

from __future__ import annotations

import base64
import binascii
import contextlib
import re
import threading
from collections.abc import Callable, Sequence
from typing import Any, Self

import redis

BODY = re.compile(r'"body": "([A-Za-z0-9+/=]+)"')
FROM_OUTSIDE = '"task": "callsheet.generate"'
"""The one message that carries a spec; whoever sends it writes its headers, too."""
LINK = "https://"


class Ear:
    """Listens to the broker at *url* from `with` on, and again after each of its restarts."""

    def __init__(self, url: Callable[[], str], secrets: Sequence[str]) -> None:
        self._url = url
        self._secrets = (*secrets, LINK)
        self._closing = threading.Event()
        self._client: redis.Redis | None = None
        self.messages = 0
        self.overheard: list[str] = []

    def __enter__(self) -> Self:
        threading.Thread(target=self._listen, name="ear", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        if self._client is not None:
            self._client.close()

    def hear(self, command: str) -> None:
        """Judge one command of the broker's."""
        plain = command.replace("\\", "")
        said = plain.split(" ", 1)[0].upper()
        if said not in ("LPUSH", "PUBLISH") or FROM_OUTSIDE in plain:
            return
        self.messages += 1
        bodies = [_decoded(body) for body in BODY.findall(plain)]
        for secret in self._secrets:
            if any(secret in text for text in (plain, *bodies)):
                self.overheard.append(f"{secret} in {plain[:300]}")

    def _listen(self) -> None:
        while not self._closing.is_set():
            self._client = redis.Redis.from_url(self._url(), decode_responses=True)
            with contextlib.suppress(redis.RedisError, OSError, ValueError), _monitor(self._client) as monitor:
                for entry in monitor.listen():
                    self.hear(str(entry["command"]))
            self._closing.wait(0.05)  # the broker is being restarted


def _monitor(client: Any) -> Any:
    """The client's view of every command; redis-py gives it no type."""
    return client.monitor()


def _decoded(body: str) -> str:
    try:
        return base64.b64decode(body).decode(errors="replace")
    except binascii.Error:
        return ""
