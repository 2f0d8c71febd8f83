"""The three forms an image field of a spec may take, and how each is checked before money is spent.

An https URL, an object of ours (`s3://bucket/key`), or the picture itself
(`data:image/png;base64,...`). Nothing here opens a connection.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, field
from urllib.parse import parse_qs, unquote, urlsplit

from worker.errors import DownloadError
from worker.guard.addresses import is_private_name, is_public
from worker.guard.urls import HttpsUrl

URL_CHARACTERS = 2048
INLINE_BYTES = 2 * 1024 * 1024
"""Most bytes a `data:` picture may hold once decoded: it travels in messages and stands in the record."""

FORMS = "an https:// URL, s3://bucket/key, or data:image/png;base64,... (or image/jpeg)"

_DATA = re.compile(r"data:image/(png|jpeg);base64,")
_BASE64 = re.compile(r"[A-Za-z0-9+/]*={0,2}")
_S3 = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])/(.+)", re.DOTALL)
MARK = "callsheet-"
_MARKED = re.compile(rf'inline; filename="{MARK}([A-Za-z0-9_-]{{1,80}})"')
_MAGIC = {"png": b"\x89PNG\r\n\x1a\n", "jpeg": b"\xff\xd8\xff"}


@dataclass(frozen=True)
class Picture:
    """A picture that came inside the spec."""

    content_type: str
    content: bytes = field(repr=False)


def normal_image(text: str) -> str:
    """The image as it is recorded and sent: a URL as a browser would ask for it, the other forms as they are.

    Raises `ValueError` in words fit for the caller, never holding the value.
    """
    if text.startswith("data:"):
        read_picture(text)
        return text
    if text.startswith("s3://"):
        split_s3(text)
        return text
    return _normal_url(text)


def normal_link(text: str) -> str:
    """The same for a video, which cannot come inside the spec."""
    if text.startswith("data:"):
        raise ValueError("must be an https:// URL or s3://bucket/key")
    return normal_image(text)


def split_s3(uri: str) -> tuple[str, str]:
    """Bucket and key of `s3://bucket/key`; raises `ValueError` in words."""
    match = _S3.fullmatch(uri)
    if match is None:
        raise ValueError("must be s3://bucket/key with a valid bucket name")
    bucket, key = match.groups()
    if ".." in bucket or re.fullmatch("[0-9.]+", bucket):
        raise ValueError("must be s3://bucket/key with a valid bucket name")
    if len(key.encode("utf-8", "replace")) > 1024:
        raise ValueError("names a key over S3's limit of 1024 bytes")
    if not key.isprintable() or any(part in ("", ".", "..") for part in key.split("/")):
        raise ValueError("names a key with control characters or with '', '.' or '..' between its slashes")
    return bucket, key


def read_picture(uri: str) -> Picture:
    """The picture inside a `data:` URI, verified; raises `ValueError` in words."""
    head = _DATA.match(uri)
    if head is None:
        raise ValueError("must start with data:image/png;base64, or data:image/jpeg;base64,")
    encoded = uri[head.end() :]
    if len(encoded) > (INLINE_BYTES + 2) // 3 * 4:
        raise ValueError(f"holds a picture over {INLINE_BYTES // 2**20} MiB; put it in S3 and name it s3://bucket/key")
    try:
        if not _BASE64.fullmatch(encoded):  # Python would take any number of '=' at the end
            raise binascii.Error
        content = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("holds base64 that does not decode") from None
    if len(content) > INLINE_BYTES:
        raise ValueError(f"holds a picture over {INLINE_BYTES // 2**20} MiB; put it in S3 and name it s3://bucket/key")
    kind = head[1]
    if not content.startswith(_MAGIC[kind]):
        raise ValueError(f"says image/{kind}, but its bytes are not")
    return Picture(f"image/{kind}", content)


def _normal_url(text: str) -> str:
    if not re.match(r"\s*https:", text, re.IGNORECASE):
        raise ValueError(f"must be {FORMS}")
    try:
        url = HttpsUrl.parse(text)
    except DownloadError as err:
        raise ValueError(f"must be {FORMS}: {err.detail}") from None
    if len(url.text) > URL_CHARACTERS:
        raise ValueError(f"has {len(url.text)} characters once percent-encoded; a URL may have {URL_CHARACTERS}")
    if is_private_name(url.host) or (url.address is not None and not is_public(url.address)):
        raise ValueError("must be a URL with a public host: a provider can fetch no address of a private network")
    return url.text


def marked_name(reference: str) -> str:
    """The name under which a presigned picture is shown: our name for the request stands in it."""
    return f"{MARK}{reference}"


def mark_in(url: str) -> str:
    """Our name for a request, where *url* is a presigned picture's that bears it; else empty."""
    try:
        told = parse_qs(urlsplit(url).query).get("response-content-disposition", [""])[0]
    except ValueError:
        return ""
    found = _MARKED.fullmatch(told)
    return found[1] if found else ""


def is_same_image(asked: str | None, echoed: object) -> bool:
    """Whether an image that a provider echoes can be the one that a spec named.

    An object of ours was sent as a presigned URL, so its path is compared.
    """
    if asked is None:
        return echoed in (None, "")
    if not isinstance(echoed, str):
        return False
    if asked.startswith("s3://"):
        key = asked.removeprefix("s3://").partition("/")[2]
        return unquote(echoed.partition("?")[0]).endswith("/" + key)
    return echoed == asked
