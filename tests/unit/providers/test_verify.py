"""Signatures of callbacks hold over the raw bytes, within five minutes, by any of the keys that are in force.

The vectors are not ours: Kling publishes one (kling.ai/document-api/api/get-started/callbacks); the Python library of
Standard Webhooks and Replicate's client share another in their tests; fal publishes none, so its recipe was followed
with OpenSSL.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from standardwebhooks.webhooks import Webhook

from worker.errors import DownloadError, ForgedCallbackError, UnverifiableCallbackError
from worker.providers.verify import Fal, KeySet, StandardWebhooks, Verifier

Headers = dict[str, str]


@dataclass(frozen=True)
class Vector:
    """A delivery that somebody else signed, and when."""

    headers: Headers
    body: bytes
    at: int


KLING = Vector(
    {
        "webhook-id": "9876543210",
        "webhook-timestamp": "1781080794",
        "webhook-signature": "v1,UsKlJP00XoQyOn410NM9xv34sP+Gl0jnOO9Lcpr7NJ4=",
    },
    b'{"id":"1234567890","status":"succeeded","message":"","create_time":1781080778802,"update_time":1781080794151}',
    1781080794,
)
KLING_SECRET = "whsec_dGVzdHNlY3JldHRlc3RzZWNyZXR0ZXN0c2VjcmV0MTI="

REPLICATE = Vector(
    {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    },
    b'{"test": 2432232314}',
    1614265330,
)
REPLICATE_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

# openssl pkeyutl -sign -rawin over "req-1\nuser-1\n1700000000\n<sha256 of the body>", the private key being 00 01 .. 1f
FAL = Vector(
    {
        "x-fal-webhook-request-id": "req-1",
        "x-fal-webhook-user-id": "user-1",
        "x-fal-webhook-timestamp": "1700000000",
        "x-fal-webhook-signature": "97b3f2b254b80bf16b2c4496f2e9db2d3543bd873d667cdc4e4b6bc77b79b26e"
        "c1b715f9ebcc81f20cb25e358db0c46de78bc22dd92b926066fc91858b21a40f",
    },
    b'{"request_id":"req-1","gateway_request_id":"req-1","status":"OK","payload":{"video":'
    b'{"url":"https://example.com/v.mp4"}}}',
    1700000000,
)
FAL_KEY = "A6EHv_POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg"
OTHER_KEY = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"  # RFC 8037, appendix A


def key_set(*keys: str) -> bytes:
    return json.dumps({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": key} for key in keys]}).encode()


@dataclass
class Host:
    """The host of a key set, which counts how often it is asked; without a document it is away."""

    document: bytes | None
    asked: int = 0
    seconds: float = 0.0
    during: Callable[[], object] = field(default=lambda: None)

    def fetch(self) -> bytes:
        self.asked += 1
        self.during()
        if self.document is None:
            raise DownloadError("connect", "the host takes no connection")
        return self.document

    def verifier(self, at: float = FAL.at) -> Fal:
        return Fal(KeySet(self.fetch, monotonic=lambda: self.seconds), now=lambda: at)


def kling(*secrets: str, at: float = KLING.at) -> StandardWebhooks:
    return StandardWebhooks(secrets or (KLING_SECRET,), now=lambda: at)


def fal(at: float = FAL.at) -> Fal:
    return Host(key_set(FAL_KEY)).verifier(at)


def replicate(at: float = REPLICATE.at) -> StandardWebhooks:
    return StandardWebhooks((REPLICATE_SECRET,), now=lambda: at)


CASES: list[tuple[Vector, Callable[[float], Verifier], str]] = [
    (KLING, lambda at: kling(at=at), "9876543210"),
    (REPLICATE, replicate, "msg_p5jXN8AQM9LWM0D4loKWxJek"),
    (FAL, fal, "req-1"),
]
every = pytest.mark.parametrize(("vector", "made", "event_id"), CASES, ids=["kling", "replicate", "fal"])


@every
def test_a_foreign_signature_holds_and_names_its_event(
    vector: Vector, made: Callable[[float], Verifier], event_id: str
) -> None:
    assert made(vector.at).verify(vector.headers, vector.body) == event_id


@every
def test_names_of_headers_have_no_case(vector: Vector, made: Callable[[float], Verifier], event_id: str) -> None:
    titled = {name.title(): value for name, value in vector.headers.items()}

    assert made(vector.at).verify(titled, vector.body) == event_id


@every
@pytest.mark.parametrize("off", [-300, 300])
def test_a_timestamp_may_be_five_minutes_off(
    vector: Vector, made: Callable[[float], Verifier], event_id: str, off: int
) -> None:
    assert made(vector.at + off).verify(vector.headers, vector.body) == event_id


@every
@pytest.mark.parametrize("off", [-301, 301])
def test_a_timestamp_further_off_is_forged(
    vector: Vector, made: Callable[[float], Verifier], event_id: str, off: int
) -> None:
    with pytest.raises(ForgedCallbackError) as caught:
        made(vector.at + off).verify(vector.headers, vector.body)

    assert caught.value.reason == "timestamp", event_id


@every
def test_other_bytes_that_mean_the_same_are_forged(
    vector: Vector, made: Callable[[float], Verifier], event_id: str
) -> None:
    rewritten = json.dumps(json.loads(vector.body), indent=1).encode()

    with pytest.raises(ForgedCallbackError) as caught:
        made(vector.at).verify(vector.headers, rewritten)

    assert caught.value.reason == "signature", event_id


@every
def test_a_missing_signature_is_forged(vector: Vector, made: Callable[[float], Verifier], event_id: str) -> None:
    for name in vector.headers:
        with pytest.raises(ForgedCallbackError) as caught:
            made(vector.at).verify({**vector.headers, name: ""}, vector.body)
        assert caught.value.reason == "unsigned", event_id


@every
def test_each_signed_header_is_part_of_the_signature(
    vector: Vector, made: Callable[[float], Verifier], event_id: str
) -> None:
    for name in [name for name in vector.headers if not name.endswith("signature")]:
        changed = {**vector.headers, name: f"{vector.headers[name][:-1]}7"}
        with pytest.raises(ForgedCallbackError) as caught:
            made(vector.at).verify(changed, vector.body)
        assert caught.value.reason == "signature", event_id


def test_while_a_secret_is_rotated_either_of_ours_and_of_theirs_will_do() -> None:
    new = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
    both = {**KLING.headers, "webhook-signature": f"v1,AAAA {KLING.headers['webhook-signature']}"}

    assert kling(new, KLING_SECRET).verify(both, KLING.body) == "9876543210"
    with pytest.raises(ForgedCallbackError):
        kling(new).verify(both, KLING.body)


@pytest.mark.parametrize("entry", ["v1", "v1,", "v1,***", "v1,\xff", "v2,UsKlJP00XoQyOn410NM9xv34sP+Gl0jnOO9Lcpr7NJ4="])
def test_an_entry_that_cannot_be_used_is_passed_over(entry: str) -> None:
    good = KLING.headers["webhook-signature"]

    with_good = kling().verify({**KLING.headers, "webhook-signature": f"{entry} {good}"}, KLING.body)

    assert with_good == "9876543210"
    with pytest.raises(ForgedCallbackError):
        kling().verify({**KLING.headers, "webhook-signature": entry}, KLING.body)


@pytest.mark.parametrize("text", ["soon", "1781080794.0", "01781080794", "-1781080794", "9" * 30])
def test_a_timestamp_that_is_no_number_of_seconds_is_forged(text: str) -> None:
    with pytest.raises(ForgedCallbackError) as caught:
        kling().verify({**KLING.headers, "webhook-timestamp": text}, KLING.body)

    assert caught.value.reason == "timestamp"


def test_a_body_that_is_not_utf_8_is_forged() -> None:
    with pytest.raises(ForgedCallbackError) as caught:
        kling().verify(KLING.headers, b"\xff" + KLING.body)

    assert caught.value.reason == "body"


def test_the_reference_library_signs_what_is_verified_here() -> None:
    text = '{"id":"1","message":"für 10 €"}'
    signature = Webhook(KLING_SECRET).sign("evt", datetime.fromtimestamp(KLING.at, UTC), text)
    headers = {"webhook-id": "evt", "webhook-timestamp": str(KLING.at), "webhook-signature": signature}

    assert kling().verify(headers, text.encode()) == "evt"


@pytest.mark.parametrize("signature", ["zz", "00", "00" * 64, FAL.headers["x-fal-webhook-signature"] + "00"])
def test_a_signature_of_fal_that_is_none_is_forged(signature: str) -> None:
    with pytest.raises(ForgedCallbackError) as caught:
        fal().verify({**FAL.headers, "x-fal-webhook-signature": signature}, FAL.body)

    assert caught.value.reason == "signature"


def test_keys_are_fetched_once_for_many_deliveries() -> None:
    host = Host(key_set(OTHER_KEY, FAL_KEY))
    verifier = host.verifier()

    for _ in range(5):
        verifier.verify(FAL.headers, FAL.body)

    assert host.asked == 1


def test_a_new_key_is_fetched_at_its_first_delivery() -> None:
    host = Host(key_set(OTHER_KEY))
    verifier = host.verifier()
    with pytest.raises(ForgedCallbackError):
        verifier.verify(FAL.headers, FAL.body)

    host.document, host.seconds = key_set(OTHER_KEY, FAL_KEY), 60.0

    assert verifier.verify(FAL.headers, FAL.body) == "req-1"
    assert host.asked == 2


def test_forged_deliveries_cause_one_fetch_a_minute() -> None:
    host = Host(key_set(OTHER_KEY))
    verifier = host.verifier()

    for second in range(120):
        host.seconds = float(second)
        with pytest.raises(ForgedCallbackError):
            verifier.verify(FAL.headers, FAL.body)

    assert host.asked == 2


def test_without_keys_a_signature_cannot_be_judged() -> None:
    host = Host(None)
    verifier = host.verifier()

    for _ in range(3):
        with pytest.raises(UnverifiableCallbackError) as caught:
            verifier.verify(FAL.headers, FAL.body)

    assert (caught.value.reason, host.asked) == ("keys", 1)
    assert not isinstance(caught.value, ForgedCallbackError)


def test_a_known_key_serves_while_the_host_is_away() -> None:
    host = Host(key_set(FAL_KEY))
    verifier = host.verifier()
    verifier.verify(FAL.headers, FAL.body)
    host.document, host.seconds = None, 60.0
    unknown = {**FAL.headers, "x-fal-webhook-user-id": "user-2"}

    with pytest.raises(UnverifiableCallbackError):
        verifier.verify(unknown, FAL.body)

    assert verifier.verify(FAL.headers, FAL.body) == "req-1"


def test_keys_older_than_a_day_are_not_believed() -> None:
    host = Host(key_set(FAL_KEY))
    verifier = host.verifier()
    verifier.verify(FAL.headers, FAL.body)

    host.document, host.seconds = key_set(OTHER_KEY), 24 * 3600.0

    with pytest.raises(ForgedCallbackError):
        verifier.verify(FAL.headers, FAL.body)


@pytest.mark.parametrize("document", [b"", b"<html>", b"[]", b"{}", b'{"keys":[]}', b'{"keys":[{"kty":"RSA"}]}'])
def test_a_document_that_is_no_key_set_cannot_be_used_to_judge(document: bytes) -> None:
    with pytest.raises(UnverifiableCallbackError):
        Host(document).verifier().verify(FAL.headers, FAL.body)


def test_deliveries_at_once_share_one_fetch() -> None:
    together = threading.Barrier(4)
    host = Host(key_set(FAL_KEY))
    verifier = host.verifier()

    def verify(_: int) -> str:
        together.wait()
        return verifier.verify(FAL.headers, FAL.body)

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(verify, range(4))) == ["req-1"] * 4

    assert host.asked == 1
