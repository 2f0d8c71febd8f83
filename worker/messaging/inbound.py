"""Validate every message before Celery acts on it; log and drop poison messages.

Whoever can write to the broker can write anything, and as it comes Celery ends
the worker, or quotes the whole message in its log, for much of it; what it gave
back unread would end the next worker too. So a message is looked at before
Celery acts on it, and is refused (acknowledged, never quoted) unless it is one
of our tasks in a shape that Celery is known to survive.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from celery.utils.time import maybe_iso8601
from celery.worker.consumer import Consumer

from worker.errors import StoreError
from worker.messaging import signatures
from worker.messaging.results import GENERATE
from worker.messaging.signatures import canvas_of, plain
from worker.services import open_store
from worker.settings.settings import Settings
from worker.store import Store
from worker.store.counters import Counter

log = logging.getLogger(__name__)

OURS = "callsheet."
BODY_BYTES = 8 * 1024 * 1024
"""A spec of the largest size that is taken (`spec.SPEC_BYTES`), and its escapes."""
TEXT_CHARACTERS = 255
LONGEST_WAIT = timedelta(minutes=10)
"""The farthest ETA: until then the message is held in memory, and given out again by Redis
every `visibility_timeout`."""

TEXTS = ("root_id", "parent_id", "group", "lang", "origin")
NUMBERS = ("retries", "group_index", "replaced_task_nesting")
DROPPED = ("timelimit", "shadow")
"""Headers of a sender's that we do not heed: a limit would kill a POST that may be paid for,
a shadow would show the task under another name."""
NOT_SIGNED = ("expires", "ignore_result", "stamps", "stamped_headers")
"""Headers that are not heeded either where messages are signed: whoever sends a signed one again could add them,
and, say, have the job told as revoked."""
COUNT_SECONDS = 1.0
"""The longest time until a refusal is counted."""


class RefusedMessage(Exception):
    """The message is none of ours; `args[0]` says in a word or two why, and quotes nothing."""


class UnsignedMessage(RefusedMessage):
    """It asks for a video, and carries no signature, or that of another message."""


class Inbox(Consumer):
    """Celery's consumer, behind a look at every message."""

    connection_errors: tuple[type[Exception], ...]
    channel_errors: tuple[type[Exception], ...]
    controller: Any

    @cached_property
    def _settings(self) -> Settings:
        return Settings.from_env(os.environ)

    @cached_property
    def _store(self) -> Store:
        return open_store(self._settings, timeout_seconds=COUNT_SECONDS, name="callsheet-inbox")

    def create_task_handler(self, *args: Any, **options: Any) -> Callable[[Any], None]:
        handle = super().create_task_handler(*args, **options)
        secrets = self._settings.message_secrets  # read at the start: what cannot be read later is no message's fault

        def on_message(message: Any) -> None:
            try:
                check(message, self.app.tasks, secrets)
            except UnsignedMessage as err:
                self._refuse(message, str(err), Counter.MESSAGES_UNSIGNED)
            except RefusedMessage as err:
                self._refuse(message, str(err))
            except Exception as err:  # noqa: BLE001  what a decoder can raise, nobody has listed
                self._refuse(message, type(err).__name__)
            else:
                self._hand_on(handle, message)

        return on_message

    def _hand_on(self, handle: Callable[[Any], None], message: Any) -> None:
        try:
            handle(message)
        except Exception as err:
            if not isinstance(err, KeyError) and isinstance(err, self.connection_errors + self.channel_errors):
                raise  # to kombu a KeyError may be a lost connection; here it is a name that Celery missed
            with suppress(AttributeError):  # the solo pool has no places
                self.controller._quick_release()  # one may have been taken for it; given back twice does no harm
            self._refuse(message, type(err).__name__)

    def on_unknown_message(self, body: Any, message: Any) -> None:  # noqa: ARG002  Celery's name and arguments
        self._refuse(message, "unknown")

    def on_unknown_task(self, body: Any, message: Any, exc: BaseException) -> None:  # noqa: ARG002
        self._refuse(message, "unknown task")

    def on_invalid_task(self, body: Any, message: Any, exc: BaseException) -> None:  # noqa: ARG002
        self._refuse(message, "invalid")

    def on_decode_error(self, message: Any, exc: BaseException) -> None:
        self._refuse(message, type(exc).__name__)

    def _refuse(self, message: Any, reason: str, counter: Counter = Counter.MESSAGES_REFUSED) -> None:
        log.error("message.refused", extra={"reason": reason, **_names(message)})
        with suppress(StoreError):
            self._store.counters.add(counter)
        if not message.acknowledged:
            message.reject_log_error(log, self.connection_errors)


