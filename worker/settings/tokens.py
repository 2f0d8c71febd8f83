"""The tokens of the HTTP API, as `CALLSHEET_API_TOKENS` lists them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

SCOPES = ("read", "prompts", "submit", "operate", "pay")
"""The scopes of a token: to look, to see specs and videos, to order, to act on jobs, to pay for one once more."""

SECRET_CHARACTERS = 32
NAME = re.compile(r"[A-Za-z0-9_.@-]{1,64}")
SECRET = re.compile(r"[A-Za-z0-9._~+/=-]+")  # what a bearer token may be made of (RFC 6750)


@dataclass(frozen=True)
class Token:
    """One token. Its *name* is the actor of what is done with it; two of one name are one user's, old and new."""

    name: str
    scopes: frozenset[str]
    secret: str = field(repr=False)


def tokens(text: str) -> tuple[Token, ...]:
    """Read `name:scope+scope:secret`, comma-separated; raises `ValueError` in words that repeat no secret."""
    found = tuple(_token(part.strip(), number) for number, part in enumerate(text.split(","), 1) if part.strip())
    if len({token.secret for token in found}) != len(found):
        raise ValueError("gives one secret twice: each token needs its own")
    return found


def _token(text: str, number: int) -> Token:
    parts = text.split(":")
    if len(parts) != 3 or not NAME.fullmatch(parts[0]):
        raise ValueError(f"must be name:scope+scope:secret, comma-separated; token {number} is not")
    name, scopes, secret = parts[0], frozenset(parts[1].split("+")), parts[2]
    if not scopes <= set(SCOPES):
        raise ValueError(f"gives {name} a scope that there is not; scopes are {', '.join(SCOPES)}, joined by +")
    if len(secret) < SECRET_CHARACTERS or not SECRET.fullmatch(secret):
        raise ValueError(
            f"gives {name} a secret that is too short or holds other characters than A-Z, a-z, 0-9 and ._~+/=-: "
            f"{SECRET_CHARACTERS} or more of them, such as of openssl rand -hex 32"
        )
    return Token(name, scopes, secret)
