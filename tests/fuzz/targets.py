"""Fuzz targets: each takes any bytes and returns; an exception is a defect.

The same functions run for a second each in `make test` and for as long as you
like in `make fuzz`, where atheris steers them by what they reach.
"""

# ruff: noqa: PT017  what a refusal says is part of what is fuzzed

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

from deploy.sandbox.mp4 import make
from tests.integration.messaging.letters import letter
from tests.unit.video.films import fragmented, moov_last
from tests.unit.video.matroska_films import film, live_film
from worker.errors import CallbackError, DownloadError, SpecError
from worker.guard.addresses import is_public
from worker.guard.bounded_json import UnreadableError, read_strictly, read_tolerantly
from worker.guard.text import clean
from worker.guard.urls import HttpsUrl
from worker.jobs.callback_token import is_valid
from worker.jobs.error_codes import ErrorCode
from worker.messaging.inbound import RefusedMessage, check
from worker.providers import ADAPTERS, event_json
from worker.providers.base import CallbackTrust, EventKind
from worker.providers.choice import read_spec
from worker.providers.http import Api, trust
from worker.providers.reasons import page_words, reason_in
from worker.video.facts import VideoFacts
from worker.video.film import FilmWalk

PAYLOADS = Path(__file__).parents[1] / "payloads"
KEY = "sk-fuzz-0123456789abcdefghij"
MESSAGE_SECRET = "of-the-senders-0123456789abcdefghij"
TLS = trust(None)
PROVIDERS = {name: adapter(Api(name, "https://example.com", KEY, TLS)) for name, adapter in ADAPTERS.items()}
CALLING = [provider for provider in PROVIDERS.values() if provider.trust is not CallbackTrust.NONE]


def callback(data: bytes) -> None:
    """The body of a callback, all the way to what is stored."""
    try:
        read_strictly(data)
    except UnreadableError:
        return
    for provider in CALLING:
        try:
            event = provider.parse_callback(data)
        except CallbackError:
            continue
        event_json.dump(event).encode()
        event_json.fingerprint(provider.name, event)
        assert KEY not in f"{event.error_code}{event.error_message}{event.status}{event.request_id}"
        assert f"{event.error_code}{event.error_message}{event.request_id}".isprintable()


def answer(data: bytes) -> None:
    """A provider's answer: read by every adapter."""
    assert KEY not in page_words(data, hide=[KEY])
    try:
        document = read_tolerantly(data)
    except UnreadableError:
        return
    reason = reason_in(document, hide=[KEY])
    told = "".join((*reason.codes, reason.message))
    assert KEY not in told
    assert told.isprintable()
    for provider in PROVIDERS.values():
        request_id = provider.ids.told(document, provider.envelopes) or "r-1"
        event = provider.event(request_id, provider.record(document))
        event_json.dump(event).encode()
        assert (event.kind is EventKind.FAILED) <= (event.error_code in set(ErrorCode))


def link(data: bytes) -> None:
    """A URL from outside: refused, or read as every other parser reads it."""
    text = data.decode(errors="surrogateescape")
    try:
        url = HttpsUrl.parse(text)
    except DownloadError as err:
        assert err.reason == "url"
        return
    other = urlsplit(url.text)
    assert (other.scheme, other.hostname, other.port or 443) == ("https", url.host, url.port)
    assert (other.username, other.password, other.fragment) == (None, None, "")
    assert HttpsUrl.parse(url.text) == url
    if url.address is not None:
        is_public(url.address)


def redirect(data: bytes) -> None:
    """The target of a redirect: within the same grammar."""
    try:
        url = HttpsUrl.parse("https://cdn.example.com:8443/a/b?c=d").redirected(data.decode("latin-1"))
    except DownloadError as err:
        assert err.reason == "url"
        return
    assert HttpsUrl.parse(url.text) == url