def check(message: Any, tasks: Mapping[str, Any], secrets: Sequence[str] = ()) -> None:
    """Raise unless *message* names one of *tasks* that is ours, in a shape that Celery can act on.

    With *secrets*, one that asks for a video must be signed by one of them. Mostly `RefusedMessage`;
    what the decoder raises is passed on. Headers that we do not heed are taken out.
    """
    if len(message.body or b"") > BODY_BYTES:
        raise RefusedMessage("too large")
    fields = message.headers
    if not isinstance(fields, dict):
        raise RefusedMessage("no headers")
    given = fields.get(signatures.HEADER)
    body = message.payload  # decodes, and refuses whatever is not JSON
    if "task" not in fields and isinstance(body, dict):  # protocol 1, which some clients in other languages speak
        fields.clear()  # Celery would put them over the fields of the body, which are what is looked at here
        fields = body
        body = [fields.get("args", []), fields.get("kwargs", {}), fields]
    _check_fields(fields, tasks)
    _check_body(body)
    args, kwargs, embed = body
    tasks[fields["task"]].__header__(*args, **kwargs)  # a TypeError where the arguments are not the task's
    canvas = canvas_of(plain(embed or {}), fields)
    if fields["task"] != GENERATE:
        if any(canvas.values()):
            raise RefusedMessage("a canvas on a task of our own")
    elif secrets and not signatures.is_signed(given, secrets, fields["id"], plain(kwargs), canvas):
        raise UnsignedMessage("unsigned")
    for name in (*DROPPED, *(NOT_SIGNED if secrets else ())):
        fields.pop(name, None)


def _check_fields(fields: Mapping[str, Any], tasks: Mapping[str, Any]) -> None:
    name = fields.get("task")
    if not isinstance(name, str) or not name.startswith(OURS) or name not in tasks:
        raise RefusedMessage("unknown task")
    if not _is_text(fields.get("id")):
        raise RefusedMessage("no task id")
    if not all(fields.get(key) is None or _is_text(fields[key]) for key in TEXTS):
        raise RefusedMessage("a header that is no text")
    if not all(fields.get(key) is None or type(fields[key]) is int for key in NUMBERS):
        raise RefusedMessage("a header that is no number")
    eta = maybe_iso8601(fields.get("eta"))
    if eta is not None and _aware(eta) - datetime.now(UTC) > LONGEST_WAIT:
        raise RefusedMessage("an ETA too far away")


def _check_body(body: Any) -> None:
    if not isinstance(body, list | tuple) or len(body) != 3:
        raise RefusedMessage("no task's body")
    args, kwargs, embed = body
    if not isinstance(args, list | tuple) or not isinstance(kwargs, dict) or not isinstance(embed, dict | None):
        raise RefusedMessage("no task's arguments")
    canvas = embed or {}
    lists = [canvas.get(key) or [] for key in ("callbacks", "errbacks", "chain")]
    chords = [chord] if (chord := canvas.get("chord")) else []
    if not all(isinstance(found, list) and all(map(_is_signature, found)) for found in [*lists, chords]):
        raise RefusedMessage("a canvas that is none")


def _is_signature(found: Any) -> bool:
    return isinstance(found, dict) and isinstance(found.get("task"), str)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= TEXT_CHARACTERS and value.isprintable()


def _aware(instant: datetime) -> datetime:
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


def _names(message: Any) -> dict[str, str]:
    """The part of a refused message that may be logged: names as far as they are short texts, never its body."""
    headers = message.headers if isinstance(message.headers, dict) else {}
    named = {"task": headers.get("task"), "task_id": headers.get("id")}
    return {key: str(value) for key, value in named.items() if _is_text(value)}
