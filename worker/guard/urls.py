"""The one grammar of URLs from outside: read as browsers read them, and then narrowly.

URL parsers disagree, and the disagreement is the attack (SSRF): one part of a program checks one host, another
connects to a second. So a link is read once, by the parser of the WHATWG URL standard that Node.js uses (ada), which
also mends what browsers mend: case, spaces, non-ASCII letters, tabs, fragments, numbers in disguise (`0x7f.1`). Only
https with a plain host passes (and http where the caller asks for it), and what is sent is put together again from the
parts that were checked.
"""

from __future__ import annotations

import ipaddress
import re
import string
from dataclasses import dataclass, field
from urllib.parse import quote

from ada_url import URL

from worker.errors import DownloadError
from worker.guard.addresses import Address

HTTPS_PORT = 443
PORTS = {"https": HTTPS_PORT, "http": 80}
"""Scheme -> the port that a URL of it means where it names none."""
LONGEST_URL = 8192
LONGEST_HOST = 253

# the last label begins with a letter: then no resolver can take the name for an IPv4 address
NAME = re.compile(r"(?:[a-z0-9_-]{1,63}\.)*[a-z][a-z0-9-]{0,62}")
TARGET = re.compile(r"/[!-\"$-~]*")  # printable ASCII without a space or '#'


@dataclass(frozen=True)
class HttpsUrl:
    """One parsed URL. Path and query may be a signature, so they never show in its repr."""

    host: str  # a lower-case name without a dot at its end, or an address without brackets
    port: int
    target: str = field(repr=False)  # path and query, as they stand in the request line
    address: Address | None  # set when the host is an address, however it was written
    scheme: str = "https"  # or http, where `parse` was asked for that

    @classmethod
    def parse(cls, text: str, *, may_be_plain: bool = False) -> HttpsUrl:
        """Read an absolute URL; raises `DownloadError("url")`, which never holds the text, unless it is https (or
        http, with *may_be_plain*)."""
        return cls._read(text, None, may_be_plain=may_be_plain)

    def redirected(self, location: str) -> HttpsUrl:
        """Read the *location* of a redirect, absolute or relative to this URL; refuses as `parse` does.

        It is a header's value, its bytes as Latin-1; those beyond ASCII are percent-encoded one by one.
        """
        return self._read(quote(location, safe=string.printable, encoding="latin-1"), self.text)

    @classmethod
    def _read(cls, text: str, base: str | None, *, may_be_plain: bool = False) -> HttpsUrl:
        if len(text) > LONGEST_URL:
            raise DownloadError("url", f"the link is over {LONGEST_URL} characters")
        try:
            url = URL(text, base)
        except ValueError:
            # its text quotes the link
            raise DownloadError("url", "the link is not a URL that a browser would open") from None
        scheme = url.protocol.removesuffix(":")
        if scheme != "https" and not (may_be_plain and scheme == "http"):
            raise DownloadError("url", f"the link is not an https:// {'or http:// ' if may_be_plain else ''}URL")
        if url.username or url.password:
            raise DownloadError("url", "the link carries a user or a password")
        host, address = _host(url.hostname)
        port = int(url.port or PORTS[scheme])
        target = url.pathname + url.search
        if port == 0 or TARGET.fullmatch(target) is None or len(target) > LONGEST_URL:
            raise DownloadError("url", f"the link has port 0, or over {LONGEST_URL} characters once percent-encoded")
        return cls(host, port, target, address, scheme)

    @property
    def authority(self) -> str:
        """Host and port as a `Host` header names them."""
        host = f"[{self.host}]" if isinstance(self.address, ipaddress.IPv6Address) else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def text(self) -> str:
        """The URL, put together again. It may carry a signature: never log it."""
        return f"{self.scheme}://{self.authority}{self.target}"


def predicate(refusal: DownloadError) -> str:
    """Why a URL was refused, as it is said behind the URL's name: `is not an https:// URL`."""
    return refusal.detail.replace("the link's host is", "names a host that is").removeprefix("the link ")


def _host(text: str) -> tuple[str, Address | None]:
    """The host as it is asked for, and the address that it is, if it is one."""
    name = text.removesuffix(".")
    try:
        if text.startswith("["):
            v6 = ipaddress.IPv6Address(text[1:-1])
            return str(v6), v6
        if re.fullmatch("[0-9.]+", name):
            v4 = ipaddress.IPv4Address(name)
            return str(v4), v4
    except ValueError:
        raise DownloadError("url", "the link's host is not an address") from None
    if NAME.fullmatch(name) is None or len(name) > LONGEST_HOST:
        raise DownloadError("url", "the link's host is neither a plain name nor an address")
    return name, None