def message(data: bytes) -> None:
    """A message's body and headers, as the broker gives them."""
    headers, _, body = data.partition(b"\n")
    try:
        named, payload = json.loads(headers), json.loads(body)
    except (ValueError, RecursionError):
        return
    tasks = {
        "callsheet.submit": SimpleNamespace(__header__=lambda job_ids: None),
        "callsheet.generate": SimpleNamespace(__header__=lambda **fields: None),
    }
    try:
        check(SimpleNamespace(body=body, headers=named, payload=payload), tasks, [MESSAGE_SECRET])
        assert named.get("task", "callsheet.submit") == "callsheet.submit"
    except RefusedMessage as err:
        assert err.args[0].isprintable()
    except (TypeError, ValueError, OverflowError, RecursionError):
        pass  # refused by these names as well


def spec(data: bytes) -> None:
    """A spec, as JSON."""
    try:
        fields = json.loads(data)
    except (ValueError, RecursionError):
        return
    try:
        read_spec(fields, PROVIDERS).canonical_json().encode()
    except SpecError as err:
        assert all(problem.isprintable() for problem in err.problems)


def token(data: bytes) -> None:
    """A token that is none."""
    assert not is_valid(data.decode(errors="surrogateescape"), ["s" * 32], "evolink", "job-1", 1)


def text(data: bytes) -> None:
    """A stranger's words, made harmless."""
    words = data.decode(errors="surrogateescape")
    harmless = clean(words, hide=[KEY])
    assert harmless.isprintable()
    assert len(harmless) <= 500
    assert KEY not in harmless


def video(data: bytes) -> None:
    """The bytes of a download: judged the same, however they are cut into pieces."""
    assert _judged(data, len(data) or 1) == _judged(data, 7)


def _judged(data: bytes, size: int) -> VideoFacts | str:
    walk = FilmWalk()
    try:
        for at in range(0, len(data), size):
            walk.feed(data[at : at + size])
        facts = walk.finish()
    except DownloadError as err:
        return err.reason
    assert facts.width > 0
    assert facts.height > 0
    assert facts.codec.isprintable()
    return facts


TARGETS: Mapping[str, Callable[[bytes], None]] = {
    target.__name__: target for target in (callback, answer, link, redirect, message, spec, token, text, video)
}


def seeds(name: str) -> Iterator[bytes]:
    """Inputs to begin with."""
    if name in ("callback", "answer"):
        for file in sorted(PAYLOADS.rglob("*.json")):
            yield json.dumps(json.loads(file.read_text()).get("body", {})).encode()
    yield from SEEDS.get(name, ())


_LETTER = json.loads(letter(kwargs={"job_ids": ["job-1"]}))
SEEDS: Mapping[str, tuple[bytes, ...]] = {
    "link": (
        b"https://cdn.example.com/v.mp4?X-Amz-Signature=a%2Fb",
        b"https://[2606:4700::1111]:8443/v",
        b"https://93.184.216.34/v",
        b"https://evil\\@cdn.example.com/",
    ),
    "redirect": (b"/other", b"//other.example/x", b"https://other.example:443/?a#b", b"\\\\other", b"https://[::1"),
    "message": (
        json.dumps(_LETTER["headers"]).encode() + b'\n[[], {"job_ids": ["job-1"]}, {"callbacks": [{"task": "a"}]}]',
        b'{}\n{"task": "callsheet.submit", "id": "1", "args": [], "kwargs": {}, "eta": "2026-01-01T00:00:00"}',
        b'{"task": "callsheet.generate", "id": "1", "callsheet_signature": "v1,A="}\n[[], {"model": "x"}, {}]',
    ),
    "spec": (
        b'{"model": "kling-3.0-turbo", "prompt": "a corgi", "duration": 5, "metadata": {"a": [1]}}',
        b'{"model": "kling-3.0", "shots": [{"seconds": 2, "prompt": "a"}], "first_frame": "s3://bucket/key.png"}',
        b'{"model": "kling-3.0", "first_frame": "data:image/png;base64,iVBORw0KGgo="}',
    ),
    "token": (b"A" * 43,),
    "text": (b"failed \x1b[2J https://cdn.example.com/?sig=1 " + KEY.encode(), b"${jndi:ldap://x}<script>%s"),
    "video": (
        b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isomiso2\x00\x00\x00\x08mdat",
        make(32, 32, 0.1),
        moov_last(make(32, 32, 0.1)),
        fragmented(32, 32, fragments=2, samples=2, timescale=24),
        film(32, 32, 1),
        live_film(32, 32, 1),
    ),
}
