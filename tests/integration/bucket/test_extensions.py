"""Stores that lack extensions of S3: each video is archived all the same, exactly and never over another."""

from __future__ import annotations

import hashlib
import itertools
import logging
from typing import Any

import pytest

from deploy.sandbox.mp4 import make
from tests.integration.plain_s3 import Conditions, Digests, Fault, PlainS3
from tests.unit.video.films import padded
from worker.bucket.bucket import Bucket
from worker.errors import BucketError, ObjectConflict

ACCEPTED_AT = 1_795_132_799_999
CLIP = make(640, 360, 2)
LONG = padded(CLIP, 13_000_000)
OTHER = padded(make(320, 240, 1), 13_000_000)

PARTS = [
    {"sha256": sha256, "knows_digests_at_end": known, "conditions_at_end": conditions}
    for sha256, known, conditions in itertools.product(Digests, (True, False), Conditions)
]
SINGLE: list[dict[str, Any]] = [
    {"knows_digests_at_end": False},
    *({"conditions_at_end": conditions} for conditions in Conditions),
    *({"conditions": conditions, "conditions_at_end": Conditions.KEPT} for conditions in Conditions),
    *({"sha256": Digests.REFUSED, "md5": md5} for md5 in Digests),
    *({"sha256": Digests.IGNORED, "md5": md5} for md5 in Digests),
    {"names_etags": False},
    {"denies_head": True},
    {
        **{"sha256": Digests.REFUSED, "md5": Digests.REFUSED, "knows_digests_at_end": False},
        **{"conditions": Conditions.REFUSED, "names_etags": False, "denies_head": True},
    },
]


def name(value: dict[str, Any] | bytes) -> str:
    if isinstance(value, bytes):
        return "one put" if value is CLIP else "13 MB"
    return ",".join(f"{name}={told}" for name, told in value.items())


@pytest.fixture
def key(bucket: Bucket) -> str:
    return bucket.videos.key("job-1", 1, 1, ACCEPTED_AT)


def store(bucket: Bucket, key: str, content: bytes) -> Any:
    return bucket.videos.store(key, [content], declared_bytes=len(content))


def lacks(plain: PlainS3, lack: dict[str, Any]) -> None:
    vars(plain).update(lack)


@pytest.mark.parametrize(
    ("lack", "content"), [*((lack, LONG) for lack in (*PARTS, *SINGLE)), *((lack, CLIP) for lack in SINGLE)], ids=name
)
def test_a_video_is_archived_whatever_the_store_lacks(
    plain: PlainS3, bucket: Bucket, key: str, lack: dict[str, Any], content: bytes
) -> None:
    lacks(plain, lack)

    video = store(bucket, key, content)

    assert plain.objects[key][0] == content
    assert video.sha256 == hashlib.sha256(content).hexdigest()
    assert bucket.videos.find(key) == video
    assert plain.uploads == {}


@pytest.mark.parametrize("lack", SINGLE, ids=name)
def test_other_bytes_replace_no_video_whatever_the_store_lacks(
    plain: PlainS3, bucket: Bucket, key: str, lack: dict[str, Any]
) -> None:
    lacks(plain, lack)
    store(bucket, key, LONG)

    with pytest.raises(ObjectConflict):
        store(bucket, key, OTHER)

    assert plain.objects[key][0] == LONG
    assert plain.uploads == {}


@pytest.mark.parametrize("lack", SINGLE, ids=name)
def test_the_probe_of_the_doctor_passes_and_says_what_is_lacking(
    plain: PlainS3, bucket: Bucket, lack: dict[str, Any]
) -> None:
    lacks(plain, lack)

    told = " ".join(bucket.probe().lacking())

    conditions = {plain.conditions, plain.conditions_at_end or plain.conditions}
    assert ("conditional writes" in told) == (conditions != {Conditions.KEPT})
    assert ("Content-MD5" in told) == (plain.sha256 is not Digests.CHECKED and plain.md5 is Digests.CHECKED)
    assert ("no digest" in told) == (Digests.CHECKED not in (plain.sha256, plain.md5))
    assert plain.uploads == {}


