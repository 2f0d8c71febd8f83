"""Flower's configuration file: has `/metrics` ask for the password, as every other page does. No option does that.

It also has Redis' CLIENT LIST tell Flower's connections from those of others.
"""

from __future__ import annotations

from flower.urls import handlers
from flower.views.monitor import Metrics
from tornado import web

from worker.celery import name_connections


class PrivateMetrics(Metrics):  # type: ignore[misc]  # Flower carries no types
    """The figures for Prometheus, for whoever has the password (`basic_auth` in its `scrape_configs`)."""

    get = web.authenticated(Metrics.get)


name_connections("flower")
handlers[handlers.index((r"/metrics", Metrics))] = (r"/metrics", PrivateMetrics)
