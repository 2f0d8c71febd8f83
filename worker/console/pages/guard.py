"""The guard of the pages: a session for each, a form's key for each act, and headers that let nobody else in."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlencode, urlsplit

from flask import Blueprint, Flask, Response, g, redirect, render_template, request
from werkzeug.wrappers import Response as AnyResponse

from worker.console import auth
from worker.console.pages import sessions
from worker.console.problems import Problem
from worker.settings.tokens import Token

View = Callable[..., Any]

COOKIE, SECURE_COOKIE = "callsheet", "__Host-callsheet"
FORM_KEY = "form_key"
SAME_SITE = ("same-origin", "none")
"""Of `Sec-Fetch-Site`: our own pages, and what a person typed or opened from a bookmark."""
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}


def page(bp: Blueprint, method: str, rule: str, scope: str | None, *, is_open: bool = False) -> Callable[[View], View]:
    """Serve *rule* to people whose token has *scope* (None: to every token; *is_open*: to anybody)."""

    def add(view: View) -> View:
        view.is_page, view.is_open, view.scope = True, is_open, scope  # type: ignore[attr-defined]
        bp.add_url_rule(rule, view_func=view, methods=[method], provide_automatic_options=False)
        return view

    return add


def register(app: Flask, tokens: Sequence[Token], media_origin: Callable[[], str]) -> None:
    """Have each request for a page judged before its view runs, and each answer kept from other sites."""

    @app.before_request
    def judge() -> AnyResponse | None:
        view = app.view_functions.get(request.endpoint or "")
        if not auth.is_page():
            return None
        cookie = request.cookies.get(cookie_name(), "")
        token = sessions.holder(tokens, cookie, time.time())
        g.token, g.form_key = token, sessions.form_key(token, cookie) if token else ""
        is_open = getattr(view, "is_open", False)
        if request.method == "POST":
            _refuse_other_sites()
            if not is_open and token and not sessions.is_form_key(token, cookie, request.form.get(FORM_KEY, "")):
                raise Problem(403, "form_refused", "this form is not of your session: load the page again")
        if is_open:
            return None
        if token is None:
            return _to_login()
        scope = getattr(view, "scope", None)
        if scope is not None:
            auth.need(scope)
        return None

    @app.after_request
    def close(response: Response) -> Response:
        if auth.is_page():
            for name, value in HEADERS.items():
                response.headers[name] = value
            response.headers["Content-Security-Policy"] = policy(media_origin())
        return response


def policy(media_origin: str) -> str:
    """The Content-Security-Policy of every page: our own files, and videos from the bucket alone."""
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        f"media-src 'self' {media_origin}; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )


def is_behind_tls() -> bool:
    """Whether the browser speaks TLS, to us or to a proxy in front; a forged header only makes the cookie stricter."""
    return request.is_secure or request.headers.get("X-Forwarded-Proto", "") == "https"


def cookie_name() -> str:
    return SECURE_COOKIE if is_behind_tls() else COOKIE


def local_path(text: str) -> str:
    """*text* where it is a path of this console; else the first page: a login leads nowhere else."""
    parts = urlsplit(text)
    is_ours = text.startswith("/") and not text.startswith(("//", "/\\")) and not parts.scheme and not parts.netloc
    return text if is_ours and text.isprintable() else "/"


def _refuse_other_sites() -> None:
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    is_other = (
        site not in SAME_SITE if site is not None else origin is not None and urlsplit(origin).netloc != request.host
    )
    if is_other:
        raise Problem(403, "other_site", "an act must come from a page of this console")


def _to_login() -> AnyResponse:
    """To the login. A link on another site brings no cookie along (SameSite=Strict): then the page asks once more
    by itself, as its own."""
    if request.method == "GET" and request.headers.get("Sec-Fetch-Site") == "cross-site":
        return Response(render_template("again.html", target=request.full_path.rstrip("?")))
    target = request.full_path.rstrip("?") if request.method == "GET" else "/"
    return redirect(f"/login?{urlencode({'next': target})}", 303)
