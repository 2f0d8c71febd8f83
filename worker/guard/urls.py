"""What a URL from outside must look like before we think of following it.

URL parsers disagree, and the disagreement is the attack: one part of a program
checks one host, another connects to a second. So the grammar is narrow, a URL
outside it is refused, and what is sent is put together again from the parts.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from urllib.parse import urljoin

from worker.errors import DownloadError
from worker.guard.addresses import Address

HTTPS_PORT = 443
LONGEST_URL = 8192
LONGEST_HOST = 253

LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
# the last label begins with a letter: then no parser can take the name for an IPv4 address
NAME = rf"(?:{LABEL}\.)*[a-z](?:[a-z0-9-]{{0,61}}[a-z0-9])?"
CHARACTER = r"[A-Za-z0-9._~!$&'()*+,;=:@/|\[\]-]|%[0-9A-Fa-f]{2}"
URL = re.compile(
    rf"https://(?:(?P<name>{NAME})|(?P<v4>[0-9.]{{7,15}})|\[(?P<v6>[0-9a-f:.]{{2,45}})\])"
    rf"(?::(?P<port>[1-9][0-9]{{0,4}}))?"
    rf"(?P<path>/(?:{CHARACTER})*)?(?P<query>\?(?:{CHARACTER}|[?])*)?"
)


@dataclass(frozen=True)
class HttpsUrl:
    """One parsed URL. Path and query may be a signature, so they never show in its repr."""

    host: str  # a lower-case name, or an address without brackets
    port: int
    target: str = field(repr=False)  # path and query, as they stand in the request line
    address: Address | None  # set when the host is an address

    @classmethod
    def parse(cls, text: str) -> HttpsUrl:
        """Read *text*; raise `DownloadError("url")`, without the text, for all but the grammar above."""
        found = URL.fullmatch(text) if len(text) <= LONGEST_URL else None
        if found is None:
            raise DownloadError("url", "the link is not a plain https URL with a host name or address")
        address = _address(found["v4"], found["v6"])
        host = str(address) if address else found["name"]
        port = int(found["port"] or HTTPS_PORT)
        if len(host) > LONGEST_HOST or port > 65535:
            raise DownloadError("url", "the link's host or port cannot exist")
        return cls(host, port, (found["path"] or "/") + (found["query"] or ""), address)

    def redirected(self, location: str) -> HttpsUrl:
        """Where a redirect to *location*, absolute or relative, leads; refuses as `parse` does."""
        if len(location) > LONGEST_URL:
            raise DownloadError("url", "a redirect leads to an address that is too long")
        try:
            return self.parse(urljoin(self.text, location))
        except ValueError:
            # its text quotes the location
            raise DownloadError("url", "a redirect leads to an address that cannot be read") from None

    @property
    def authority(self) -> str:
        """Host and port as a `Host` header names them."""
        host = f"[{self.host}]" if isinstance(self.address, ipaddress.IPv6Address) else self.host
        return host if self.port == HTTPS_PORT else f"{host}:{self.port}"

    @property
    def text(self) -> str:
        """The URL, put together again. It may carry a signature: never log it."""
        return f"https://{self.authority}{self.target}"


def _address(v4: str | None, v6: str | None) -> Address | None:
    try:
        if v4:
            return ipaddress.IPv4Address(v4)
        return ipaddress.IPv6Address(v6) if v6 else None
    except ValueError as err:
        raise DownloadError("url", "the link's host is not an address") from err
