"""Kling's own API: our name for a task is kept and unique, so that a lost answer is found again; signed callbacks.

https://kling.ai/document-api/api/video/3-0-turbo/image-to-video
https://kling.ai/document-api/api/get-started/callbacks
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

from worker.errors import NoSuchRequestError, ProviderError, UnconfirmedError
from worker.providers.adapter import Adapter
from worker.providers.base import CallbackTrust, EventKind, ProviderEvent
from worker.providers.http import Answer
from worker.providers.places import Ids

_TASKS = "/tasks"

# the pages of each model; "succeed" is what the older design of the API says
KINDS = {
    "submitted": EventKind.PENDING,
    "processing": EventKind.PENDING,
    "succeeded": EventKind.GENERATED,
    "succeed": EventKind.GENERATED,
    "failed": EventKind.FAILED,
}

_USED = re.compile(r"external[ _]?(task[ _]?)?id", re.I)


class Kling(Adapter):
    """Kling's API of the newer design, which takes API keys alone."""

    name = "kling"
    trust = CallbackTrust.HINT  # verified, once a webhook secret of the account is configured
    kinds = KINDS
    callback_field = "options.callback_url"
    reference_field = "options.external_task_id"
    reference_echo = "external_id"
    model_field = None
    can_find = True
    ids = Ids(("id", "task_id"), re.compile(r"[0-9]{9,}"))
    envelopes = ("data", "")  # a callback's body is bare
    code_field = "code"
    link_places = ("outputs.url",)  # the copy with a watermark stands beside it
    link_starts = "update_time"
    usage_field = "billing"
    usage_fields = ("charge_type", "amount", "currency", "package_type")
    request_path = _TASKS
    account_path = "/account/costs"
    account_query = MappingProxyType({"start_time": "1780272000000", "end_time": "1780358400000"})  # any day will do

    def find(self, reference: str) -> ProviderEvent | None:
        """The task of that name; names are unique in an account. How soon a new one is shown is not documented."""
        try:
            return self._event_at(f"{_TASKS}?external_task_ids={quote(reference, safe='')}", "")
        except NoSuchRequestError:
            return None

    def _paths(self, request_id: str) -> list[str]:
        return [f"{_TASKS}?task_ids={quote(request_id, safe='')}"]

    def _event_at(self, path: str, request_id: str) -> ProviderEvent:
        """The one task of the answer's array."""
        answer = self.api.get(path)
        document = self._learned(answer, request_id or "its")
        tasks = document.get("data")
        if tasks == [] and document.get("code") == 0:
            raise NoSuchRequestError(self.name, "no_such_request", "its answer holds no such task")
        records = [task for task in tasks if isinstance(task, Mapping)] if isinstance(tasks, list) else []
        told = [(found, record) for record in records if (found := self._id_in(record))]
        for found, record in told:
            if found == request_id or not request_id:
                return self._stated(self.event(found, record))
        code = "wrong_id" if told else "unreadable"
        raise ProviderError(self.name, code, "was asked about one task and told of another, or of none")

    def _record(self, document: Mapping[str, Any], request_id: str) -> Mapping[str, Any] | None:
        """The task whole: its outputs bear ids of the same form as its own."""
        record = self.record(document)
        is_ours = self.ids.names_ours(record, request_id)
        return record if is_ours else super()._record(document, request_id)

    def _stated(self, event: ProviderEvent) -> ProviderEvent:
        if not event.status:
            raise ProviderError(self.name, "unreadable", f"the answer about {event.request_id} has no status")
        return event

    def _submit_error(self, answer: Answer, document: Mapping[str, Any] | None, hide: Sequence[str]) -> ProviderError:
        """As ever; that our name is used already says that an earlier try of the same attempt was taken."""
        err = super()._submit_error(answer, document, hide)
        if err.provider_code == "1201" and _USED.search(err.detail):
            return UnconfirmedError(self.name, "reference_used", err.detail, status=err.status, provider_code="1201")
        return err
