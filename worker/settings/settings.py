"""The settings: the environment read once, checked whole, frozen.

`Settings.from_env` reads a mapping (the process passes `os.environ`) and raises
one `SettingsError` that names every bad variable. Nothing else in Callsheet
reads the environment, but for boto3 (`AWS_*`) and Flower (`FLOWER_*`).
`deploy/env.example` explains each variable; a test keeps it complete.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TypeVar

from worker.errors import DownloadError, SettingsError
from worker.guard.destinations import Destination, DestinationPolicy
from worker.guard.urls import HttpsUrl, predicate
from worker.jobs.caps import Caps
from worker.jobs.rate_limits import Limits
from worker.settings import values as values
from worker.settings.misspelt import misspelt
from worker.settings.redis_urls import is_cluster
from worker.settings.tokens import Token, tokens

T = TypeVar("T")

KEY_NAMES = {
    "gmicloud": "GMICLOUD_API_KEY",
    "evolink": "EVOLINK_API_KEY",
    "apimart": "APIMART_API_KEY",
    "kling": "KLING_API_KEY",
    "fal": "FAL_KEY",
    "replicate": "REPLICATE_API_TOKEN",
}
"""The variable of each provider's key, by the name that its own documents use."""

PROVIDER_NAMES: tuple[str, ...] = tuple(KEY_NAMES)

SECRET_NAMES = {"kling": "KLING_WEBHOOK_SECRETS", "replicate": "REPLICATE_WEBHOOK_SECRETS"}
"""The variable of the secrets with which a provider signs its callbacks, where those are of the account."""

OF_THE_RECEIVER = ("CALLSHEET_TLS_CERT", "CALLSHEET_TLS_KEY")
"""Variables of ours that deploy/gunicorn.conf.py reads."""

OF_THE_CONSOLE = ("CALLSHEET_CONSOLE_ADDRESS", "CALLSHEET_CONSOLE_PORT")
"""Variables of ours that deploy/console.conf.py reads."""

OF_A_PROVIDER = (
    *("BASE_URL", "FIELD_NAMES", "MAX_CONCURRENT", "REQUESTS_PER_MINUTE"),
    *("PRICES", "CHARGES_FAILURES"),
)
"""The options of each provider: `<PROVIDER>_<OPTION>`."""

TRUST = "APIMART_TRUST_IDEMPOTENCY"

NONE: tuple[str, ...] = ()


@dataclass(frozen=True)
class ProviderSettings:
    """The address, key and limits of one provider; None: without limit.

    `field_names` overrides uncertain wire names (neutral -> theirs), `prices` the list prices:
    (model, resolution; "": any) -> USD per second.
    """

    api_key: str = field(repr=False)
    base_url: str | None = None  # None: the provider's own
    field_names: Mapping[str, str] = field(default_factory=dict)
    max_concurrent: int | None = None
    requests_per_minute: int | None = None
    prices: Mapping[tuple[str, str], Decimal] = field(default_factory=dict)
    webhook_secrets: tuple[str, ...] = field(default=(), repr=False)  # empty: its callbacks are not verified by any
    trusts_keys: bool = False  # a POST of unknown outcome may be sent once more under its idempotency key
    key_set_url: str | None = None  # of the keys that verify its callbacks, where they are public; None: its own
    charges_failures: bool | None = None  # None: as its documents say


