"""Tokens and scopes: who asks, and what they may."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Sequence
from typing import Any

from flask import Blueprint, Flask, g, request

from worker.console.problems import Problem
from worker.jobs.actor import Actor
from worker.settings.tokens import Token

OPEN = frozenset({"health.live", "health.ready"})
"""The paths that are served without a token."""

View = Callable[..., Any]


def register(app: Flask, tokens: Sequence[Token]) -> None:
    """Have each request's token judged before anything else, unknown paths' too."""

    @app.before_request
    def judge() -> None:
        if request.endpoint in OPEN:
            return
        g.token = _known(tokens, request.headers.get("Authorization", ""))
        view = app.view_functions.get(request.endpoint or "")
        scope = getattr(view, "scope", None)
        if scope is not None:
            need(scope)


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
    return scope in g.token.scopes


def actor(reason: str = "") -> Actor:
    """The request's token as the one who acts."""
    return Actor(g.token.name, reason)


def _known(tokens: Sequence[Token], header: str) -> Token:
    """The token that *header* holds, compared with each in constant time."""
    kind, _, secret = header.partition(" ")
    given = secret.strip().encode("utf-8", "replace")
    fitting = [token for token in tokens if hmac.compare_digest(token.secret.encode(), given)]
    if kind.lower() != "bearer" or not fitting:
        raise Problem(401, "token_unknown", "send a token of CALLSHEET_API_TOKENS as Authorization: Bearer <secret>")
    return fitting[0]
