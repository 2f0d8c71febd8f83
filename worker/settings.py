"""What the environment says, read once, checked whole, frozen.

`Settings.from_env` reads a mapping (the process passes `os.environ`) and raises
one `SettingsError` that names every bad variable. Nothing else in Callsheet
reads the environment, but for boto3 (`AWS_*`) and Flower (`FLOWER_*`).
`deploy/env.example` explains each variable; a test keeps it complete.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from worker.errors import SettingsError
from worker.limits import Limits

T = TypeVar("T")
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

PROVIDER_NAMES: tuple[str, ...] = ("gmicloud", "evolink", "apimart")

BASE_URLS = {
    "gmicloud": "https://console.gmicloud.ai",
    "evolink": "https://api.evolink.ai",
    "apimart": "https://api.apimart.ai",
}

NOT_YET = ("CALLSHEET_NOTIFY_SECRETS",)
"""Variables of the design that no code honours yet: refused, so that nobody relies on them."""

NONE: tuple[str, ...] = ()

SECRET_CHARACTERS = 32
"""Least length of a callback secret: below it, guessing offline becomes thinkable."""


@dataclass(frozen=True)
class ProviderSettings:
    """How one provider is reached, and how much of it may be used; None: without limit.

    `field_names` overrides uncertain wire names (neutral -> theirs), `prices` the list prices:
    (model, resolution; "": any) -> USD per second.
    """

    api_key: str = field(repr=False)
    base_url: str
    field_names: Mapping[str, str] = field(default_factory=dict)
    max_concurrent: int | None = None
    requests_per_minute: int | None = None
    prices: Mapping[tuple[str, str], Decimal] = field(default_factory=dict)


@dataclass(frozen=True)
class Settings:
    """The whole configuration of a Callsheet process; secrets never show in its repr."""

    redis_url: str = field(repr=False)
    broker_url: str = field(repr=False)
    result_backend: str = field(repr=False)
    bucket: str
    bucket_prefix: str
    public_url: str | None  # None: no callbacks, every job is polled
    callback_secrets: tuple[str, ...] = field(repr=False)  # the first signs, all are accepted
    confirm_callbacks: bool
    providers: Mapping[str, ProviderSettings]  # in order of preference
    ca_file: str | None  # trusted beside the system's roots, for providers and downloads
    media_hosts: tuple[str, ...]  # empty: any public host; "example.com" also allows its subdomains
    allow_networks: tuple[Network, ...]  # non-public networks that downloads and callbacks may use
    retention_days: int
    daily_budget: Decimal | None = None  # USD per UTC day, for all providers together

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Settings:
        """Read *env*; raise `SettingsError` with every problem at once."""
        read = _Reader(env)
        redis_url = read.required("CALLSHEET_REDIS_URL", _redis_url, "a URL such as redis://:password@host:6379/0")
        public_url = read.optional("CALLSHEET_PUBLIC_URL", _https_url, None)
        secrets = read.optional("CALLSHEET_CALLBACK_SECRETS", _secrets, NONE)
        if public_url and not secrets and "CALLSHEET_CALLBACK_SECRETS" not in read.bad:
            read.problems.append(
                "CALLSHEET_CALLBACK_SECRETS is not set, but CALLSHEET_PUBLIC_URL is: set at least one secret of "
                f"{SECRET_CHARACTERS} characters or more (comma-separated, the first signs)"
            )
        settings = cls(
            redis_url=redis_url or "",
            broker_url=read.optional("CALLSHEET_BROKER_URL", _broker_url, redis_url) or "",
            result_backend=read.optional("CALLSHEET_RESULT_BACKEND", _redis_url, redis_url) or "",
            bucket=read.required("CALLSHEET_BUCKET", _bucket, "the name of your S3 bucket") or "",
            bucket_prefix=read.optional("CALLSHEET_BUCKET_PREFIX", _prefix, "callsheet"),
            public_url=public_url,
            callback_secrets=secrets,
            confirm_callbacks=read.optional("CALLSHEET_CONFIRM_CALLBACKS", _boolean, True),
            providers=_providers(read),
            ca_file=read.optional("CALLSHEET_CA_FILE", _file, None),
            media_hosts=read.optional("CALLSHEET_MEDIA_HOSTS", _hosts, ()),
            allow_networks=read.optional("CALLSHEET_ALLOW_NETWORKS", _networks, ()),
            retention_days=read.optional("CALLSHEET_RETENTION_DAYS", _days, 30),
            daily_budget=read.optional("CALLSHEET_DAILY_BUDGET", _amount, None),
        )
        for name in NOT_YET:
            if env.get(name):
                read.problems.append(f"{name} is not available in this version: unset it")
        if read.problems:
            raise SettingsError(read.problems)
        return settings

    def limits(self, provider: str) -> Limits:
        """How much of *provider* may be used; without limit when it is not configured (any more)."""
        options = self.providers.get(provider)
        if options is None:
            return Limits(provider)
        return Limits(provider, options.max_concurrent, options.requests_per_minute, self.daily_budget)


class _Reader:
    """Reads variables one by one and remembers every problem instead of stopping at the first."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self.env = env
        self.problems: list[str] = []
        self.bad: set[str] = set()

    def optional(self, name: str, parse: Callable[[str], T], default: T) -> T:
        text = self.env.get(name, "").strip()
        if not text:
            return default
        try:
            return parse(text)
        except ValueError as err:
            self.bad.add(name)
            self.problems.append(f"{name} {err}")
            return default

    def required(self, name: str, parse: Callable[[str], T], what: str) -> T | None:
        if not self.env.get(name, "").strip():
            self.bad.add(name)
            self.problems.append(f"{name} is not set: give {what}")
            return None
        return self.optional(name, parse, None)


