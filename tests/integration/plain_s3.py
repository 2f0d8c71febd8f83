"""A small S3 in memory that a test can make old-fashioned, slow to answer or wrong."""

from __future__ import annotations

import base64
import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.etree import ElementTree
from xml.sax.saxutils import escape

MD5 = "Content-MD5"
KEPT = ("x-amz-meta-", "x-amz-server-side-encryption")
OF_A_PART = ("PartNumber", "ETag", "ChecksumSHA256")
CONDITION_FAILED = (412, "PreconditionFailed")


@dataclass
class Fault:
    """A fault of one operation's requests: an error instead of the effect, or a lost answer after it."""

    status: int = 500
    code: str = "InternalError"
    times: int = 1
    is_answer_lost: bool = False


class Conditions(StrEnum):
    """The ways in which a store treats If-None-Match."""

    KEPT = "kept"
    IGNORED = "ignored"
    UNKNOWN = "501"
    REFUSED = "400"


class Digests(StrEnum):
    """The ways in which a store treats a digest that comes with a body."""

    CHECKED = "checked"
    IGNORED = "ignored"
    REFUSED = "refused"


@dataclass
class PlainS3:
    """The server's state; `log` has one (operation, key) per request."""

    url: str
    conditions: Conditions = Conditions.KEPT
    conditions_at_end: Conditions | None = None  # of uploads in parts; None: as those of the others
    sha256: Digests = Digests.CHECKED
    md5: Digests = Digests.CHECKED
    knows_digests_at_end: bool = True
    names_etags: bool = True
    denies_head: bool = False
    objects: dict[str, tuple[bytes, dict[str, str]]] = field(default_factory=dict)
    uploads: dict[str, dict[int, bytes]] = field(default_factory=dict)
    upload_headers: dict[str, dict[str, str]] = field(default_factory=dict)
    faults: dict[str, Fault] = field(default_factory=dict)
    log: list[tuple[str, str]] = field(default_factory=list)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def reset(self) -> None:
        """Forget everything that was stored, asked and planned."""
        vars(self).update(vars(PlainS3(self.url)))

    def count(self, operation: str, suffix: str = "") -> int:
        return sum(done == operation and key.endswith(suffix) for done, key in self.log)


