"""An HTTP client that goes only where its policy allows: the guard against SSRF.

Every hop's URL is read by one grammar (`urls.py`), every address its host resolves to must pass the policy
(`addresses.py`), and the connection goes to the very address that was checked, with the certificate verified for
the name. No proxy, cookie or credential of the environment is used. The answer is read by `response.py`, not by
urllib3, which logs the whole URL when a header cannot be parsed.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

from worker.errors import DownloadError
from worker.guard.addresses import Address, Network, is_opened, is_public
from worker.guard.connection import Connection, Limits, Pace, Watchdog
from worker.guard.response import Body, Head, read_head
from worker.guard.urls import HTTPS_PORT, HttpsUrl

Resolve = Callable[[str, int], Sequence[Address]]
Dial = Callable[[Address, int, float], socket.socket]

GET, POST = "GET", "POST"
MOST_REDIRECTS = 10
REDIRECTS = frozenset({301, 302, 303, 307, 308})
HEADERS = {"Accept": "*/*", "Accept-Encoding": "identity", "User-Agent": "callsheet", "Connection": "close"}


@dataclass(frozen=True)
class Answer:
    """The answer to a request, its body on its way."""

    head: Head
    body: Body


class Policy(Protocol):
    """A policy for the destinations of requests. Both methods raise `DownloadError` for a forbidden one."""

    def check_name(self, url: HttpsUrl) -> None:
        """Judge *url* before its host is resolved."""

    def check_addresses(self, url: HttpsUrl, addresses: Sequence[Address]) -> None:
        """Judge all that the host of *url* resolves to; the connection goes to one of them."""


@dataclass(frozen=True)
class LinkPolicy:
    """The policy for links of videos; the fields are the parameters of `Downloader`."""

    allow_networks: tuple[Network, ...] = ()
    media_hosts: tuple[str, ...] = ()

    def check_name(self, url: HttpsUrl) -> None:
        if self.media_hosts and not _is_among(url.host, self.media_hosts):
            raise DownloadError("host", f"{url.host} is not among CALLSHEET_MEDIA_HOSTS")

    def check_addresses(self, url: HttpsUrl, addresses: Sequence[Address]) -> None:
        opened = [is_opened(address, self.allow_networks) for address in addresses]
        if url.port != HTTPS_PORT and not all(opened):
            raise DownloadError("port", f"{url.host} is asked for on a port other than {HTTPS_PORT}")
        if not all(ok or is_public(address) for ok, address in zip(opened, addresses, strict=True)):
            raise DownloadError("address", f"{url.host} is not a public address; see CALLSHEET_ALLOW_NETWORKS")


class GuardedClient:
    """Sends requests to where *policy* allows; threads may share it. The other parameters are those of `Downloader`."""

    def __init__(
        self,
        policy: Policy,
        *,
        ca_file: str | None,
        limits: Limits,
        resolve: Resolve | None,
        dial: Dial | None,
    ) -> None:
        self._policy = policy
        self._ca_file = ca_file
        self._limits = limits
        self._resolve = resolve or _resolve
        self._dial = dial or _dial

    def get(self, url: HttpsUrl, headers: Mapping[str, str], pace: Pace, watchdog: Watchdog, held: ExitStack) -> Answer:
        """The first answer that is no redirect, whatever its status; *held* closes its connection.

        Each hop is checked like the first. Raises `DownloadError`.
        """
        for _ in range(MOST_REDIRECTS + 1):
            with ExitStack() as hop:
                connection = self._connect(url, self._admitted(url), pace, watchdog)
                hop.callback(connection.close)
                with watchdog.call():
                    head = _ask(url, headers, connection, pace)
                if head.status not in REDIRECTS:
                    held.push(hop.pop_all())
                    return Answer(head, Body(head, connection))
                url = _next_hop(url, head)
        raise DownloadError("redirects", f"more than {MOST_REDIRECTS} redirects")

    def post(
        self,
        url: HttpsUrl,
        headers: Mapping[str, str],
        content: bytes,
        pace: Pace,
        watchdog: Watchdog,
        held: ExitStack,
    ) -> Answer:
        """The answer to one POST of *content*, whatever its status: a redirect is not followed. *held* closes its
        connection. Raises `DownloadError`."""
        connection = self._connect(url, self._admitted(url), pace, watchdog)
        held.callback(connection.close)
        length = {"Content-Length": str(len(content))}
        with watchdog.call():
            head = _ask(url, {**headers, **length}, connection, pace, method=POST, content=content)
        return Answer(head, Body(head, connection))

    def _connect(self, url: HttpsUrl, addresses: Iterable[Address], pace: Pace, watchdog: Watchdog) -> Connection:
        """A connection to the first of *addresses* that takes one, by TLS and verified unless *url* is plain HTTP."""
        failure: OSError | None = None
        for address in addresses:
            try:
                raw = self._dial(address, url.port, pace.allowance(self._limits.connect_seconds))
            except OSError as err:
                failure = err
                continue
            if url.scheme == "http":
                watchdog.guard(raw)
                return Connection(raw, pace, watchdog)
            return Connection(self._secured(raw, url, pace, watchdog), pace, watchdog)
        raise DownloadError("connect", f"{url.host} does not take a connection") from failure

    def _secured(self, raw: socket.socket, url: HttpsUrl, pace: Pace, watchdog: Watchdog) -> ssl.SSLSocket:
        """Shake hands over *raw*, which is closed when that fails."""
        secured = raw
        try:
            raw.settimeout(pace.allowance(self._limits.connect_seconds))  # for all of the handshake together
            has_underscore = "_" in url.host
            secured = tls = (self._unnamed_context if has_underscore else self._context).wrap_socket(
                raw, server_hostname=url.host, do_handshake_on_connect=False, suppress_ragged_eofs=False
            )
            watchdog.guard(tls)
            with watchdog.call():
                tls.do_handshake()
            if has_underscore and not _certifies(tls.getpeercert() or {}, url.host):
                raise ssl.SSLCertVerificationError("hostname mismatch")
        except (OSError, ValueError) as err:
            watchdog.close(secured)
            raise DownloadError("tls", f"no trusted TLS connection to {url.host}: {_why(err)}") from err
        except BaseException:
            watchdog.close(secured)
            raise
        return tls

    def _admitted(self, url: HttpsUrl) -> Sequence[Address]:
        """Resolve the permitted addresses for *url*; raises when any of its host's addresses is out of bounds."""
        self._policy.check_name(url)
        addresses = [url.address] if url.address else self._resolved(url)
        self._policy.check_addresses(url, addresses)
        return addresses

    def _resolved(self, url: HttpsUrl) -> Sequence[Address]:
        try:
            addresses = self._resolve(url.host, url.port)
        except (OSError, ValueError) as err:
            raise DownloadError("resolve", f"{url.host} has no address now") from err
        if not addresses:
            raise DownloadError("resolve", f"{url.host} has no address")
        return addresses

    @cached_property
    def _context(self) -> ssl.SSLContext:
        return self._trust()

    @cached_property
    def _unnamed_context(self) -> ssl.SSLContext:
        """Verifies the chain but not the name: OpenSSL lets no wildcard stand for a label with `_`, browsers do."""
        context = self._trust()
        context.check_hostname = False
        return context

    def _trust(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        if self._ca_file:
            context.load_verify_locations(self._ca_file)
        return context


def _ask(
    url: HttpsUrl,
    headers: Mapping[str, str],
    connection: Connection,
    pace: Pace,
    *,
    method: str = GET,
    content: bytes = b"",
) -> Head:
    """Send the request and read the answer's head."""
    pace.next_head()
    fields = {"Host": url.authority, **HEADERS, **headers}
    lines = [f"{method} {url.target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    try:
        connection.send("\r\n".join((*lines, "", "")).encode("ascii") + content)
        head = read_head(connection)
    except OSError as err:
        raise DownloadError("cut", f"{url.host} closed the connection instead of answering") from err
    pace.head_done()
    return head


def _next_hop(url: HttpsUrl, head: Head) -> HttpsUrl:
    location = head.first("location")
    if not location:
        raise DownloadError("status", f"the host answered {head.status} and did not say where to go")
    return url.redirected(location)


def _is_among(host: str, hosts: Iterable[str]) -> bool:
    return any(host == admitted or host.endswith(f".{admitted}") for admitted in hosts)


def _certifies(certificate: Mapping[str, Any], host: str) -> bool:
    """Whether *certificate*, whose chain was verified, is for *host*, by its very name or by a wildcard [RFC 6125]."""
    good = (host, "*." + host.partition(".")[2])
    return any(kind == "DNS" and name.lower() in good for kind, name in certificate.get("subjectAltName", ()))


def _why(err: OSError | ValueError) -> str:
    if isinstance(err, ssl.SSLCertVerificationError):
        return getattr(err, "verify_message", "the certificate is for another name")
    return "timed out" if isinstance(err, TimeoutError) else "the handshake failed"


def _resolve(host: str, port: int) -> Sequence[Address]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(ipaddress.ip_address(entry[4][0]) for entry in found))


def _dial(address: Address, port: int, timeout_seconds: float) -> socket.socket:
    return socket.create_connection((str(address), port), timeout_seconds)
