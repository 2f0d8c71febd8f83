"""The doctor's look at what is ours: the store, its promise of durability, the clock, the counters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal

from worker.errors import StoreError
from worker.jobs.caps import CapName
from worker.jobs.durations import moment, span
from worker.jobs.job import is_job_id
from worker.jobs.timing import DAY
from worker.operations import costs, limits, overdue, processes
from worker.operations.doctor.findings import Check, Finding, done, fail, looked, ok, warn
from worker.settings.settings import Settings
from worker.steps import Step
from worker.store import ServerFacts, Store
from worker.store.counters import Counter

MOST_IN_USE = 0.8
NEEDED_CLIENTS = 127
"""Measured for the lines of the Procfile under load (`deploy/sizing.md`)."""
MORE_ROOM = "raise maxclients, or lower CALLSHEET_REDIS_CONNECTIONS: deploy/sizing.md"

VERBS = {
    Step.SUBMIT: "be submitted",
    Step.POLL: "be polled",
    Step.ARCHIVE: "be archived",
    Step.DELIVER: "be told",
    Step.REVISIT: "be looked at again",
}
SHOWN_BREACHES = 5
BUDGET_WARNS_AT = 80.0
"""Percent of a cap from which on the doctor warns, as the alert rules do."""
ALARM_SECONDS = 7 * DAY
"""A counter that nothing was added to for so long is no warning any more: somebody has seen it."""

REDIS_ADVICE = "check CALLSHEET_REDIS_URL, and that the server is up and its password is right"


def checks(settings: Settings, store: Store, *, fix: bool = False) -> list[Check]:
    """The checks of the store and the settings; with *fix* the due index is mended."""
    return [
        Check("Redis", lambda: records(settings, store, fix=fix), REDIS_ADVICE, limit_seconds=60.0),
        Check("networks", lambda: networks(settings), "see CALLSHEET_ALLOW_NETWORKS"),
        Check("messages", lambda: messages(settings), "see CALLSHEET_MESSAGE_SECRETS"),
    ]


def records(settings: Settings, store: Store, *, fix: bool = False) -> Iterator[Finding]:
    """All that is in Redis. A Redis that does not answer is one finding; a part that cannot be seen hides no other."""
    store.server.ping()
    looks: dict[str, Callable[[], Iterable[Finding]]] = {
        "Redis": lambda: redis(store),
        "processes": lambda: live_processes(settings, store),
        "clock": lambda: clock(store),
        "paused": lambda: paused(store),
        "limits": lambda: limits_kept(settings, store),
        "counters": lambda: counters(store),
        "layout": lambda: layouts(store),
        "open <=> due": lambda: [*(mend(store) if fix else ()), *open_is_due(store)],
    }
    for what, look in looks.items():
        yield from looked(Check(what, look, REDIS_ADVICE))


def mend(store: Store) -> Iterator[Finding]:
    """Make "open <=> due" true again."""
    for mended in store.audit.mend():
        yield done("open <=> due", mended)


def redis(store: Store) -> Iterator[Finding]:
    """Check that Redis answers and keeps what it is given."""
    store.server.ping()
    facts = store.server.facts()
    yield ok("Redis", f"{facts.version} answers")
    yield from takes_writes(store)
    yield durability(facts)
    yield eviction(facts)
    yield connections(facts)


def takes_writes(store: Store) -> Iterator[Finding]:
    """Check that Redis takes a write: a replica, one without memory or without its replicas does not."""
    try:
        store.server.try_write()
    except StoreError as err:
        advice = "look at Redis: a replica instead of the master, maxmemory, min-replicas-to-write, its user's rights"
        yield fail("Redis", f"takes no write: {err}", advice)


def durability(facts: ServerFacts) -> Finding:
    """Check that a write is on disk before anybody acts on it."""
    if facts.durability == "always":
        return ok("durability", "every write is on disk before it is answered (appendfsync always)")
    if facts.durability == "waitaof":
        return ok("durability", "every write waits until it is on disk (WAITAOF)")
    held = "no append-only file" if facts.has_aof is False else f"appendfsync {facts.fsync or 'unknown'}"
    return fail(
        "durability",
        f"a power loss can undo what was acted on, and a video could be PAID FOR TWICE ({held}, no WAITAOF)",
        "set appendonly yes and appendfsync always, or use Valkey or Redis 7.2 and newer with appendonly yes",
    )


def eviction(facts: ServerFacts) -> Finding:
    """Check that Redis throws no record away."""
    policy = facts.eviction_policy
    if policy == "noeviction":
        return ok("eviction", "maxmemory-policy is noeviction")
    if policy is None:
        return warn("eviction", "the server does not tell its maxmemory-policy", "make sure that it is noeviction")
    advice = "set maxmemory-policy noeviction"
    if not facts.max_memory_bytes:
        return warn("eviction", f"maxmemory-policy is {policy}, harmless only while no maxmemory is set", advice)
    return fail("eviction", f"maxmemory-policy is {policy}: when memory is short, records of paid jobs go", advice)


def connections(facts: ServerFacts) -> Finding:
    """Check that Redis has room for the connections that the processes of one machine need under load."""
    if facts.clients is None or facts.most_clients is None:
        return ok("connections", "the server does not tell how many it takes; deploy/sizing.md has what is needed")
    held = f"{facts.clients} of {facts.most_clients} are open"
    if facts.clients >= MOST_IN_USE * facts.most_clients:
        return warn("connections", f"{held}: soon Redis refuses processes", MORE_ROOM)
    if facts.most_clients < NEEDED_CLIENTS:
        return warn(
            "connections", f"{held}, and the processes of one machine open {NEEDED_CLIENTS} under load", MORE_ROOM
        )
    return ok("connections", held)


def live_processes(settings: Settings, store: Store) -> Iterator[Finding]:
    """Check that each kind of process lives."""
    beats, now = store.heartbeats.all(), store.clock.now()
    expected = {"takes_callbacks": settings.public_url is not None, "serves_api": bool(settings.api_tokens)}
    for trouble in processes.troubles(beats, now, **expected):
        yield warn(trouble.kind, trouble.seen, trouble.advice)
    living = {kind: found for kind, found in processes.alive(beats, now).items() if found}
    if living:
        versions = sorted({beat.version for found in living.values() for beat in found})
        counts = ", ".join(f"{kind} {len(found)}" for kind, found in living.items())
        yield ok("processes", f"alive: {counts}; version {' and '.join(versions)}")


def clock(store: Store) -> Iterator[Finding]:
    """Check that due jobs are taken, each step at its own pace."""
    due = {job_id: due_at for due_at, job_id in store.due.open_ids() if is_job_id(job_id)}
    now, late = store.clock.now(), dict[Step, list[float]]()
    is_unseen, held = False, 0.0
    for job in store.records.outlines(due):
        held = max(held, overdue.held_seconds(job.leased_at, job.lease_until, now))
        waited = due[job.id], job.nudges, now
        step = overdue.step_of(job)
        if job.is_open and job.lease_until <= now and overdue.is_late(step, *waited):
            late.setdefault(step, []).append(overdue.waited_seconds(*waited))
            is_unseen = is_unseen or not job.nudges
    if not late:
        yield ok("clock", f"{len(due)} jobs are open, none is long overdue")
    if held > overdue.LEASE_SECONDS:
        yield warn(
            "clock",
            f"one step has held its job for {span(held)}: it copies slowly, or hangs",
            "see callsheet list --stuck, and the log of its process; replace the process if nothing moves",
        )
    for step, seconds in sorted(late.items()):
        needed = overdue.process_for(step)
        yield warn(
            "clock",
            f"{len(due)} jobs are open; {len(seconds)} have been due to {VERBS[step]} for long, the oldest for "
            f"{span(max(seconds))}",
            f"start the {'beat and sweeper' if is_unseen else needed} line of the Procfile, or look at its log",
        )


def paused(store: Store) -> Iterator[Finding]:
    """Warn of providers that an operator has paused."""
    for provider, since in sorted(store.pauses.paused().items()):
        yield warn(
            "paused", f"{provider} since {moment(since)}: its accepted jobs wait", f"callsheet resume {provider}"
        )


def limits_kept(settings: Settings, store: Store) -> Iterator[Finding]:
    """Report the use of each provider's limits, and what keeps jobs from it."""
    standings = [store.limits.standing(settings.limits(name)) for name in settings.providers]
    for standing in standings:
        what = f"{standing.limits.provider} limits"
        reasons = limits.held_back(standing)
        if limits.is_trouble(standing):
            yield warn(what, "; ".join(reasons), "look for breaker.opened in the logs; check its key and its balance")
        else:
            yield ok(what, "; ".join([limits.sentence(standing), *reasons]))
    yield from budgets(settings, store)


