"""The receiver: cap, token, parse, match and store, answer. Nothing after the answer matters.

stored, repeat, late, noted (non-terminal or unknown word)  200 {"outcome": ...}
unknown provider or job, bad token: one answer for all      404
a valid token without a record: a paid job was lost         404, alarmed, body kept
not JSON, wrong shape, request id not the job's             400, body kept
too large / not plain application/json                      413 / 415
the store does not answer, or has no room for a candidate   503: the provider comes again
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, NoReturn

from flask import Blueprint, Request, Response, request
from werkzeug.exceptions import (
    BadRequest,
    HTTPException,
    NotFound,
    RequestEntityTooLarge,
    ServiceUnavailable,
    UnsupportedMediaType,
)

from webhook.errors import answer
from webhook.overload import Gate
from worker.errors import CallbackError, StoreError
from worker.guard.bounded_json import UnreadableError, read_strictly
from worker.jobs import callback_token
from worker.jobs.job import is_job_id
from worker.providers import event_json
from worker.providers.answers import code_word
from worker.providers.base import CallbackTrust, EventKind, Provider, ProviderEvent
from worker.store import Arrival, Store

log = logging.getLogger(__name__)

MAX_BODY_BYTES = 64 * 1024

MAX_KEPT_CHARACTERS = 16 * 1024
"""How much of a body that cannot be used is kept for the operator."""

ATTEMPT = re.compile(r"[1-9][0-9]{0,3}")

PLAIN_JSON = re.compile(r'application/json\s*(;\s*charset=("?)utf-8\2\s*)?', re.IGNORECASE)


@dataclass(frozen=True)
class Address:
    """Which attempt of which job a callback's URL names, its token checked."""

    provider: Provider
    job_id: str
    attempt: int

    @property
    def ids(self) -> dict[str, str | int]:
        """The same for logs: the token is not among it."""
        return {"provider": self.provider.name, "job_id": self.job_id, "attempt": self.attempt}


