"""Which addresses a stranger may send us to."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from worker.guard.addresses import is_opened, is_public

PUBLIC = ["1.1.1.1", "8.8.8.8", "172.15.255.255", "172.32.0.1", "2606:4700::1111", "2a00:1450:4001::1"]
REFUSED_V4 = {
    "this machine": ["127.0.0.1", "127.255.255.254", "0.0.0.0", "0.1.2.3"],
    "private": ["10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1"],
    "link-local, metadata": ["169.254.169.254", "169.254.0.1"],
    "carrier, metadata": ["100.64.0.1", "100.100.100.200", "100.127.255.255"],
    "metadata of Azure": ["168.63.129.16"],
    "6to4 relay": ["192.88.99.1"],
    "protocol assignments": ["192.0.0.1", "192.0.0.9", "192.0.0.10", "192.0.0.170"],
    "documentation, benchmarks": ["192.0.2.1", "198.51.100.1", "203.0.113.1", "198.18.0.1"],
    "answers for private names, tunnels": ["192.31.196.1", "192.175.48.1", "192.52.193.1"],
    "containers, metadata": ["169.254.170.2", "169.254.169.253"],
    "multicast, reserved, broadcast": [
        "224.0.0.251",
        "233.252.0.1",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
    ],
}
REFUSED_V6 = {
    "this machine": ["::1", "::"],
    "link-local, site-local, private": ["fe80::1", "fe80::1%eth0", "fec0::1", "fc00::1", "fd00:ec2::254"],
    "multicast": ["ff02::1", "ff0e::1"],
    "compatible": ["::127.0.0.1", "::8.8.8.8"],
    "translated": ["::ffff:0:127.0.0.1", "::ffff:0:8.8.8.8"],
    "mapped": ["::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:10.0.0.1", "::ffff:168.63.129.16"],
    "NAT64": ["64:ff9b::127.0.0.1", "64:ff9b::169.254.169.254", "64:ff9b::192.88.99.1"],
    "NAT64 of a local network": ["64:ff9b:1::1", "64:ff9b:1::8.8.8.8", "64:ff9b:1::a00:1"],
    "6to4": ["2002:7f00:1::", "2002:a9fe:a9fe::", "2002:808:808::1"],
    "Teredo": ["2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001::1"],
    "answers for private names": ["2620:4f:8000::1"],
    "protocol assignments": ["2001:1::1", "2001:2::1", "2001:3::1", "2001:4:112::1", "2001:20::1", "2001:30::1"],
    "documentation, segment routing": ["2001:db8::1", "3fff::1", "3fff:fff::1", "5f00::1"],
    "discard, unassigned": ["100::1", "100:0:0:1::1", "1fff::1", "8000::1", "4000::1", "e000::1"],
}


@pytest.mark.parametrize("text", PUBLIC)
def test_a_public_address_passes(text: str) -> None:
    assert is_public(ipaddress.ip_address(text))


@pytest.mark.parametrize("text", [text for texts in (REFUSED_V4 | REFUSED_V6).values() for text in texts])
def test_an_address_that_leads_elsewhere_is_refused(text: str) -> None:
    assert not is_public(ipaddress.ip_address(text))


@pytest.mark.parametrize("form", ["::ffff:8.8.8.8", "64:ff9b::8.8.8.8"])
def test_a_public_address_passes_in_the_forms_that_networks_deliver(form: str) -> None:
    assert is_public(ipaddress.ip_address(form))


@given(st.ip_addresses(v=4))
@example(ipaddress.ip_address("127.0.0.1"))
def test_wrapping_an_address_never_makes_it_public(inner: ipaddress.IPv4Address) -> None:
    number = int(inner)
    wrapped = [
        number,  # compatible
        0xFFFF << 32 | number,  # mapped
        0xFFFF << 48 | number,  # translated
        0x64FF9B << 96 | number,  # NAT64
        0x64FF9B0001 << 80 | number,  # NAT64 of a local network
        0x2002 << 112 | number << 80,  # 6to4
        0x20010000 << 96 | number ^ 0xFFFFFFFF,  # Teredo
    ]

    assert is_public(inner) or not any(is_public(ipaddress.IPv6Address(number)) for number in wrapped)


@given(st.ip_addresses(v=6))
def test_no_public_ipv6_address_lies_outside_what_is_assigned_to_the_internet(address: ipaddress.IPv6Address) -> None:
    inner = [ipaddress.IPv6Network("::ffff:0:0/96"), ipaddress.IPv6Network("64:ff9b::/96")]

    assert not is_public(address) or address.exploded[0] in "23" or any(address in network for network in inner)


def test_only_a_network_that_was_opened_is_open() -> None:
    networks = [ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("fd00::/8")]

    opened = [
        text
        for text in ("127.0.0.1", "::ffff:127.0.0.1", "fd00::1", "::1", "10.0.0.1", "::127.0.0.1", "2002:7f00:1::")
        if is_opened(ipaddress.ip_address(text), networks)
    ]

    assert opened == ["127.0.0.1", "::ffff:127.0.0.1", "fd00::1"]


def test_nothing_is_opened_by_default() -> None:
    assert not is_opened(ipaddress.ip_address("127.0.0.1"), ())
