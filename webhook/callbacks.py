"""The route for callbacks: check the token, read, match and store, answer. Nothing after the answer matters.

A valid token makes the job due whatever the body is; the body only adds facts.

stored, repeat, late, noted (non-terminal or unknown word)  200 {"outcome": ...}
unknown provider or job, bad token: one answer for all      404
a valid token without a record: a paid job was lost         404, alarmed, body kept
not JSON, wrong shape, request id not the job's             400, body kept
a signature that does not hold, or is missing               401, counted, body kept
a signature that cannot be judged now                       503: the provider comes again
too large / not plain application/json                      413 / 415
the store does not answer, or has no room for a candidate   503: the provider comes again

A provider that never comes again after a 4xx is told 200 {"outcome": "refused"} where its token is valid.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from types import MappingProxyType
from typing import NoReturn

from flask import Blueprint, Request, Response, request
from gevent import Timeout
from werkzeug.exceptions import (
    BadRequest,
    HTTPException,
    NotFound,
    RequestEntityTooLarge,
    ServiceUnavailable,
    UnsupportedMediaType,
)

from webhook import bodies
from webhook.errors import answer
from webhook.overload import Overload
from worker.errors import CallbackError, ForgedCallbackError, StoreError, UnverifiableCallbackError
from worker.jobs import callback_token
from worker.jobs.job import is_job_id
from worker.logs import bound
from worker.providers import event_json
from worker.providers.answers import code_word
from worker.providers.base import CallbackTrust, EventKind, Provider, ProviderEvent
from worker.store import Arrival, ArrivalWord, Store
from worker.store.counters import Counter

log = logging.getLogger(__name__)

MAX_BODY_BYTES = 64 * 1024

BODY_SECONDS = 5.0
"""For a body: less than the server's own limit, so that the job is made due for a slow one too."""

MAX_KEPT_CHARACTERS = 16 * 1024
"""Of a body that cannot be used, kept for the operator."""

NO_HEADERS: Mapping[str, str] = MappingProxyType({})

COMES_AGAIN = (ServiceUnavailable, UnverifiableCallbackError)
"""Errors that are answered 503."""

_FAULTS = {400: "cut_short", 413: "too_large", 415: "type"}

ATTEMPT = re.compile(r"[1-9][0-9]{0,3}")

PLAIN_JSON = re.compile(r'application/json\s*(;\s*charset=("?)utf-?8\2\s*)?', re.IGNORECASE)


@dataclass(frozen=True)
class Address:
    """The attempt of a job that a callback's URL names; its token is valid."""

    provider: Provider
    job_id: str
    attempt: int

    @property
    def ids(self) -> dict[str, str | int]:
        """The same for logs, without the token."""
        return {"provider": self.provider.name, "job_id": self.job_id, "attempt": self.attempt}


