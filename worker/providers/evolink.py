"""EvoLink: calls back, unsigned, when a task is completed, failed or cancelled; links live 24 hours.

https://docs.evolink.ai/en/api-manual/video-series/kling/kling-v3-turbo-image-to-video
https://docs.evolink.ai/en/api-manual/task-management/get-task-detail
"""

from __future__ import annotations

import re

from worker.providers.adapter import Adapter
from worker.providers.base import CallbackTrust, EventKind
from worker.providers.places import Ids

# https://docs.evolink.ai/en/api-manual/task-management/get-task-detail
KINDS = {
    "pending": EventKind.PENDING,
    "processing": EventKind.PENDING,
    "completed": EventKind.GENERATED,
    "failed": EventKind.FAILED,
    # Not in the list, though callbacks fire for it and the vendor's own clients wait for it; else it comes as "failed"
    # with code request_cancelled.
    "cancelled": EventKind.FAILED,
}


class EvoLink(Adapter):
    """EvoLink's task API."""

    name = "evolink"
    trust = CallbackTrust.HINT
    kinds = KINDS
    callback_field = "callback_url"
    estimate_field = ("task_info", "estimated_time")
    usage_fields = ("billing_rule", "credits_reserved", "estimated_cost")  # only in the answer to a submit
    usage_field = "usage"
    # An id begins with "task-unified-" (get-task-detail); some callers have seen `task_id`.
    ids = Ids(("id", "task_id"), re.compile(r"task-unified-[!-.0-~]+"))
    link_places = ("results",)
    # An id that does not begin with "task-unified-" is answered by 400 invalid_task_id.
    unknown_id_codes = frozenset({"invalid_task_id", "task_not_found"})
    submit_path = "/v1/videos/generations"
    request_path = "/v1/tasks"
    account_path = "/v1/credits"
    balance_fields = ("data.token.remaining_credits", "data.user.remaining_credits")
    unlimited_fields = ("data.token.unlimited_credits", "data.user.unlimited_credits")