@dataclass(frozen=True)
class Receiver:
    """Takes callbacks: all that a delivery touches."""

    providers: Mapping[str, Provider]
    secrets: Sequence[str] = field(repr=False)
    store: Store
    nudge: Callable[[str], None]  # starts the archive step soon; returns at once, whatever the broker does
    gate: Gate = field(default_factory=Gate)

    def check(self, provider: str, job_id: str, attempt: str, token: str) -> Address:
        """The attempt that a URL's parts name; `NotFound` unless its token is ours.

        Reads nothing but its arguments: a stranger reaches no store.
        """
        adapter = self.providers.get(provider)
        if adapter is None or adapter.trust is CallbackTrust.NONE:
            raise NotFound
        if not is_job_id(job_id) or not ATTEMPT.fullmatch(attempt):
            raise NotFound
        if not callback_token.is_valid(token, self.secrets, provider, job_id, int(attempt)):
            raise NotFound
        return Address(adapter, job_id, int(attempt))

    def take(self, address: Address, body: bytes) -> str:
        """Store one delivery durably; the word for what became of it.

        Raises `CallbackError` when it is no callback of this job, `NotFound` when
        there is no record, `ServiceUnavailable` when there is no room for it, and
        `StoreError` when the store did not answer: then nothing is known.
        """
        with self.gate.place():
            try:
                event = self._parse(address, body)
            except CallbackError as err:
                self._refuse(address, body, err)
            arrival = self._arrive(address, event)
            if arrival.word == "mismatch":
                self._refuse(address, body, CallbackError("mismatch", "its request id is not the job's"))
            if arrival.word == "missing":
                self._alarm_lost_job(address, body)
            if arrival.word == "full":
                self._turn_away(address)
        if arrival.word == "stored":
            self.nudge(address.job_id)
        log.info("callback.taken", extra={**address.ids, "kind": event.kind, "outcome": arrival.word})
        return arrival.word

    def _parse(self, address: Address, body: bytes) -> ProviderEvent:
        try:
            read_strictly(body)
            return address.provider.parse_callback(body)
        except UnreadableError as err:
            raise CallbackError("json", str(err)) from err
        except CallbackError:
            raise
        except Exception as err:
            # A surprise for the adapter is still only input, and a 5xx would have it sent again.
            # No traceback: its last line may quote the body.
            log.error("adapter.failed", extra={**address.ids, "reason": type(err).__name__})
            raise CallbackError("unreadable", f"the {address.provider.name} adapter could not read it") from err

    def _arrive(self, address: Address, event: ProviderEvent) -> Arrival:
        arrival = self.store.arrive(
            address.job_id,
            attempt=address.attempt,
            request_id=event.request_id,
            fingerprint=event_json.fingerprint(address.provider.name, event),
            is_terminal=event.is_terminal,
            event_json=event_json.dump(event),
        )
        if event.kind is EventKind.UNKNOWN:
            # one word: a sentence could be the prompt, which is not read here
            status = code_word(event.status, "(not a word)")
            log.warning("status.unknown", extra={**address.ids, "status": status})
            self._count("callbacks_unknown_status")
        return arrival

    def _refuse(self, address: Address, body: bytes, err: CallbackError) -> NoReturn:
        log.warning("callback.refused", extra={**address.ids, "reason": err.reason})
        self._keep(address, body, err.reason)
        self._count("callbacks_refused")
        raise err

    def _alarm_lost_job(self, address: Address, body: bytes) -> NoReturn:
        # only we sign such tokens, and only for jobs on record: Redis has lost one that was paid
        log.error("callback.orphaned", extra=address.ids)
        self._keep(address, body, "missing")
        self._count("callbacks_orphaned")
        raise NotFound

    def _turn_away(self, address: Address) -> NoReturn:
        log.error("candidates.full", extra=address.ids)
        self._count("callbacks_full")
        raise ServiceUnavailable

    def _keep(self, address: Address, body: bytes, reason: str) -> None:
        text = body.decode(errors="replace")[:MAX_KEPT_CHARACTERS]
        self.store.keep_stray({**address.ids, "reason": reason, "at": self.store.now(), "body": text})

    def _count(self, name: str) -> None:
        try:
            self.store.count(name)
        except StoreError as err:  # a figure is not worth the answer
            log.warning("counter.unwritten", extra={"counter": name, "reason": str(err)})


def blueprint(receiver: Receiver) -> Blueprint:
    """The callback route over *receiver*."""
    bp = Blueprint("callbacks", __name__)

    @bp.post("/callbacks/<provider>/<job_id>/<attempt>/<token>", provide_automatic_options=False)
    def receive(provider: str, job_id: str, attempt: str, token: str) -> Response:
        """Take one delivery of a provider's callback."""
        body = _capped_body(request)
        address = receiver.check(provider, job_id, attempt, token)
        _check_type(request)
        return answer(200, outcome=receiver.take(address, body))

    return bp


def _capped_body(request: Request) -> bytes:
    """The whole body: 413 past the cap, as soon as it is known; 400 when it ends before the length it told."""
    declared = request.content_length
    if declared is not None and declared > MAX_BODY_BYTES:
        raise RequestEntityTooLarge
    try:
        body = _read(request.stream, MAX_BODY_BYTES + 1)
    except HTTPException:
        raise
    except Exception as err:  # each server has its own errors for a body cut short or chunked wrongly
        raise BadRequest from err
    if len(body) > MAX_BODY_BYTES:
        raise RequestEntityTooLarge
    if declared is not None and len(body) < declared:
        raise BadRequest
    return body


def _read(stream: IO[bytes], size: int) -> bytes:
    parts = []
    while size > 0 and (part := stream.read(size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _check_type(request: Request) -> None:
    if not PLAIN_JSON.fullmatch(request.headers.get("Content-Type", "")) or "Content-Encoding" in request.headers:
        raise UnsupportedMediaType
