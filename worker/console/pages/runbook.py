"""The runbook as a page: the few forms of Markdown that deploy/runbook.md is written in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from flask import Blueprint, Response
from markupsafe import Markup, escape

from worker.console.pages import guard
from worker.console.pages.rendering import render
from worker.console.problems import Problem

MARKS = re.compile(r"`([^`]+)`|\*\*([^*]+)\*\*|\*([^*\s][^*]*)\*|\[([^\]]+)\]\((/[^)\s]*)\)")


def blueprint() -> Blueprint:
    bp = Blueprint("runbook", __name__)

    @guard.page(bp, "GET", "/runbook", "read")
    def shown() -> Response:
        return Response(render("runbook.html", text=_read()))

    return bp


@cache
def _read() -> Markup:
    spec = find_spec("deploy")
    places = (spec.submodule_search_locations if spec else None) or ()
    text = next((file.read_text("utf-8") for place in places if (file := Path(place, "runbook.md")).is_file()), None)
    if text is None:
        raise Problem(404, "no_runbook", "deploy/runbook.md is not installed here")
    return Markup("\n").join(html(text))


def html(text: str) -> Iterator[Markup]:
    """*text*, block by block: headings with their ids, code, quotes, lists, tables and paragraphs."""
    for block in _blocks(text.splitlines()):
        first = block[0]
        if first.startswith("#"):
            level, words = len(first.partition(" ")[0]), first.lstrip("# ")
            if level == 1:
                continue  # the page has it
            name = Markup("h{}").format(min(4, level))
            yield Markup('<{0} id="{1}">{2}</{0}>').format(name, slug(words), inline(words))
        elif first.startswith("```"):
            yield Markup('<pre class="line">{}</pre>').format("\n".join(block[1:]))
        elif first.startswith("|"):
            yield _table(block)
        elif first.startswith("> "):
            yield Markup("<blockquote>{}</blockquote>").format(_lines([line.removeprefix("> ") for line in block]))
        elif re.match(r"(-|\d+\.) ", first):
            yield Markup("<ul>{}</ul>").format(Markup("").join(_items(block)))
        else:
            yield Markup("<p>{}</p>").format(_lines(block))


def slug(words: str) -> str:
    """The id of a heading, as GitHub makes it: links are the same here and there."""
    return re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")


def inline(text: str) -> Markup:
    """*text* with code, emphasis and links to pages of this console; all else is text."""
    told, end = Markup(""), 0
    for found in MARKS.finditer(text):
        told += escape(text[end : found.start()])
        code, strong, soft, words, target = found.groups()
        if code is not None:
            told += Markup("<code>{}</code>").format(code)
        elif strong is not None:
            told += Markup("<strong>{}</strong>").format(inline(strong))
        elif soft is not None:
            told += Markup("<em>{}</em>").format(inline(soft))
        else:
            told += Markup('<a href="{}">{}</a>').format(target, words)
        end = found.end()
    return told + escape(text[end:])


def _blocks(lines: list[str]) -> Iterator[list[str]]:
    block: list[str] = []
    is_code = False
    for line in lines:
        if line.startswith("```"):
            if is_code:
                yield block
                block, is_code = [], False
                continue
            if block:
                yield block
            block, is_code = [line], True
        elif is_code:
            block.append(line)
        elif not line.strip() or line.startswith("#"):
            if block:
                yield block
            block = []
            if line.startswith("#"):
                yield [line]
        else:
            block.append(line)
    if block:
        yield block


def _lines(block: list[str]) -> Markup:
    """A paragraph; a line that begins with a bold word begins anew."""
    parts = [inline(line) for line in block]
    return Markup("").join(
        (Markup("<br>") if n and (line.startswith("**") or line.startswith("`")) else Markup(" ")) + part
        for n, (line, part) in enumerate(zip(block, parts, strict=True))
    )


def _items(block: list[str]) -> Iterator[Markup]:
    item: list[str] = []
    for line in block:
        if re.match(r"(-|\d+\.) ", line) and item:
            yield Markup("<li>{}</li>").format(_lines(item))
            item = []
        item.append(re.sub(r"^(-|\d+\.) ", "", line.strip()))
    yield Markup("<li>{}</li>").format(_lines(item))


def _table(block: list[str]) -> Markup:
    rows = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))] for line in block]
    head, body = rows[0], [row for row in rows[1:] if not set("".join(row)) <= set("-: ")]

    def cells(row: list[str], name: str) -> Markup:
        told = (Markup("<{0}>{1}</{0}>").format(Markup(name), inline(cell)) for cell in row)
        return Markup("<tr>{}</tr>").format(Markup("").join(told))

    lines = Markup("").join(cells(row, "td") for row in body)
    return Markup('<div class="scroll"><table class="plain"><thead>{}</thead><tbody>{}</tbody></table></div>').format(
        cells(head, "th"), lines
    )
