"""Destinations of notifications: public hosts over https, and those that the operator lists, but never metadata."""

from __future__ import annotations

import ipaddress

import pytest

from worker.errors import DownloadError
from worker.guard.destinations import Destination, DestinationPolicy
from worker.guard.urls import HttpsUrl

METADATA = (
    *("169.254.169.254", "169.254.170.2", "100.100.100.200", "168.63.129.16", "192.0.0.192"),
    *("fd00:ec2::254", "fd20:ce::254", "fe80::a9fe:a9fe", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe"),
    *("2002:a9fe:a9fe::1", "0.0.0.0", "::", "255.255.255.255", "224.0.0.1"),
)
PRIVATE = ("10.0.0.1", "127.0.0.1", "192.168.1.1", "172.31.0.1", "100.64.0.1", "::1", "fd00::1", "::ffff:10.0.0.1")


def policy(*entries: str) -> DestinationPolicy:
    return DestinationPolicy(tuple(Destination.parse(entry) for entry in entries))


def url(text: str) -> HttpsUrl:
    return HttpsUrl.parse(text, may_be_plain=True)


def refusal(policy: DestinationPolicy, text: str, address: str | None = None) -> str:
    def check() -> None:
        policy.check_name(url(text))
        if address is not None:
            policy.check_addresses(url(text), [ipaddress.ip_address(address)])

    with pytest.raises(DownloadError) as refused:
        check()
    return refused.value.detail


def bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def test_a_public_host_over_https_may_be_sent_to() -> None:
    target = url("https://backend.example.com/hook?token=1")

    policy().check_name(target)
    policy().check_addresses(target, [ipaddress.ip_address("93.184.216.34")])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("http://backend.example.com/", "is plain HTTP; to allow it, the operator adds http://backend.example.com to"),
        ("https://backend.example.com:8443/", "names port 8443, not 443; to allow it, the operator adds backend.exam"),
        ("https://localhost/", "names a private host, localhost"),
        ("https://db.internal/", "names a private host, db.internal"),
        ("https://10.0.0.5/", "leads to 10.0.0.5, not a public address"),
        ("https://0x7f.1/", "leads to 127.0.0.1, not a public address"),
        ("https://[::1]/", "leads to ::1, not a public address"),
    ],
)
def test_what_is_not_listed_is_refused_by_its_name(text: str, told: str) -> None:
    said = refusal(policy(), text)

    assert told in said
    assert "CALLSHEET_NOTIFY_HOSTS" in said


@pytest.mark.parametrize("address", PRIVATE)
def test_a_public_name_that_leads_to_a_private_address_is_refused(address: str) -> None:
    assert "not a public address" in refusal(policy(), "https://backend.example.com/", address)


@pytest.mark.parametrize("address", PRIVATE)
def test_a_listed_name_may_lead_to_a_private_address(address: str) -> None:
    policy("backend.example.com").check_addresses(url("https://backend.example.com/"), [ipaddress.ip_address(address)])


@pytest.mark.parametrize("address", METADATA)
def test_metadata_is_never_sent_to_though_its_name_is_listed(address: str) -> None:
    listed = policy("backend.internal", ".internal", "http://backend.internal:80")

    for text in ("https://backend.internal/", "http://backend.internal/"):
        assert "never sent to" in refusal(listed, text, address)


@pytest.mark.parametrize("address", METADATA)
def test_an_address_of_metadata_can_be_listed_by_nobody_and_is_refused_at_once(address: str) -> None:
    with pytest.raises(ValueError, match="never sent to"):
        Destination.parse(bracketed(address))

    assert "never sent to" in refusal(policy(), f"https://{bracketed(address)}/")


def test_one_bad_address_of_several_is_enough() -> None:
    listed, target = policy("backend.internal"), url("https://backend.internal/")

    with pytest.raises(DownloadError):
        listed.check_addresses(target, [ipaddress.ip_address(at) for at in ("10.0.0.1", "169.254.169.254")])


@pytest.mark.parametrize(
    ("entry", "taken", "refused"),
    [
        ("backend.internal", "https://backend.internal/a", "https://backend.internal:8443/"),
        ("backend.internal", "https://BACKEND.internal./a", "https://x.backend.internal/"),
        ("backend.internal:8443", "https://backend.internal:8443/", "https://backend.internal/"),
        (".internal", "https://a.b.internal/", "https://internal/"),
        (".internal", "https://a.internal/", "https://a.notinternal/"),
        ("http://10.0.0.5:8080", "http://10.0.0.5:8080/hook", "https://10.0.0.5:8080/hook"),
        ("http://10.0.0.5:8080", "http://0xa000005:8080/", "http://10.0.0.5:8081/"),
        ("http://localhost", "http://localhost/", "http://localhost:8000/"),
        ("[::1]:8443", "https://[::1]:8443/", "https://[::1]/"),
    ],
)
def test_an_entry_allows_what_it_names_and_nothing_else(entry: str, taken: str, refused: str) -> None:
    destination = Destination.parse(entry)

    assert destination.takes(url(taken))
    assert not destination.takes(url(refused))


@pytest.mark.parametrize(
    "text", ["", "ftp://host", "host/path", "user@host", "https://", ".", ".10.0.0.1", "host:port", "*.host", "a b"]
)
def test_what_is_no_entry_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is none"):
        Destination.parse(text)
