"""The whole examination: whether everything a job needs is there, as findings."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from worker import providers
from worker.bucket.bucket import Bucket
from worker.errors import CallsheetError, SettingsError
from worker.operations.doctor import dependency_checks, store_checks
from worker.operations.doctor.findings import Finding, Mark, fail, ok, side_by_side
from worker.services import open_store
from worker.settings.settings import Settings


def examine(env: Mapping[str, str], *, fix: bool = False) -> Iterator[Finding]:
    """All findings; a configuration that cannot be used leaves nothing else to look at."""
    try:
        settings = Settings.from_env(env)
        store = open_store(settings)
        bucket = Bucket.connect(settings.bucket, settings.bucket_prefix, settings.encryption)
        adapters = providers.build(settings)
    except SettingsError as err:
        yield from (fail("configuration", problem, "see deploy/env.example") for problem in err.problems)
        return
    except CallsheetError as err:
        yield fail("configuration", str(err), "see deploy/env.example")
        return
    yield ok("configuration", f"is complete; providers: {', '.join(adapters)}; bucket {settings.bucket}")
    yield from side_by_side(
        [*store_checks.checks(settings, store, fix=fix), *dependency_checks.checks(settings, store, bucket, adapters)]
    )


def gravest(marks: Collection[Mark]) -> Mark:
    """The mark by which the whole is judged: FAIL broken, WARN needs somebody's eyes, OK sound."""
    return next((mark for mark in (Mark.FAIL, Mark.WARN) if mark in marks), Mark.OK)
