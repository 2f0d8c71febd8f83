"""From a provider's answers to events and errors, in terms of a vendor's data; all adapters share it."""

from __future__ import annotations

import re
from abc import ABC
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from worker.errors import NoSuchRequestError, ProviderError
from worker.guard.bounded_json import UnreadableError, read_tolerantly
from worker.guard.text import clean
from worker.jobs.error_codes import ErrorCode
from worker.jobs.images import mark_in
from worker.jobs.job import Link
from worker.providers import answers, diagnosis, places, statuses
from worker.providers.base import EventKind, ProviderEvent
from worker.providers.http import Answer, Api
from worker.providers.reasons import Reason, page_words, reason_in
from worker.providers.submit_errors import fetch_error, submit_error

MODEL_CHARACTERS = 100
GOOD_CODES = frozenset({"", "0", "200", "201", "202", "ok", "success"})
CREATED_NAMES = ("created_at", "created", "createdAt", "create_time", "createTime")


class AnswerReader(ABC):
    """The meaning of one vendor's answers. Class attributes are what is known about them."""

    name: str
    kinds: Mapping[str, EventKind] = {}  # the vendor's documented status, in lower case -> its meaning
    ids: places.Ids  # where a record holds its request id, and what that looks like
    envelopes: tuple[str, ...] = ("",)  # where the record stands in an answer, as paths, best first
    link_places: tuple[str, ...] = ()  # where a record documents its links, as paths, best first
    apart: frozenset[str] = frozenset()  # members of a record in which no video's link stands
    link_ends: str | None = None  # the path to when a link dies
    link_starts: str | None = None  # or to when its life of so many seconds begins
    link_seconds: int | None = None  # by the catalogue; None: not known
    payload_field: str | None = None  # where a request's fields stand in its body, and a record echoes them
    reference_echo: str | None = None  # where a record echoes our own name for the request
    code_field: str | None = None  # where a body has a status of its own, which may contradict HTTP's 200
    estimate_field: tuple[str, ...] = ()  # the way to the provider's own estimate, in seconds
    usage_fields: tuple[str, ...] = ()  # what is kept of a record's billing
    usage_field: str = ""  # the path to it
    usd_field: str = ""  # the path to what a finished request cost, in USD
    unknown_id_codes: frozenset[str] = frozenset()  # error words, beside 404, for "no such request"
    refusals: tuple[diagnosis.Rule, ...] = ()  # answers that are surely a refusal though they are not 4xx
    api: Api

    def event(self, request_id: str, record: Mapping[str, Any]) -> ProviderEvent:
        """Read the event that *record* tells of the request; any JSON object is survived.

        A status that nobody knows is not final; nor is a success that cannot be used: its video may yet be shown.
        """
        payload = record.get(self.payload_field) if self.payload_field else None
        echoed = payload.values() if isinstance(payload, Mapping) else ()
        hide = [self.api.api_key, *(text for text in echoed if isinstance(text, str))]
        word = clean(self._status_word(record), answers.STATUS_CHARACTERS, hide=hide)
        event = ProviderEvent(
            request_id,
            statuses.kind_of(word, self.kinds),
            status=word,
            progress=answers.percent(record.get("progress")),
            usage=answers.small(next(places.at(record, self.usage_field), None), self.usage_fields, hide=hide),
            paid=answers.usd_millionths(next(places.at(record, self.usd_field), None)) if self.usd_field else None,
            model=clean(record.get("model"), MODEL_CHARACTERS, hide=hide) or None,
            created_at=next(filter(None, (answers.instant(record.get(name)) for name in CREATED_NAMES)), None),
            payload=payload if isinstance(payload, Mapping) else None,
            reference=self._reference(record, echoed),
        )
        if event.kind is EventKind.GENERATED:
            return self._generated(event, record)
        return self._failed(event, self._reason(record, hide)) if event.kind is EventKind.FAILED else event

    def _reference(self, record: Mapping[str, Any], echoed: Iterable[Any]) -> str:
        """Our name for the request, where the record repeats it, or a picture that we presigned; else empty."""
        if self.reference_echo:
            return answers.request_id(record.get(self.reference_echo)) or ""
        return next(filter(None, (mark_in(text) for text in echoed if isinstance(text, str))), "")

    def record(self, document: Mapping[str, Any]) -> Mapping[str, Any]:
        """The record in an answer about one request, whichever; empty when there is none."""
        found = places.records(document, self.envelopes)
        with_status = (record for record in found if self._status_word(record))
        return next(with_status, found[0] if found else {})

    def _record(self, document: Mapping[str, Any], request_id: str) -> Mapping[str, Any] | None:
        """The record of *request_id*; None when the answer is about another request."""
        return places.own_record(document, request_id, self.ids, self.envelopes, statuses.NAMES)

    def _status_word(self, record: Mapping[str, Any]) -> str:
        return next((word for name in statuses.NAMES if isinstance(word := record.get(name), str)), "")

    def _reason(self, record: Mapping[str, Any], hide: Sequence[str]) -> Reason:
        """Why a request failed, as *record* tells it; our own request in it is no reason."""
        return reason_in({name: value for name, value in record.items() if name != self.payload_field}, hide=hide)

    def _generated(self, event: ProviderEvent, record: Mapping[str, Any]) -> ProviderEvent:
        told = {name: value for name, value in record.items() if name not in (self.payload_field, *self.apart)}
        found = places.links(told, self.link_places)
        if not found.urls:
            code = ErrorCode.BAD_LINK if found.has_unusable else ErrorCode.NO_VIDEO
            what = "no link that is an https URL" if found.has_unusable else "no video"
            words = f"it says {event.status}, but names {what}"
            return replace(event, kind=EventKind.UNKNOWN, error_code=code, error_message=words)
        ends = (answers.instant(end) for end in places.at(record, self.link_ends)) if self.link_ends else ()
        expires_at = min(filter(None, ends), default=self._life_end(record))
        return replace(event, links=tuple(Link(url, expires_at) for url in found.urls))

    def _life_end(self, record: Mapping[str, Any]) -> int | None:
        """When a link dies that lives a known time from a moment in the record; None where either is not known."""
        starts = (answers.instant(start) for start in places.at(record, self.link_starts)) if self.link_starts else ()
        start = next(filter(None, starts), None)
        return None if start is None or self.link_seconds is None else start + self.link_seconds * 1000

    def _failed(self, event: ProviderEvent, reason: Reason) -> ProviderEvent:
        code = diagnosis.of_failure(event.status, reason)
        return replace(event, error_code=code, error_message=reason.message, provider_code=reason.code)

    def _id_in(self, document: Mapping[str, Any]) -> str | None:
        request_id = self.ids.told(document, self.envelopes)
        return None if request_id is None or self.api.api_key in request_id else request_id

    def _status(self, answer: Answer, document: Mapping[str, Any]) -> int:
        """The status that counts: the body's own where it denies a 200."""
        code = document.get(self.code_field) if self.code_field else None
        if isinstance(code, str) and re.fullmatch("[45][0-9][0-9]", code):
            code = int(code)
        return code if answer.status == 200 and isinstance(code, int) and 400 <= code < 600 else answer.status

    def _tells_error(self, document: Mapping[str, Any]) -> bool:
        """Whether a body says by itself that the request was not done, whatever its HTTP status."""
        code = document.get(self.code_field) if self.code_field else None
        is_bad_code = isinstance(code, int | str) and str(code).lower() not in GOOD_CODES
        has_error = any(document.get(name) not in (None, "", False, 0, {}, []) for name in ("error", "errors"))
        return is_bad_code or has_error or document.get("success") is False

    def _denies(self, document: Mapping[str, Any], record: Mapping[str, Any]) -> bool:
        """Whether a body denies that the request in it exists: it tells an error, and no status that is documented."""
        is_known = self._status_word(record).strip().lower() in self.kinds
        return self._tells_error(document) and not is_known

    def _estimate_in(self, record: Mapping[str, Any]) -> float | None:
        found: Any = record
        for name in self.estimate_field:
            found = found.get(name) if isinstance(found, Mapping) else None
        return answers.seconds(found)

    def classify(
        self,
        status: int,
        headers: Mapping[str, str],  # noqa: ARG002 -- names in lower case; for vendors that tell the kind in a header
        reason: Reason,
    ) -> ErrorCode | None:
        """The kind of an answer to a submit that is surely no request (`rate_limited`: it may be sent again); None: the
        general rules decide. *status* is the one that counts."""
        return diagnosis.by_rule(status, reason, self.refusals)

    def _submit_error(self, answer: Answer, document: Mapping[str, Any] | None, hide: Sequence[str]) -> ProviderError:
        status = self._status(answer, document or {})
        reason = self._said(answer, document, hide)
        rule = self.classify(status, answer.headers, reason)
        is_error = document is not None and self._tells_error(document)
        return submit_error(self.name, answer, status, reason, by_rule=rule, is_error=is_error)

    def _said(self, answer: Answer, document: Mapping[str, Any] | None, hide: Sequence[str]) -> Reason:
        """The words of an answer, be it JSON or a page."""
        return Reason((), page_words(answer.body, hide=hide)) if document is None else reason_in(document, hide=hide)

    def _learned(self, answer: Answer, request_id: str = "") -> Mapping[str, Any]:
        """The document of a GET that was answered well; a page of some proxy says nothing about *request_id*."""
        document = document_of(answer)
        if document is None:
            reason = self._said(answer, None, [self.api.api_key])
            code = "unreadable" if 200 <= answer.status < 300 else ""
            raise fetch_error(self.name, answer, answer.status, reason, code=code)
        status = self._status(answer, document)
        if 200 <= status < 300:
            return document
        raise self._fetch_error(answer, status, reason_in(document, hide=[self.api.api_key]), request_id)

    def _fetch_error(self, answer: Answer, status: int, reason: Reason, request_id: str) -> ProviderError:
        if request_id and (status == 404 or not self.unknown_id_codes.isdisjoint(reason.codes)):
            detail = f"does not know the request {request_id}: {reason.message}".removesuffix(": ")
            return NoSuchRequestError(self.name, "no_such_request", detail, status=status, provider_code=reason.code)
        return fetch_error(self.name, answer, status, reason)


def document_of(answer: Answer) -> Mapping[str, Any] | None:
    """The JSON object of an answer; None where it is none."""
    try:
        return read_tolerantly(answer.body, list_name="data")
    except UnreadableError:
        return None