@pytest.mark.parametrize("lack", SINGLE, ids=name)
def test_what_a_store_lacks_is_learnt_once_and_told_once(
    plain: PlainS3, bucket: Bucket, lack: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    lacks(plain, lack)
    with caplog.at_level(logging.WARNING):
        for n in (1, 2):
            store(bucket, bucket.videos.key("job-1", 1, n, ACCEPTED_AT), LONG)
            trials = plain.count("put", "conditional-put"), plain.count("complete", "conditional-put")
            told = [record.message for record in caplog.records].count("bucket.second_way")
            if n == 1:
                first = trials, told

    assert (trials, told) == first
    assert told <= 2


@pytest.mark.parametrize("content", [CLIP, LONG], ids=["one put", "13 MB"])
def test_a_store_that_knows_all_is_not_read_back(plain: PlainS3, bucket: Bucket, key: str, content: bytes) -> None:
    store(bucket, key, content)

    assert plain.count("get", key) == 0


@pytest.mark.parametrize("content", [CLIP, LONG], ids=["one put", "13 MB"])
def test_bytes_that_no_digest_protects_are_read_back(plain: PlainS3, bucket: Bucket, key: str, content: bytes) -> None:
    class Damaging(dict[str, tuple[bytes, dict[str, str]]]):
        def __setitem__(self, name: str, value: tuple[bytes, dict[str, str]]) -> None:
            stored = value[0][:-1] + b"?" if name == key else value[0]
            super().__setitem__(name, (stored, value[1]))

    plain.objects = Damaging(plain.objects)
    plain.sha256 = plain.md5 = Digests.IGNORED

    with pytest.raises(ObjectConflict):
        store(bucket, key, content)


def test_a_refusal_that_passes_is_not_taken_for_a_lack(plain: PlainS3, bucket: Bucket) -> None:
    plain.faults["put"] = Fault(501, "NotImplemented")
    plain.faults["complete"] = Fault(400, "MalformedXML")

    assert bucket.probe().lacking() == []


def test_a_head_that_is_denied_is_told_with_s3s_own_code(plain: PlainS3, bucket: Bucket, key: str) -> None:
    plain.denies_head = True
    plain.faults["get"] = Fault(403, "RequestTimeTooSkewed", times=9)

    with pytest.raises(BucketError, match="clock is wrong") as caught:
        bucket.videos.find(key)

    assert caught.value.reason == "credentials"


def test_a_picture_is_not_called_closed_when_our_own_credentials_are_wrong(plain: PlainS3, bucket: Bucket) -> None:
    plain.denies_head = True
    plain.faults["get"] = Fault(403, "InvalidAccessKeyId", times=9)

    with pytest.raises(BucketError, match="access key"):
        bucket.missing("s3://pictures/a.png")


def test_every_object_is_encrypted_as_it_is_asked_for(plain: PlainS3) -> None:
    asked = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "alias/callsheet"}
    bucket = Bucket.connect("videos", "callsheet", asked)
    bucket.probe()
    for n, content in ((1, CLIP), (2, LONG)):
        store(bucket, bucket.videos.key("job-1", 1, n, ACCEPTED_AT), content)
    bucket.intents.begin("job-1", 1, 1, by="a", at=1)
    bucket.manifests.put("job-1", ACCEPTED_AT, {})
    bucket.images.put("job-1", ACCEPTED_AT, "first_frame", b"x", "image/png")
    for client in (bucket.objects.client, bucket.objects.quick):
        client.close()

    header = "x-amz-server-side-encryption"
    kept = {
        key: (headers.get(header), headers.get(f"{header}-aws-kms-key-id"))
        for key, (_, headers) in plain.objects.items()
    }
    assert set(kept.values()) == {("aws:kms", "alias/callsheet")}
    assert len(kept) == 6
