"""Parsers of one variable's text: each returns its value, or raises a `ValueError` that says what is wanted.

No message repeats a value that may be a secret.
"""

from __future__ import annotations

import ipaddress
import re
from base64 import b64decode
from decimal import Decimal
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, urlsplit

from redis.connection import parse_url

from worker.guard.destinations import Destination
from worker.jobs import order_terms
from worker.jobs.caps import EACH_TENANT
from worker.settings.redis_urls import Sentinels, is_by_sentinel, is_cluster, node_urls

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

WEBHOOK_SECRET_BYTES = (24, 64)
"""Least and greatest length of a secret of Standard Webhooks."""

SECRET_CHARACTERS = 32
"""Least length of a secret that signs: below it, guessing offline becomes thinkable."""


CERT_REQS = "ssl_cert_reqs"
_OF_TLS = frozenset({CERT_REQS, "ssl_ca_certs", "ssl_certfile", "ssl_keyfile"})
OPTIONS = {"rediss": _OF_TLS, "unix": frozenset({"db"})}
"""The options of a Redis's URL that mean the same to all who read it, by scheme."""

LOG_FORMATS = ("text", "json")


def split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def store_url(text: str) -> str:
    if not is_cluster(text):
        return redis_url(text)
    for url in node_urls(text):
        _check_options(url)
    return without_default_options(text)


def redis_url(text: str) -> str:
    if is_by_sentinel(text):
        Sentinels.of(text)
    elif _parts(text).scheme not in ("redis", "rediss", "unix"):
        raise ValueError("must be a redis://, rediss:// or sentinel:// URL")
    else:
        _check_options(text)
    return without_default_options(text)


def result_url(text: str) -> str:
    if text.startswith("unix:"):
        raise ValueError("must be a redis://, rediss:// or sentinel:// URL: Celery cannot use a unix:// one")
    return redis_url(text)


def broker_url(text: str) -> str:
    if is_by_sentinel(text):
        Sentinels.of(text)
    elif _parts(text).scheme not in ("redis", "rediss", "amqp", "amqps"):
        raise ValueError("must be a redis://, rediss://, sentinel://, amqp:// or amqps:// URL")
    elif not text.startswith("amqp"):
        _check_options(text)
    return without_default_options(text)


def _check_options(url: str) -> None:
    """Raise unless the database and the options of a Redis's URL are ones, for each of its readers.

    redis-py, kombu and Celery's backend each read a URL in their own way: what one takes, another passes on as text, or
    refuses where the first message is sent.
    """
    scheme, query = urlsplit(url).scheme, urlsplit(url).query
    options = dict(parse_qsl(query, keep_blank_values=True))
    if unknown := options.keys() - OPTIONS.get(scheme, frozenset()):
        known = ", ".join(sorted(OPTIONS.get(scheme, ()))) or "none"
        names = ", ".join(sorted(name for name in unknown if re.fullmatch("[a-z_]{1,40}", name))) or "one"
        raise ValueError(f"has an option ({names}) that not all of its readers take; of {scheme}:// they take {known}")
    if options.get(CERT_REQS, "required").lower().removeprefix("cert_") != "required":
        raise ValueError(f"must not set {CERT_REQS} but to required: name your own CA by ssl_ca_certs")
    try:
        parse_url(without_default_options(url))  # type: ignore[no-untyped-call]
    except ValueError:
        raise ValueError("has a database or an option that is none") from None
    if not re.fullmatch("/?[0-9]*", urlsplit(url).path) and not url.startswith("unix:"):
        raise ValueError("has a database that is no number")


def without_default_options(url: str) -> str:
    """*url* without `ssl_cert_reqs`: each reader spells it its own way, and its only value is what all do anyway."""
    base, mark, query = url.partition("?")
    kept = "&".join(part for part in query.split("&") if part.partition("=")[0] != CERT_REQS)
    return base + mark + kept if kept else base