def _providers(read: _Reader) -> dict[str, ProviderSettings]:
    order = read.optional("CALLSHEET_PROVIDERS", _provider_names, PROVIDER_NAMES)
    explicit = bool(read.env.get("CALLSHEET_PROVIDERS", "").strip())
    found = {}
    for name in order:
        upper = name.upper()
        key = read.optional(f"{upper}_API_KEY", _api_key, "")
        if key:
            found[name] = ProviderSettings(
                api_key=key,
                base_url=read.optional(f"{upper}_BASE_URL", _https_url, BASE_URLS[name]),
                field_names=read.optional(f"{upper}_FIELD_NAMES", _field_names, {}),
                max_concurrent=read.optional(f"{upper}_MAX_CONCURRENT", _max_concurrent, None),
                requests_per_minute=read.optional(f"{upper}_REQUESTS_PER_MINUTE", _per_minute, None),
                prices=read.optional(f"{upper}_PRICES", _prices, {}),
            )
        elif explicit and f"{upper}_API_KEY" not in read.bad:
            read.problems.append(f"{upper}_API_KEY is not set, but CALLSHEET_PROVIDERS names {name}")
    if not found and not read.bad & {f"{name.upper()}_API_KEY" for name in order}:
        keys = ", ".join(f"{name.upper()}_API_KEY" for name in PROVIDER_NAMES)
        read.problems.append(f"no provider has a key: set at least one of {keys}")
    return found


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _redis_url(text: str) -> str:
    if urlsplit(text).scheme not in ("redis", "rediss", "sentinel", "unix"):
        raise ValueError("must be a redis:// or rediss:// URL")
    return _with_port(text)


def _broker_url(text: str) -> str:
    if urlsplit(text).scheme not in ("redis", "rediss", "sentinel", "amqp", "amqps"):
        raise ValueError("must be a redis://, rediss://, amqp:// or amqps:// URL")
    return _with_port(text)


def _with_port(url: str) -> str:
    """*url* once its port is known to be a number; a list of sentinels has several."""
    if not url.startswith("sentinel:"):
        try:
            _ = urlsplit(url).port
        except ValueError:
            raise ValueError("has a port that is no number: is its password percent-encoded?") from None
    return url


