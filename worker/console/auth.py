"""Tokens and scopes: who asks, and what they may."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Sequence
from typing import Any

from flask import Blueprint, Flask, current_app, g, request

from worker.console.problems import Problem
from worker.jobs.actor import Actor
from worker.settings.tokens import Token

OPEN = frozenset({"health.live", "health.ready"})
"""The calls that are served without a token."""
METRICS = "metrics.scrape"

View = Callable[..., Any]


def register(app: Flask, tokens: Sequence[Token], *, are_metrics_open: bool) -> None:
    """Have each request's token judged before anything else, unknown paths' too."""
    is_open = OPEN | {METRICS} if are_metrics_open else OPEN

    @app.before_request
    def judge() -> None:
        view = app.view_functions.get(request.endpoint or "")
        if request.endpoint in is_open or is_page():
            return  # pages have sessions: pages/guard.py
        g.token = _known(tokens, request.headers.get("Authorization", ""))
        scope = getattr(view, "scope", None)
        if scope is not None:
            need(scope)


def is_page() -> bool:
    """Whether the request is for a page: by its view, or, where there is no such path, by what its sender takes."""
    view = current_app.view_functions.get(request.endpoint or "")
    if view is None:
        return not request.path.startswith("/v1/") and "text/html" in request.headers.get("Accept", "")
    return getattr(view, "is_page", False)


def call(bp: Blueprint, method: str, rule: str, scope: str | None) -> Callable[[View], View]:
    """Serve *rule* to tokens that have *scope*; None: to every token."""

    def add(view: View) -> View:
        view.scope = scope  # type: ignore[attr-defined]
        bp.add_url_rule(rule, view_func=view, methods=[method], provide_automatic_options=False)
        return view

    return add


def need(scope: str) -> None:
    """Refuse, by name, where the request's token lacks *scope*."""
    if not has(scope):
        raise Problem(403, "scope_missing", f"this call needs a token with the scope {scope}")


def has(scope: str) -> bool:
    token = g.get("token")
    return token is not None and scope in token.scopes


def actor(reason: str = "") -> Actor:
    """The request's token as the one who acts."""
    return Actor(g.token.name, reason)


def token_of(tokens: Sequence[Token], secret: str) -> Token | None:
    """The token with *secret*, compared with each in constant time."""
    given = secret.strip().encode("utf-8", "replace")
    fitting = [token for token in tokens if hmac.compare_digest(token.secret.encode(), given)]
    return fitting[0] if fitting else None


def _known(tokens: Sequence[Token], header: str) -> Token:
    """The token that *header* holds."""
    kind, _, secret = header.partition(" ")
    token = token_of(tokens, secret)
    if kind.lower() != "bearer" or token is None:
        raise Problem(401, "token_unknown", "send a token of CALLSHEET_API_TOKENS as Authorization: Bearer <secret>")
    return token
