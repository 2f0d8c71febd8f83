"""The closed list of what is counted in Redis, a sentence each: doctor and metrics tell them in the same words."""

from __future__ import annotations

from enum import StrEnum

from worker.store.scripts import Scripts

COUNTED_AT = "@"
"""Ends the name of the field that says when a counter was last added to."""


class Counter(StrEnum):
    """A counter. `sentence` says what a count tells; one that `is_grave` is worth a look when it is not zero."""

    sentence: str
    is_grave: bool

    def __new__(cls, name: str, sentence: str, is_grave: bool = True) -> Counter:
        counter = str.__new__(cls, name)
        counter._value_ = name
        counter.sentence = sentence
        counter.is_grave = is_grave
        return counter

    JOBS_ROLLED_BACK = (
        "jobs_rolled_back",
        "Redis came back as an older self and had forgotten POSTs: their jobs became unconfirmed and "
        "were not sent again; look at callsheet list --state unconfirmed, and why Redis loses writes",
    )
    RESULTS_RETOLD = (
        "results_retold",
        "Redis came back as an older self and had forgotten that jobs went on, such as a retry that was not sent yet: "
        "their callers were told how they had ended; look for job.retold in the logs, and retry what is still wanted",
    )
    CALLBACKS_ORPHANED = (
        "callbacks_orphaned",
        "valid callbacks came for jobs without a record: paid jobs were lost, look at the strays",
    )
    REQUESTS_ORPHANED = (
        "requests_orphaned",
        "requests of lost jobs were taken and are paid for: look for request.orphaned in the logs",
    )
    REQUEST_IDS_TAKEN = (
        "request_ids_taken",
        "a provider gave one request id to two jobs: look for request.mixed_up in the logs",
    )
    REQUESTS_UNUSED = (
        "requests_unused",
        "a provider took a request for a job that has one already: it was paid for and is not used",
    )
    PROVIDERS_LOCKED_OUT = (
        "providers_locked_out",
        "a provider took our key no more, or has nothing left to pay with: look for breaker.opened",
    )
    BREAKERS_OPENED = (
        "breakers_opened",
        "a provider failed at least every other request for a while: look for breaker.opened",
    )
    COSTS_DIFFER = (
        "costs_differ",
        "generations cost more than 1 % more or less than their price says: look for cost.differs, and set "
        "<PROVIDER>_PRICES",
    )
    OBJECT_CONFLICTS = (
        "object_conflicts",
        "the bucket holds other objects where videos belong; they were not replaced",
    )
    CALLBACKS_CONTRADICTED = (
        "callbacks_contradicted",
        "callbacks said what the provider itself denies: somebody may be forging them",
    )
    CALLBACKS_REFUSED = (
        "callbacks_refused",
        "callbacks came that are none of ours or not well-formed; their bodies are kept",
    )
    CALLBACKS_FORGED = (
        "callbacks_forged",
        "callbacks came without a valid signature of their provider: is its webhook secret still the one that is "
        "configured? If it is, somebody forges; their bodies are kept",
    )
    CALLBACKS_UNVERIFIABLE = (
        "callbacks_unverifiable",
        "callbacks could not be judged, as the provider's keys were not to be had, and were asked for again: can the "
        "receiver reach them?",
    )
    CALLBACKS_MISSED = (
        "callbacks_missed",
        "callbacks did not come within 5 min of a generation's end, and polls stood in: can the "
        "provider reach CALLSHEET_PUBLIC_URL?",
    )
    CALLBACKS_FULL = (
        "callbacks_full",
        "callbacks found no room for another candidate: somebody may be forging them",
    )
    CANDIDATES_REFUSED = (
        "candidates_refused",
        "callbacks named requests that are not the jobs' own: somebody may be forging them",
    )
    MESSAGES_UNSIGNED = (
        "messages_unsigned",
        "asked for videos without a valid signature: a sender lacks the secret, or somebody forges",
    )
    MESSAGES_REFUSED = (
        "messages_refused",
        "messages came that are none of ours: look for message.refused in the logs",
    )
    SPEC_CONFLICTS = ("spec_conflicts", "a job id came again with another spec: the sender uses ids twice")
    UNKNOWN_STATUSES = (
        "unknown_statuses",
        "a provider used a status that its adapter does not know: compare its documents",
    )
    CALLBACKS_UNKNOWN_STATUS = (
        "callbacks_unknown_status",
        "a callback used a status that its adapter does not know: compare its documents",
    )
    NOTIFICATIONS_DEAD = (
        "notifications_dead",
        "receivers never took notifications, which were given up: callsheet list "
        "--dead-notifications, then callsheet renotify JOB",
    )
    STEPS_STALLED = (
        "steps_stalled",
        "steps hung and were given up, their jobs tried again: look for step.stalled in the logs",
    )
    REQUESTS_UNKNOWN_THERE = (
        "requests_unknown_there",
        "a provider no longer knows requests that it gave us ids for",
    )
    DUE_WITHOUT_OPEN_JOB = (
        "due_without_open_job",
        "the due index named jobs that are not open: was the Redis changed by hand?",
    )
    UNUSABLE_SUCCESSES = (
        "unusable_successes",
        "answers said that a video is done which cannot be fetched; their jobs are asked about again",
        False,
    )
    VIDEOS_DIFFER = (
        "videos_differ",
        "archived videos are not what was asked, in seconds, resolution or aspect ratio",
        False,
    )
    ARCHIVE_RETRIES = ("archive_retries", "copies to the bucket failed and are tried again", False)
    NOTIFICATIONS_DELIVERED = ("notifications_delivered", "notifications were taken by their receivers", False)
    NOTIFICATION_TRIES_FAILED = (
        "notification_tries_failed",
        "tries at notifications failed; all but those that were given up are made again",
        False,
    )


class Counters:
    """The counters of one store, those of all shards together."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts
        self._keys = scripts.keys

    def add(self, counter: Counter, by: int = 1) -> None:
        """Add to a counter, which then also says when."""
        self._scripts.run("count", [self._keys.counters()], [counter, by, self._scripts.clock.given()])

    def all(self) -> dict[str, int]:
        """Every counter's value."""
        totals: dict[str, int] = {}
        for shard in range(self._keys.shards):
            for name, value in self._scripts.hash_at(self._keys.counters(shard)).items():
                if not name.endswith(COUNTED_AT):
                    totals[name] = totals.get(name, 0) + int(value)
        return totals

    def counted_at(self) -> dict[str, int]:
        """When each counter was last added to, Unix ms, as far as that is known."""
        latest: dict[str, int] = {}
        for shard in range(self._keys.shards):
            for name, value in self._scripts.hash_at(self._keys.counters(shard)).items():
                if name.endswith(COUNTED_AT):
                    counter = name.removesuffix(COUNTED_AT)
                    latest[counter] = max(latest.get(counter, 0), int(value))
        return latest
