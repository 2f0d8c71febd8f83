"""A second door to what operators see and do, beside the command line, to show that none of it lives in a door.

`python -m tests.integration.operations.door VERB [ARGUMENT]` prints one JSON document.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable

from worker.operations import cancel, pause, replay, restore, retry
from worker.operations.doctor.examination import examine
from worker.operations.explain import explain
from worker.operations.job_document import details, document, row
from worker.operations.search import Filter, page
from worker.operations.view import Reader
from worker.services import Services
from worker.settings.settings import Settings


def answer(verb: str, argument: str) -> object:
    reader, services = Reader.from_env(os.environ), Services.from_settings(Settings.from_env(os.environ))
    verbs: dict[str, Callable[[], object]] = {
        "list": lambda: [row(view) for view in page(reader, Filter(), limit=10).jobs],
        "stuck": lambda: [row(view) for view in page(reader, Filter(stuck=True), limit=10).jobs],
        "show": lambda: document(known) if (known := details(reader, argument)) else None,
        "explain": lambda: explain(view) if (view := reader.view(argument)) else None,
        "cancel": lambda: cancel.cancel(argument, services).document(),
        "retry": lambda: retry.retry(argument, services).document(),
        "replay": lambda: replay.replay(argument, services).document(),
        "restore": lambda: restore.count(restore.run(services, apply=True)),
        "pause": lambda: vars(pause.pause(services.store, argument)),
        "resume": lambda: vars(pause.resume(services.store, argument)),
        "examine": lambda: [str(finding.mark) for finding in examine(os.environ)],
    }
    return verbs[verb]()


if __name__ == "__main__":
    told = answer(sys.argv[1], (*sys.argv[2:], "")[0])
    sys.stdout.write(
        json.dumps({"told": told, "imports_cli": any(name.startswith("worker.cli") for name in sys.modules)})
    )