def https_url(text: str) -> str:
    parts = _parts(text)
    is_plain = re.fullmatch(r"[\x21-\x7e]+", text) and not set(text) & set('\\"<>^`{|}@')
    if parts.scheme != "https" or not parts.hostname or not is_plain or "?" in text or "#" in text:
        raise ValueError("must be an https:// URL without user, query or fragment")
    return text.rstrip("/")


def _parts(url: str) -> SplitResult:
    """*url* split, its port known to be a number."""
    try:
        parts = urlsplit(url)
    except ValueError:  # whose words quote the host, and with it the password
        raise ValueError("is no URL") from None
    try:
        _ = parts.port
    except ValueError:
        raise ValueError("has a port that is no number: is its password percent-encoded?") from None
    if "@" in f"{parts.path}{parts.query}{parts.fragment}":  # what stands before it was taken for the host
        raise ValueError("has an @ behind its host: is its password percent-encoded?")
    if not parts.hostname and parts.scheme != "unix":
        raise ValueError("names no host")
    return parts


def secrets(text: str) -> tuple[str, ...]:
    found = tuple(split(text))
    if not found or any(len(secret) < SECRET_CHARACTERS for secret in found):
        raise ValueError(f"must hold only secrets of {SECRET_CHARACTERS} characters or more, comma-separated")
    return found


def webhook_secrets(text: str) -> tuple[str, ...]:
    """Read the secrets of Standard Webhooks: `whsec_` and base64."""
    found = tuple(split(text))
    if not found or not all(map(_is_webhook_secret, found)):
        least, most = WEBHOOK_SECRET_BYTES
        raise ValueError(
            f"must hold only secrets of Standard Webhooks, comma-separated: whsec_ and the base64 of {least} to {most} "
            'bytes, such as "whsec_$(openssl rand -base64 32)"'
        )
    return found


def _is_webhook_secret(secret: str) -> bool:
    least, most = WEBHOOK_SECRET_BYTES
    try:
        key = b64decode(secret.removeprefix("whsec_"), validate=True)
    except ValueError:
        return False
    return secret.startswith("whsec_") and least <= len(key) <= most


def destinations(text: str) -> tuple[Destination, ...]:
    found = []
    for number, part in enumerate(split(text), 1):
        try:
            found.append(Destination.parse(part))
        except ValueError as err:
            raise ValueError(
                f"must be hosts, comma-separated, such as backend.internal, backend.internal:8443, .internal or "
                f"http://10.0.0.5:8080 (entry {number} {err})"
            ) from None
    return tuple(found)


def api_key(text: str) -> str:
    if not re.fullmatch(r"[\x21-\x7e]+", text):
        raise ValueError("must be printable ASCII without spaces")
    return text


