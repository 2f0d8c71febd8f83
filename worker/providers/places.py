"""The places in a provider's answer of the record of our id, the id itself, and the links of its videos.

The vendor's documented place always comes first. Then come the places in which the vendors' own clients and other
relays have been seen to put the same thing; all of it bounded, and nothing from a record of another id.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from worker.guard.bounded_json import Bounds, UnreadableError, read_tolerantly, walk
from worker.providers import answers

ITEMS = 64
"""Most items of one list that are looked at."""
WRITTEN_BOUNDS = Bounds(depth=16, values=2000)
"""Of JSON that is written into a text."""
SEARCH_BOUNDS = Bounds(depth=12, values=5000)
"""Of the last search for a link, below one record."""

ENVELOPES = ("", "data", "task", "result", "response", "output", "request", "data.task", "data.data")
ID_NAMES = ("task_id", "taskId", "id", "request_id", "requestId", "job_id", "jobId", "generation_id")
TRACES = frozenset({"request_id", "requestId"})
"""The names that many relays give to the trace of an HTTP request: an id only where documented, or in the ids' form."""

LINKS = (
    "results",
    "result_data",
    "result.videos",
    "result.video",
    "result.video_url",
    "result.url",
    "result.urls",
    "outcome.videos",
    "outcome.video",
    "outcome.media_urls",
    "outcome.video_url",
    "outcome.urls",
    "outcome.url",
    "output.videos",
    "output.video",
    "output.video_url",
    "output.url",
    "output",
    "outputs",
    "resultJson.resultUrls",
    "task_result.videos",
    "videos",
    "video",
    "video_url",
    "video_urls",
    "videoUrl",
    "media_urls",
    "content.video_url",
    "assets.video",
    "result_url",
    "result_urls",
    "resultUrls",
    "download_url",
    "url",
    "urls",
)
"""Known places of links, as paths; lists on the way are looked into."""

_URL_NAMES = (
    "url",
    "video_url",
    "videoUrl",
    "urls",
    "video",
    "videos",
    "download_url",
    "downloadUrl",
    "uri",
    "link",
    "src",
)
_RESULT = re.compile(
    r"result|output|outcome|video|media|content|asset|file|generation|sample|creation|work|url|data", re.I
)
_ASIDE = re.compile(
    r"payload|input|request|param|prompt|option|config|frame|image|img|photo|picture|thumb|cover|poster|preview|audio"
    r"|music|watermark|callback|webhook|(?<!re)source|reference|avatar|error",
    re.I,
)
"""Names whose links are no film of ours: what we sent, pictures of it, other media."""
_FILM = re.compile(r"\.(mp4|m4v|mov|webm|mkv)\Z", re.I)
_NO_FILM = re.compile(r"\.(jpe?g|png|gif|webp|avif|svg|mp3|wav|m4a|aac|json|txt|srt|vtt)\Z", re.I)


def at(value: Any, path: str) -> Iterator[Any]:
    """All that stands at *path* (names between dots) below *value*; lists and JSON within text are looked into."""
    first, _, rest = path.partition(".")
    value = opened(value) if path else value
    if isinstance(value, list):
        for item in value[:ITEMS]:
            yield from at(item, path)
    elif not path:
        yield value
    elif isinstance(value, Mapping) and first in value:
        yield from at(value[first], rest)


def opened(value: Any) -> Any:
    """Read a text that is JSON; return any other as it is."""
    if not isinstance(value, str) or value[:1] not in ("{", "["):
        return value
    try:
        return read_tolerantly(b'{"":%s}' % value.encode(errors="replace"), WRITTEN_BOUNDS)[""]
    except (UnreadableError, KeyError):
        return value


@dataclass(frozen=True)
class Ids:
    """The known facts about a vendor's request ids."""

    documented: tuple[str, ...]  # names, best first
    form: re.Pattern[str]  # of a whole id

    def told(self, document: Mapping[str, Any], envelopes: Sequence[str]) -> str | None:
        """The request id that *document* tells, from the best place that has one."""
        found = records(document, envelopes)
        others = [name for name in ID_NAMES if name not in self.documented]
        harmless = [name for name in others if name not in TRACES]
        tries = ((self.documented, True), (others, True), (self.documented, False), (harmless, False))
        for names, must_fit in tries:
            for record in found:
                for name in names:
                    request_id = answers.request_id(record.get(name))
                    if request_id and (not must_fit or self.form.fullmatch(request_id)):
                        return request_id
        texts = (answers.request_id(text) for name in ("data", "result", "output") for text in at(document, name))
        return next((text for text in texts if text and self.form.fullmatch(text)), None)

    def names_ours(self, record: Mapping[str, Any], ours: str) -> bool:
        """Whether any field that can hold an id holds *ours*."""
        return any(answers.request_id(record.get(name)) == ours for name in {*self.documented, *ID_NAMES})

    def names_another(self, record: Mapping[str, Any], ours: str) -> bool:
        """Whether *record* is about another request: it names one, and not *ours*."""
        named = [answers.request_id(record.get(name)) for name in self.documented]
        named += [answers.request_id(record.get(name)) for name in ("task_id", "taskId")]
        return any(named) and not self.names_ours(record, ours)

    def is_strange(self, part: Mapping[str, Any], ours: str) -> bool:
        """The same for a part of a record: a plain `id` there may only count videos, unless it has the ids' form."""
        named = [answers.request_id(part.get(name)) for name in {*self.documented, *ID_NAMES}]
        sure = [value for value in named if value and self.form.fullmatch(value)]
        sure += [value for name in ("task_id", "taskId") if (value := answers.request_id(part.get(name)))]
        return bool(sure) and ours not in named