@dataclass(frozen=True)
class Settings:
    """The whole configuration of a Callsheet process; secrets never show in its repr."""

    redis_url: str = field(repr=False)
    broker_url: str = field(repr=False)
    result_backend: str = field(repr=False)
    result_prefix: str  # in front of the keys and channels of results; empty: Celery's own names
    bucket: str
    bucket_prefix: str
    public_url: str | None  # None: no callbacks, every job is polled
    callback_secrets: tuple[str, ...] = field(repr=False)  # the first signs, all are accepted
    message_secrets: tuple[str, ...] = field(repr=False)  # empty: messages are not signed; the first signs
    confirm_callbacks: bool
    providers: Mapping[str, ProviderSettings]  # in order of preference
    ca_file: str | None  # trusted beside the system's roots, for providers and downloads
    media_hosts: tuple[str, ...]  # empty: any public host; "example.com" also allows its subdomains
    allow_networks: tuple[values.Network, ...]  # non-public networks that downloads and callbacks may use
    retention_days: int
    encryption: Mapping[str, str] = field(default_factory=dict)  # of objects, in boto3's words; empty: the bucket's own
    caps: Caps = field(default_factory=Caps)  # of money, for all providers together
    notify_secrets: tuple[str, ...] = field(default=(), repr=False)  # all sign; empty: nothing is notified
    notify_url: str | None = field(default=None, repr=False)  # for jobs whose spec names none
    notify_hosts: tuple[Destination, ...] = ()  # where notifications may go beside public hosts
    shards: int = 1  # of the records; for ever
    redis_connections: int = values.MOST_CONNECTIONS  # of one process to the Redis of the records
    catalogue: str | None = None  # the user's own models: a TOML file, or a folder of them
    log_format: str = "text"  # or json
    metrics_open: bool = False  # the console serves /metrics without a token
    api_tokens: tuple[Token, ...] = field(default=(), repr=False)  # empty: the HTTP API serves nobody

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Settings:
        """Read *env*; raise `SettingsError` with every problem at once."""
        read = _Reader(env)
        redis_url = (
            read.required("CALLSHEET_REDIS_URL", values.store_url, "a URL such as redis://:password@host:6379/0") or ""
        )
        public_url = read.optional("CALLSHEET_PUBLIC_URL", values.https_url, None)
        secrets = read.optional("CALLSHEET_CALLBACK_SECRETS", values.secrets, NONE)
        if public_url and not secrets and "CALLSHEET_CALLBACK_SECRETS" not in read.bad:
            read.problems.append(
                "CALLSHEET_CALLBACK_SECRETS is not set, but CALLSHEET_PUBLIC_URL is: set at least one secret of "
                f"{values.SECRET_CHARACTERS} characters or more (comma-separated, the first signs)"
            )
        message_secrets = read.optional("CALLSHEET_MESSAGE_SECRETS", values.secrets, NONE)
        if set(message_secrets) & set(secrets):
            read.problems.append(
                "CALLSHEET_MESSAGE_SECRETS shares a secret with CALLSHEET_CALLBACK_SECRETS: whoever may send messages "
                "could forge callbacks"
            )
        settings = cls(
            redis_url=redis_url,
            broker_url=_of_celery(read, "CALLSHEET_BROKER_URL", values.broker_url, redis_url),
            result_backend=_of_celery(read, "CALLSHEET_RESULT_BACKEND", values.result_url, redis_url),
            result_prefix=read.optional("CALLSHEET_RESULT_PREFIX", values.prefix, ""),
            bucket=read.required("CALLSHEET_BUCKET", values.bucket, "the name of your S3 bucket") or "",
            bucket_prefix=read.optional("CALLSHEET_BUCKET_PREFIX", values.prefix, "callsheet"),
            encryption=read.optional("CALLSHEET_S3_SSE", values.encryption, {}),
            public_url=public_url,
            callback_secrets=secrets,
            message_secrets=message_secrets,
            confirm_callbacks=read.optional("CALLSHEET_CONFIRM_CALLBACKS", values.boolean, True),
            providers=_providers(read),
            ca_file=read.optional("CALLSHEET_CA_FILE", values.file, None),
            media_hosts=read.optional("CALLSHEET_MEDIA_HOSTS", values.hosts, ()),
            allow_networks=read.optional("CALLSHEET_ALLOW_NETWORKS", values.networks, ()),
            retention_days=read.optional("CALLSHEET_RETENTION_DAYS", values.days, 30),
            caps=Caps(
                read.optional("CALLSHEET_DAILY_BUDGET", values.amount, None),
                read.optional("CALLSHEET_MONTHLY_BUDGET", values.amount, None),
                read.optional("CALLSHEET_TENANT_DAILY_BUDGET", values.tenant_amounts, {}),
            ),
            shards=read.optional("CALLSHEET_SHARDS", values.shards, 1),
            redis_connections=read.optional("CALLSHEET_REDIS_CONNECTIONS", values.connections, values.MOST_CONNECTIONS),
            catalogue=read.optional("CALLSHEET_CATALOGUE", str, None),
            log_format=read.optional("CALLSHEET_LOG_FORMAT", values.log_format, "text"),
            metrics_open=read.optional("CALLSHEET_METRICS_OPEN", values.boolean, False),
            api_tokens=read.optional("CALLSHEET_API_TOKENS", tokens, ()),
            notify_secrets=read.optional("CALLSHEET_NOTIFY_SECRETS", values.webhook_secrets, NONE),
            notify_url=read.optional("CALLSHEET_NOTIFY_URL", str, None),
            notify_hosts=read.optional("CALLSHEET_NOTIFY_HOSTS", values.destinations, ()),
        )
        read.problems += _notify_problems(settings, read.bad)
        read.problems += _too_small_to_divide(settings)
        read.problems += misspelt(env, read.known, ("CALLSHEET", *map(str.upper, PROVIDER_NAMES)))
        if read.problems:
            raise SettingsError(read.problems)
        return settings

    def limits(self, provider: str) -> Limits:
        """The limits of *provider*; none when it is not configured (any more)."""
        options = self.providers.get(provider)
        if options is None:
            return Limits(provider)
        return Limits(provider, options.max_concurrent, options.requests_per_minute, self.caps)