@dataclass(frozen=True)
class Receiver:
    """The parts that taking a callback needs."""

    providers: Mapping[str, Provider]
    secrets: Sequence[str] = field(repr=False)
    store: Store
    nudge: Callable[[str], None]  # starts the archive step soon; returns at once, whatever the broker does
    overload: Overload = field(default_factory=Overload)

    def check(self, provider: str, job_id: str, attempt: str, token: str) -> Address:
        """Return the attempt that a URL's parts name; `NotFound` unless its token is ours.

        It reads nothing but its arguments: a stranger reaches no store.
        """
        adapter = self.providers.get(provider)
        if adapter is None or adapter.trust is CallbackTrust.NONE:
            raise NotFound
        if not is_job_id(job_id) or not ATTEMPT.fullmatch(attempt):
            raise NotFound
        if not callback_token.is_valid(token, self.secrets, provider, job_id, int(attempt)):
            raise NotFound
        return Address(adapter, job_id, int(attempt))

    def take(
        self,
        address: Address,
        body: bytes,
        fault: HTTPException | None = None,
        *,
        headers: Mapping[str, str] = NO_HEADERS,
    ) -> ArrivalWord:
        """Store one arrival durably, and return the store's word for it.

        *body* is as it came, byte by byte: it may be signed. *fault* is an error of the request around it. The job has
        been made due when that is raised, and when `CallbackError` is: the body is no callback of this job, or its
        signature does not hold (`ForgedCallbackError`) or cannot be judged now (`UnverifiableCallbackError`).
        `NotFound`: there is no record. `ServiceUnavailable`: there is no room. `StoreError`: the store did not answer,
        and nothing is known.
        """
        delivery, problem = _judged(address.provider, headers, body)  # may wait for keys: without a place
        with self.overload.place():
            if delivery and self.store.callbacks.was_delivered(delivery):
                log.info("callback.replayed", extra=address.ids)
                return "repeat"
            event, problem = (None, problem) if problem else self._read(address, body)
            arrival = self._arrive(address, event)
            if arrival.word == "missing":
                self._alarm_lost_job(address, body)
            if arrival.word == "full":
                self._turn_away(address)
            if arrival.word == "mismatch":
                problem = CallbackError("mismatch", "its request id is not the job's")
            if problem or fault:
                self._note_refusal(address, body, problem, fault)
            elif delivery:
                self.store.callbacks.remember_delivery(delivery)
        if arrival.is_due:
            self.nudge(address.job_id)
        if fault or problem:
            raise fault or problem  # type: ignore[misc]  # one of them is there
        log.info("callback.taken", extra={**address.ids, "kind": event and event.kind, "outcome": arrival.word})
        return arrival.word

    def _read(self, address: Address, body: bytes) -> tuple[ProviderEvent | None, CallbackError | None]:
        try:
            event = bodies.read(address.provider, body)
            return replace(event, is_verified=address.provider.verifier is not None), None
        except CallbackError as err:
            return None, err

    def _arrive(self, address: Address, event: ProviderEvent | None) -> Arrival:
        if event is None:
            return self.store.callbacks.arrive(address.job_id, attempt=address.attempt)
        arrival = self.store.callbacks.arrive(
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
            self._count(Counter.CALLBACKS_UNKNOWN_STATUS)
        return arrival

    def _note_refusal(
        self, address: Address, body: bytes, problem: CallbackError | None, fault: HTTPException | None
    ) -> None:
        """Count it, and keep what could not be used for the operator."""
        reason = _FAULTS.get(fault.code or 0, "request") if fault else problem.reason if problem else ""
        log.warning("callback.refused", extra={**address.ids, "reason": reason})
        if isinstance(problem, UnverifiableCallbackError):
            self._count(Counter.CALLBACKS_UNVERIFIABLE)
            return  # it comes again
        if problem:
            self._keep(address, body, reason)
        self._count(Counter.CALLBACKS_FORGED if isinstance(problem, ForgedCallbackError) else Counter.CALLBACKS_REFUSED)

    def _alarm_lost_job(self, address: Address, body: bytes) -> NoReturn:
        # only we sign such tokens, and only for jobs on record: Redis has lost one that was paid
        log.error("callback.orphaned", extra=address.ids)
        self._keep(address, body, "missing")
        self._count(Counter.CALLBACKS_ORPHANED)
        raise NotFound

    def _turn_away(self, address: Address) -> NoReturn:
        log.error("candidates.full", extra=address.ids)
        self._count(Counter.CALLBACKS_FULL)
        raise ServiceUnavailable

    def _keep(self, address: Address, body: bytes, reason: str) -> None:
        text = body.decode(errors="replace")[:MAX_KEPT_CHARACTERS]
        self.store.callbacks.keep_stray({**address.ids, "reason": reason, "at": self.store.clock.now(), "body": text})

    def _count(self, name: Counter) -> None:
        try:
            self.store.counters.add(name)
        except StoreError as err:  # a figure is not worth the answer
            log.warning("counter.unwritten", extra={"counter": name, "reason": str(err)})


def blueprint(receiver: Receiver) -> Blueprint:
    """Make the callback route over *receiver*."""
    bp = Blueprint("callbacks", __name__)
    here = "/callbacks/<provider>/<job_id>/<attempt>/<token>"

    @bp.post(here, provide_automatic_options=False)
    @bp.post(f"{here}/", provide_automatic_options=False)
    @bp.post(f"{here}/<path:appended>", provide_automatic_options=False)
    def receive(provider: str, job_id: str, attempt: str, token: str, appended: str = "") -> Response:  # noqa: ARG001
        """Take one arrival of a provider's callback. APIMart appends `/callback` to the URL it was told."""
        address = receiver.check(provider, job_id, attempt, token)
        body, fault = _body(request)
        try:
            with bound(**address.ids):
                outcome = receiver.take(address, body, fault or _type_fault(request), headers=dict(request.headers))
        except (CallbackError, HTTPException) as err:
            if address.provider.repeats_refused_callbacks or isinstance(err, COMES_AGAIN):
                raise
            return answer(200, outcome="refused")
        return answer(200, outcome=outcome)

    return bp


def _judged(provider: Provider, headers: Mapping[str, str], body: bytes) -> tuple[str, CallbackError | None]:
    """Judge the signature of a provider that signs: a digest by which the delivery is known again, or why it must not
    be believed. Neither where nothing is signed."""
    if provider.verifier is None:
        return "", None
    try:
        event_id = provider.verifier.verify(headers, body)
    except CallbackError as err:
        return "", err
    return sha256(b"\n".join((provider.name.encode(), event_id.encode(), body))).hexdigest(), None


def _body(request: Request) -> tuple[bytes, HTTPException | None]:
    """Read the body as far as allowed; the fault beside it says why that is not the whole: too large, or cut short."""
    declared = request.content_length
    if declared is not None and declared > MAX_BODY_BYTES:
        return b"", RequestEntityTooLarge()
    parts: list[bytes] = []
    room = MAX_BODY_BYTES + 1
    try:
        with Timeout(BODY_SECONDS, BadRequest()):
            while room > 0 and (part := request.stream.read(room)):
                parts.append(part)
                room -= len(part)
    except RequestEntityTooLarge as err:
        return b"".join(parts), err
    except Exception:  # noqa: BLE001  each server has its own errors for a body cut short or chunked wrongly
        return b"".join(parts), BadRequest()
    body = b"".join(parts)
    if len(body) > MAX_BODY_BYTES:
        return body, RequestEntityTooLarge()
    return body, BadRequest() if declared is not None and len(body) < declared else None


def _type_fault(request: Request) -> HTTPException | None:
    is_plain = PLAIN_JSON.fullmatch(request.headers.get("Content-Type", ""))
    return None if is_plain and "Content-Encoding" not in request.headers else UnsupportedMediaType()
