"""The demo's listener keeps what is genuine and refuses the rest."""

from __future__ import annotations

import json
import time

import requests

from deploy.demo.listener import Listener
from worker.notifications.signature import headers

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def test_only_a_notification_with_a_right_signature_counts() -> None:
    content = json.dumps({"type": "job.archived", "data": {"job_id": "j1"}})
    forged = content.replace("j1", "j2")

    with Listener() as listener:
        listener.secret = SECRET
        signed = headers((SECRET,), "j1.5", time.time(), content)
        answers = [
            requests.post(listener.url, data=body, headers=signed, timeout=10).status_code for body in (content, forged)
        ]

    assert answers == [204, 401]
    assert list(listener.told) == ["j1"]
    assert listener.refused == 1
