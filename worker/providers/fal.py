"""fal: a queue in front of many models; signed callbacks, a result that is a call of its own, a history.

https://docs.fal.ai/model-endpoints/queue
https://docs.fal.ai/model-endpoints/webhooks
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus
from typing import Any

from worker.errors import ProviderError
from worker.jobs.spec import JobSpec
from worker.providers import answers
from worker.providers.adapter import Adapter, Fetch
from worker.providers.answer_reader import document_of
from worker.providers.base import Ask, CallbackTrust, EventKind, ProviderEvent, at_once
from worker.providers.catalogue.entries import ProviderEntry
from worker.providers.http import Answer, Api
from worker.providers.newest_first import Page, newest_first
from worker.providers.places import Ids
from worker.providers.reasons import Reason, reason_in
from worker.providers.verify import Fal as FalSignature
from worker.providers.verify import KeySet, Verifier
from worker.settings.settings import ProviderSettings

_PLATFORM = "https://api.fal.ai"
_HISTORY = "/v1/models/requests/by-endpoint"
_KEYS = "/.well-known/jwks.json"
_KEYS_HOST = "https://rest.fal.ai"  # an older page of the vendor's names rest.alpha.fal.ai
_APP = re.compile(r"(/[^/]+/[^/]+)/.+")  # of a model's path: its queue is asked below its first two parts
ERROR_TYPE = "x-fal-error-type"

KINDS = {
    "in_queue": EventKind.PENDING,
    "in_progress": EventKind.PENDING,
    "completed": EventKind.GENERATED,  # or failed: its result tells
    # of a callback
    "ok": EventKind.GENERATED,
    "error": EventKind.FAILED,
}


class Fal(Adapter):
    """fal's queue API. A user's own key set of it verifies its callbacks, so none is a hint."""

    name = "fal"
    trust = CallbackTrust.VERIFIED
    kinds = KINDS
    callback_query = "fal_webhook"  # in the body it is dropped silently
    model_field = None
    can_list = True
    cancel_method = "PUT"
    ids = Ids(("request_id",), re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"))
    apart = frozenset({"status_url", "response_url", "cancel_url"})
    link_places = ("video", "payload.video")
    request_suffix = "/status"

    def __init__(self, api: Api, entry: ProviderEntry | None = None, *, verifier: Verifier | None = None) -> None:
        super().__init__(api, entry, verifier=verifier)
        is_real = api.base_url == self.about.base_url
        self._platform = api.at(_PLATFORM) if is_real else api  # the sandbox has all of it at one place
        apps = (_APP.fullmatch(rules.path or "") for rules in self.models.values())
        self.request_paths = tuple(dict.fromkeys(f"{app[1]}/requests" for app in apps if app))

    @staticmethod
    def auth(api_key: str) -> Callable[[], Mapping[str, str]]:
        return lambda: {"Authorization": f"Key {api_key}"}

    @classmethod
    def verifier_of(cls, options: ProviderSettings, fetch: Fetch, now: Callable[[], float]) -> Verifier:
        url = options.key_set_url or f"{options.base_url or _KEYS_HOST}{_KEYS}"
        return FalSignature(KeySet(partial(fetch, url)), now=now)

    def event(self, request_id: str, record: Mapping[str, Any]) -> ProviderEvent:
        """As ever; a callback whose payload could not be sent says that the result must be fetched."""
        event = super().event(request_id, record)
        is_thin = event.status.lower() == "ok" and record.get("payload") is None
        return replace(event, kind=EventKind.PENDING, error_code="", error_message="") if is_thin else event

    def _event_at(self, path: str, request_id: str) -> ProviderEvent:
        """The event of the status; of a request that is over, that of its result."""
        event = super()._event_at(path, request_id)
        if event.status.lower() != "completed":
            return event
        answer = self.api.get(path.removesuffix(self.request_suffix))
        document = document_of(answer)
        if document is not None and (answer.status == 422 or (answer.status >= 400 and ERROR_TYPE in answer.headers)):
            return self._failed(replace(event, kind=EventKind.FAILED), self._failure(answer, document))
        return self.event(request_id, {**self._learned(answer, request_id), "status": event.status})

    def _failure(self, answer: Answer, document: Mapping[str, Any]) -> Reason:
        told = reason_in(document, hide=[self.api.api_key])
        kind = answers.code_word(answer.headers.get(ERROR_TYPE), hide=[self.api.api_key])
        return replace(told, codes=tuple(filter(None, (*told.codes, kind))))

    def _reason(self, record: Mapping[str, Any], hide: Sequence[str]) -> Reason:
        """Why a request failed, as a callback tells it: its payload is the result's own error."""
        payload = record.get("payload")
        told = reason_in(payload, hide=hide) if isinstance(payload, Mapping) else Reason()
        return told or super()._reason(record, hide)

    def recent(self, spec: JobSpec, *, since: int = 0, ask: Ask = at_once) -> Iterator[ProviderEvent]:
        """The history of the spec's model with its inputs, which needs a key that may read it.

        Up to now, as its times may be those of the ends.
        """
        rules = self.rules_for(spec)
        if rules is None:
            return iter(())
        return newest_first(self.name, partial(self._page, rules.wire_id, since), since=since, ask=ask)

    def _page(self, model: str, since: int, cursor: str) -> Page:
        start = datetime.fromtimestamp(max(0, since) / 1000, UTC).isoformat(timespec="milliseconds")
        query = {"endpoint_id": model, "start": start, "limit": "50", "expand": "payloads"}
        document = self._learned(self._platform.get(_HISTORY, {**query, **({"cursor": cursor} if cursor else {})}))
        items = document.get("items")
        if not isinstance(items, list):
            raise ProviderError(self.name, "unreadable", "the answer holds no list of requests")
        events = [self._listed(item) for item in items if isinstance(item, Mapping)]
        following = document.get("next_cursor") if document.get("has_more") is not False else None
        return Page([event for event in events if event], following if isinstance(following, str) else "")

    def _listed(self, item: Mapping[str, Any]) -> ProviderEvent | None:
        request_id, asked, model = self._id_in(item), item.get("json_input"), item.get("endpoint_id")
        if request_id is None:
            return None
        return ProviderEvent(
            request_id,
            EventKind.PENDING,
            model=model if isinstance(model, str) else None,
            created_at=answers.instant(item.get("sent_at")),
            payload=asked if isinstance(asked, Mapping) else None,
        )

    def check_key(self) -> None:
        """Read the history of one model; a key that may make videos and not read it is a good key."""
        model = next(iter(self.models.values())).wire_id
        answer = self._platform.get(_HISTORY, {"endpoint_id": model, "limit": "1"})
        if answer.status != HTTPStatus.FORBIDDEN:
            self._learned(answer)