@contextmanager
def serve() -> Iterator[PlainS3]:
    """A server on a loopback port, until the block ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.s3 = PlainS3(f"http://127.0.0.1:{server.server_port}")  # type: ignore[attr-defined]  # for its handlers
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server.s3  # type: ignore[attr-defined]  # set above
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 10

    def handle_request(self) -> None:
        self.s3: PlainS3 = self.server.s3  # type: ignore[attr-defined]  # set by serve()
        parts = urlsplit(self.path)
        self.key = unquote(parts.path).partition("/")[2].partition("/")[2]
        self.query = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        operation = self._operation()
        with self.s3.lock:
            self.s3.log.append((operation, self.key))
            fault = self.s3.faults.get(operation)
            if fault and fault.times > 0:
                fault.times -= 1
                if not fault.is_answer_lost:
                    self._fail(fault.status, fault.code)
                    return
                self.is_muted = True
            getattr(self, f"_{operation}")()

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_request  # noqa: N815 - the base class's names

    is_muted = False

    def _operation(self) -> str:
        if not self.key:
            return "bucket"
        inside = {"PUT": "part", "POST": "complete", "DELETE": "abort", "GET": "parts"}
        whole = {"PUT": "put", "POST": "begin", "DELETE": "delete", "GET": "get", "HEAD": "head"}
        return (inside if "uploadId" in self.query else whole)[self.command]

    def _bucket(self) -> None:
        self._answer(200, b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>")

    def _head(self) -> None:
        if self.s3.denies_head:
            self._fail(403, "AccessDenied")
        else:
            self._get()

    def _get(self) -> None:
        found = self.s3.objects.get(self.key)
        if found is None:
            self._fail(404, "NoSuchKey")
            return
        self._answer(200, found[0], found[1])

    def _delete(self) -> None:
        self.s3.objects.pop(self.key, None)
        self._answer(204)

    def _put(self) -> None:
        if not self._is_intact() or self._is_refused(self.s3.conditions):
            return
        self.s3.objects[self.key] = (self.body, self._kept_headers())
        self._answer(200, headers={"ETag": '"whole"'})

    def _begin(self) -> None:
        if self._has_refused_digest("x-amz-checksum-algorithm"):
            return
        upload_id = f"upload-{len(self.s3.log)}"
        self.s3.uploads[upload_id] = {}
        self.s3.upload_headers[upload_id] = self._kept_headers()
        self._answer(200, f"<r><UploadId>{upload_id}</UploadId></r>".encode())

    def _part(self) -> None:
        if not self._is_intact():
            return
        number = int(self.query["partNumber"])
        self.s3.uploads[self.query["uploadId"]][number] = self.body
        self._answer(200, headers={"ETag": f'"part-{number}"'} if self.s3.names_etags else {})

    def _parts(self) -> None:
        first = int(self.query.get("part-number-marker", "0"))
        numbers = [number for number in sorted(self.s3.uploads[self.query["uploadId"]]) if number > first]
        named = (f"<Part><PartNumber>{n}</PartNumber><ETag>&quot;part-{n}&quot;</ETag></Part>" for n in numbers)
        self._answer(200, f"<ListPartsResult>{''.join(named)}</ListPartsResult>".encode())

    def _complete(self) -> None:
        upload_id = self.query["uploadId"]
        asked = ElementTree.fromstring(self.body)
        told = {name: [part.text or "" for part in asked.iter() if part.tag.endswith(name)] for name in OF_A_PART}
        if told["ChecksumSHA256"] and not self.s3.knows_digests_at_end:
            self._fail(400, "MalformedXML")
            return
        if told["ETag"] != [f'"part-{number}"' for number in told["PartNumber"]]:
            self._fail(400, "InvalidPart")
            return
        if self._is_refused(self.s3.conditions_at_end or self.s3.conditions):
            return
        parts = self.s3.uploads.pop(upload_id, None)
        if parts is None:
            self._fail(404, "NoSuchUpload")
            return
        content = b"".join(parts[int(number)] for number in told["PartNumber"])
        self.s3.objects[self.key] = (content, self.s3.upload_headers[upload_id])
        self._answer(200, b"<r><ETag>whole</ETag></r>")

    def _abort(self) -> None:
        self.s3.uploads.pop(self.query["uploadId"], None)
        self._answer(204)

    def _is_refused(self, conditions: Conditions) -> bool:
        if "If-None-Match" not in self.headers:
            return False
        if conditions in (Conditions.UNKNOWN, Conditions.REFUSED):
            self._fail(int(conditions), "NotImplemented" if conditions is Conditions.UNKNOWN else "InvalidArgument")
            return True
        if conditions is Conditions.KEPT and self.key in self.s3.objects:
            self._fail(*CONDITION_FAILED)
            return True
        return False

    def _is_intact(self) -> bool:
        """Whether the body has the digest that came with it; one that is checked must come."""
        if self._has_refused_digest("x-amz-checksum-sha256"):
            return False
        for how, header, kind in ((self.s3.sha256, "x-amz-checksum-sha256", "sha256"), (self.s3.md5, MD5, "md5")):
            digest = base64.b64encode(hashlib.new(kind, self.body).digest()).decode()
            came = self.headers[header]
            if how is Digests.CHECKED and came not in ((digest,) if kind == "sha256" else (digest, None)):
                self._fail(400, "BadDigest")
                return False
        return True

    def _has_refused_digest(self, header: str) -> bool:
        names = [name for name, how in ((header, self.s3.sha256), (MD5, self.s3.md5)) if how is Digests.REFUSED]
        if any(name in self.headers for name in names):
            self._fail(400, "InvalidArgument")
            return True
        return False

    def _kept_headers(self) -> dict[str, str]:
        kept = {name: value for name, value in self.headers.items() if name.lower().startswith(KEPT)}
        return {**kept, "Content-Type": self.headers.get("Content-Type", "")}

    def _fail(self, status: int, code: str) -> None:
        self._answer(status, f"<Error><Code>{escape(code)}</Code><Message>no</Message></Error>".encode())

    def _answer(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        if self.is_muted:
            self.close_connection = True
            return
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Stay silent."""
