"""The doctor's look at what we lean on: broker, result backend, bucket, providers, our own public URL."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import redis
import requests

from worker import probes
from worker.bucket.bucket import Bucket
from worker.bucket.environment import unset_region
from worker.errors import BucketError, ProviderError, StoreError
from worker.jobs.durations import span
from worker.jobs.timing import DAY
from worker.operations import lost
from worker.operations.doctor.findings import Check, Finding, fail, ok, warn
from worker.providers.base import Provider
from worker.providers.http import new_session, trust
from worker.settings.settings import KEY_NAMES, SECRET_NAMES, Settings
from worker.store import Store
from worker.store.keys import Keys

CONNECT_SECONDS = 5
HTTPS_PORT = 443
HERE = ("127.0.0.1", "localhost", "::1")
CERTIFICATE_DAYS = 21
"""A certificate that is renewed by itself has more left."""
CLOCKS_SECONDS = 5.0
"""The largest difference of clocks that is not told: an HTTP Date has whole seconds, and answers take time."""
BAD_KEY = (401, 403)
"""The statuses of a provider that does not take our key."""

BROKER_ADVICE = (
    "check CALLSHEET_BROKER_URL (without it: CALLSHEET_REDIS_URL), the broker, and its user's rights (SECURITY.md)"
)
RESULTS_ADVICE = (
    "check CALLSHEET_RESULT_BACKEND (without it: CALLSHEET_REDIS_URL), the server, its user's rights (SECURITY.md)"
)
REDIS_ADVICE = "check CALLSHEET_REDIS_URL, and that the server is up"
BUCKET_ADVICE = "check CALLSHEET_BUCKET, the AWS_ variables, and the rights that SECURITY.md names"


def checks(settings: Settings, store: Store, bucket: Bucket, providers: Mapping[str, Provider]) -> list[Check]:
    """The checks of what lies beyond ourselves."""
    return [
        Check("broker", broker, BROKER_ADVICE),
        Check("results", result_backend, RESULTS_ADVICE),
        Check("bucket", lambda: archive(bucket), BUCKET_ADVICE, limit_seconds=45.0),
        Check("records", lambda: records_kept(store, bucket), BUCKET_ADVICE, limit_seconds=45.0),
        *(_key_check(provider) for provider in providers.values()),
        Check("signatures", lambda: signatures(settings), "check the webhook secrets of the providers that sign"),
        Check("clocks", lambda: clocks(store, providers.values()), REDIS_ADVICE, limit_seconds=30.0),
        Check("public URL", lambda: public_url(settings), "check CALLSHEET_PUBLIC_URL"),
        Check("callbacks", lambda: callback_ports(settings, providers.values()), "check CALLSHEET_PUBLIC_URL"),
    ]


def _key_check(provider: Provider) -> Check:
    name = provider.name.upper()
    return Check(
        provider.name,
        lambda: key(provider),
        f"check {KEY_NAMES[provider.name]} and {name}_BASE_URL",
        limit_seconds=30.0,
    )


def broker() -> Iterator[Finding]:
    """Check that messages can be sent."""
    from worker.celery import app

    with app.connection_for_write(connect_timeout=CONNECT_SECONDS) as connection:
        connection.ensure_connection(max_retries=1, interval_start=0, timeout=CONNECT_SECONDS)
        probes.broker(connection)
        yield ok("broker", f"{connection.transport.driver_type} takes and gives messages and broadcasts")


def result_backend() -> Iterator[Finding]:
    """Check that results can be written."""
    from worker.celery import app

    backend: Any = app.backend  # Redis is the only result backend
    client = backend.client
    probes.results(client, backend.get_key_for_task("callsheet-probe"))
    yield ok("results", "the result backend takes results and tells of them")
    if app.conf.result_backend_transport_options.get("global_keyprefix"):
        return
    for number in neighbours(client):
        yield warn(
            "results",
            f"another Callsheet uses database {number} of the same Redis, whose channels know no databases: a caller "
            "of the one is given the video of the other where both have a job of the same id",
            "set CALLSHEET_RESULT_PREFIX, another in each, and the same for their callers (deploy/env.example)",
        )


def neighbours(client: Any) -> list[int]:
    """Numbers of the other databases of that Redis in which a Callsheet keeps its records, as far as it tells."""
    options = client.connection_pool.connection_kwargs
    if type(client.connection_pool) not in (redis.ConnectionPool, redis.BlockingConnectionPool):
        return []
    try:
        numbers = [int(name.removeprefix("db")) for name in client.info("keyspace")]
    except redis.ResponseError:  # INFO is forbidden on some managed servers
        return []
    found = []
    for number in numbers:
        if number != int(options.get("db") or 0):
            with type(client)(connection_pool=type(client.connection_pool)(**{**options, "db": number})) as other:
                if other.exists(Keys().shard_count()):
                    found.append(number)
    return found


def archive(bucket: Bucket) -> Iterator[Finding]:
    """Check that videos can be stored, and never over others."""
    probe = bucket.probe()
    yield ok("bucket", f"{bucket.name} takes and gives objects, in one request and in parts")
    if silent := unset_region():
        yield warn("bucket", silent, "set AWS_REGION")
    if not probe.lacking():
        yield ok("bucket", "checksums are checked and conditional writes kept: no object is ever replaced")
    for words in probe.lacking():
        yield warn("bucket", words, "nothing must be done; a store that does is faster")


def records_kept(store: Store, bucket: Bucket) -> Iterator[Finding]:
    """Check that Redis still knows the jobs of the bucket."""
    try:
        found = lost.compare(store, bucket)
    except (StoreError, BucketError):  # a finding of its own already
        return
    if found.lost:
        yield fail("records", found.words, lost.ADVICE)
    else:
        yield ok("records", f"Redis knows the jobs that the bucket has of today and yesterday ({found.looked_for})")


def key(provider: Provider) -> Iterator[Finding]:
    """Check that a provider takes our key, by one GET that costs nothing."""
    try:
        provider.check_key()
    except ProviderError as err:
        yield _refused(provider.name, err)
        return
    yield ok(provider.name, "takes our key")


def signatures(settings: Settings) -> Iterator[Finding]:
    """Check that callbacks which are signed can be verified."""
    if settings.public_url is None:
        return
    for name, variable in SECRET_NAMES.items():
        options = settings.providers.get(name)
        if options is not None and not options.webhook_secrets:
            words = f"callbacks of {name} are not verified: each only says when to ask"
            yield warn("signatures", words, f"set {variable}, and make one in its console where there is none")


def _refused(name: str, err: ProviderError) -> Finding:
    if err.status in BAD_KEY:
        return fail(name, f"does not take our key ({err.detail})", f"set a valid {KEY_NAMES[name]}")
    if err.code == "unreachable":
        return fail(name, f"cannot be reached: {err.detail}", f"check {name.upper()}_BASE_URL and CALLSHEET_CA_FILE")
    return warn(name, f"its key could not be checked ({err.detail})", "nothing, if jobs at this provider go well")


def clocks(store: Store, providers: Iterable[Provider], now: Callable[[], float] = time.time) -> Iterator[Finding]:
    """Whether Redis, this machine and the providers (by the Date of an answer) tell the same time."""
    try:
        redis_ahead = store.clock.now() / 1000 - now()
    except StoreError:  # its own line says so
        return
    ahead = {f"Redis and {socket.gethostname()}": redis_ahead}
    for provider in providers:
        with suppress(ProviderError):  # its own line says so; what it answered has a Date all the same
            provider.check_key()
        if provider.clock_ms is not None:
            ahead[f"Redis and {provider.name}"] = redis_ahead + now() - provider.clock_ms / 1000
    wrong = {pair: seconds for pair, seconds in ahead.items() if abs(seconds) > CLOCKS_SECONDS}
    if not wrong:
        yield ok("clocks", f"{', '.join(ahead)}: within {CLOCKS_SECONDS:g} s")
    for pair, seconds in wrong.items():
        word = "ahead" if seconds > 0 else "behind"
        yield warn(
            "clocks",
            f"{pair} differ: Redis is {span(abs(seconds))} {word}",
            "set the clocks by NTP, that of Redis' host first: deadlines and leases are by it",
        )


def public_url(settings: Settings) -> Iterator[Finding]:
    """Check that our receiver answers at the URL that providers are given."""
    if settings.public_url is None:
        yield ok("public URL", "CALLSHEET_PUBLIC_URL is not set: there are no callbacks, every job is polled")
        return
    advice = "start the web line of the Procfile and check proxy, DNS and certificate; until then jobs are polled"
    try:
        with new_session(trust(settings.ca_file)) as session:
            answer = session.get(f"{settings.public_url}/live", timeout=CONNECT_SECONDS, allow_redirects=False)
    except requests.RequestException as err:
        yield warn("public URL", f"{settings.public_url} does not answer from here ({type(err).__name__})", advice)
        return
    if answer.status_code == requests.codes.ok:
        yield ok("public URL", f"{settings.public_url} answers from here; providers must reach it too")
        yield from certificate(settings.public_url, trust(settings.ca_file))
    else:
        yield warn("public URL", f"{settings.public_url}/live answers {answer.status_code}", advice)


def callback_ports(settings: Settings, providers: Iterable[Provider]) -> Iterator[Finding]:
    """Check that no provider drops our URL for its port, which it would do without a word.

    A URL on this machine is left alone: only a sandbox can call it.
    """
    parts = urlsplit(settings.public_url or "")
    if parts.hostname is None or parts.hostname in HERE:
        return
    for provider in providers:
        ports = provider.callback_ports
        if ports is not None and (parts.port or HTTPS_PORT) not in ports:
            yield fail(
                "callbacks",
                f"{provider.name} drops addresses of port {parts.port} without a word: its jobs are polled",
                f"serve CALLSHEET_PUBLIC_URL on port {' or '.join(map(str, sorted(ports)))}",
            )


def certificate(url: str, tls: ssl.SSLContext) -> Iterator[Finding]:
    """Check that the receiver's certificate lasts: once it has ended, no callback comes any more."""
    parts = urlsplit(url)
    address = (parts.hostname or "", parts.port or HTTPS_PORT)
    with (
        socket.create_connection(address, timeout=CONNECT_SECONDS) as plain,
        tls.wrap_socket(plain, server_hostname=parts.hostname) as secured,
    ):
        ends = str((secured.getpeercert() or {})["notAfter"])
    days = int((ssl.cert_time_to_seconds(ends) - time.time()) // DAY)
    if days < CERTIFICATE_DAYS:
        yield warn(
            "certificate", f"of {parts.hostname} ends in {days} days", "renew it: then no callback comes any more"
        )
    else:
        yield ok("certificate", f"of {parts.hostname} lasts for {days} days")
