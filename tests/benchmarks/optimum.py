"""The fewest GETs that any schedule of polls can need: the wall behind T7.

A job's poll at *b*, the one before it at *a*, finds a generation that lasted between the two. It is late when the
generation lasted less than (b - 2) / 1.1. Found here is the schedule with the fewest GETs among those that are late
for at most one job in twenty, by someone who knows the distribution exactly, has no sweep to wait for and may poll
a whole burst at the same instant.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

LATE_SHARE = 0.05
SHORTEST, LONGEST, INSTANTS = 5.0, 3600.0, 2400
WIDEST_GAP = 110
"""In steps of the grid: a third longer than before. No good schedule has a wider one, but for the first."""

Share = Callable[[float], float]


def log_normal_share(low: float, high: float) -> Share:
    """The share of generations that have ended after so many seconds; 95 % lie between *low* and *high*."""
    middle, spread = (math.log(low) + math.log(high)) / 2, (math.log(high) - math.log(low)) / 2 / 1.96
    return lambda seconds: 0.5 * (1 + math.erf((math.log(seconds) - middle) / spread / math.sqrt(2)))


def fewest_gets(share: Share) -> float:
    """GETs per job of the best schedule that is late for at most `LATE_SHARE` of them."""
    instants = [SHORTEST * (LONGEST / SHORTEST) ** (i / (INSTANTS - 1)) for i in range(INSTANTS)]
    ended = [share(at) for at in instants]
    too_quick = [share((at - 2) / 1.1) for at in instants]
    cheap, dear = 0.0, 200.0  # what a late job costs, in GETs
    for _ in range(14):
        price = (cheap + dear) / 2
        _, late = _best(price, ended, too_quick)
        cheap, dear = (price, dear) if late > LATE_SHARE else (cheap, price)
    return _best(dear, ended, too_quick)[0]


def _best(price: float, ended: Sequence[float], too_quick: Sequence[float]) -> tuple[float, float]:
    """GETs and late jobs, per job, of the schedule that costs least at that price."""
    cost, gets, late = ([0.0] * INSTANTS for _ in range(3))

    def via(following: int, before: float) -> tuple[float, int]:
        return 1 - before + price * max(0.0, too_quick[following] - before) + cost[following], following

    for at in range(INSTANTS - 2, -1, -1):
        before = ended[at]
        cost[at], following = min(via(i, before) for i in range(at + 1, min(INSTANTS, at + WIDEST_GAP)))
        gets[at] = 1 - before + gets[following]
        late[at] = max(0.0, too_quick[following] - before) + late[following]
    _, first = min(via(i, 0.0) for i in range(INSTANTS))
    return 1 + gets[first], too_quick[first] + late[first]
