"""The pages of the console: for people who look at videos, who are on call, and who pay."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from urllib.parse import urlsplit

from flask import Flask, Response, request

from worker.console import auth
from worker.console.pages import (
    acts_pages,
    assets,
    attention_page,
    bulk_pages,
    failures_page,
    gallery_page,
    guard,
    job_page,
    jobs_page,
    login,
    money_page,
    providers_page,
    rendering,
    runbook,
    system_page,
)
from worker.console.pages.rendering import render
from worker.operations.view import Reader
from worker.services import Services

PROBLEM = "application/problem+json"


def register(app: Flask, reader: Reader, services: Services, env: Mapping[str, str]) -> None:
    """Add the pages, and have what goes wrong on one told as a page."""
    tokens = services.settings.api_tokens
    rendering.register(app)

    @app.after_request
    def in_html(response: Response) -> Response:
        """A problem as a page, for people; registered first, so it runs last but for the headers."""
        if response.mimetype == PROBLEM and auth.is_page():
            told = response.get_json()
            if request.url_rule is None:
                told["detail"] = "there is no such page"
            response.data = render("error.html", problem=told)
            response.mimetype = "text/html"
        return response

    guard.register(app, tokens, _media_origin(services))
    for blueprint in (
        login.blueprint(tokens),
        assets.blueprint(),
        jobs_page.blueprint(reader),
        job_page.blueprint(reader, services),
        acts_pages.blueprint(reader, services),
        bulk_pages.blueprint(reader, services),
        gallery_page.blueprint(reader),
        attention_page.blueprint(reader),
        failures_page.blueprint(reader),
        providers_page.blueprint(reader),
        money_page.blueprint(services),
        system_page.blueprint(reader, services, env),
        runbook.blueprint(),
    ):
        app.register_blueprint(blueprint)


def _media_origin(services: Services) -> Callable[[], str]:
    """The origin of the bucket's presigned links, by one of them: it is made here, nothing is asked."""

    @cache
    def origin() -> str:
        parts = urlsplit(services.bucket.presign("origin", 60))
        return f"{parts.scheme}://{parts.netloc}"

    return origin
