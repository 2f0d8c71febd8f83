"""A Redis that is found through Sentinel, by one URL.

    sentinel://[user:password@]host[:26379][,host[:port]...]/<name of the master>[/<database>]

User and password are Redis's; the sentinels are asked without. The traffic is
not encrypted, as `redis://`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

SCHEME = "sentinel"
PORT = 26379
FORM = "sentinel://[user:password@]host[:port],host[:port].../<name of the master>[/<database>]"


def is_by_sentinel(url: str) -> bool:
    """Whether *url* names sentinels."""
    return url.startswith(f"{SCHEME}://")


@dataclass(frozen=True)
class Sentinels:
    """Whom to ask for the master, and how to speak to it then."""

    hosts: tuple[tuple[str, int], ...]
    master: str
    database: int
    user: str = ""
    secret: str = field(default="", repr=False)  # user and password as the URL has them
    password: str = field(default="", repr=False)

    @classmethod
    def of(cls, url: str) -> Sentinels:
        """Read *url*; raises `ValueError`, which quotes none of it."""
        try:
            parts = urlsplit(url)
        except ValueError:  # whose words quote the host, and with it the password
            raise ValueError(f"must be {FORM}") from None
        secret, _, hosts = parts.netloc.rpartition("@")
        path = re.fullmatch(r"/(?P<master>[A-Za-z0-9_.-]+)(/(?P<database>[0-9]{1,5}))?/?", parts.path)
        if not path or parts.query or parts.fragment:
            raise ValueError(f"must be {FORM}")
        user, _, password = secret.partition(":")
        return cls(
            hosts=tuple(_host(text) for text in hosts.split(",")),
            master=path["master"],
            database=int(path["database"] or 0),
            user=unquote(user),
            secret=secret,
            password=unquote(password),
        )

    def for_celery(self) -> tuple[str, dict[str, Any]]:
        """The URL, and the transport options that go with it, as Celery knows sentinels."""
        secret = f"{self.secret}@" if self.secret else ""
        urls = [f"{SCHEME}://{secret}{host}:{port}/{self.database}" for host, port in self.hosts]
        asking = {"socket_timeout": 2.0, "socket_connect_timeout": 2.0}
        return ";".join(urls), {"master_name": self.master, "sentinel_kwargs": asking}


def in_celerys_words(url: str) -> tuple[str, dict[str, Any]]:
    """*url* as Celery takes it, and the transport options that it needs there."""
    return Sentinels.of(url).for_celery() if is_by_sentinel(url) else (url, {})


def _host(text: str) -> tuple[str, int]:
    name, _, port = text.partition(":")
    if not re.fullmatch(r"[A-Za-z0-9.-]+", name) or not re.fullmatch(r"[0-9]{0,5}", port) or int(port or 1) > 65535:
        raise ValueError(f"must be {FORM}")
    return name, int(port or PORT)
