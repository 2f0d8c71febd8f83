"""The requests that every job makes to S3, signed and sent without what botocore does around them.

Two thirds of the CPU time of a PUT of some KB go into botocore's model of S3. A
`Direct` learns from the first PUT, which goes that way, where environment, rules
and redirects led it and how it was signed; those that follow are made alike,
with the client's own credentials and over its own connections. Whatever S3 then
answers but success or a failed condition is no answer: the request is made again
through the client, which retries, follows, and tells errors apart.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSPreparedRequest, AWSRequest, HeadersDict
from botocore.exceptions import ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as NotConnectedError

if TYPE_CHECKING:
    from botocore.awsrequest import AWSResponse
    from types_boto3_s3.client import S3Client

OK, NOT_FOUND = 200, 404
TOLD = (409, 412)
"""Another writer, or an object that is there: what a conditional PUT is made to learn."""

SCOPE = re.compile(r"AWS4-HMAC-SHA256 Credential=[^,]*/(?P<region>[^/,]+)/s3/aws4_request,")
NAMES = {"ContentType": "Content-Type", "ChecksumSHA256": "x-amz-checksum-sha256", "IfNoneMatch": "If-None-Match"}
CODE = re.compile(rb"<Code>([A-Za-z0-9.]{1,64})</Code>")
LISTENER = "callsheet.direct"

_last = threading.local()
"""The address and signature of the last PUT of this thread that botocore sent."""


@dataclass(frozen=True)
class _Route:
    """Where a bucket is found, and in which region."""

    base: str  # what stands before the key
    region: str


class Direct:
    """One bucket through one client. Threads may share it."""

    def __init__(self, client: S3Client, bucket: str) -> None:
        self._client = client
        self._bucket = bucket
        self._route: _Route | None = None
        # its own, though not by public name; without them everything is sent through the client
        self._credentials: Any = getattr(getattr(client, "_request_signer", None), "_credentials", None)
        self._session: Any = getattr(getattr(client, "_endpoint", None), "http_session", None)
        if self._credentials and self._session:
            client.meta.events.register("before-send.s3.PutObject", _note, unique_id=LISTENER)

    def put(self, key: str, **options: Any) -> None:
        """`put_object`, with `Body`, `Metadata` and those of `NAMES` for *options*."""
        if self._put(key, options) is not None:
            return
        _last.url = _last.signature = ""
        self._client.put_object(Bucket=self._bucket, Key=key, **options)
        self._route = _route(_last.url, _last.signature, key)

    def put_part(self, key: str, upload_id: str, number: int, **options: Any) -> str:
        """`upload_part`; returns the part's ETag."""
        answer = self._put(key, options, f"?partNumber={number}&uploadId={quote(upload_id, safe='')}")
        if answer is not None and (etag := answer.headers.get("ETag")):
            return str(etag)
        where: Any = {"Bucket": self._bucket, "Key": key, "UploadId": upload_id, "PartNumber": number}
        return self._client.upload_part(**where, **options)["ETag"]

    def is_absent(self, key: str) -> bool:
        """Whether S3 said at once that nothing is there; False: ask it for the rest."""
        answer = self._answer("HEAD", _quoted(key), {})
        return answer is not None and answer.status_code == NOT_FOUND

    def _put(self, key: str, options: Mapping[str, Any], query: str = "") -> AWSResponse | None:
        """S3's success; None where it must be asked through the client. Raises `ClientError` for what is `TOLD`."""
        headers = {NAMES[name]: value for name, value in options.items() if name in NAMES}
        headers |= {f"x-amz-meta-{name}": value for name, value in options.get("Metadata", {}).items()}
        answer = self._answer("PUT", _quoted(key) + query, headers, options["Body"])
        if answer is None or answer.status_code == OK:
            return answer
        if answer.status_code not in TOLD:
            return None
        code = CODE.search(answer.content)
        told: Any = {
            "Error": {"Code": code[1].decode("ascii") if code else ""},
            "ResponseMetadata": {"HTTPStatusCode": answer.status_code},
        }
        raise ClientError(told, "PutObject")

    def _answer(self, method: str, target: str, headers: dict[str, str], content: bytes = b"") -> AWSResponse | None:
        """What S3 answers, if it does and it is known where to ask."""
        route = self._route
        if route is None:
            return None
        url = route.base + target
        request = AWSRequest(method, url, {"User-Agent": "callsheet", **headers})
        request.context["client_config"] = self._client.meta.config  # it says that the body is not signed
        S3SigV4Auth(self._credentials.get_frozen_credentials(), "s3", route.region).add_auth(request)
        signed: Any = HeadersDict(request.headers)
        try:
            answer: AWSResponse = self._session.send(
                AWSPreparedRequest(method, url, signed, content, stream_output=False)
            )
        except (HTTPClientError, NotConnectedError):
            return None
        return answer


def _note(request: AWSPreparedRequest, **_: Any) -> None:
    said: str | bytes = request.headers.get("Authorization", "")  # botocore has encoded it by now
    _last.url, _last.signature = request.url, said.decode("ascii") if isinstance(said, bytes) else said


def _route(url: str, signature: str, key: str) -> _Route | None:
    """The way that a PUT of *key* took; None when it cannot be gone without botocore."""
    path, found = _quoted(key), SCOPE.match(signature)
    return _Route(url.removesuffix(path), found["region"]) if found and url.endswith(path) else None


def _quoted(key: str) -> str:
    return quote(key, safe="/~")
