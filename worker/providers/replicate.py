"""Replicate: predictions of any model; signed callbacks, a list, a cancel, and links that live one hour.

https://replicate.com/docs/reference/http
https://replicate.com/docs/topics/webhooks
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from urllib.parse import parse_qs, urlsplit

from worker.errors import ProviderError
from worker.jobs.spec import JobSpec
from worker.providers.adapter import Adapter
from worker.providers.base import Ask, CallbackTrust, EventKind, ProviderEvent, at_once
from worker.providers.newest_first import Page, newest_first
from worker.providers.places import Ids

_PREDICTIONS = "/v1/predictions"

# https://replicate.com/docs/topics/predictions/lifecycle
KINDS = {
    "starting": EventKind.PENDING,
    "processing": EventKind.PENDING,
    "succeeded": EventKind.GENERATED,
    "failed": EventKind.FAILED,
    "canceled": EventKind.FAILED,
    "aborted": EventKind.FAILED,
}


class Replicate(Adapter):
    """Replicate's HTTP API."""

    name = "replicate"
    trust = CallbackTrust.HINT  # verified, once the webhook secret of the account is configured
    kinds = KINDS
    callback_field = "webhook"
    callback_constants = MappingProxyType({"webhook_events_filter": ["completed"]})
    model_field = None
    payload_field = "input"
    can_list = True
    cancel_method = "POST"
    ids = Ids(("id",), re.compile(r"[a-z0-9]{20,32}"))
    apart = frozenset({"urls"})  # pages of the prediction
    link_places = ("output",)  # text, or a list of it
    link_starts = "completed_at"
    usage_field = "metrics"
    usage_fields = ("predict_time",)
    request_path = _PREDICTIONS
    account_path = "/v1/account"
    answer_bytes = 6 * 1024 * 1024  # a page of its list echoes a hundred inputs

    def recent(self, spec: JobSpec, *, since: int = 0, ask: Ask = at_once) -> Iterator[ProviderEvent]:
        """All predictions, a hundred a page; an hour after its end a prediction has lost its input."""
        rules = self.rules_for(spec)
        found = newest_first(self.name, self._page, since=since, ask=ask)
        yield from (event for event in found if rules is not None and event.model == rules.wire_id)

    def _page(self, cursor: str) -> Page:
        document = self._learned(self.api.get(_PREDICTIONS, {"cursor": cursor} if cursor else None))
        listed = document.get("results")
        if not isinstance(listed, list):
            raise ProviderError(self.name, "unreadable", "the answer holds no list of predictions")
        told = [(self._id_in(record), record) for record in listed if isinstance(record, Mapping)]
        events = [self.event(request_id, record) for request_id, record in told if request_id]
        following = document.get("next")
        names = parse_qs(urlsplit(following).query) if isinstance(following, str) else {}
        return Page(events, next(iter(names.get("cursor", ())), ""))
