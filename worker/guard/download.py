"""Fetching what a link from outside points at, without becoming somebody's tool.

The only door for URLs that came from a provider or a caller. Every hop is
parsed by a narrow grammar (`urls.py`), every address its host resolves to must
pass the policy (`addresses.py`), and the connection goes to the very address
that was checked, with the certificate verified for the name. It is made by
`http.client` on a socket of our own: urllib3 would do, but it logs the whole
URL when a header cannot be parsed.

`DownloadError.reason` is one of

    url         the link is not a plain https URL
    host        the host is not among CALLSHEET_MEDIA_HOSTS
    address     the host lies, also, in a network we do not enter
    port        a port other than 443, outside the networks opened by hand
    resolve, connect, tls    no way to the host
    redirects   more than three
    dead        403, 404, 410: the link is gone (`LinkDeadError`)
    busy        429 or 5xx: the host may serve it later
    status      any other answer than 200
    headers, encoding, protocol    an answer we do not read
    stalled, slow, timeout    silent for long; below the least rate; out of time
    too_large, truncated, cut    more bytes than allowed; fewer than declared; a connection lost on the way
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from functools import cached_property

from worker.errors import DownloadError, LinkDeadError
from worker.guard.addresses import Address, Network, is_opened, is_public
from worker.guard.connection import ChunkedBody, Limits, Pace, PacedTls, PinnedConnection
from worker.guard.connection_pool import KeptConnections
from worker.guard.urls import HTTPS_PORT, HttpsUrl

Resolve = Callable[[str, int], Sequence[Address]]
Dial = Callable[[Address, int, float], socket.socket]

CHUNK_BYTES = 256 * 1024
MOST_REDIRECTS = 3
REDIRECTS = frozenset({301, 302, 303, 307, 308})
DEAD = frozenset({403, 404, 410})
TOO_MANY_REQUESTS = 429
HEADERS = {"Accept": "*/*", "Accept-Encoding": "identity", "User-Agent": "callsheet"}


class Download:
    """One answer whose body is on its way. `declared_bytes` is None when the host did not say."""

    def __init__(self, response: http.client.HTTPResponse, max_bytes: int) -> None:
        self.declared_bytes = None if response.chunked else response.length
        self._read_some = ChunkedBody(response).read if response.chunked else response.read
        self._max_bytes = max_bytes
        if self.declared_bytes is not None and self.declared_bytes > max_bytes:
            raise DownloadError("too_large", f"{self.declared_bytes} bytes are declared, {max_bytes} allowed")

    def chunks(self) -> Iterator[bytes]:
        """The body, some 256 KiB at a time; raises `DownloadError` unless it comes whole and within the limits."""
        received = 0
        while chunk := self._read():
            received += len(chunk)
            if received > self._max_bytes:
                raise DownloadError("too_large", f"over {self._max_bytes} bytes")
            yield chunk
        if self.declared_bytes is not None and received != self.declared_bytes:
            raise DownloadError("truncated", f"{received} of {self.declared_bytes} bytes came")

    def _read(self) -> bytes:
        try:
            return self._read_some(CHUNK_BYTES)
        except OSError as err:
            raise DownloadError("cut", "the connection was lost in the body") from err


class Downloader:
    """Opens links. One per process will do; a connection is used again within seconds (`connection_pool.py`).

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
        self._kept = KeptConnections()

    @contextmanager
    def open(self, url: str) -> Iterator[Download]:
        """GET *url* and hand over the body of its 200, within the `with` block.

        Raises `LinkDeadError` when the link is gone, `DownloadError` for everything else.
        """
        held, connection, response = self._follow(HttpsUrl.parse(url), Pace(self._limits, self._clock))
        with held:
            yield Download(response, self._limits.max_bytes)
            if response.isclosed() and not response.will_close:  # read to the end that its length told
                held.pop_all()
                self._kept.put(connection)

    def _follow(self, url: HttpsUrl, pace: Pace) -> tuple[ExitStack, PinnedConnection, http.client.HTTPResponse]:
        """The first answer that is no redirect, and what closes it; each hop is checked like the first."""
        for _ in range(MOST_REDIRECTS + 1):
            with ExitStack() as held:
                connection, response = self._exchange(url, pace, held)
                if response.status not in REDIRECTS:
                    _check(response)
                    return held.pop_all(), connection, response
                url = _next_hop(url, response)
        raise DownloadError("redirects", f"more than {MOST_REDIRECTS} redirects")

    def _exchange(
        self, url: HttpsUrl, pace: Pace, held: ExitStack
    ) -> tuple[PinnedConnection, http.client.HTTPResponse]:
        """Ask for *url* at one of its host's addresses, all of which were checked."""
        addresses = self._admitted(url)
        kept = self._kept.take(url.host, url.port, addresses)
        if kept is not None:
            held.callback(kept.close)
            kept.resume(pace)
            try:
                return kept, held.enter_context(closing(_ask(kept, url, pace)))
            except DownloadError as err:
                kept.close()
                if err.reason != "cut":  # the host was just about to close it
                    raise
        connection = held.enter_context(closing(self._connect(url, addresses, pace)))
        return connection, held.enter_context(closing(_ask(connection, url, pace)))

    def _connect(self, url: HttpsUrl, addresses: Iterable[Address], pace: Pace) -> PinnedConnection:
        """A verified TLS connection to the first of *addresses* that takes one."""
        failure: OSError | None = None
        for address in addresses:
            try:
                raw = self._dial(address, url.port, pace.allowance(self._limits.connect_seconds))
            except OSError as err:
                failure = err
                continue
            return PinnedConnection(url, address, self._secured(raw, url, pace))
        raise DownloadError("connect", f"{url.host} does not take a connection") from failure

    def _secured(self, raw: socket.socket, url: HttpsUrl, pace: Pace) -> PacedTls:
        try:
            secured = PacedTls(raw, self._context, url.host, pace)
            secured.shake_hands(self._limits.connect_seconds)
        except (OSError, ValueError) as err:
            raw.close()
            raise DownloadError("tls", f"no trusted TLS connection to {url.host}: {_why(err)}") from err
        except BaseException:
            raw.close()
            raise
        return secured

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
        context = ssl.create_default_context()
        if self._ca_file:
            context.load_verify_locations(self._ca_file)
        return context


