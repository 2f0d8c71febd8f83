"""The verbs of `base.Provider`, in terms of a vendor's data; all adapters share them.

A vendor's module says what it knows as class attributes, how a submit is written (`envelope`, `encoded`), and what is
its own in a record (`event`).
"""

from __future__ import annotations

import re
from abc import ABC
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from worker.errors import CallbackError, NoSuchRequestError, ProviderError, RefusedError
from worker.guard.bounded_json import UnreadableError, read_tolerantly
from worker.guard.text import clean
from worker.jobs.error_codes import ErrorCode
from worker.jobs.job import Link
from worker.jobs.spec import JobSpec, words_in
from worker.providers import answers, diagnosis, places, statuses
from worker.providers.base import Ask, CallbackTrust, EventKind, ProviderEvent, Submission, at_once
from worker.providers.http import ANSWER_BYTES, Answer, Api
from worker.providers.model import IMAGE_FIELDS, ModelRules, find_rules, model_names
from worker.providers.payload import Payload
from worker.providers.reasons import Reason, page_words, reason_in
from worker.providers.submit_errors import fetch_error, submit_error
from worker.providers.verify import Verifier

MODEL_CHARACTERS = 100
CLOCK_SKEW_MS = 10 * 60 * 1000
POST_MS = 2 * 60 * 1000
"""The time after the beginning of a POST of ours within which the provider may still create its request."""

GOOD_CODES = frozenset({"", "0", "200", "201", "202", "ok", "success"})
CREATED_NAMES = ("created_at", "created", "createdAt", "create_time", "createTime")