class _Reader:
    """Reads variables one by one and remembers every problem instead of stopping at the first."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self.env = env
        self.problems: list[str] = []
        self.bad: set[str] = set()
        self.known = {f"{provider.upper()}_{option}" for provider in PROVIDER_NAMES for option in OF_A_PROVIDER}
        self.known |= {
            *OF_THE_RECEIVER,
            *OF_THE_CONSOLE,
            *KEY_NAMES.values(),
            *SECRET_NAMES.values(),
            "FAL_JWKS_URL",
            TRUST,
        }

    def optional(self, name: str, parse: Callable[[str], T], default: T) -> T:
        self.known.add(name)
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
        self.known.add(name)
        if not self.env.get(name, "").strip():
            self.bad.add(name)
            self.problems.append(f"{name} is not set: give {what}")
            return None
        return self.optional(name, parse, None)


def _notify_problems(settings: Settings, bad: Collection[str]) -> Iterator[str]:
    """Say why CALLSHEET_NOTIFY_URL could never be sent to."""
    url = settings.notify_url
    if url is None:
        return
    if not settings.notify_secrets and "CALLSHEET_NOTIFY_SECRETS" not in bad:
        yield (
            "CALLSHEET_NOTIFY_SECRETS is not set, but CALLSHEET_NOTIFY_URL is: set at least one secret "
            "(whsec_ and the base64 of 24 to 64 random bytes; comma-separated, all sign)"
        )
    try:
        DestinationPolicy(settings.notify_hosts).check_name(HttpsUrl.parse(url, may_be_plain=True))
    except DownloadError as err:
        if "CALLSHEET_NOTIFY_HOSTS" not in bad:
            yield f"CALLSHEET_NOTIFY_URL {predicate(err)}"


def _too_small_to_divide(settings: Settings) -> Iterator[str]:
    """Each shard keeps its own part of a limit: a poll and a POST must find room in the least one."""
    for name, options in settings.providers.items():
        limits = {
            "MAX_CONCURRENT": (options.max_concurrent, 1),
            "REQUESTS_PER_MINUTE": (options.requests_per_minute, 2),
        }
        for limit, (number, least) in limits.items():
            if number is not None and number < least * settings.shards:
                yield f"{name.upper()}_{limit} must be {least * settings.shards} or more with that CALLSHEET_SHARDS"


def _of_celery(read: _Reader, name: str, parse: Callable[[str], str], redis_url: str) -> str:
    """The URL for messages or results: that of the records, unless Celery cannot use it."""
    if redis_url.startswith("unix:"):
        own = "a redis:// URL, as Celery cannot use a unix:// one, which CALLSHEET_REDIS_URL is"
        return read.required(name, parse, own) or ""
    if is_cluster(redis_url):
        own = "a server of its own, as Celery cannot use a cluster, which CALLSHEET_REDIS_URL is"
        return read.required(name, parse, own) or ""
    return read.optional(name, parse, redis_url)


def _providers(read: _Reader) -> dict[str, ProviderSettings]:
    order = read.optional("CALLSHEET_PROVIDERS", _provider_names, PROVIDER_NAMES)
    explicit = bool(read.env.get("CALLSHEET_PROVIDERS", "").strip())
    found = {}
    for name in order:
        upper = name.upper()
        key = read.optional(KEY_NAMES[name], values.api_key, "")
        secrets = read.optional(SECRET_NAMES[name], values.webhook_secrets, NONE) if name in SECRET_NAMES else NONE
        if key:
            found[name] = ProviderSettings(
                api_key=key,
                base_url=read.optional(f"{upper}_BASE_URL", values.https_url, None),
                field_names=read.optional(f"{upper}_FIELD_NAMES", values.field_names, {}),
                max_concurrent=read.optional(f"{upper}_MAX_CONCURRENT", values.max_concurrent, None),
                requests_per_minute=read.optional(f"{upper}_REQUESTS_PER_MINUTE", values.per_minute, None),
                prices=read.optional(f"{upper}_PRICES", values.prices, {}),
                webhook_secrets=secrets,
                trusts_keys=read.optional(TRUST, values.boolean, False) if name == "apimart" else False,
                key_set_url=read.optional("FAL_JWKS_URL", values.https_url, None) if name == "fal" else None,
                charges_failures=read.optional(f"{upper}_CHARGES_FAILURES", values.boolean, None),
            )
        elif explicit and KEY_NAMES[name] not in read.bad:
            read.problems.append(f"{KEY_NAMES[name]} is not set, but CALLSHEET_PROVIDERS names {name}")
    if not found and not read.bad & {KEY_NAMES[name] for name in order}:
        keys = ", ".join(KEY_NAMES.values())
        read.problems.append(f"no provider has a key: set at least one of {keys}")
    return found


def _provider_names(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(values.split(text)))
    unknown = [name for name in names if name not in PROVIDER_NAMES]
    if unknown:
        raise ValueError(f"names unknown providers {', '.join(unknown)}; known are {', '.join(PROVIDER_NAMES)}")
    return names
