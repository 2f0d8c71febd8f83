"""What all adapters share: the verbs of `base.Provider`, in terms of a vendor's data and translations.

A vendor's module says what it knows as class attributes, how a submit is written
(`envelope`, `encoded`), where the record stands in an answer (`record`) and what
it says (`event`).
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from worker.errors import CallbackError, NoSuchRequestError, ProviderError, RefusedError
from worker.guard.bounded_json import UnreadableError, read_tolerantly
from worker.guard.text import clean
from worker.jobs.spec import JobSpec, words_in
from worker.providers import answers
from worker.providers.answers import error_words
from worker.providers.base import CallbackTrust, EventKind, ProviderEvent, Submission
from worker.providers.http import ANSWER_BYTES, Answer, Api
from worker.providers.model import IMAGE_FIELDS, ModelRules, find_rules, model_names
from worker.providers.payload import Payload
from worker.providers.submit_errors import fetch_error, submit_error

MODEL_CHARACTERS = 100
CLOCK_SKEW_MS = 10 * 60 * 1000
POST_MS = 2 * 60 * 1000
"""How long after its beginning a POST of ours can still make the provider create a request."""


class Adapter(ABC):
    """One provider. Class attributes are what is known about the vendor; an instance adds our key."""

    name: str
    trust: CallbackTrust = CallbackTrust.NONE
    repeats_refused_callbacks: bool = True
    can_list: bool = False
    models: Mapping[str, ModelRules] = {}
    kinds: Mapping[str, EventKind] = {}  # the vendor's status, in lower case -> its meaning
    submit_path: str
    request_path: str  # a request is read at <request_path>/<request id>
    account_path: str  # a GET that needs our key and costs nothing
    callback_field: str | None = None  # where a submit names our callback URL
    id_fields: tuple[str, ...] = ("id",)  # where a record may hold its request id, best first
    code_field: str | None = None  # where a body has a status of its own, which may contradict HTTP's 200
    estimate_field: tuple[str, ...] = ()  # the way to the provider's own estimate, in seconds
    usage_fields: tuple[str, ...] = ()  # what is kept of a record's billing
    unknown_id_codes: frozenset[str] = frozenset()  # error words, beside 404, for "no such request"
    refusals: Mapping[int, re.Pattern[str]] = {}  # status -> messages that are surely a refusal though it is not 4xx
    answer_bytes: int = ANSWER_BYTES

    def __init__(self, api: Api, field_names: Mapping[str, str] | None = None) -> None:
        self.api = api
        self._field_names = field_names or {}

    # What a vendor's module translates.

    @abstractmethod
    def event(self, request_id: str, record: Mapping[str, Any]) -> ProviderEvent:
        """What *record* says; any JSON object must be survived."""

    def envelope(self, model: str, values: dict[str, Any]) -> dict[str, Any]:
        """The body of a submit, from the wire values of its fields."""
        return {"model": model, **values}

    def encoded(self, value: Any) -> Any:
        """A neutral value as this vendor wants it written."""
        return value

    def record(self, document: Mapping[str, Any]) -> Mapping[str, Any]:
        """The record inside an answer; empty when there is none."""
        return document

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
        try:
            document = read_tolerantly(answer.body)
        except UnreadableError:
            document = {}
        record = self.record(document)
        request_id = self._id_in(record)
        if request_id is None or not 200 <= answer.status < 300:
            raise self._submit_error(answer, document, hide)
        event = self.event(request_id, record)
        event = replace(event, error_message=clean(event.error_message, hide=hide))
        return Submission(request_id, event, self._estimate_in(record))

    def fetch(self, request_id: str) -> ProviderEvent:
        if answers.request_id(request_id) is None:
            raise NoSuchRequestError(self.name, "not_an_id", "no request can have this id")
        answer = self.api.get(f"{self.request_path}/{quote(request_id, safe='')}")
        document = self._learned(answer, request_id)
        record = self.record(document)
        told_id = next((record[name] for name in self.id_fields if record.get(name) is not None), request_id)
        if told_id != request_id:
            raise ProviderError(self.name, "wrong_id", f"was asked about {request_id} and told about another request")
        event = self.event(request_id, record)
        if not event.status:
            raise ProviderError(self.name, "unreadable", f"the answer about {request_id} has no status")
        return event

    def parse_callback(self, body: bytes) -> ProviderEvent:
        if self.trust is CallbackTrust.NONE:
            raise CallbackError("unexpected", f"{self.name} sends no callbacks")
        try:
            record = read_tolerantly(body)
        except UnreadableError as err:
            raise CallbackError("json", str(err)) from err
        request_id = self._id_in(record)
        if request_id is None:
            raise CallbackError("no_id", f"it has no {' or '.join(self.id_fields)} that can be a request id")
        event = self.event(request_id, record)
        if not event.status:
            raise CallbackError("no_status", "it has no status")
        return event

    def recent(self, spec: JobSpec) -> Sequence[ProviderEvent]:  # noqa: ARG002 -- the argument is for those that list
        raise ProviderError(self.name, "no_list", "it has no list of requests")

    def fits(self, spec: JobSpec, event: ProviderEvent, *, begun_at: int) -> bool:
        rules = self.rules_for(spec)
        if rules is None or event.model not in (None, rules.name) or event.created_at is None:
            return False
        if not begun_at - CLOCK_SKEW_MS <= event.created_at <= begun_at + POST_MS + CLOCK_SKEW_MS:
            return False
        return event.payload is None or self._payload(rules).is_echo(spec, event.payload)

    def check_key(self) -> None:
        self._learned(self.api.get(self.account_path))

    # For the vendors' modules.

    def told(
        self,
        request_id: str,
        status: object,
        *,
        urls: Iterable[object] = (),
        expires_at: int | None = None,
        error: Callable[[], tuple[str, str]] = lambda: ("", ""),
        progress: object = None,
        usage: object = None,
        model: object = None,
        created: object = None,
        payload: object = None,
    ) -> ProviderEvent:
        """An event from a vendor's own words, none of them checked yet.

        An unknown status is not final; nor is a success without a video, which may yet be shown.
        """
        hide = [self.api.api_key]
        word = clean(status, answers.STATUS_CHARACTERS, hide=hide) if isinstance(status, str) else ""
        kind = self.kinds.get(word.lower(), EventKind.UNKNOWN)
        links = answers.links(urls, expires_at) if kind is EventKind.GENERATED else ()
        code, message = error() if kind is EventKind.FAILED else ("", "")
        if kind is EventKind.GENERATED and not links:
            kind, code, message = EventKind.UNKNOWN, "no_video", "it says that it is done, but names no video"
        if kind is EventKind.FAILED and not code:
            code = answers.code_word(word, "failed")
        return ProviderEvent(
            request_id,
            kind,
            status=word,
            progress=answers.percent(progress),
            links=links,
            error_code=code,
            error_message=message,
            usage=answers.small(usage, self.usage_fields, hide=hide),
            model=clean(model, MODEL_CHARACTERS, hide=hide) or None,
            created_at=answers.instant(created),
            payload=payload if isinstance(payload, Mapping) else None,
        )

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

    def _id_in(self, record: Mapping[str, Any]) -> str | None:
        found = (answers.request_id(record.get(name)) for name in self.id_fields)
        request_id = next((value for value in found if value), None)
        return None if request_id is None or self.api.api_key in request_id else request_id

    def _status(self, answer: Answer, document: Mapping[str, Any]) -> int:
        """The status that counts: the body's own where it denies a 200."""
        code = document.get(self.code_field) if self.code_field else None
        if isinstance(code, str) and re.fullmatch("[45][0-9][0-9]", code):
            code = int(code)
        return code if answer.status == 200 and isinstance(code, int) and 400 <= code < 600 else answer.status

    def _estimate_in(self, record: Mapping[str, Any]) -> float | None:
        found: Any = record
        for name in self.estimate_field:
            found = found.get(name) if isinstance(found, Mapping) else None
        return answers.seconds(found)

    def _submit_error(self, answer: Answer, document: Mapping[str, Any], hide: Sequence[str]) -> ProviderError:
        code, message = error_words(document, hide=hide)
        pattern = self.refusals.get(answer.status)
        is_refusal = pattern is not None and pattern.search(message) is not None
        return submit_error(self.name, answer, self._status(answer, document), code, message, is_refusal=is_refusal)

    def _learned(self, answer: Answer, request_id: str = "") -> Mapping[str, Any]:
        """The document of a GET that was answered well; a page of some proxy says nothing about *request_id*."""
        try:
            document = read_tolerantly(answer.body)
        except UnreadableError as err:
            code = "unreadable" if 200 <= answer.status < 300 else ""
            raise fetch_error(self.name, answer, answer.status, code, str(err)) from err
        status = self._status(answer, document)
        if 200 <= status < 300:
            return document
        code, message = error_words(document, hide=[self.api.api_key])
        if request_id and (status == 404 or code in self.unknown_id_codes):
            raise NoSuchRequestError(self.name, code or "http_404", f"does not know the request {request_id}")
        raise fetch_error(self.name, answer, status, code, message)
