"""Orders through a Celery application of the caller's own, on Callsheet's broker and result backend.

Wants `callsheet-client[celery]`.
"""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Mapping
from typing import Any

from celery import Celery
from celery.result import AsyncResult
from celery.signals import before_task_publish
from kombu.utils import json as kombu_json

from callsheet_client.signatures import HEADER, signature
from callsheet_client.spec import Spec, document_of

log = logging.getLogger(__name__)

TASK = "callsheet.generate"
QUEUE = "callsheet"
CANVAS = ("callbacks", "chain", "chord", "errbacks")


def order(app: Celery, spec: Spec | Mapping[str, Any], job_id: str | None = None, **options: Any) -> AsyncResult[Any]:
    """Order a video; its `AsyncResult` waits for the video. *options* are those of `send_task`, such as `link`.

    The job exists once a worker of Callsheet has recorded it. A message can be lost with a broker: send the same
    *job_id* again while the result stays PENDING; it is the same job and is paid once.
    Raises what the broker's transport raises.
    """
    wanted = str(uuid.uuid4()) if job_id is None else job_id
    kwargs = document_of(spec)
    # the spec may hold a prompt or a signed link: logs, events and Flower show the words instead
    return app.send_task(TASK, kwargs=kwargs, task_id=wanted, queue=QUEUE, kwargsrepr="<spec>", **options)


def sign_messages(secret: str) -> None:
    """Sign every order that this process sends from now on, with what hangs on it.

    *secret* is one of `CALLSHEET_MESSAGE_SECRETS`. An order that cannot be signed (a number that languages write
    differently) is sent as it is, logged, and refused when it arrives.
    """

    def sign(body: Any, headers: dict[str, Any], **_: Any) -> None:
        _, fields, embed = body
        told = _plain(embed)
        canvas = {name: told.get(name) for name in CANVAS}
        if canvas["chord"]:
            canvas["group"] = headers.get("group")
        try:
            headers[HEADER] = signature(secret, headers["id"], _plain(fields), canvas)
        except (ValueError, TypeError) as err:
            log.error("order %s is not signed: %s", headers["id"], err)  # noqa: G  another project's log

    before_task_publish.disconnect(sender=TASK, dispatch_uid=__name__)  # an earlier call's secret
    before_task_publish.connect(sign, sender=TASK, weak=False, dispatch_uid=__name__)


def _plain(value: Any) -> Any:
    """*value* as it stands in a message: Celery has ways of its own to write a date or a `Decimal`."""
    return json.loads(kombu_json.dumps(value))
