"""Notifications as a backend verifies them, signed by the reference library of Standard Webhooks."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook

from callsheet_client import NotificationInvalid, verify_notification

SECRET = "whsec_" + "Y2FsbHNoZWV0LWNhbGxzaGVldC1jYWxsc2hlZXQh"
OTHER = "whsec_" + "b3RoZXItb3RoZXItb3RoZXItb3RoZXItb3RoZXIh"
NOW = 1_796_000_000
DATA = {"job_id": "j1", "state": "archived", "provider": "evolink", "model": "m", "attempt": 1, "ver": 7}
BODY = json.dumps({"type": "job.archived", "timestamp": "2026-12-01T08:00:00.000Z", "data": DATA}).encode()


def signed(*secrets: str, at: int = NOW, body: bytes = BODY) -> dict[str, str]:
    when = datetime.fromtimestamp(at, UTC)
    signatures = [Webhook(secret).sign("j1.7", when, body.decode()) for secret in secrets]
    return {"Webhook-Id": "j1.7", "Webhook-Timestamp": str(at), "Webhook-Signature": " ".join(signatures)}


def test_a_genuine_one_is_told_with_its_result() -> None:
    told = verify_notification([SECRET], signed(SECRET), BODY, now=NOW)

    assert (told.webhook_id, told.type, told.result.job_id, told.result.ver) == ("j1.7", "job.archived", "j1", 7)


@pytest.mark.parametrize("sender", [(SECRET, OTHER), (OTHER, SECRET), (SECRET,)])
@pytest.mark.parametrize("receiver", [(SECRET,), (OTHER, SECRET)])
def test_secrets_can_be_changed_on_either_side_first(sender: tuple[str, ...], receiver: tuple[str, ...]) -> None:
    assert verify_notification(receiver, signed(*sender), BODY, now=NOW).result.job_id == "j1"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Webhook-Id": "j1.8"},
        {"Webhook-Timestamp": str(NOW + 1)},
        {"Webhook-Timestamp": "soon"},
        {"Webhook-Signature": ""},
        {"Webhook-Signature": "v1,"},
        {"Webhook-Signature": "v1a," + "A" * 44},
        {"Webhook-Signature": "v1,\xe9"},
    ],
)
def test_one_that_is_not_genuine_is_refused(headers: dict[str, str]) -> None:
    given = {**signed(SECRET), **headers} if headers else {}

    with pytest.raises(NotificationInvalid):
        verify_notification([SECRET], given, BODY, now=NOW)


def test_another_body_is_refused() -> None:
    with pytest.raises(NotificationInvalid, match="no signature"):
        verify_notification([SECRET], signed(SECRET), BODY + b" ", now=NOW)


def test_another_secret_is_refused() -> None:
    with pytest.raises(NotificationInvalid, match="no signature"):
        verify_notification([OTHER], signed(SECRET), BODY, now=NOW)


@pytest.mark.parametrize("off", [-301, 301])
def test_one_that_was_recorded_and_is_sent_again_later_is_refused(off: int) -> None:
    with pytest.raises(NotificationInvalid, match="301 s off"):
        verify_notification([SECRET], signed(SECRET), BODY, now=NOW + off)


@pytest.mark.parametrize("told", [[], {}, {"type": "job.archived", "timestamp": "", "data": {}}, "no object"])
def test_a_genuine_one_of_another_kind_is_refused_in_words(told: Any) -> None:
    body = json.dumps(told).encode()

    with pytest.raises(NotificationInvalid, match="not of a kind"):
        verify_notification([SECRET], signed(SECRET, body=body), body, now=NOW)


def test_a_secret_that_is_none_is_a_mistake_of_the_caller_s() -> None:
    with pytest.raises(ValueError, match="whsec_"):
        verify_notification(["whsec_?"], signed(SECRET), BODY, now=NOW)
