"""A failure in a provider's own words: its codes and message, wherever relays put them, bounded and cleaned."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from worker.guard.text import MESSAGE_CHARACTERS, clean
from worker.providers.answers import code_word
from worker.providers.places import at, opened

DEPTH = 5
ITEMS = 8
PAGE_CHARACTERS = 200

_ERRORS = ("error", "errors", "err", "failure", "detail", "details")
_MESSAGES = (
    "error_message",
    "errorMessage",
    "error_msg",
    "errorMsg",
    "err_msg",
    "fail_reason",
    "failReason",
    "failure_reason",
    "failureReason",
    "fail_msg",
    "failMsg",
    "fail_message",
    "message",
    "msg",
    "Message",
    "ErrMsg",
    "reason",
    "task_status_msg",
    "status_msg",
    "status_message",
    "statusMessage",
    "description",
    "error_description",
    "title",
)
_CODES = (
    "code",
    "type",
    "error_code",
    "errorCode",
    "err_code",
    "errCode",
    "ErrCode",
    "errcode",
    "error_type",
    "fail_code",
    "failCode",
    "failure_code",
    "failureCode",
    "reason_code",
    "status_code",
    "Code",
)
_PLAIN_CODES = tuple(name for name in _CODES if name != "type")  # outside of an error a type is anything's
_AROUND = ("outcome", "data", "result", "task_result", "base_resp", "response", "output", "task", "info")
_HOLLOW = re.compile(r"(ok(ay)?|success(ful|fully)?|succeed(ed)?|none|null|n/?a|fail(ed|ure)?|error(ed)?)?\W*", re.I)
_GOOD_CODES = frozenset({"0", "200", "201", "202", "ok", "success"})
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9]*([_.][A-Za-z0-9]+)+")
_TAGS = re.compile(r"<(script|style|head(?=>))\b.*?</\1>|<[^>]*>", re.I | re.S)
_TITLE = re.compile(r"<title[^>]*>(.*?)</title>", re.I | re.S)


@dataclass(frozen=True)
class Reason:
    """The failure that a provider tells of; empty where it tells of none."""

    codes: tuple[str, ...] = ()
    message: str = ""

    @property
    def code(self) -> str:
        """The word that tells most: a name before a number."""
        return next((word for word in self.codes if not word.isdigit()), self.codes[0] if self.codes else "")

    def __bool__(self) -> bool:
        return bool(self.codes or self.message)


def reason_in(document: Mapping[str, Any], *, hide: Collection[str] = ()) -> Reason:
    """The reason that *document* tells, an error's own part before what stands around it."""
    codes: dict[str, None] = {}
    messages: list[str] = []
    for node, is_error in _nodes(document, DEPTH, is_error=False):
        codes.update(dict.fromkeys(_codes(node, hide, _CODES if is_error else _PLAIN_CODES)))
        told = next(_messages(node, hide), "")
        if told and not any(told in known for known in messages):
            messages.append(told)
    first, *more = messages or [""]
    message = f"{first} ({more[0]})" if more and _is_vague(first) else first
    return Reason(tuple(codes)[:ITEMS], message[:MESSAGE_CHARACTERS])


def page_words(body: bytes, *, hide: Collection[str] = ()) -> str:
    """The words of an answer that is no JSON: a proxy's page, or plain text."""
    text = body[:8192].decode("utf-8", "replace")
    title = _TITLE.search(text)
    return clean(_TAGS.sub(" ", title[1] if title else text), PAGE_CHARACTERS, hide=hide)


def _is_vague(message: str) -> bool:
    """Whether a message leaves the reason to what stands beside it."""
    return len(message) < 60 and not any(char.isdigit() for char in message)


def _nodes(document: Any, depth: int, *, is_error: bool) -> Iterator[tuple[Any, bool]]:
    """The parts of *document* that can tell a reason, and whether they are an error's: errors first, then itself,
    then what it wraps."""
    if depth == 0:
        return
    document = opened(document)
    if isinstance(document, list):
        for item in document[:ITEMS]:
            yield from _nodes(item, depth - 1, is_error=is_error)
        return
    if not isinstance(document, Mapping):
        yield document, is_error
        return
    for error in [value for name in _ERRORS for value in at(document, name)][:ITEMS]:
        yield from _nodes(error, depth - 1, is_error=True)
    yield document, is_error
    for value in [value for name in _AROUND for value in at(document, name)][:ITEMS]:
        if isinstance(opened(value), Mapping):
            yield from _nodes(value, depth - 1, is_error=is_error)


def _codes(node: Any, hide: Collection[str], names: Collection[str]) -> Iterator[str]:
    if isinstance(node, str) and _WORD.fullmatch(node):
        yield from filter(None, [code_word(node, hide=hide)])
    if isinstance(node, Mapping):
        for name in names:
            word = code_word(node.get(name), hide=hide)
            if word and word.lower() not in _GOOD_CODES:
                yield word


def _messages(node: Any, hide: Collection[str]) -> Iterator[str]:
    if not isinstance(node, Mapping):
        told = [node]
    else:
        where = node.get("loc")
        place = ".".join(str(step) for step in where[:ITEMS]) if isinstance(where, list) else ""
        told = [node.get(name) for name in _MESSAGES]
        told = [f"{place}: {text}" if place and isinstance(text, str) else text for text in told]
    for text in told:
        message = clean(text, hide=hide) if isinstance(text, str) and text[:1] not in ("{", "[") else ""
        if not _HOLLOW.fullmatch(message):
            yield message
