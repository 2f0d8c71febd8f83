"""The settings as they may be shown: every value but the secrets, of which it is told only whether they are set."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any
from urllib.parse import urlsplit

from worker.settings.settings import Settings
from worker.settings.tokens import Token

URLS = ("redis_url", "broker_url", "result_backend", "notify_url", "public_url")
"""Addresses that may hold a password: shown without their user, path's query and the like."""


def shown(settings: Settings) -> dict[str, str]:
    """Name -> value in words, in the order of the settings; secrets are counted, never shown."""
    told: dict[str, str] = {}
    for field in fields(settings):
        value = getattr(settings, field.name)
        if field.name == "providers":
            told |= {f"{name}.{option}": words for name, of in value.items() for option, words in _provider(of)}
        elif field.name == "api_tokens":
            told["api_tokens"] = ", ".join(_token(token) for token in value) or "none"
        elif field.name in URLS:
            told[field.name] = _address(value)
        elif is_dataclass(value):
            told |= {f"{field.name}.{part.name}": _words(getattr(value, part.name)) for part in fields(value)}
        elif not field.repr:
            told[field.name] = _secret(value)
        else:
            told[field.name] = _words(value)
    return told


def _provider(options: Any) -> Iterable[tuple[str, str]]:
    for field in fields(options):
        value = getattr(options, field.name)
        yield field.name, _words(value) if field.repr else _secret(value)


def _token(token: Token) -> str:
    return f"{token.name} ({' + '.join(sorted(token.scopes))})"


def _address(url: str | None) -> str:
    """*url* as scheme, host and port alone: what else it has may be a password."""
    if url is None:
        return "not set"
    parts = urlsplit(url.partition(",")[0].partition(";")[0])
    place = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{place}" if place else f"{parts.scheme}:..."


def _secret(value: object) -> str:
    if not value:
        return "not set"
    if isinstance(value, tuple | list | Mapping):
        return f"set ({len(value)})"
    return "set"


def _words(value: object) -> str:
    if value is None or value == "":
        return "not set"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {item}" for name, item in value.items()) or "none"
    if isinstance(value, tuple | list):
        return ", ".join(map(str, value)) or "none"
    return str(value)
