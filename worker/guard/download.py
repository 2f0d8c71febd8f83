"""Fetching what a link from outside points at, without becoming somebody's tool.

The only door for URLs that came from a provider or a caller. Every hop is
read by one grammar (`urls.py`), every address its host resolves to must
pass the policy (`addresses.py`), and the connection goes to the very address
that was checked, with the certificate verified for the name. The answer is read
by `response.py`, not by urllib3, which logs the whole URL when a header cannot
be parsed.

`DownloadError.reason` is one of

    url         the link is not an https URL with a plain host
    host        the host is not among CALLSHEET_MEDIA_HOSTS
    address     the host lies, also, in a network we do not enter
    port        a port other than 443, outside the networks opened by hand
    resolve, connect, tls    no way to the host
    redirects   more than ten
    dead        403, 404, 410: the link is gone (`LinkDeadError`)
    busy        429 or 5xx: the host may serve it later
    status      any other answer than 200
    headers, encoding, protocol    an answer we do not read
    stalled, slow, timeout    silent for long; below the least rate; out of time
    too_large, truncated, cut    more bytes than allowed; fewer than declared; a connection lost on the way
"""

from __future__ import annotations

import io
import ipaddress
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import cached_property
from http import HTTPStatus
from typing import Any

from worker.errors import DownloadError, LinkDeadError
from worker.guard.addresses import Address, Network, is_opened, is_public
from worker.guard.connection import Connection, Limits, Pace, Watchdog
from worker.guard.response import Body, BodyEnd, Head, read_head
from worker.guard.urls import HTTPS_PORT, HttpsUrl

Resolve = Callable[[str, int], Sequence[Address]]
Dial = Callable[[Address, int, float], socket.socket]

CHUNK_BYTES = 256 * 1024
MOST_REDIRECTS = 10
REDIRECTS = frozenset({301, 302, 303, 307, 308})
DEAD = frozenset({403, 404, 410})
HEADERS = {"Accept": "*/*", "Accept-Encoding": "identity", "User-Agent": "callsheet", "Connection": "close"}


class Download:
    """One answer whose body is on its way. `declared_bytes` is None when the host did not say."""

    def __init__(self, body: Body, max_bytes: int, watchdog: Watchdog) -> None:
        self.declared_bytes = body.declared_bytes
        self._body = body
        self._max_bytes = max_bytes
        self._watchdog = watchdog
        if self.declared_bytes is not None and self.declared_bytes > max_bytes:
            raise DownloadError("too_large", f"{self.declared_bytes} bytes are declared, {max_bytes} allowed")

    @property
    def end(self) -> BodyEnd | None:
        """How the body ended; None until all of it has been read."""
        return self._body.end

    def chunks(self) -> Iterator[bytes]:
        """The body, some 256 KiB at a time; raises `DownloadError` unless it comes whole and within the limits."""
        received = 0
        while chunk := self._read():
            received += len(chunk)
            if received > self._max_bytes:
                raise DownloadError("too_large", f"over {self._max_bytes} bytes")
            yield chunk
        if self._body.end is BodyEnd.UNKNOWN:
            raise DownloadError("cut", "the connection ended without a length or a sign that all had come")

    def _read(self) -> bytes:
        try:
            with self._watchdog.call():
                return self._body.read(CHUNK_BYTES)
        except OSError as err:
            raise DownloadError("cut", "the connection was lost in the body") from err


