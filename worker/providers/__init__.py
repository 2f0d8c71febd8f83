"""The providers that are configured, ready to be asked. How to add one: `README.md`."""

from __future__ import annotations

import requests

from worker.errors import SettingsError
from worker.providers.adapter import Adapter
from worker.providers.apimart import ApiMart
from worker.providers.base import Provider
from worker.providers.evolink import EvoLink
from worker.providers.gmicloud import GmiCloud
from worker.providers.http import Api, trust
from worker.providers.model import ASKABLE, priced
from worker.settings.settings import Settings

ADAPTERS: dict[str, type[Adapter]] = {adapter.name: adapter for adapter in (GmiCloud, EvoLink, ApiMart)}


def build(settings: Settings, session: requests.Session | None = None) -> dict[str, Provider]:
    """An adapter for each configured provider, in order of preference; nothing connects yet.

    *session* carries the GETs of all of them; by default each has its own.
    """
    tls = trust(settings.ca_file)
    built: dict[str, Provider] = {}
    problems = []
    for name, options in settings.providers.items():
        adapter = ADAPTERS[name]
        unknown = sorted(set(options.field_names) - set(ASKABLE))
        if unknown:
            problems.append(f"{name.upper()}_FIELD_NAMES names unknown fields {', '.join(unknown)}")
        api = Api(name, options.base_url, options.api_key, tls, session=session, answer_bytes=adapter.answer_bytes)
        built[name] = adapter(api, options.field_names)
        try:
            built[name].models = priced(adapter.models, options.prices)
        except ValueError as err:
            problems.append(f"{name.upper()}_PRICES names {err}, which it has not")
    if problems:
        raise SettingsError(problems)
    return built