def budgets(settings: Settings, store: Store) -> Iterator[Finding]:
    """Report what each cap has counted; one that is used up keeps jobs waiting."""
    for row in costs.caps(store, settings.caps):
        if row["limit"] is None:
            continue
        of_tenant = f" of {row['tenant']}" if row["tenant"] else ""
        when = "this month" if row["cap"] == CapName.MONTHLY else "today"
        seen = (
            f"{Decimal(row['used']).normalize():f} of {row['limit']} USD{of_tenant} are spent or reserved {when} (UTC)"
        )
        if row["percent"] >= BUDGET_WARNS_AT:
            advice = f"what would pass it waits until {moment(row['resets_at'])}, or a greater {row['setting']}"
            yield warn("budget", seen, advice)
        else:
            yield ok("budget", seen)


def open_is_due(store: Store) -> Iterator[Finding]:
    """The invariant that no job is ever lost by."""
    breaches = store.audit.breaches()
    for breach in breaches[:SHOWN_BREACHES]:
        yield fail("open <=> due", breach, "a fault: keep the logs, report it; callsheet doctor --fix")
    if len(breaches) > SHOWN_BREACHES:
        yield fail("open <=> due", f"and {len(breaches) - SHOWN_BREACHES} more", "the same")
    if not breaches:
        yield ok("open <=> due", "every open job stands in the due index exactly once, and no other does")


