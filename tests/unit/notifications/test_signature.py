"""Signatures are those of Standard Webhooks, one for each secret."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from worker.notifications.signature import headers, message_id, problem

SECRETS = ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD")
CONTENT = '{"type":"job.archived","data":{"prompt":"für 10 €"}}'


def test_a_signature_is_the_hmac_that_the_standard_describes() -> None:
    made = headers(SECRETS[:1], "msg_1", 1_674_087_231.9, CONTENT)

    key = base64.b64decode(SECRETS[0].removeprefix("whsec_"))
    digest = hmac.new(key, f"msg_1.1674087231.{CONTENT}".encode(), hashlib.sha256).digest()
    assert made == {
        "webhook-id": "msg_1",
        "webhook-timestamp": "1674087231",
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }


@pytest.mark.parametrize("secret", SECRETS)
def test_a_receiver_verifies_with_any_of_the_secrets(secret: str) -> None:
    made = headers(SECRETS, "msg_1", time.time(), CONTENT)

    assert Webhook(secret).verify(CONTENT.encode(), made)["type"] == "job.archived"


def test_a_receiver_with_another_secret_refuses() -> None:
    made = headers(SECRETS[:1], "msg_1", time.time(), CONTENT)

    with pytest.raises(WebhookVerificationError):
        Webhook(SECRETS[1]).verify(CONTENT.encode(), made)


def test_the_id_names_job_and_version() -> None:
    assert message_id("order-7", 12) == "order-7.12"


def test_what_is_genuine_has_no_problem() -> None:
    made = headers(SECRETS[:1], "msg_1", time.time(), CONTENT)

    assert problem(SECRETS, made, CONTENT.encode()) is None


@pytest.mark.parametrize(
    "change",
    [
        {"webhook-id": "msg_2"},
        {"webhook-timestamp": "1674087231"},
        {"webhook-timestamp": "soon"},
        {"webhook-signature": "nonsense"},
        {"webhook-signature": "v1,###"},
        {"webhook-signature": "v2,aaaa"},
        {"webhook-signature": ""},
    ],
    ids=str,
)
def test_what_is_not_genuine_is_told_in_words(change: dict[str, str]) -> None:
    made = {**headers(SECRETS, "msg_1", time.time(), CONTENT), **change}

    assert problem(SECRETS, made, CONTENT.encode())


def test_changed_content_is_not_genuine() -> None:
    made = headers(SECRETS, "msg_1", time.time(), CONTENT)

    assert problem(SECRETS, made, CONTENT.encode() + b" ") == "No matching signature found"
    assert problem(SECRETS, made, b"\xff") == "its headers cannot be read"


def test_without_a_secret_nothing_is_genuine() -> None:
    assert problem((), {}, b"") is not None
