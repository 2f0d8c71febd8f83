"""Login and logout: a token is given once, and a session cookie stands for it."""

from __future__ import annotations

import time
from collections.abc import Sequence

from flask import Blueprint, Response, g, redirect, request
from werkzeug.wrappers import Response as AnyResponse

from worker.console import auth
from worker.console.pages import guard, sessions
from worker.console.pages.rendering import render
from worker.settings.tokens import Token


def blueprint(tokens: Sequence[Token]) -> Blueprint:
    bp = Blueprint("login", __name__)

    @guard.page(bp, "GET", "/login", None, is_open=True)
    def login() -> AnyResponse:
        target = guard.local_path(request.args.get("next", "/"))
        if g.token is not None:
            return redirect(target, 303)
        return Response(render("login.html", target=target, refused=False))

    @guard.page(bp, "POST", "/login", None, is_open=True)
    def begin() -> AnyResponse:
        target = guard.local_path(request.form.get("next", "/"))
        token = auth.token_of(tokens, request.form.get("token", ""))
        if token is None:
            return Response(render("login.html", target=target, refused=True), 401)
        response = redirect(target, 303)
        _set(response, sessions.begin(token, time.time()), sessions.LIFETIME_SECONDS)
        return response

    @guard.page(bp, "POST", "/logout", None)
    def end() -> AnyResponse:
        response = redirect("/login", 303)
        _set(response, "", 0)
        return response

    return bp


def _set(response: AnyResponse, value: str, seconds: int) -> None:
    response.set_cookie(
        guard.cookie_name(),
        value,
        max_age=seconds,
        path="/",
        httponly=True,
        samesite="Strict",
        secure=guard.is_behind_tls(),
    )
