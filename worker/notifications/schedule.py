"""The schedule of a notification's tries: at once, then ever more rarely, for three days in all.

The first tries are close together, since most failures are a restart of the receiver; the last are hours apart, since
a receiver may be away over a weekend. Every wait is spread by a tenth each way, so that the jobs of one outage do not
come back as one burst.
"""

from __future__ import annotations

import random

HOUR = 3600.0
WAITS_SECONDS = (5.0, 30.0, 120.0, 600.0, 1800.0, HOUR, 2 * HOUR)
"""Between the first tries."""
LONGEST_WAIT_SECONDS = 4 * HOUR
"""Between all later ones. A Retry-After is heeded up to this."""
TOTAL_SECONDS = 72 * HOUR
"""After the first try; the last one is made before."""


def wait_seconds(
    tries: int, age_seconds: float, rng: random.Random, *, retry_after_seconds: float | None = None
) -> float | None:
    """The time until the next try, after so many tries (from 1) since the first, *age_seconds* ago.

    None: there is none, the notification is dead.
    """
    planned = WAITS_SECONDS[tries - 1] if tries <= len(WAITS_SECONDS) else LONGEST_WAIT_SECONDS
    wait = planned * rng.uniform(0.9, 1.1)
    if retry_after_seconds is not None:
        asked = min(retry_after_seconds, LONGEST_WAIT_SECONDS)
        wait = max(wait, asked + rng.uniform(0, 0.1 * asked))
    return wait if age_seconds + wait <= TOTAL_SECONDS else None