def layouts(store: Store) -> Iterator[Finding]:
    """Check that every record can be read."""
    count = store.records.unknown_layouts()
    if count:
        yield warn(
            "layout",
            f"{count} records are of a layout that this Callsheet does not know: they are left alone",
            "let the Callsheet that wrote them finish these jobs, or update this one",
        )


def counters(store: Store) -> Iterator[Finding]:
    """Things that went wrong somewhere and were survived: a warning for a week, then only a number."""
    counted, latest, now = store.counters.all(), store.counters.counted_at(), store.clock.now()
    alarms = [(counter, counter.sentence) for counter in Counter if counter.is_grave and counted.get(counter)]
    for name, told in alarms:
        age_seconds = (now - latest.get(name, 0)) / 1000
        if name not in latest:
            yield warn("counters", f"{name} is {counted[name]}", told)
        elif age_seconds < ALARM_SECONDS:
            yield warn("counters", f"{name} is {counted[name]}, last {span(max(0.0, age_seconds))} ago", told)
        else:
            yield ok("counters", f"{name} is {counted[name]}, last {span(age_seconds)} ago: {told}")
    if not alarms:
        yield ok("counters", "nothing alarming was counted")


def networks(settings: Settings) -> Iterator[Finding]:
    """Check that downloads cannot go where they must not in production."""
    opened = ", ".join(str(network) for network in settings.allow_networks)
    if opened:
        yield warn(
            "networks",
            f"CALLSHEET_ALLOW_NETWORKS lets downloads and callbacks reach {opened}",
            "right on a machine of your own; unset it in production",
        )
    else:
        yield ok("networks", "downloads reach public addresses only")


def messages(settings: Settings) -> Iterator[Finding]:
    """Report whether messages that order videos must be signed."""
    if settings.message_secrets:
        yield ok("messages", "callsheet.generate must be signed")
    else:
        yield ok("messages", "are not signed: whoever can write to the broker can order videos")
