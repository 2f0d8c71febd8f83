"""The address policy against SSRF: which addresses a link from outside may lead to.

The name in such a link may resolve to anything: to this machine, to a cloud's metadata service, to a neighbour. Only
public addresses pass, and those of the networks that the operator opened by hand (`CALLSHEET_ALLOW_NETWORKS`).
`ipaddress.is_global` alone is not enough: it calls several tunnels into private networks global, and differs between
releases of Python.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

PRIVATE_ZONES = ("localhost", "local", "internal", "home.arpa")
"""Names that no public server answers for: RFC 6761, RFC 6762, ICANN's zone for private use, RFC 8375."""

DENIED_V4 = tuple(
    map(
        ipaddress.IPv4Network,
        (
            "100.64.0.0/10",  # shared by carriers and clouds; holds Alibaba's metadata service
            "168.63.129.16/32",  # Azure's wire server
            "192.0.0.0/24",  # IETF protocol assignments, two of which Python calls global
            "192.31.196.0/24",  # AS112: answers for private names
            "192.52.193.0/24",  # AMT relays: tunnels
            "192.88.99.0/24",  # 6to4 relays
            "192.175.48.0/24",  # AS112
        ),
    )
)
"""Refused besides everything that is not global, is multicast or is reserved."""

GLOBAL_V6 = ipaddress.IPv6Network("2000::/3")
DENIED_V6 = tuple(
    map(
        ipaddress.IPv6Network,
        (
            "2001::/23",  # IETF protocol assignments, Teredo among them
            "2001:db8::/32",  # documentation
            "2620:4f:8000::/48",  # AS112
            "2002::/16",  # 6to4: carries an IPv4 address of the sender's choice
            "3fff::/20",  # documentation
        ),
    )
)
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def is_public(address: Address) -> bool:
    """Whether *address* lies in the public internet.

    An IPv4 address inside an IPv6 one counts as what it is where the network
    delivers it as such: mapped (`::ffff:0:0/96`) and NAT64 (`64:ff9b::/96`).
    Compatible, translated, 6to4, Teredo and local-use NAT64 addresses never are.
    """
    inner = delivered_as(address)
    if isinstance(inner, ipaddress.IPv4Address):
        usable = inner.is_global and not inner.is_multicast and not inner.is_reserved
        return usable and not _in_any(inner, DENIED_V4)
    return inner in GLOBAL_V6 and not _in_any(inner, DENIED_V6)


def is_private_name(host: str) -> bool:
    """Whether the lower-case name *host* can lead to private networks only, whoever resolves it."""
    return any(host == zone or host.endswith(f".{zone}") for zone in PRIVATE_ZONES)


def is_opened(address: Address, networks: Iterable[Network]) -> bool:
    """Whether the operator opened a network that holds *address*."""
    inner = delivered_as(address)
    return any(candidate in network for network in networks for candidate in {address, inner})


def delivered_as(address: Address) -> Address:
    """The address at which a packet to *address* arrives."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address


def _in_any(address: Address, networks: Iterable[Network]) -> bool:
    return any(address in network for network in networks)
