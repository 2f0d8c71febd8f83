"""The providers that are configured, ready to be asked. How to add one: `README.md`."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import requests

from worker.errors import SettingsError
from worker.guard.connection import Limits
from worker.guard.download import Downloader
from worker.providers.adapter import Adapter
from worker.providers.apimart import ApiMart
from worker.providers.base import Provider
from worker.providers.catalogue import files
from worker.providers.evolink import EvoLink
from worker.providers.fal import Fal
from worker.providers.gmicloud import GmiCloud
from worker.providers.http import Api, trust
from worker.providers.kling import Kling
from worker.providers.model import ASKABLE, priced, renamed
from worker.providers.replicate import Replicate
from worker.settings.settings import Settings

ADAPTERS: dict[str, type[Adapter]] = {
    adapter.name: adapter for adapter in (GmiCloud, EvoLink, ApiMart, Kling, Fal, Replicate)
}


KEY_SET_BYTES = 64 * 1024
KEY_SET_SECONDS = 5.0


def build(
    settings: Settings, session: requests.Session | None = None, *, now: Callable[[], float] = time.time
) -> dict[str, Provider]:
    """An adapter for each configured provider, in order of preference; nothing connects yet.

    *session* carries the GETs of all of them; by default each has its own. *now* is the clock of signatures. Raises
    `SettingsError` with every problem of the catalogue and of what the settings say of its models.
    """
    tls = trust(settings.ca_file)
    catalogue = files.load(settings.catalogue) if settings.catalogue else files.shipped()
    built: dict[str, Provider] = {}
    problems = []
    for name, options in settings.providers.items():
        adapter, entry = ADAPTERS[name], catalogue[name]
        unknown = sorted(set(options.field_names) - set(ASKABLE))
        if unknown:
            problems.append(f"{name.upper()}_FIELD_NAMES names unknown fields {', '.join(unknown)}")
        models = entry.models
        try:
            models = priced(renamed(models, options.field_names), options.prices)
        except ValueError as err:
            problems.append(f"{name.upper()}_PRICES names {err}, which it has not")
        auth = adapter.auth(options.api_key)
        base_url = options.base_url or entry.about.base_url
        api = Api(name, base_url, options.api_key, tls, session=session, auth=auth, answer_bytes=adapter.answer_bytes)
        verifier = adapter.verifier_of(options, partial(_fetched, settings), now)
        built[name] = adapter(api, replace(entry, models=models), verifier=verifier)
    if problems:
        raise SettingsError(problems)
    return built


def _fetched(settings: Settings, url: str) -> bytes:
    """The small public document at *url*, through the guard; raises `DownloadError`."""
    limits = Limits(max_bytes=KEY_SET_BYTES, total_seconds=KEY_SET_SECONDS, connect_seconds=KEY_SET_SECONDS)
    downloader = Downloader(ca_file=settings.ca_file, allow_networks=settings.allow_networks, limits=limits)
    with downloader.open(url) as document:
        return b"".join(document.chunks())
