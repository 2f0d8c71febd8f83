"""The URLs of Redis beyond Redis' own: a Redis Cluster, and a Redis that Sentinel knows.

    cluster://[user:password@]host[:6379][,host[:port]...][?<option>=<value>]

One host that answers is enough: it names the others. Over TLS it is clusters://.
Only clusters:// takes options, those of a rediss:// URL: ssl_ca_certs, ssl_certfile, ssl_keyfile.

    sentinel://[user:password@]host[:26379][,host[:port]...]/<name of the master>[/<database>]

User and password are those of Redis; the sentinels are asked without, so they must not want one. The traffic is
not encrypted, as `redis://`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

SENTINEL_SCHEME = "sentinel"
SENTINEL_PORT = 26379
SENTINEL_SECONDS = 1.0
"""The longest wait for one sentinel: the next is asked then, and each of a process's clients asks for itself."""
SENTINEL_FORM = "sentinel://[user:password@]host[:port],host[:port].../<name of the master>[/<database>]"


def is_by_sentinel(url: str) -> bool:
    """True where *url* names sentinels."""
    return url.startswith(f"{SENTINEL_SCHEME}://")


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
            raise ValueError(f"must be {SENTINEL_FORM}") from None
        secret, _, hosts = parts.netloc.rpartition("@")
        path = re.fullmatch(r"/(?P<master>[A-Za-z0-9_.-]+)(/(?P<database>[0-9]{1,5}))?/?", parts.path)
        if not path or parts.query or parts.fragment:
            raise ValueError(f"must be {SENTINEL_FORM}")
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
        urls = [f"{SENTINEL_SCHEME}://{secret}{host}:{port}/{self.database}" for host, port in self.hosts]
        asking = {"socket_timeout": SENTINEL_SECONDS, "socket_connect_timeout": SENTINEL_SECONDS}
        return ";".join(urls), {"master_name": self.master, "sentinel_kwargs": asking}


def in_celerys_words(url: str) -> tuple[str, dict[str, Any]]:
    """*url* as Celery takes it, and the transport options that it needs there."""
    return Sentinels.of(url).for_celery() if is_by_sentinel(url) else (url, {})


def _host(text: str) -> tuple[str, int]:
    name, _, port = text.partition(":")
    if not re.fullmatch(r"[A-Za-z0-9.-]+", name) or not re.fullmatch(r"[0-9]{0,5}", port) or int(port or 1) > 65535:
        raise ValueError(f"must be {SENTINEL_FORM}")
    return name, int(port or SENTINEL_PORT)


CLUSTER_SCHEMES = {"cluster": "redis", "clusters": "rediss"}
CLUSTER_FORM = "cluster://[user:password@]host[:port],host[:port]..."


def is_cluster(url: str) -> bool:
    """True where *url* names nodes of a cluster."""
    return url.partition("://")[0] in CLUSTER_SCHEMES


def node_urls(url: str) -> list[str]:
    """The URL of each node that *url* names, as Redis knows them; raises `ValueError`, which quotes none of it."""
    try:
        parts = urlsplit(url)
    except ValueError:  # whose words quote the host, and with it the password
        raise ValueError(f"must be {CLUSTER_FORM}") from None
    secret, at, hosts = parts.netloc.rpartition("@")
    if parts.path.strip("/") or parts.fragment or not all(map(_is_node, hosts.split(","))):
        raise ValueError(f"must be {CLUSTER_FORM}")
    options = f"?{parts.query}" if parts.query else ""
    return [f"{CLUSTER_SCHEMES[parts.scheme]}://{secret}{at}{host}/0{options}" for host in hosts.split(",")]


def _is_node(text: str) -> bool:
    name, _, port = text.partition(":")
    return bool(re.fullmatch(r"[A-Za-z0-9.-]+", name) and re.fullmatch(r"[0-9]{0,5}", port)) and int(port or 1) < 65536
