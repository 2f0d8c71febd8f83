"""boto3's S3 clients with explicit limits, and their errors in our words.

Credentials, region and endpoint are boto3's own business (`AWS_*`). Bodies are
sent unsigned to save a pass over each; every one carries its SHA-256 in a header
that *is* signed, which binds the body just as well.

`BucketError.reason` is one of

    credentials   there are none, or they are not valid
    denied        they are valid, but may not do this
    missing       there is no such bucket
    busy          S3 is slow or out of order: later
    conflict      another write to the same key was under way: again, from the start
    damaged       what arrived was not what we sent: again
    unreachable   no answer, or none in time
    refused       anything else
    taken         the key holds other bytes than ours (`ObjectConflict`)
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    NoCredentialsError,
    PartialCredentialsError,
    SSLError,
)

from worker.bucket import environment
from worker.errors import BucketError

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

NO_CREDENTIALS = (NoCredentialsError, PartialCredentialsError, CredentialRetrievalError)

CONFIG = Config(
    signature_version="s3v4",
    connect_timeout=5,
    read_timeout=60,
    max_pool_connections=16,
    tcp_keepalive=True,
    retries={"mode": "standard", "total_max_attempts": 3},
    # we send checksums of our own, where S3 can check them before it stores anything
    request_checksum_calculation="when_required",
    response_checksum_validation="when_required",
    s3={"payload_signing_enabled": False},
)

HURRIED = CONFIG.merge(Config(connect_timeout=2, read_timeout=3, retries={"mode": "standard", "total_max_attempts": 2}))
"""Gives up within 11 seconds: two tries."""

WORDS = {
    "InvalidAccessKeyId": ("credentials", "does not know our access key"),
    "SignatureDoesNotMatch": ("credentials", "does not accept our secret key"),
    "ExpiredToken": ("credentials", "says that our credentials have expired"),
    "InvalidToken": ("credentials", "does not accept our session token"),
    "RequestTimeTooSkewed": ("credentials", "says that this machine's clock is wrong"),
    "NoSuchBucket": ("missing", "has no such bucket: create it, or set CALLSHEET_BUCKET"),
    "SlowDown": ("busy", "asks us to slow down"),
    "BadDigest": ("damaged", "received other bytes than we sent"),
    "InvalidDigest": ("damaged", "received other bytes than we sent"),
    "XAmzContentChecksumMismatch": ("damaged", "received other bytes than we sent"),
    "ConditionalRequestConflict": ("conflict", "was storing the same key for another writer"),
    "OperationAborted": ("conflict", "was storing the same key for another writer"),
}
"""S3's own codes, where the status alone would not tell what to do."""

STATUS_WORDS = {
    403: ("denied", "denies access"),
    404: ("missing", "does not have it"),
    409: ("conflict", "was storing the same key for another writer"),
    429: ("busy", "asks us to slow down"),
    500: ("busy", "failed"),
    502: ("busy", "failed"),
    503: ("busy", "asks us to slow down"),
    504: ("busy", "failed"),
}


def connect() -> tuple[S3Client, S3Client]:
    """Two clients of the S3 that the environment names, a patient and a hurried one; they send nothing yet.

    Raises `SettingsError` when the environment makes no sense.
    """
    session = environment.session()  # one, for what it reads of S3's description is large
    return session.client("s3", config=CONFIG), session.client("s3", config=HURRIED)


@contextmanager
def in_our_words(what: str, right: str) -> Iterator[None]:
    """Translate botocore's errors about *what* (bucket and key) into `BucketError`; *right* is what it needs."""
    try:
        yield
    except ClientError as err:
        reason, text = _words(err)
        raise BucketError(reason, f"{what}: S3 {text}{f': {right} is needed' if reason == 'denied' else ''}") from err
    except NO_CREDENTIALS as err:
        raise BucketError("credentials", f"{what}: no credentials; set AWS_ACCESS_KEY_ID and the like") from err
    except SSLError as err:
        raise BucketError("unreachable", f"{what}: no trusted TLS connection; see AWS_CA_BUNDLE") from err
    except BotoCoreError as err:
        raise BucketError("unreachable", f"{what}: S3 did not answer ({type(err).__name__})") from err


def status_of(err: ClientError) -> int:
    return int(err.response.get("ResponseMetadata", {}).get("HTTPStatusCode") or 0)


def code_of(err: ClientError) -> str:
    """S3's own code, fit to be shown."""
    code = str(err.response.get("Error", {}).get("Code", ""))
    return code if re.fullmatch(r"[A-Za-z0-9.]{1,64}", code) else ""


def reason_of(err: ClientError) -> str:
    """The `BucketError.reason` of *err*."""
    return _words(err)[0]


def _words(err: ClientError) -> tuple[str, str]:
    code, status = code_of(err), status_of(err)
    if known := WORDS.get(code):
        return known
    reason, text = STATUS_WORDS.get(status, ("refused", "refused"))
    return reason, f"{text} ({code or 'no code'}, {status})"