class Adapter(ABC):
    """One provider. Class attributes are what is known about the vendor; an instance adds our key."""

    name: str
    trust: CallbackTrust = CallbackTrust.NONE
    verifier: Verifier | None = None
    repeats_refused_callbacks: bool = True
    refunds_failures: bool = False  # where its documents do not say so, a failed generation is taken to be paid
    can_list: bool = False
    models: Mapping[str, ModelRules] = {}
    kinds: Mapping[str, EventKind] = {}  # the vendor's documented status, in lower case -> its meaning
    submit_path: str
    request_path: str  # a request is read at <request_path>/<request id>
    account_path: str  # a GET that needs our key and costs nothing
    account_query: Mapping[str, str] | None = None
    balance_fields: tuple[str, ...] = ()  # where its answer tells what is left, as paths
    unlimited_fields: tuple[str, ...] = ()  # where it says that nothing limits it
    callback_field: str | None = None  # where a submit names our callback URL
    ids: places.Ids  # where a record holds its request id, and what that looks like
    envelopes: tuple[str, ...] = ("",)  # where the record stands in an answer, as paths, best first
    link_places: tuple[str, ...] = ()  # where a record documents its links, as paths, best first
    link_ends: str | None = None  # the path to when a link dies
    payload_field: str | None = None  # where a record echoes our own request
    code_field: str | None = None  # where a body has a status of its own, which may contradict HTTP's 200
    estimate_field: tuple[str, ...] = ()  # the way to the provider's own estimate, in seconds
    usage_fields: tuple[str, ...] = ()  # what is kept of a record's billing
    usage_field: str = ""  # the path to it
    unknown_id_codes: frozenset[str] = frozenset()  # error words, beside 404, for "no such request"
    refusals: tuple[diagnosis.Rule, ...] = ()  # answers that are surely a refusal though they are not 4xx
    answer_bytes: int = ANSWER_BYTES

    def __init__(self, api: Api, field_names: Mapping[str, str] | None = None) -> None:
        self.api = api
        self._field_names = field_names or {}

    # What a vendor's module may translate.

    def envelope(self, model: str, values: dict[str, Any]) -> dict[str, Any]:
        """The body of a submit, from the wire values of its fields."""
        return {"model": model, **values}

    def encoded(self, value: Any) -> Any:
        """A neutral value as this vendor wants it written."""
        return value

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
            model=clean(record.get("model"), MODEL_CHARACTERS, hide=hide) or None,
            created_at=next(filter(None, (answers.instant(record.get(name)) for name in CREATED_NAMES)), None),
            payload=payload if isinstance(payload, Mapping) else None,
        )
        if event.kind is EventKind.GENERATED:
            return self._generated(event, record)
        return self._failed(event, self._reason(record, hide)) if event.kind is EventKind.FAILED else event

    # The verbs.

    @property
    def clock_ms(self) -> int | None:
        return self.api.clock_ms

    def rules_for(self, spec: JobSpec) -> ModelRules | None:
        return find_rules(self.models, spec)

    def problems(self, spec: JobSpec) -> list[str]:
        rules = self.rules_for(spec)
        return rules.problems(spec) if rules else [f"model: {self.name} has {', '.join(model_names(self.models))}"]

    def takes_data_uri(self, spec: JobSpec) -> bool:
        rules = self.rules_for(spec)
        return rules is not None and rules.takes_inline_images

    def estimate_seconds(self, spec: JobSpec) -> float:
        # No vendor publishes figures. Callers of APIMart first look after 12 s for a video of 5 s,
        # well before its end; that longer videos take longer is a guess.
        rules = self.rules_for(spec)
        return 20.0 + 2.0 * (rules.duration(spec) if rules else 5)

    def submit(self, spec: JobSpec, *, images: Mapping[str, str], callback_url: str | None) -> Submission:
        answer = self.api.post(self.submit_path, self._checked(spec, images, callback_url))
        hide = [self.api.api_key, *words_in(spec.model_dump())]
        document = _document(answer)
        request_id = self._id_in(document or {})
        record = self._record(document or {}, request_id) if request_id else None
        # an error in the body outranks an id: relays put the trace of their own answer where an id could stand
        is_taken = request_id is not None and record is not None and 200 <= answer.status < 300
        if request_id is None or record is None or not is_taken or self._denies(document or {}, record):
            raise self._submit_error(answer, document, hide)
        event = self.event(request_id, record)
        event = replace(event, error_message=clean(event.error_message, hide=hide))
        return Submission(request_id, event, self._estimate_in(record))

    def fetch(self, request_id: str) -> ProviderEvent:
        if answers.request_id(request_id) != request_id:
            raise NoSuchRequestError(self.name, "not_an_id", "no request can have this id")
        answer = self.api.get(f"{self.request_path}/{quote(request_id, safe='')}")
        document = self._learned(answer, request_id)
        record = self._record(document, request_id)
        if record is None:
            raise ProviderError(self.name, "wrong_id", f"was asked about {request_id} and told about another request")
        event = self.event(request_id, record)
        is_own_word = event.status.strip().lower() in self.kinds
        if not event.status or not (is_own_word or self.ids.names_ours(record, request_id)):
            reason = reason_in(document, hide=[self.api.api_key])
            if reason and self._tells_error(document):
                raise self._fetch_error(answer, answer.status, reason, request_id)
            if not event.status:
                raise ProviderError(self.name, "unreadable", f"the answer about {request_id} has no status")
        return event

    def parse_callback(self, body: bytes) -> ProviderEvent:
        if self.trust is CallbackTrust.NONE:
            raise CallbackError("unexpected", f"{self.name} sends no callbacks")
        try:
            document = read_tolerantly(body)
        except UnreadableError as err:
            raise CallbackError("json", str(err)) from err
        request_id = self._id_in(document)
        if request_id is None:
            raise CallbackError("no_id", f"it has no {' or '.join(self.ids.documented)} that can be a request id")
        event = self.event(request_id, self._record(document, request_id) or {})
        if not event.status:
            raise CallbackError("no_status", "it has no status")
        return event

    def recent(  # the arguments are for those that list
        self,
        spec: JobSpec,  # noqa: ARG002
        *,
        since: int = 0,  # noqa: ARG002
        ask: Ask = at_once,  # noqa: ARG002
    ) -> Iterator[ProviderEvent]:
        raise ProviderError(self.name, "no_list", "it has no list of requests")

    def fits(self, spec: JobSpec, event: ProviderEvent, *, begun_at: int) -> bool:
        rules = self.rules_for(spec)
        if rules is None or event.model not in (None, rules.name) or event.created_at is None:
            return False
        if not begun_at - CLOCK_SKEW_MS <= event.created_at <= begun_at + POST_MS + CLOCK_SKEW_MS:
            return False
        return event.payload is None or self._payload(rules).is_echo(spec, event.payload)

    def check_key(self) -> None:
        answer = self.api.get(self.account_path, self.account_query)
        document = self._learned(answer)
        if self._tells_error(document):
            raise fetch_error(self.name, answer, answer.status, reason_in(document, hide=[self.api.api_key]))
        left = [value for path in self.balance_fields for value in places.at(document, path)]
        is_unlimited = any(value is True for path in self.unlimited_fields for value in places.at(document, path))
        numbers = [value for value in left if isinstance(value, int | float) and not isinstance(value, bool)]
        if numbers and not is_unlimited and max(numbers) <= 0:
            raise ProviderError(self.name, ErrorCode.NO_CREDIT, "its account page says that nothing is left")

    # What an answer says.

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
        found = places.links({name: v for name, v in record.items() if name != self.payload_field}, self.link_places)
        if not found.urls:
            code = ErrorCode.BAD_LINK if found.has_unusable else ErrorCode.NO_VIDEO
            what = "no link that is an https URL" if found.has_unusable else "no video"
            told = f"it says {event.status}, but names {what}"
            return replace(event, kind=EventKind.UNKNOWN, error_code=code, error_message=told)
        ends = (answers.instant(end) for end in places.at(record, self.link_ends)) if self.link_ends else ()
        expires_at = min(filter(None, ends), default=None)
        return replace(event, links=tuple(Link(url, expires_at) for url in found.urls))

    def _failed(self, event: ProviderEvent, reason: Reason) -> ProviderEvent:
        code = diagnosis.of_failure(event.status, reason)
        return replace(event, error_code=code, error_message=reason.message, provider_code=reason.code)

    def _payload(self, rules: ModelRules) -> Payload:
        return Payload(rules, self._field_names, self.encoded)

    def _checked(self, spec: JobSpec, images: Mapping[str, str], callback_url: str | None) -> dict[str, Any]:
        """The submit's body, once nothing speaks against sending it."""
        rules = self.rules_for(spec)
        problems = self.problems(spec)
        for field in IMAGE_FIELDS:
            if getattr(spec, field) is None:
                continue
            url = images.get(field, "")
            if not url.startswith("https://") and not (url.startswith("data:") and self.takes_data_uri(spec)):
                problems.append(f"{field}: {self.name} needs an https URL for it; is S3 reached over https?")
        if problems or rules is None:
            raise RefusedError(self.name, "spec_refused", "; ".join(problems))
        values = self._payload(rules).values(spec, images)
        if callback_url and self.callback_field:
            values[self.callback_field] = callback_url
        return self.envelope(rules.name, values)

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

    def _submit_error(self, answer: Answer, document: Mapping[str, Any] | None, hide: Sequence[str]) -> ProviderError:
        status = self._status(answer, document or {})
        reason = self._said(answer, document, hide)
        rule = diagnosis.by_rule(status, reason, self.refusals)
        is_error = document is not None and self._tells_error(document)
        return submit_error(self.name, answer, status, reason, by_rule=rule, is_error=is_error)

    def _said(self, answer: Answer, document: Mapping[str, Any] | None, hide: Sequence[str]) -> Reason:
        """The words of an answer, be it JSON or a page."""
        return Reason((), page_words(answer.body, hide=hide)) if document is None else reason_in(document, hide=hide)

    def _learned(self, answer: Answer, request_id: str = "") -> Mapping[str, Any]:
        """The document of a GET that was answered well; a page of some proxy says nothing about *request_id*."""
        document = _document(answer)
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


def _document(answer: Answer) -> Mapping[str, Any] | None:
    try:
        return read_tolerantly(answer.body, list_name="data")
    except UnreadableError:
        return None