def records(document: Mapping[str, Any], envelopes: Sequence[str]) -> list[Mapping[str, Any]]:
    """The places of the record in an answer: the vendor's documented *envelopes* first."""
    places = dict.fromkeys((*envelopes, *ENVELOPES))
    told = (opened(value) for path in places for value in at(document, path))
    return [record for record in told if isinstance(record, Mapping)]


def own_record(
    document: Mapping[str, Any], ours: str, ids: Ids, envelopes: Sequence[str], status_names: Sequence[str]
) -> Mapping[str, Any] | None:
    """The record of *ours* in an answer about it, without others'; None when the answer is about another request."""
    found = records(document, envelopes)
    own = [record for record in found if ids.names_ours(record, ours)]
    strange = [record for record in found if ids.names_another(record, ours)]
    if not own and strange:
        return None
    with_status = [
        record
        for record in (*own, *found)
        if record not in strange and any(isinstance(record.get(name), str) for name in status_names)
    ]
    best: Mapping[str, Any] = with_status[0] if with_status else own[0] if own else {}
    return own_part(best, ours, ids)


def own_part(record: Mapping[str, Any], ours: str, ids: Ids) -> Mapping[str, Any]:
    """*record* without the parts that are records of other requests."""

    def kept(value: Any, depth: int) -> Any:
        if depth > SEARCH_BOUNDS.depth:
            return value
        if isinstance(value, Mapping):
            return {name: kept(item, depth + 1) for name, item in value.items() if not is_strange(item)}
        return [kept(item, depth + 1) for item in value if not is_strange(item)] if isinstance(value, list) else value

    def is_strange(value: Any) -> bool:
        return isinstance(value, Mapping) and ids.is_strange(value, ours)

    own: Mapping[str, Any] = kept(record, 0)
    return own


@dataclass(frozen=True)
class Links:
    """The links of a record's videos."""

    urls: tuple[str, ...]
    has_unusable: bool = False  # a link stands in a place for links, and none can be used


def links(record: Mapping[str, Any], documented: Sequence[str]) -> Links:
    """The links in *record*: those of the documented places, else of the known ones, else any to a film-like name."""
    pictures: tuple[str, ...] = ()
    has_unusable = False
    for path in dict.fromkeys((*documented, *LINKS)):
        told = [url for value in at(record, path) for url in _urls(value, 0)]
        usable = answers.usable_urls(told)
        films = tuple(url for url in usable if not _NO_FILM.search(_path(url)))
        if films:
            # in its documented place every link is judged by the download itself
            return Links(usable if path in documented else films)
        pictures = pictures or usable
        has_unusable = has_unusable or any("://" in url for url in told)
    anywhere = answers.usable_urls(list(_anywhere(record)))
    return Links(anywhere or (pictures if documented else ()), has_unusable or bool(pictures))


def _urls(value: Any, depth: int) -> Iterator[str]:
    """The texts of a place for links: bare, in lists, or in objects under a name for links."""
    value = opened(value)
    if isinstance(value, str):
        yield value
    elif depth > 4:
        return
    elif isinstance(value, list):
        for item in value[:ITEMS]:
            yield from _urls(item, depth + 1)
    elif isinstance(value, Mapping):
        named = [name for name in _URL_NAMES if value.get(name)]
        for name in named or [name for name in list(value)[:ITEMS] if not _ASIDE.search(str(name))]:
            yield from _urls(value[name], depth + 1)


def _anywhere(record: Mapping[str, Any]) -> Iterator[str]:
    """Every link to a film-like name under names for results."""
    try:
        for place, _, value, _ in walk(record, SEARCH_BOUNDS):
            if not isinstance(value, str) or "://" not in value or not _FILM.search(_path(value)):
                continue
            names = place.names if place else ()
            if names and _RESULT.search(names[0]) and not any(_ASIDE.search(name) for name in names):
                yield value
    except UnreadableError:
        return  # past the bounds: found so far is what there is


def _path(url: str) -> str:
    try:
        return urlsplit(url.strip()).path
    except ValueError:
        return ""
