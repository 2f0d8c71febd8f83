"""A Redis Cluster, by one URL.

    cluster://[user:password@]host[:6379][,host[:port]...][?<option>=<value>]

One host that answers is enough: it names the others. Over TLS it is clusters://.
The options are those of a redis:// URL, such as ssl_ca_certs.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

SCHEMES = {"cluster": "redis", "clusters": "rediss"}
FORM = "cluster://[user:password@]host[:port],host[:port]..."


def is_cluster(url: str) -> bool:
    """Whether *url* names nodes of a cluster."""
    return url.partition("://")[0] in SCHEMES


def node_urls(url: str) -> list[str]:
    """The URL of each node that *url* names, as Redis knows them; raises `ValueError`, which quotes none of it."""
    try:
        parts = urlsplit(url)
    except ValueError:  # whose words quote the host, and with it the password
        raise ValueError(f"must be {FORM}") from None
    secret, at, hosts = parts.netloc.rpartition("@")
    if parts.path.strip("/") or parts.fragment or not all(map(_is_host, hosts.split(","))):
        raise ValueError(f"must be {FORM}")
    options = f"?{parts.query}" if parts.query else ""
    return [f"{SCHEMES[parts.scheme]}://{secret}{at}{host}/0{options}" for host in hosts.split(",")]


def _is_host(text: str) -> bool:
    name, _, port = text.partition(":")
    return bool(re.fullmatch(r"[A-Za-z0-9.-]+", name) and re.fullmatch(r"[0-9]{0,5}", port)) and int(port or 1) < 65536
