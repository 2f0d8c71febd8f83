"""Requests to S3 without botocore: the same, signed as well, and never the last word on a failure."""

from __future__ import annotations

import hashlib
import hmac
import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, urlsplit

import pytest

from deploy.local.ports import free_port
from deploy.sandbox.mp4 import make
from tests.integration import plain_s3
from tests.integration.plain_s3 import Fault, PlainS3
from tests.unit.video.films import padded
from worker.bucket.bucket import Bucket
from worker.bucket.client import connect
from worker.bucket.multipart import PART_BYTES

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

ACCEPTED_AT = 1_795_132_799_999
CLIP = make(640, 360, 2)
LONG = padded(CLIP, 2 * PART_BYTES + 1000)
SECRET = "secret-of-the-key"
BOTH = pytest.mark.parametrize("content", [CLIP, LONG], ids=["one part", "many parts"])


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    names = {"ACCESS_KEY_ID": "key", "SECRET_ACCESS_KEY": SECRET, "SESSION_TOKEN": "token", "REGION": "eu-central-1"}
    for name, value in names.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    return monkeypatch


@pytest.fixture
def s3(credentials: pytest.MonkeyPatch) -> Iterator[PlainS3]:
    with plain_s3.serve() as server:
        credentials.setenv("AWS_ENDPOINT_URL_S3", server.url)
        yield server


@pytest.fixture
def client(s3: PlainS3) -> Iterator[S3Client]:
    patient, hurried = connect()
    yield patient
    for each in (patient, hurried):
        each.close()


@pytest.fixture
def bucket(client: S3Client) -> Bucket:
    """One whose first PUT has been made."""
    bucket = Bucket(client, "videos", "a prefix/with ~ & + \u00fc ?x=1")
    bucket.put_manifest("job-0", ACCEPTED_AT, {})
    return bucket


@pytest.fixture
def key(bucket: Bucket) -> str:
    return bucket.video_key("job-1", 1, 1, ACCEPTED_AT)


@pytest.fixture
def through_client(client: S3Client, bucket: Bucket) -> list[str]:
    """The operations that the client has sent by itself since."""
    sent: list[str] = []
    client.meta.events.register("before-send.s3", lambda event_name, **_: sent.append(event_name.rpartition(".")[2]))
    return sent


def test_a_video_a_look_and_a_manifest_pass_the_client_by(
    s3: PlainS3, bucket: Bucket, key: str, through_client: list[str]
) -> None:
    bucket.find(key)
    bucket.store_video(key, [CLIP], declared_bytes=len(CLIP))
    bucket.put_manifest("job-1", ACCEPTED_AT, {"a": 1})

    assert [operation for operation, of in s3.log if "job-1" in of] == ["head", "put", "put"]
    assert through_client == []


def test_only_beginning_and_end_of_many_parts_go_through_the_client(
    s3: PlainS3, bucket: Bucket, key: str, through_client: list[str]
) -> None:
    bucket.store_video(key, [LONG], declared_bytes=len(LONG))

    assert s3.objects[key][0] == LONG
    assert through_client == ["CreateMultipartUpload", "CompleteMultipartUpload"]


@BOTH
@pytest.mark.parametrize("fault", [Fault(403, "AccessDenied"), Fault(500), Fault(301, "PermanentRedirect")])
def test_a_refusal_is_not_believed_before_the_client_has_met_it(
    s3: PlainS3, bucket: Bucket, key: str, through_client: list[str], content: bytes, fault: Fault
) -> None:
    operation = "put" if content is CLIP else "part"
    s3.faults[operation] = Fault(fault.status, fault.code)

    video = bucket.store_video(key, [content], declared_bytes=len(content))

    assert bucket.find(key) == video
    assert {"put": "PutObject", "part": "UploadPart"}[operation] in through_client


@BOTH
def test_where_nobody_takes_a_connection_any_more_the_client_tries_again(
    bucket: Bucket, key: str, through_client: list[str], content: bytes
) -> None:
    bucket.find(key)
    route = bucket._direct._route
    assert route is not None
    bucket._direct._route = replace(route, base=f"http://127.0.0.1:{free_port()}/")

    video = bucket.store_video(key, [content], declared_bytes=len(content))

    assert bucket.find(key) == video
    assert {"PutObject", "UploadPart"} & set(through_client)


def test_what_the_client_did_tells_what_is_there_from_what_is_not(
    bucket: Bucket, key: str, through_client: list[str]
) -> None:
    assert bucket.find(key) is None
    bucket.store_video(key, [CLIP], declared_bytes=None)

    assert bucket.find(key) is not None
    assert through_client == ["HeadObject"]


# Signatures


Seen = list[tuple[str, str, dict[str, str], bytes]]


@pytest.fixture
def seen(credentials: pytest.MonkeyPatch) -> Iterator[Seen]:
    """Whatever an S3 that is content with everything receives."""
    requests: Seen = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_PUT(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            named = {name.lower(): value for name, value in self.headers.items()}
            requests.append((self.command, self.path, named, body))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Nothing: the requests are kept."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    credentials.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield requests
    server.shutdown()
    thread.join()
    server.server_close()


def signature(method: str, path: str, headers: dict[str, str], names: str, scope: str) -> str:
    """The signature of version 4, by its specification."""
    url = urlsplit(path)
    query = "&".join(
        f"{quote(name, safe='~')}={quote(value, safe='~')}" for name, value in sorted(parse_qsl(url.query))
    )
    lines = "".join(f"{name}:{' '.join(headers[name].split())}\n" for name in names.split(";"))
    canonical = "\n".join((method, url.path, query, lines, names, headers["x-amz-content-sha256"]))
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    key = f"AWS4{SECRET}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    to_sign = f"AWS4-HMAC-SHA256\n{headers['x-amz-date']}\n{scope}\n{digest}"
    return hmac.digest(key, to_sign.encode(), "sha256").hex()


def test_everything_that_s3_receives_directly_is_signed(seen: Seen) -> None:
    patient, hurried = connect()
    bucket = Bucket(patient, "videos", "a prefix/with ~ & + \u00fc ?x=1")

    for n in (1, 2, 3):
        bucket.put_manifest(f"job-{n}", ACCEPTED_AT, {"n": n})
    for client in (patient, hurried):
        client.close()

    direct = [request for request in seen if "amz-sdk-request" not in request[2]]
    assert len(direct) == 2
    for method, path, headers, body in direct:
        told = re.fullmatch(r".* Credential=key/(.*), SignedHeaders=(.*), Signature=(.*)", headers["authorization"])
        assert told is not None
        assert told[3] == signature(method, path, headers, told[2], told[1])
        assert {"host", "x-amz-checksum-sha256", "x-amz-security-token"} <= set(told[2].split(";"))
        assert headers["content-length"] == str(len(body))