def bucket(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", text) or ".." in text or re.fullmatch("[0-9.]+", text):
        raise ValueError("must be an S3 bucket name: 3 to 63 of a-z, 0-9, dot and hyphen")
    return text


def prefix(text: str) -> str:
    prefix = text.strip("/")
    is_plain = re.fullmatch(r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*", prefix)
    if not is_plain or len(prefix) > 200 or ".." in prefix or "." in prefix.split("/"):
        raise ValueError("must be at most 200 of A-Z, a-z, 0-9, '_', '-', '.' and single slashes, without '..'")
    return prefix


def encryption(text: str) -> dict[str, str]:
    """The arguments of boto3 that ask for encryption at rest: `AES256`, `aws:kms` or `aws:kms:<key>`."""
    parts = re.fullmatch(r"(?P<kind>AES256|aws:kms(?::(?P<key>[A-Za-z0-9:/_-]{1,300}))?)", text)
    if parts is None:
        raise ValueError("must be AES256, aws:kms, or aws:kms:<id or ARN of the key>")
    key = {"SSEKMSKeyId": parts["key"]} if parts["key"] else {}
    return {"ServerSideEncryption": "AES256" if parts["kind"] == "AES256" else "aws:kms", **key}


def log_format(text: str) -> str:
    """`text` or `json`."""
    if text not in LOG_FORMATS:
        raise ValueError(f"is {text!r:.40}: give {' or '.join(LOG_FORMATS)}")
    return text


def boolean(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError("must be true or false")
    return text.lower() == "true"


def field_names(text: str) -> dict[str, str]:
    pairs = [part.partition("=") for part in split(text)]
    if any(not re.fullmatch(r"[a-z_]{1,40}", a) or not re.fullmatch(r"[A-Za-z_]{1,40}", b) for a, _, b in pairs):
        raise ValueError("must look like first_frame=image_start,resolution=quality")
    return {neutral: wire for neutral, _, wire in pairs}


def max_concurrent(text: str) -> int:
    return _whole(text, 1, "jobs")


def shards(text: str) -> int:
    return _whole(text, 1, "shards")


LEAST_CONNECTIONS, MOST_CONNECTIONS = 4, 64
"""The default is as many as one process can use at once: a receiver's places, more than a worker's threads
(`deploy/sizing.md`)."""


def connections(text: str) -> int:
    return _whole(text, LEAST_CONNECTIONS, "connections")


def per_minute(text: str) -> int:
    # a single request a minute could not both submit and poll
    return _whole(text, 2, "requests")


def _whole(text: str, least: int, what: str) -> int:
    if not re.fullmatch("[0-9]{1,6}", text) or int(text) < least:
        raise ValueError(f"must be a whole number of {what} from {least} to 999999")
    return int(text)


def amount(text: str) -> Decimal:
    if not re.fullmatch(r"[0-9]{1,7}(\.[0-9]{1,6})?", text) or not Decimal(text):
        raise ValueError("must be an amount of USD above 0 such as 25 or 12.50")
    return Decimal(text)


def tenant_amounts(text: str) -> dict[str, Decimal]:
    """`acme=20,zeta=5,*=10`: USD by tenant; `*` stands for every other tenant."""
    found: dict[str, Decimal] = {}
    for part in split(text):
        tenant, _, usd = part.partition("=")
        try:
            if tenant != EACH_TENANT:
                order_terms.tenant(tenant)
            if tenant in found:
                raise ValueError("is given twice")
            found[tenant] = amount(usd)
        except ValueError as err:
            raise ValueError(
                f"must be amounts of USD by tenant, such as acme=20,zeta=5,*=10 ({part!r:.80}: {err})"
            ) from None
    return found


def prices(text: str) -> dict[tuple[str, str], Decimal]:
    found = {}
    for part in split(text):
        parts = re.fullmatch(r"([A-Za-z0-9._/-]{1,100})(?:@([A-Za-z0-9]{1,20}))?=([0-9]{1,4}(?:\.[0-9]{1,6})?)", part)
        if parts is None or (parts[1], parts[2] or "") in found:
            raise ValueError(
                "must be prices in USD per second, each once, such as some-model@720p=0.112,other-model=0.1"
            )
        found[parts[1], parts[2] or ""] = Decimal(parts[3])
    return found


def file(text: str) -> str:
    if not Path(text).is_file():
        raise ValueError(f"names a file that is not there: {text}")
    return text


def hosts(text: str) -> tuple[str, ...]:
    hosts = tuple(host.lower() for host in split(text))
    if any(not re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)+", host) for host in hosts):
        raise ValueError("must be host names, comma-separated, such as cdn.example.com")
    return hosts


def networks(text: str) -> tuple[Network, ...]:
    try:
        return tuple(ipaddress.ip_network(part) for part in split(text))
    except ValueError as err:
        raise ValueError(f"must be networks such as 127.0.0.0/8, comma-separated ({err})") from None


def days(text: str) -> int:
    if not re.fullmatch("[0-9]{1,4}", text) or not 1 <= int(text) <= 3650:
        raise ValueError("must be a whole number of days from 1 to 3650")
    return int(text)
