"""Cheap, sure signs that a process is ready for work."""

from __future__ import annotations

import re
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable
from http import HTTPStatus

from deploy.local.processes import Process

TIMEOUT_SECONDS = 3.0


def http_answers(
    url: str, *, context: ssl.SSLContext | None = None, good: tuple[int, ...] = (HTTPStatus.OK,)
) -> Callable[[Process], bool]:
    """Ready once a GET of *url* is answered with a status in *good*; proxy variables are not followed."""
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context or ssl.create_default_context())
    )

    def is_ready(_: Process) -> bool:
        try:
            with opener.open(url, timeout=TIMEOUT_SECONDS) as answer:
                return answer.status in good
        except urllib.error.HTTPError as err:
            return err.code in good
        except OSError:
            return False

    return is_ready


def log_says(words: str) -> Callable[[Process], bool]:
    """Ready once the process has written something matching the pattern *words* since it was started."""
    pattern = re.compile(words)
    return lambda process: pattern.search(process.output()) is not None
