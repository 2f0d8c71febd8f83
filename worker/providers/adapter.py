"""The verbs of `base.Provider`, in terms of a vendor's data; all adapters share them.

A vendor's module says what it knows as class attributes, and what is its own as overridden methods; its models are
data (`catalogue/`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from worker.errors import CallbackError, NoSuchRequestError, ProviderError, RefusedError
from worker.guard.bounded_json import UnreadableError, read_tolerantly
from worker.guard.text import clean
from worker.jobs.error_codes import ErrorCode
from worker.jobs.spec import JobSpec, words_in
from worker.providers import answers, places
from worker.providers.answer_reader import AnswerReader, document_of
from worker.providers.base import Ask, CallbackTrust, Cancelled, EventKind, ProviderEvent, Submission, at_once
from worker.providers.catalogue.entries import ProviderEntry
from worker.providers.catalogue.files import shipped
from worker.providers.http import ANSWER_BYTES, Answer, Api
from worker.providers.model import IMAGE_FIELDS, LINK_LISTS, ModelRules, find_rules, similar
from worker.providers.payload import is_echo, payload
from worker.providers.reasons import reason_in
from worker.providers.submit_errors import fetch_error
from worker.providers.verify import StandardWebhooks, Verifier
from worker.providers.wire_path import WirePath
from worker.settings.settings import ProviderSettings

Fetch = Callable[[str], bytes]
"""Gets the document at a public URL; raises `DownloadError`."""

TOO_LATE = frozenset({400, 409, 410, 422})
"""Answers to a cancel of a request that is known and cannot be stopped any more."""

CLOCK_SKEW_MS = 10 * 60 * 1000
POST_MS = 2 * 60 * 1000
"""The time after the beginning of a POST of ours within which the provider may still create its request."""


class Adapter(AnswerReader):
    """One provider. Class attributes are what is known about the vendor; an instance adds our key and its models."""

    trust: CallbackTrust = CallbackTrust.NONE
    verifier: Verifier | None = None
    repeats_refused_callbacks: bool = True
    callback_ports: frozenset[int] | None = None  # the ports it calls back on; None: any
    callback_field: str | None = None  # where a submit's body names our callback URL, as a wire path
    callback_query: str | None = None  # or the query parameter that does
    callback_constants: Mapping[str, Any] = {}  # sent with it: wire path -> value
    model_field: str | None = "model"  # where a submit's body names the model; None: only its path does
    reference_header: str | None = None  # the header that carries our name for the request
    reference_field: str | None = None  # or the place in the body, as a wire path
    can_list: bool = False
    can_find: bool = False
    cancel_method: str | None = None  # of a call of <request_path>/<request id>/cancel; None: nothing can be cancelled
    submit_path: str
    request_path: str  # a request is read at <request_path>/<request id><request_suffix>
    request_paths: tuple[str, ...] = ()  # where it can be at several: each is tried
    request_suffix: str = ""
    account_path: str  # a GET that needs our key and costs nothing
    account_query: Mapping[str, str] | None = None
    balance_fields: tuple[str, ...] = ()  # where its answer tells what is left, as paths
    unlimited_fields: tuple[str, ...] = ()  # where it says that nothing limits it
    answer_bytes: int = ANSWER_BYTES
    schema_path: str | None = None  # of a model's description, with {model}; None: there is none

    def __init__(self, api: Api, entry: ProviderEntry | None = None, *, verifier: Verifier | None = None) -> None:
        entry = entry or shipped()[self.name]
        if verifier is not None:
            self.verifier, self.trust = verifier, CallbackTrust.VERIFIED
        self.api = api
        self.link_seconds = entry.about.link_seconds
        self.about = entry.about
        self.models = entry.models
        self.refunds_failures = entry.about.failures_are_free
        self.takes_keys = self.reference_header is not None
        self.has_schemas = self.schema_path is not None

    @classmethod
    def verifier_of(cls, options: ProviderSettings, fetch: Fetch, now: Callable[[], float]) -> Verifier | None:  # noqa: ARG003
        """The check of its callbacks' signatures; None: they are not verified. *fetch* gets a public document."""
        return StandardWebhooks(options.webhook_secrets, now=now) if options.webhook_secrets else None

    @property
    def can_cancel(self) -> bool:
        return self.cancel_method is not None

    @staticmethod
    def auth(api_key: str) -> Callable[[], Mapping[str, str]]:
        """The headers that carry our key, made anew for each request."""
        return lambda: {"Authorization": f"Bearer {api_key}"}

    @property
    def clock_ms(self) -> int | None:
        return self.api.clock_ms

    def rules_for(self, spec: JobSpec) -> ModelRules | None:
        return find_rules(self.models, spec)

    def problems(self, spec: JobSpec) -> list[str]:
        rules = self.rules_for(spec)
        if rules is None:
            return [f"model: there is no such model at {self.name}; {similar(spec.model, [self.models])}"]
        return rules.problems(spec)

    def takes_data_uri(self, spec: JobSpec) -> bool:
        rules = self.rules_for(spec)
        return rules is not None and rules.takes_inline_images

    def estimate_seconds(self, spec: JobSpec) -> float:
        # No vendor publishes figures. Callers of APIMart first look after 12 s for a video of 5 s,
        # well before its end; that longer videos take longer is a guess.
        rules = self.rules_for(spec)
        return self.about.estimate_base_seconds + self.about.estimate_factor * (rules.duration(spec) if rules else 5)

    def submit(
        self, spec: JobSpec, *, images: Mapping[str, str], callback_url: str | None, reference: str = ""
    ) -> Submission:
        rules = self._checked(spec, images)
        body = self.body(rules, payload(rules, spec, images), callback_url, reference)
        headers = {self.reference_header: reference} if self.reference_header and reference else {}
        query = {self.callback_query: callback_url} if self.callback_query and callback_url else None
        answer = self.api.post(rules.path or self.submit_path, body, query=query, headers=headers)
        hide = [self.api.api_key, *words_in(spec.model_dump())]
        document = document_of(answer)
        request_id = self._id_in(document or {})
        record = self._record(document or {}, request_id) if request_id else None
        # an error in the body outranks an id: relays put the trace of their own answer where an id could stand
        is_taken = request_id is not None and record is not None and 200 <= answer.status < 300
        if request_id is None or record is None or not is_taken or self._denies(document or {}, record):
            raise self._submit_error(answer, document, hide)
        event = self.event(request_id, record)
        event = replace(event, error_message=clean(event.error_message, hide=hide))
        return Submission(request_id, event, self._estimate_in(record))

    def body(
        self, rules: ModelRules, values: dict[str, Any], callback_url: str | None, reference: str
    ) -> dict[str, Any]:
        """The body of a submit, from the payload of its model."""
        body: dict[str, Any] = {}
        if self.model_field:
            WirePath.parse(self.model_field).put(body, rules.wire_id)
        if self.payload_field:
            WirePath.parse(self.payload_field).put(body, values)
        else:
            body.update(values)
        if self.reference_field and reference:
            WirePath.parse(self.reference_field).put(body, reference)
        if callback_url and self.callback_field:
            WirePath.parse(self.callback_field).put(body, callback_url)
            for path, value in self.callback_constants.items():
                WirePath.parse(path).put(body, value)
        return body

    def fetch(self, request_id: str) -> ProviderEvent:
        if answers.request_id(request_id) != request_id:
            raise NoSuchRequestError(self.name, "not_an_id", "no request can have this id")
        missing = NoSuchRequestError(self.name, "no_path", "no model of it is known")
        for path in self._paths(request_id):
            try:
                return self._event_at(f"{path}{self.request_suffix}", request_id)
            except NoSuchRequestError as err:
                missing = err
        raise missing

    def _paths(self, request_id: str) -> list[str]:
        return [f"{path}/{quote(request_id, safe='')}" for path in self.request_paths or (self.request_path,)]

    def _event_at(self, path: str, request_id: str) -> ProviderEvent:
        """The event that a GET of *path* tells of the request; raises as `fetch`."""
        answer = self.api.get(path)
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

    def find(self, reference: str) -> ProviderEvent | None:  # noqa: ARG002 -- for those that know references
        raise ProviderError(self.name, "no_reference", "it knows no names of ours")

    def cancel(self, request_id: str) -> Cancelled:
        if self.cancel_method is None:
            return Cancelled.UNKNOWN
        for path in self._paths(request_id):
            try:
                answer = self.api.act(self.cancel_method, f"{path}/cancel")
            except ProviderError:
                return Cancelled.UNKNOWN
            if answer.status != HTTPStatus.NOT_FOUND:
                return self._cancelled(request_id, answer)
        return Cancelled.UNKNOWN

    def _cancelled(self, request_id: str, answer: Answer) -> Cancelled:
        if answer.status in TOO_LATE:
            return Cancelled.TOO_LATE
        if not 200 <= answer.status < 300:
            return Cancelled.UNKNOWN
        told = self.event(request_id, self.record(document_of(answer) or {}))
        was_over = told.kind is EventKind.GENERATED or (
            told.kind is EventKind.FAILED and told.error_code != ErrorCode.CANCELLED_THERE
        )
        return Cancelled.TOO_LATE if was_over else Cancelled.ASKED

    def recent(  # the arguments are for those that list
        self,
        spec: JobSpec,  # noqa: ARG002
        *,
        since: int = 0,  # noqa: ARG002
        ask: Ask = at_once,  # noqa: ARG002
    ) -> Iterator[ProviderEvent]:
        raise ProviderError(self.name, "no_list", "it has no list of requests")

    def schema(self, rules: ModelRules) -> Mapping[str, Any]:
        if self.schema_path is None:
            raise ProviderError(self.name, "no_schema", "it describes its models nowhere but in its pages")
        return self._learned(self.api.get(self.schema_path.format(model=quote(rules.wire_id, safe=""))))

    def fits(self, spec: JobSpec, event: ProviderEvent, *, begun_at: int) -> bool:
        rules = self.rules_for(spec)
        if rules is None or event.model not in (None, rules.wire_id) or event.created_at is None:
            return False
        if not begun_at - CLOCK_SKEW_MS <= event.created_at <= begun_at + POST_MS + CLOCK_SKEW_MS:
            return False
        return event.payload is None or is_echo(rules, spec, event.payload)

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

    def _checked(self, spec: JobSpec, images: Mapping[str, str]) -> ModelRules:
        """The model that makes *spec*, once nothing speaks against sending it."""
        rules = self.rules_for(spec)
        problems = self.problems(spec)
        named = [field for field in IMAGE_FIELDS if getattr(spec, field) is not None]
        named += [f"{field}[{n}]" for field in LINK_LISTS for n in range(len(getattr(spec, field) or ()))]
        for field in named:
            url = images.get(field, "")
            if not url.startswith("https://") and not (url.startswith("data:") and self.takes_data_uri(spec)):
                problems.append(f"{field}: {self.name} needs an https URL for it; is S3 reached over https?")
        if problems or rules is None:
            raise RefusedError(self.name, "spec_refused", "; ".join(problems))
        return rules
