"""GMI Cloud: a queue that is polled; it never calls back, echoes what it was sent, and can list it.

https://docs.gmicloud.ai/inference-engine/api-reference/video-api-reference
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

from worker.errors import ProviderError
from worker.jobs.error_codes import ErrorCode
from worker.jobs.spec import JobSpec
from worker.providers.adapter import Adapter
from worker.providers.base import Ask, EventKind, ProviderEvent, at_once
from worker.providers.diagnosis import Rule
from worker.providers.http import TOO_LONG
from worker.providers.places import Ids

_REQUESTS = "/api/v1/ie/requestqueue/apikey/requests"

# The vendor's SDK (package `gmicloud`, _enums.py) lists all seven.
KINDS = {
    "created": EventKind.PENDING,
    "queued": EventKind.PENDING,
    "dispatched": EventKind.PENDING,
    "processing": EventKind.PENDING,
    "success": EventKind.GENERATED,
    "failed": EventKind.FAILED,
    "cancelled": EventKind.FAILED,
}

REFUSALS = (
    Rule(
        500,
        re.compile(r"Backend error \((?!408|429)4[0-9]{2}\)"),
        ErrorCode.INVALID_INPUT,
        "genblaze-gmicloud, _errors.py, and two more clients: the queue wraps its backend's 400 or 403 (an input that "
        "it cannot use) in a 500 of its own; no request is created, nothing is charged",
    ),
    Rule(
        500,
        re.compile(r"Backend error \(429\)"),
        ErrorCode.RATE_LIMITED,
        "inferred from the same: the backend did not take it",
    ),
)

PAGE_RECORDS = 50
MOST_PAGES = 200
"""Of a list: ten thousand requests of one model between a POST and the look for it."""


@dataclass(frozen=True)
class _Page:
    """One page of the list."""

    records: list[tuple[str, Mapping[str, Any]]]  # those that have an id, with it
    length: int  # of all records on it
    has_more: bool


class GmiCloud(Adapter):
    """GMI Cloud's request queue."""

    name = "gmicloud"
    can_list = True
    kinds = KINDS
    ids = Ids(("request_id",), re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"))
    # Never `thumbnail_image_url`, though the official example puts an .mp4 there.
    link_places = ("outcome.media_urls", "outcome.video_url", "outcome.url")
    payload_field = "payload"
    submit_path = _REQUESTS
    request_path = _REQUESTS
    account_path = _REQUESTS
    account_query = MappingProxyType({"limit": "1"})
    refusals = REFUSALS
    schema_path = "/api/v1/ie/requestqueue/apikey/models/{model}"
    answer_bytes = 6 * 1024 * 1024  # it echoes the payload, inline pictures and all

    def recent(self, spec: JobSpec, *, since: int = 0, ask: Ask = at_once) -> Iterator[ProviderEvent]:
        """The list page by page, by limit and offset; how it is sorted is not documented, the latest first as seen.

        A page that is too long (payloads are echoed, inline pictures too) is asked for in smaller ones; a single
        record that is too long is passed over, and told at the end.
        """
        rules = self.rules_for(spec)
        if rules is None:
            raise ProviderError(self.name, "unknown_model", "the spec's model is not theirs")
        seen: set[str] = set()
        offset, limit, passed_over = 0, PAGE_RECORDS, 0
        for _ in range(MOST_PAGES):
            try:
                page = ask(partial(self._page, rules.wire_id, offset, limit))
            except ProviderError as err:
                if err.code != TOO_LONG:
                    raise
                if limit == 1:
                    offset, passed_over = offset + 1, passed_over + 1
                limit = max(1, limit // 4)
                continue
            new = [(told, record) for told, record in page.records if told not in seen]
            seen.update(told for told, _ in new)
            events = [self.event(told, record) for told, record in new]
            yield from events
            times = [event.created_at for event in events if event.created_at is not None]
            is_latest_first = times == sorted(times, reverse=True)
            if not page.has_more or not new or (is_latest_first and times and times[-1] < since):
                break
            offset += page.length
        else:
            raise ProviderError(self.name, TOO_LONG, f"its list does not end within {MOST_PAGES} pages")
        if passed_over:
            raise ProviderError(self.name, TOO_LONG, f"{passed_over} records of its list are too long to be read")

    def _page(self, model: str, offset: int, limit: int) -> _Page:
        query = {"model_id": model, "limit": str(limit), "offset": str(offset)}
        document = self._learned(self.api.get(_REQUESTS, query))
        listed = document.get("requests")
        if not isinstance(listed, list):
            raise ProviderError(self.name, "unreadable", "the answer holds no list of requests")
        told = [(self._id_in(record), record) for record in listed if isinstance(record, Mapping)]
        # callers have seen `has_more`, the SDK knows `total`; without either only an empty page is the last
        more, total = document.get("has_more"), document.get("total")
        is_last = more is False or (type(total) is int and offset + len(listed) >= total)
        return _Page([(request_id, record) for request_id, record in told if request_id], len(listed), not is_last)