class Downloader:
    """Opens links; one per process will do, and threads may share it.

    *ca_file* is trusted beside the system's roots. *media_hosts* admits only these hosts and
    their subdomains; empty admits any. *allow_networks* opens networks that are not public,
    on any port.
    """

    def __init__(
        self,
        *,
        ca_file: str | None = None,
        allow_networks: Sequence[Network] = (),
        media_hosts: Sequence[str] = (),
        limits: Limits | None = None,
        clock: Callable[[], float] = time.monotonic,
        resolve: Resolve | None = None,
        dial: Dial | None = None,
    ) -> None:
        self._ca_file = ca_file
        self._allow_networks = tuple(allow_networks)
        self._media_hosts = tuple(media_hosts)
        self._limits = limits or Limits()
        self._clock = clock
        self._resolve = resolve or _resolve
        self._dial = dial or _dial

    @contextmanager
    def open(self, url: str) -> Iterator[Download]:
        """GET *url* and hand over the body of its 200, within the `with` block.

        Raises `LinkDeadError` when the link is gone, `DownloadError` for everything else.
        """
        limits = self._limits
        with (
            Watchdog(total_seconds=limits.total_seconds, call_seconds=limits.call_seconds) as watchdog,
            ExitStack() as held,
        ):
            body = self._follow(HttpsUrl.parse(url), Pace(limits, self._clock), watchdog, held)
            yield Download(body, limits.max_bytes, watchdog)

    def _follow(self, url: HttpsUrl, pace: Pace, watchdog: Watchdog, held: ExitStack) -> Body:
        """The body of the first answer that is no redirect, closed by *held*; each hop is checked like the first."""
        for _ in range(MOST_REDIRECTS + 1):
            with ExitStack() as hop:
                reader, connection = self._connect(url, self._admitted(url), pace, watchdog)
                hop.callback(reader.close)
                with watchdog.call():
                    head = _ask(url, connection, reader, pace)
                if head.status not in REDIRECTS:
                    _check(head)
                    held.push(hop.pop_all())
                    return Body(head, connection, reader)
                url = _next_hop(url, head)
        raise DownloadError("redirects", f"more than {MOST_REDIRECTS} redirects")

    def _connect(
        self, url: HttpsUrl, addresses: Iterable[Address], pace: Pace, watchdog: Watchdog
    ) -> tuple[io.BufferedReader, Connection]:
        """A verified TLS connection to the first of *addresses* that takes one."""
        failure: OSError | None = None
        for address in addresses:
            try:
                raw = self._dial(address, url.port, pace.allowance(self._limits.connect_seconds))
            except OSError as err:
                failure = err
                continue
            connection = Connection(self._secured(raw, url, pace, watchdog), pace, watchdog)
            return io.BufferedReader(connection), connection
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
        """Where *url* may be fetched from; raises when any of its host's addresses is out of bounds."""
        if self._media_hosts and not _is_among(url.host, self._media_hosts):
            raise DownloadError("host", f"{url.host} is not among CALLSHEET_MEDIA_HOSTS")
        addresses = [url.address] if url.address else self._resolved(url)
        opened = [is_opened(address, self._allow_networks) for address in addresses]
        if url.port != HTTPS_PORT and not all(opened):
            raise DownloadError("port", f"{url.host} is asked for on a port other than {HTTPS_PORT}")
        if not all(ok or is_public(address) for ok, address in zip(opened, addresses, strict=True)):
            raise DownloadError("address", f"{url.host} is not a public address; see CALLSHEET_ALLOW_NETWORKS")
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


def _ask(url: HttpsUrl, connection: Connection, reader: io.BufferedReader, pace: Pace) -> Head:
    """Send the GET and read the answer's head."""
    pace.next_head()
    host = url.authority
    lines = [f"GET {url.target} HTTP/1.1", f"Host: {host}", *(f"{name}: {value}" for name, value in HEADERS.items())]
    try:
        connection.send("\r\n".join((*lines, "", "")).encode("ascii"))
        head = read_head(reader)
    except OSError as err:
        raise DownloadError("cut", f"{url.host} closed the connection instead of answering") from err
    pace.head_done()
    return head


def _check(head: Head) -> None:
    """Raise unless *head* is a plain 200 whose body we can read as it is."""
    status = head.status
    if status in DEAD:
        raise LinkDeadError("dead", f"the host answered {status}")
    if status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise DownloadError("busy", f"the host answered {status}")
    if status != HTTPStatus.OK:
        raise DownloadError("status", f"the host answered {status}")
    if set(head.parts("content-encoding")) - {"identity"}:
        raise DownloadError("encoding", "the body is encoded though we asked for it as it is")
    if set(head.parts("transfer-encoding")) - {"chunked"}:
        raise DownloadError("encoding", "the body is transferred in a way we do not read")


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
