"""A provider that signs: its callback is believed as it is, and one without a valid signature is refused."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import pytest
import redis
from flask import Flask

from tests.integration.store.conftest import JOB, Lives
from tests.integration.webhook.conftest import RETENTION_MS, SECRET, Client, body, environment
from webhook.app import create_app
from worker import providers
from worker.errors import DownloadError
from worker.messaging.publisher import Publisher
from worker.notifications.signature import headers as signed_headers
from worker.providers import event_json
from worker.providers.base import CallbackTrust
from worker.providers.verify import Fal, KeySet, StandardWebhooks, Verifier
from worker.settings.settings import Settings
from worker.store import Store, connect

NEW, OLD = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@dataclass
class Signing:
    """A provider with EvoLink's words that signs by the Standard Webhooks library, at the time that is told."""

    client: Client
    secret: str = NEW
    sent: dict[str, str] = field(default_factory=dict)

    def deliver(
        self, data: bytes | None = None, *, event_id: str = "evt-1", off_seconds: float = 0.0, **changed: str
    ) -> tuple[int, Mapping[str, str]]:
        content = body() if data is None else data
        headers = signed_headers((self.secret,), event_id, time.time() + off_seconds, content.decode())
        headers |= {name.replace("_", "-"): value for name, value in changed.items()}
        answer = self.client.deliver(content, headers={name: value for name, value in headers.items() if value})
        return answer.status_code, answer.json or {}


def app_of(redis_url: str, store: Store, publisher: Publisher, verifier: Verifier) -> Flask:
    """The receiver, with an EvoLink that signs."""
    settings = Settings.from_env(environment(redis_url))
    adapters = providers.build(settings)
    adapters["evolink"].verifier = verifier
    adapters["evolink"].trust = CallbackTrust.VERIFIED
    return create_app(store=store, providers=adapters, secrets=(SECRET,), publisher=publisher)


@pytest.fixture
def signing(redis_url: str, store: Store, publisher: Publisher) -> Signing:
    return Signing(Client(app_of(redis_url, store, publisher, StandardWebhooks((NEW, OLD)))))


def test_a_signed_callback_is_stored_as_one_that_holds(signing: Signing, lives: Lives, store: Store) -> None:
    lives.submitted()

    answer = signing.deliver()

    assert answer == (200, {"outcome": "stored"})
    assert [event_json.load(event.text).is_verified for event in store.callbacks.events(JOB)] == [True]
    assert store.due.ids() == [JOB]


def test_the_signature_is_judged_by_the_bytes_as_they_came(signing: Signing, lives: Lives) -> None:
    lives.submitted()
    spaced = (
        b'{ "id": "r1",\r\n  "status" :"completed", "results": ["https://files.example.com/v.mp4"], "a": "\xc3\xa9" }\n'
    )

    assert signing.deliver(spaced) == (200, {"outcome": "stored"})


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"webhook_signature": ""}, "unsigned"),
        ({"webhook_id": "", "webhook_timestamp": "", "webhook_signature": ""}, "unsigned"),
        ({"webhook_signature": "v1,AAAA"}, "signature"),
        ({"webhook_id": "evt-2"}, "signature"),
        ({"webhook_timestamp": "1700000000"}, "timestamp"),
    ],
)
def test_a_signature_that_does_not_hold_is_refused_and_counted(
    signing: Signing, lives: Lives, store: Store, changed: dict[str, str], reason: str
) -> None:
    lives.submitted()

    answer = signing.deliver(**changed)  # type: ignore[arg-type]  # headers by name

    assert answer == (401, {"error": "unauthorized", "reason": reason})
    assert store.counters.all() == {"callbacks_forged": 1}
    assert store.callbacks.events(JOB) == ()
    assert [stray["reason"] for stray in store.callbacks.strays()] == [reason]


