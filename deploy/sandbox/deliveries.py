"""Callbacks: verified HTTPS, 10 s to answer, three more tries after 1, 2 and 4 s, and the trouble that is scripted.

EvoLink's rules: https://docs.evolink.ai/en/api-manual/video-series/kling/kling-v3-turbo-image-to-video
"""

from __future__ import annotations

import json
import queue
import secrets
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import urllib3

from deploy.sandbox.clock import Clock, Timetable
from deploy.sandbox.faults import CallbackRule
from deploy.sandbox.generations import Generation, Generations, Outcome
from deploy.sandbox.history import History, readable
from deploy.sandbox.signing import Kind, Signer, signed
from deploy.sandbox.wire_format import Wire

TIMEOUT_SECONDS = 10.0
WORKERS = 32
PIECE_BYTES = 64 * 1024


@dataclass(frozen=True)
class Letter:
    """One body for one address."""

    generation: Generation
    url: str
    body: bytes
    kind: str = "true"  # or what is wrong with it
    content_type: str = "application/json"
    signer: Signer | None = None
    signature: Kind = "true"
    event_id: str = field(default_factory=lambda: f"msg_{secrets.token_hex(12)}")  # the same over all tries
    retry_seconds: tuple[float, ...] = ()
    retries_refused: bool = True


