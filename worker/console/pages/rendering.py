"""Templates and the filters that they share: times, money, sizes, all written once."""

from __future__ import annotations

import time
from decimal import Decimal
from typing import Any

from flask import Flask, g, render_template
from markupsafe import Markup, escape

from worker.console import auth
from worker.console.pages import assets
from worker.jobs.durations import iso, moment, span

NAVIGATION = (
    ("/", "Jobs", "jobs"),
    ("/gallery", "Gallery", "gallery"),
    ("/attention", "Attention", "attention"),
    ("/failures", "Failures", "failures"),
    ("/providers", "Providers", "providers"),
    ("/money", "Money", "money"),
    ("/system", "System", "system"),
)


def register(app: Flask) -> None:
    """Give the templates their filters."""
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.filters |= {
        "ago": ago,
        "left": left,
        "expected": expected,
        "exact": exact,
        "span": span,
        "usd": usd,
        "size": size,
    }
    app.jinja_env.globals |= {"asset": assets.address, "icon": icon, "navigation": NAVIGATION, "iso": iso}


def render(template: str, **context: Any) -> str:
    """*template* with what every page shows: the time, the token and its scopes."""
    token = g.get("token")
    return render_template(
        template,
        now=now(),
        token=token,
        form_key=g.get("form_key", ""),
        may=auth.has,
        **context,
    )


def now() -> int:
    """The instant that a page is about, Unix ms: the store's own where the view has asked for it."""
    return int(g.get("now") or time.time() * 1000)


def icon(name: str, label: str = "") -> Markup:
    """One of our icons; with a *label* a screen reader tells it, without it is an ornament."""
    told = Markup('role="img" aria-label="{}"').format(label) if label else Markup('aria-hidden="true"')
    place = f"{assets.address('icons.svg')}#{name}"
    return Markup('<svg class="icon" {}><use href="{}"/></svg>').format(told, place)


def ago(instant: int | None) -> Markup:
    """A past instant in words, the exact one at hand; it goes on by itself where there is a script."""
    if not instant:
        return Markup('<span class="none">–</span>')
    words = f"{short((now() - instant) / 1000)} ago"
    return Markup('<time datetime="{}" title="{}" data-ago>{}</time>').format(iso(instant), moment(instant), words)


def left(instant: int | None) -> Markup:
    """An instant to come as a countdown."""
    if not instant:
        return Markup('<span class="none">–</span>')
    seconds = (instant - now()) / 1000
    words = f"in {span(seconds)}" if seconds > 0 else f"{span(-seconds)} ago"
    return Markup('<time datetime="{}" title="{}" data-left>{}</time>').format(iso(instant), moment(instant), words)


def expected(instant: int) -> Markup:
    """An estimate as a countdown; one that is over says so, as nothing was promised."""
    words = f"in {span((instant - now()) / 1000)}" if instant > now() else "any moment"
    return Markup('<time datetime="{}" title="{}" data-expected>{}</time>').format(iso(instant), moment(instant), words)


def exact(instant: int | None) -> Markup:
    """An instant as date and time, in UTC or, where there is a script and it is asked for, local."""
    if not instant:
        return Markup('<span class="none">–</span>')
    words = moment(instant).removesuffix(" UTC")
    return Markup('<time datetime="{}" title="{}" data-exact>{}</time>').format(iso(instant), moment(instant), words)


def short(seconds: float) -> str:
    """A length of time in its largest unit alone."""
    return " ".join(span(seconds).split()[:2])


def usd(amount: object) -> Markup:
    """An amount of US dollars, with as many places as it has and two at least."""
    if not amount and not isinstance(amount, int | Decimal):
        return Markup('<span class="none">–</span>')
    number = Decimal(str(amount))
    places = max(2, -int(number.normalize().as_tuple().exponent)) if number else 2
    return escape(f"${number:,.{min(places, 6)}f}")


def size(count: int) -> str:
    """A number of bytes in the largest unit of 1000 that it fills."""
    for unit, of in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= of:
            return f"{count / of:.1f} {unit}"
    return f"{count} B"