def _ask(connection: PinnedConnection, url: HttpsUrl, pace: Pace) -> http.client.HTTPResponse:
    """Send the GET and read the answer's head."""
    pace.next_head()
    try:
        connection.request("GET", url.target, headers=HEADERS)
        response = connection.getresponse()
    except OSError as err:  # some are an HTTPException as well
        raise DownloadError("cut", f"{url.host} closed the connection instead of answering") from err
    except (http.client.HTTPException, ValueError) as err:
        raise DownloadError("protocol", f"{url.host} does not answer in HTTP") from err
    pace.head_done()
    return response


def _check(response: http.client.HTTPResponse) -> None:
    """Raise unless *response* is a plain 200 whose body we can read as it is."""
    status = response.status
    if status in DEAD:
        raise LinkDeadError("dead", f"the host answered {status}")
    if status == TOO_MANY_REQUESTS or status >= http.client.INTERNAL_SERVER_ERROR:
        raise DownloadError("busy", f"the host answered {status}")
    if status != http.client.OK:
        raise DownloadError("status", f"the host answered {status}")
    if _values(response, "Content-Encoding") - {"identity"}:
        raise DownloadError("encoding", "the body is encoded though we asked for it as it is")
    if _values(response, "Transfer-Encoding") - {"chunked"}:
        raise DownloadError("encoding", "the body is transferred in a way we do not read")
    lengths = _values(response, "Content-Length")
    if len(lengths) > 1 or not all(text.isascii() and text.isdigit() and len(text) < 20 for text in lengths):
        raise DownloadError("headers", "the body's length is not one number")


def _next_hop(url: HttpsUrl, response: http.client.HTTPResponse) -> HttpsUrl:
    location = response.getheader("Location")
    if not location:
        raise DownloadError("status", f"the host answered {response.status} and did not say where to go")
    return url.redirected(location)


def _values(response: http.client.HTTPResponse, name: str) -> set[str]:
    """The distinct values of a header, however it is repeated."""
    found = response.headers.get_all(name) or []
    return {part.strip().lower() for value in found for part in value.split(",") if part.strip()}


def _is_among(host: str, hosts: Iterable[str]) -> bool:
    return any(host == admitted or host.endswith(f".{admitted}") for admitted in hosts)


def _why(err: OSError | ValueError) -> str:
    if isinstance(err, ssl.SSLCertVerificationError):
        return err.verify_message
    return "timed out" if isinstance(err, TimeoutError) else "the handshake failed"


def _resolve(host: str, port: int) -> Sequence[Address]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(ipaddress.ip_address(entry[4][0]) for entry in found))


def _dial(address: Address, port: int, timeout_seconds: float) -> socket.socket:
    return socket.create_connection((str(address), port), timeout_seconds)
