"""The policy against SSRF for what we send by ourselves: which URLs a notification may go to.

Any https URL on port 443 whose host has public addresses only, and what the operator lists by hand
(`CALLSHEET_NOTIFY_HOSTS`): backends are mostly internal. A listed host may have private addresses, but those where
clouds serve metadata and credentials are refused whatever is listed.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass

from worker.errors import DownloadError
from worker.guard.addresses import Address, delivered_as, is_private_name, is_public
from worker.guard.urls import HTTPS_PORT, HttpsUrl

VARIABLE = "CALLSHEET_NOTIFY_HOSTS"

PRIVATE = tuple(
    map(
        ipaddress.ip_network,
        ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "127.0.0.0/8", "::1/128", "fc00::/7"),
    )
)
"""Networks that a listed host may lie in: private ones, and this machine. Link-local ones are not among them."""
METADATA = tuple(
    map(
        ipaddress.ip_network,
        (
            "100.100.100.200/32",  # Alibaba
            "fd00:ec2::/32",  # AWS, by IPv6
            "fd20:ce::/32",  # Google, by IPv6
            "fd00:c1::/32",  # Oracle, by IPv6
        ),
    )
)
"""Services within these that give credentials to anybody who asks. Others of their kind are link-local
(169.254.0.0/16), or in networks that are not private (`addresses.DENIED_V4`)."""


@dataclass(frozen=True)
class Destination:
    """One entry of the list: `host`, `host:port`, `.suffix` (any host below it) or `http://host:port`."""

    host: str  # as `HttpsUrl` reads it; with *is_suffix* the part behind the dot
    port: int
    scheme: str = "https"
    is_suffix: bool = False

    @classmethod
    def parse(cls, text: str) -> Destination:
        """Read one entry; raises `ValueError`, which says what is wrong with it and does not hold it."""
        is_suffix = text.startswith(".")
        bare = text.removeprefix(".")
        has_scheme = not is_suffix and re.match(r"https?://", bare, re.IGNORECASE) is not None
        try:
            url = HttpsUrl.parse(bare if has_scheme else f"https://{bare}", may_be_plain=True)
        except DownloadError:
            raise ValueError("is none") from None
        if url.target != "/" or (is_suffix and url.address is not None):
            raise ValueError("is none")
        if url.address is not None and not (is_public(url.address) or _is_enterable(url.address)):
            raise ValueError("is an address that is never sent to")
        return cls(url.host, url.port, url.scheme, is_suffix)

    def takes(self, url: HttpsUrl) -> bool:
        """Whether *url* is one of those that the entry allows."""
        is_host = url.host.endswith(f".{self.host}") if self.is_suffix else url.host == self.host
        return is_host and (url.scheme, url.port) == (self.scheme, self.port)


@dataclass(frozen=True)
class DestinationPolicy:
    """The policy with the operator's list; see `client.Policy`."""

    listed: tuple[Destination, ...] = ()

    def check_name(self, url: HttpsUrl) -> None:
        if not self._lists(url):
            if url.scheme != "https":
                raise DownloadError("url", f"is plain HTTP; {_allow(url)}")
            if url.port != HTTPS_PORT:
                raise DownloadError("port", f"names port {url.port}, not {HTTPS_PORT}; {_allow(url)}")
            if is_private_name(url.host):
                raise DownloadError("address", f"names a private host, {url.host}; {_allow(url)}")
        if url.address is not None:
            self.check_addresses(url, [url.address])

    def check_addresses(self, url: HttpsUrl, addresses: Sequence[Address]) -> None:
        is_listed = self._lists(url)
        for address in addresses:
            if is_public(address):
                continue
            if not _is_enterable(address):
                raise DownloadError("address", f"leads to {_shown(url, address)}, which is never sent to")
            if not is_listed:
                raise DownloadError("address", f"leads to {_shown(url, address)}, not a public address; {_allow(url)}")

    def _lists(self, url: HttpsUrl) -> bool:
        return any(entry.takes(url) for entry in self.listed)


def _is_enterable(address: Address) -> bool:
    """Whether *address*, which is not public, may be sent to at all."""
    inner = delivered_as(address)
    is_private = any(inner in network for network in PRIVATE)
    return is_private and not any(inner in network for network in METADATA)


def _allow(url: HttpsUrl) -> str:
    entry = f"http://{url.authority}" if url.scheme == "http" else url.authority
    return f"to allow it, the operator adds {entry} to {VARIABLE}"


def _shown(url: HttpsUrl, address: Address) -> str:
    return str(address) if url.address is not None else f"{url.host} at {address}"
