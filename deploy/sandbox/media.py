"""The videos and images that the sandbox serves: links that cannot be guessed and die after 24 hours."""

from __future__ import annotations

import gzip
import hashlib
import re

from deploy.sandbox import images, mp4
from deploy.sandbox.answers import Answer, Call, html_answer, json_answer
from deploy.sandbox.clock import Clock
from deploy.sandbox.faults import DownloadRule, RuleBook, Subject
from deploy.sandbox.generations import Generation, Generations

NAME = re.compile(r"/media/([A-Za-z0-9_-]+)\.mp4")
VIDEO = "video/mp4"
MOST_VIDEOS = 20


class Media:
    """Answers downloads."""

    def __init__(self, generations: Generations, rules: RuleBook, clock: Clock) -> None:
        self._generations = generations
        self._rules = rules
        self._clock = clock

    def find(self, path: str) -> tuple[Generation, int] | None:
        """The generation and the index of its video under *path*."""
        name = NAME.fullmatch(path)
        return self._generations.by_token(name[1]) if name else None

    def answer(self, call: Call, found: tuple[Generation, int] | None) -> Answer:
        if call.method not in ("GET", "HEAD"):
            return _refused(405, "only GET and HEAD")
        now = self._clock.now()
        if found is None or now < found[0].finishes_at:
            return _refused(404, "no such video")
        if now >= found[0].links_die_at:
            return _refused(403, "the link has expired")
        generation, index = found
        rule = self._rules.take(DownloadRule, "download", Subject.of(generation))
        video = video_of(generation, index)
        return _spoiled(rule, video) if rule else _whole_or_part(call, video)


def video_of(generation: Generation, index: int) -> bytes:
    """The file itself; every video of every generation has bytes of its own."""
    asked = generation.asked
    seed = generation.number * MOST_VIDEOS + index
    return mp4.make(asked.width, asked.height, asked.video_seconds, seed=seed)


def image(path: str) -> Answer:
    """A served image, or 404."""
    name = path.removeprefix("/images/")
    return Answer(200, images.png(name), "image/png") if name in images.SERVED else _refused(404, "no such image")


def _refused(status: int, message: str) -> Answer:
    return json_answer(status, {"error": message})


def _whole_or_part(call: Call, video: bytes) -> Answer:
    """The file, or the one range that was asked for: players seek, and a download that was cut goes on."""
    headers = _validators(video)
    wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", call.headers.get("range", ""))
    if not wanted or call.headers.get("if-range", headers["ETag"]) != headers["ETag"]:
        return Answer(200, video, VIDEO, headers)
    first, last = int(wanted[1]), min(int(wanted[2] or len(video)), len(video) - 1)
    if first > last:
        return Answer(416, b"", VIDEO, headers | {"Content-Range": f"bytes */{len(video)}"})
    headers["Content-Range"] = f"bytes {first}-{last}/{len(video)}"
    return Answer(206, video[first : last + 1], VIDEO, headers)


def _validators(video: bytes) -> dict[str, str]:
    return {"Accept-Ranges": "bytes", "ETag": f'"{hashlib.md5(video, usedforsecurity=False).hexdigest()}"'}


def _spoiled(rule: DownloadRule, video: bytes) -> Answer:
    if rule.dead:
        answer = _refused(rule.status or 403, "the link has expired")
    elif rule.html:
        answer = html_answer(rule.status or 200)
    elif rule.replaces:
        answer = rule.answer(lambda status: {"error": f"status {status}"})
    elif rule.gzip:
        answer = Answer(200, gzip.compress(video), VIDEO, {"Content-Encoding": "gzip"})
    else:
        answer = Answer(200, video[: len(video) // 2] if rule.truncated == "file" else video, VIDEO, _validators(video))
    return answer.sent(rule.sending)