@pytest.mark.parametrize("off_seconds", [-310.0, 310.0])
def test_a_delivery_of_another_time_is_refused(
    signing: Signing, lives: Lives, store: Store, off_seconds: float
) -> None:
    lives.submitted()

    assert signing.deliver(off_seconds=off_seconds) == (401, {"error": "unauthorized", "reason": "timestamp"})
    assert store.callbacks.events(JOB) == ()


def test_while_secrets_are_rotated_both_are_taken(signing: Signing, lives: Lives, store: Store) -> None:
    lives.submitted()
    signing.secret = OLD

    assert signing.deliver() == (200, {"outcome": "stored"})


def test_a_forged_callback_with_a_valid_token_only_has_its_job_looked_at(
    signing: Signing, lives: Lives, store: Store, publisher: Publisher, nudged: list[str]
) -> None:
    lives.submitted()

    for number in range(5):
        signing.deliver(event_id=f"evt-{number}", webhook_signature="v1,AAAA")

    publisher.close(timeout_seconds=30)
    assert nudged == [JOB], "at most once a minute: a wrong secret of ours must not cost the callbacks' speed"
    assert store.counters.all() == {"callbacks_forged": 5}


def test_a_replay_is_thanked_and_takes_no_effect(
    signing: Signing, lives: Lives, store: Store, store_client: redis.Redis, publisher: Publisher, nudged: list[str]
) -> None:
    lives.submitted()
    first = signing.deliver()
    store.callbacks.contradict(JOB)

    again, other_event = signing.deliver(), signing.deliver(event_id="evt-2")

    assert [answer[1] for answer in (first, again, other_event)] == [
        {"outcome": "stored"},
        {"outcome": "repeat"},
        {"outcome": "stored"},
    ]
    (_, lives_ms) = sorted(store_client.pttl(key) for key in store_client.scan_iter("*:delivered:*"))
    assert 9 * 60_000 < lives_ms <= 600_000


def test_a_callback_that_was_not_taken_is_not_remembered(signing: Signing) -> None:
    assert [signing.deliver()[0] for _ in range(2)] == [404, 404]


def test_a_stranger_without_the_token_reaches_no_verifier(signing: Signing, lives: Lives, store: Store) -> None:
    lives.submitted()

    answer = signing.client.deliver(to="/callbacks/evolink/job-1/1/" + "A" * 43)

    assert answer.status_code == 404
    assert store.counters.all() == {}


class AwayHost:
    """A host of keys that takes no connection."""

    def fetch(self) -> bytes:
        raise DownloadError("connect", "it takes no connection")


@pytest.fixture
def keyless(redis_url: str, store: Store, publisher: Publisher) -> Client:
    return Client(app_of(redis_url, store, publisher, Fal(KeySet(AwayHost().fetch))))


def test_while_keys_cannot_be_had_the_provider_is_asked_to_come_again(
    keyless: Client, lives: Lives, store: Store
) -> None:
    lives.submitted()
    headers = {
        "X-Fal-Webhook-Request-Id": "r1",
        "X-Fal-Webhook-User-Id": "user",
        "X-Fal-Webhook-Timestamp": str(int(time.time())),
        "X-Fal-Webhook-Signature": "00" * 64,
    }

    answer = keyless.deliver(headers=headers)

    assert (answer.status_code, answer.json) == (503, {"error": "unavailable"})
    assert store.counters.all() == {"callbacks_unverifiable": 1}
    assert store.callbacks.events(JOB) == ()
    assert list(store.callbacks.strays()) == [], "it comes again"


@pytest.fixture
def silent_store() -> Iterator[Store]:
    """A store whose Redis is not there."""
    with connect("redis://127.0.0.1:1/0", timeout_seconds=0.2) as client:
        yield Store(client, retention_ms=RETENTION_MS)


def test_a_forged_callback_is_no_401_while_its_job_cannot_be_made_due(
    redis_url: str, silent_store: Store, publisher: Publisher
) -> None:
    client = Client(app_of(redis_url, silent_store, publisher, StandardWebhooks((NEW,))))

    assert client.deliver().status_code == 503
