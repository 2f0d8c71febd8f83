"""The console's own script, stylesheet and icons, read once and kept by browsers as long as they are these."""

from __future__ import annotations

from functools import cache
from hashlib import sha256
from importlib.resources import files

from flask import Blueprint, Response

from worker.console.pages import guard
from worker.console.problems import Problem

TYPES = {
    "console.css": "text/css; charset=utf-8",
    "console.js": "text/javascript; charset=utf-8",
    "icons.svg": "image/svg+xml; charset=utf-8",
}
FOR_A_YEAR = "public, max-age=31536000, immutable"


def blueprint() -> Blueprint:
    bp = Blueprint("assets", __name__)

    @guard.page(bp, "GET", "/static/<digest>/<name>", None, is_open=True)
    def asset(digest: str, name: str) -> Response:
        if name not in TYPES or digest != _digest(name):
            raise Problem(404, "no_such_file", "there is no such file")
        return Response(_content(name), content_type=TYPES[name], headers={"Cache-Control": FOR_A_YEAR})

    return bp


def address(name: str) -> str:
    """The path of one of TYPES; another one for each content."""
    return f"/static/{_digest(name)}/{name}"


@cache
def _content(name: str) -> bytes:
    return files("worker.console").joinpath("static", name).read_bytes()


@cache
def _digest(name: str) -> str:
    return sha256(_content(name)).hexdigest()[:12]