class Deliveries:
    """Sends callbacks from a few threads of its own; every attempt goes into the history."""

    def __init__(
        self,
        clock: Clock,
        timetable: Timetable,
        history: History,
        generations: Generations,
        *,
        ca_file: str | None,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        self._clock = clock
        self._generations = generations
        self._timeout_seconds = timeout_seconds
        self._timetable = timetable
        self._history = history
        trust = ssl.create_default_context()
        if ca_file:
            trust.load_verify_locations(ca_file)
        self._pool = urllib3.PoolManager(num_pools=64, maxsize=WORKERS, ssl_context=trust, retries=False)
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()

    def start(self) -> None:
        for number in range(WORKERS):
            threading.Thread(target=self._run, name=f"sandbox-callbacks-{number}", daemon=True).start()

    def stop(self) -> None:
        for _ in range(WORKERS):
            self._work.put(None)

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            work()

    def send_early(self, generation: Generation, rule: CallbackRule, wire: Wire) -> None:
        """Deliver once, now, on the caller's thread; a failure is retried later as ever."""
        self._try(self._letter(generation, rule, wire))

    def schedule(self, generation: Generation, rule: CallbackRule, wire: Wire) -> None:
        """See to it that the callback goes out when the generation is finished, as *rule* says."""
        if not generation.asked.callback_url or rule.lost:
            return
        if rule.forged:
            self._work.put(lambda: self._forge(generation, rule, wire))
        if rule.early:
            self._work.put(lambda: self._send_rest(self._letter(generation, rule, wire), rule, wire))
            return
        for instant in wire.told_at(generation):
            self._tell_at(instant, generation, rule, wire)
        due = generation.finishes_at + rule.late_seconds
        self._timetable.at(due, lambda: self._work.put(lambda: self._deliver(generation, rule, wire)))

    def _tell_at(self, instant: float, generation: Generation, rule: CallbackRule, wire: Wire) -> None:
        """See to it that a callback of how the generation stands at *instant* goes out then."""

        def tell() -> None:
            if self._generations.by_id(generation.request_id) is generation:
                body = encoded(wire.callback(generation, instant))
                self._try(letter_of(wire, generation, body, signature=rule.signature))

        self._timetable.at(instant, lambda: self._work.put(tell))

    def _letter(self, generation: Generation, rule: CallbackRule, wire: Wire) -> Letter:
        body = encoded(wire.callback(generation, self._clock.now()))
        return letter_of(wire, generation, body, signature=rule.signature)

    def _deliver(self, generation: Generation, rule: CallbackRule, wire: Wire) -> None:
        if self._generations.by_id(generation.request_id) is not generation:
            return  # it was cancelled, or the sandbox reset, in the meantime
        letter = self._letter(generation, rule, wire)
        self._try(letter, copies=rule.concurrent, then=lambda: self._send_rest(letter, rule, wire))

    def _send_rest(self, letter: Letter, rule: CallbackRule, wire: Wire) -> None:
        """Schedule the duplicates and late events that follow an accepted callback."""
        generation = letter.generation
        for _ in range(rule.duplicates):
            self.send(letter)
        if rule.reordered:
            older = generation.created_at + 0.5 * generation.fate.seconds - 0.001
            body = encoded(wire.callback(generation, min(older, generation.finishes_at - 0.001)))
            self.send(letter_of(wire, generation, body, kind="reordered"))

    def _try(self, letter: Letter, *, tries: int = 0, copies: int = 1, then: Callable[[], None] = lambda: None) -> None:
        """One attempt (of so many copies at the same moment); *then* once it was taken, the next attempt if not."""
        if self._generations.by_id(letter.generation.request_id) is None:
            return  # the sandbox was reset in the meantime
        entries = [self.send(letter, tries=tries)] if copies == 1 else self.send_at_once([letter] * copies)
        if any(entry["taken"] for entry in entries):
            then()
        elif not letter.retries_refused and any(400 <= (entry["status"] or 0) < 500 for entry in entries):
            return
        elif tries < len(letter.retry_seconds):
            again = entries[-1]["ended_at"] + letter.retry_seconds[tries]
            self._timetable.at(again, lambda: self._work.put(lambda: self._try(letter, tries=tries + 1, then=then)))

    def send(self, letter: Letter, *, tries: int = 0) -> dict[str, Any]:
        """One attempt, no retry; returns its history entry. Only a 2xx counts as taken."""
        request_id, at = letter.generation.request_id, self._clock.now()
        headers = signed(letter.signer, letter.signature, letter.event_id, request_id, letter.body, at)
        entry = self._history.add(
            "callback",
            size=len(letter.body),
            provider=letter.generation.provider,
            request_id=request_id,
            url=letter.url,
            headers=headers,
            attempt=tries + 1,
            letter=letter.kind,
            body=readable(letter.body),
        )
        began = time.monotonic()
        try:
            status, error = self._post(letter, headers), None
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as err:
            status, error = None, f"{type(err).__name__}: {err}"
        taken = status is not None and 200 <= status < 300
        seconds = round(time.monotonic() - began, 3)
        self._history.fill(entry, status=status, error=error, taken=taken, seconds=seconds, ended_at=self._clock.now())
        return entry

    def _post(self, letter: Letter, headers: Mapping[str, str]) -> int:
        began = time.monotonic()
        response = self._pool.request(
            "POST",
            letter.url,
            body=letter.body,
            headers={**headers, "Content-Type": letter.content_type, "User-Agent": "callsheet-sandbox"},
            timeout=urllib3.Timeout(total=self._timeout_seconds),
            redirect=False,
            preload_content=False,
        )
        try:  # an answer that is read to its end gives the connection back
            while response.read1(PIECE_BYTES) and time.monotonic() - began < self._timeout_seconds:
                pass
        finally:
            response.close()
        return response.status

    def send_at_once(self, letters: list[Letter]) -> list[dict[str, Any]]:
        """One attempt for each, all at the same moment."""
        together = threading.Barrier(len(letters))
        entries: list[dict[str, Any]] = []

        def run(letter: Letter) -> None:
            together.wait()
            entries.append(self.send(letter))

        threads = [threading.Thread(target=run, args=(letter,), daemon=True) for letter in letters]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return entries

    def _forge(self, generation: Generation, rule: CallbackRule, wire: Wire) -> None:
        for kind in rule.forged:
            self.send(forged(generation, kind, wire, self._clock.now()))


def letter_of(
    wire: Wire, generation: Generation, body: bytes, *, kind: str = "true", signature: Kind = "true"
) -> Letter:
    """A letter to the generation's own callback URL, signed as *wire*'s provider signs."""
    return Letter(
        generation,
        str(generation.asked.callback_url),
        body,
        kind,
        signer=wire.signer,
        signature=signature,
        retry_seconds=wire.retry_seconds,
        retries_refused=wire.retries_refused,
    )


def forged(generation: Generation, kind: str, wire: Wire, now: float) -> Letter:
    """A callback that lies: another id, another last path segment, or the opposite of what will come true.

    Its sender lacks the provider's key.
    """
    body = wire.callback(generation, now)
    url = str(generation.asked.callback_url)
    if kind == "wrong_token":
        url = f"{url.rpartition('/')[0]}/{secrets.token_urlsafe(32)}"
        body = wire.callback(generation, generation.finishes_at)
    elif kind == "wrong_id":
        stranger = f"{generation.request_id[:-8]}{secrets.token_hex(4)}"
        body = wire.callback(generation, generation.finishes_at) | {wire.id_name: stranger}
    elif generation.fate.outcome is Outcome.COMPLETED:
        error = {"code": "service_error", "message": "The generation failed.", "type": "task_error"}
        body |= {"status": "failed", "progress": 0, "error": error}
        body.pop("results", None)
    else:
        body |= {"status": "completed", "progress": 100, "results": ["https://videos.example.com/forged.mp4"]}
        body.pop("error", None)
    return replace(letter_of(wire, generation, encoded(body), kind=kind, signature="wrong"), url=url)


def encoded(body: Any) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()
