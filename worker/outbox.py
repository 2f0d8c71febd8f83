"""What this process sends, signed, where messages must be (`worker/signing.py`)."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

from celery.signals import before_task_publish
from kombu.utils import json as kombu_json

from worker import signing
from worker.result import GENERATE

log = logging.getLogger(__name__)


def sign_messages(secret: str) -> None:
    """Sign every `callsheet.generate` that this process sends from now on, through whatever Celery application.

    Links, chains, groups and chords are signed with it. What cannot be signed (a number
    that languages write differently) is sent as it is, and is refused when it arrives.
    """

    def sign(body: Any, headers: dict[str, Any], **_: Any) -> None:
        _, fields, embed = body
        try:
            headers[signing.HEADER] = signing.signature(
                secret, headers["id"], plain(fields), canvas_of(plain(embed), headers)
            )
        except (ValueError, TypeError) as err:
            log.error("message.unsigned", extra={"job_id": headers["id"], "reason": str(err)})

    before_task_publish.disconnect(sender=GENERATE, dispatch_uid=__name__)  # whom an earlier call has named
    before_task_publish.connect(sign, sender=GENERATE, weak=False, dispatch_uid=__name__)


def canvas_of(embed: Mapping[str, Any], headers: Mapping[str, Any]) -> dict[str, Any]:
    """What hangs on a message: of its body and, where a chord waits for it, the group it counts for."""
    hung = {name: embed.get(name) for name in signing.CANVAS}
    return {**hung, "group": headers.get("group")} if hung["chord"] else hung


def plain(value: Any) -> Any:
    """*value* as it stands in a message: Celery has ways of its own to write a date or a `Decimal`."""
    return json.loads(kombu_json.dumps(value))