def _https_url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme != "https" or not parts.hostname or parts.username or parts.query or parts.fragment:
        raise ValueError("must be an https:// URL without user, query or fragment")
    return _with_port(text).rstrip("/")


def _secrets(text: str) -> tuple[str, ...]:
    secrets = tuple(_split(text))
    if any(len(secret) < SECRET_CHARACTERS for secret in secrets):
        raise ValueError(f"must hold only secrets of {SECRET_CHARACTERS} characters or more, comma-separated")
    return secrets


def _api_key(text: str) -> str:
    if not re.fullmatch(r"[\x21-\x7e]+", text):
        raise ValueError("must be printable ASCII without spaces")
    return text


def _bucket(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", text):
        raise ValueError("must be an S3 bucket name: 3 to 63 of a-z, 0-9, dot and hyphen")
    return text


def _prefix(text: str) -> str:
    prefix = text.strip("/")
    if not re.fullmatch(r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*", prefix) or len(prefix) > 200 or ".." in prefix:
        raise ValueError("must be at most 200 of A-Z, a-z, 0-9, '_', '-', '.' and single slashes, without '..'")
    return prefix


def _boolean(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError(f"must be true or false, got {text!r}")
    return text.lower() == "true"


def _provider_names(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(_split(text)))
    unknown = [name for name in names if name not in PROVIDER_NAMES]
    if unknown:
        raise ValueError(f"names unknown providers {', '.join(unknown)}; known are {', '.join(PROVIDER_NAMES)}")
    return names


def _field_names(text: str) -> dict[str, str]:
    pairs = [part.partition("=") for part in _split(text)]
    if any(not re.fullmatch(r"[a-z_]{1,40}", a) or not re.fullmatch(r"[A-Za-z_]{1,40}", b) for a, _, b in pairs):
        raise ValueError("must look like first_frame=image_start,resolution=quality")
    return {neutral: wire for neutral, _, wire in pairs}


def _max_concurrent(text: str) -> int:
    return _whole(text, 1, "jobs")


def _per_minute(text: str) -> int:
    # a single request a minute could not both submit and poll
    return _whole(text, 2, "requests")


def _whole(text: str, least: int, what: str) -> int:
    if not re.fullmatch("[0-9]{1,6}", text) or int(text) < least:
        raise ValueError(f"must be a whole number of {what} from {least} to 999999")
    return int(text)


def _amount(text: str) -> Decimal:
    if not re.fullmatch(r"[0-9]{1,7}(\.[0-9]{1,6})?", text) or not Decimal(text):
        raise ValueError("must be an amount of USD above 0 such as 25 or 12.50")
    return Decimal(text)


def _prices(text: str) -> dict[tuple[str, str], Decimal]:
    found = {}
    for part in _split(text):
        parts = re.fullmatch(r"([A-Za-z0-9._-]{1,100})(?:@([A-Za-z0-9]{1,20}))?=([0-9]{1,4}(?:\.[0-9]{1,6})?)", part)
        if parts is None or (parts[1], parts[2] or "") in found:
            raise ValueError(
                "must be prices in USD per second, each once, such as some-model@720p=0.112,other-model=0.1"
            )
        found[parts[1], parts[2] or ""] = Decimal(parts[3])
    return found


def _file(text: str) -> str:
    if not Path(text).is_file():
        raise ValueError(f"names a file that is not there: {text}")
    return text


def _hosts(text: str) -> tuple[str, ...]:
    hosts = tuple(host.lower() for host in _split(text))
    if any(not re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)+", host) for host in hosts):
        raise ValueError("must be host names, comma-separated, such as cdn.example.com")
    return hosts


def _networks(text: str) -> tuple[Network, ...]:
    try:
        return tuple(ipaddress.ip_network(part) for part in _split(text))
    except ValueError as err:
        raise ValueError(f"must be networks such as 127.0.0.0/8, comma-separated ({err})") from None


def _days(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 3650:
        raise ValueError("must be a whole number of days from 1 to 3650")
    return int(text)
