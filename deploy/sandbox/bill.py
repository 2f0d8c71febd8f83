"""The bill of each provider: what every request cost, by the vendor's prices and its own rules on failures.

GMI Cloud reserves the price at the submit and charges no failures (https://docs.gmicloud.ai, "failures are not
charged"). APIMart books a finished task, with its cost in the record, and refunds failed ones; it publishes no price:
the one here is the sandbox's own. EvoLink charges at the submit and does not say who pays for a failed task: here it is
charged, unless told otherwise. The sandbox knows no prices of the other providers.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from deploy.sandbox.generations import Generation, Outcome, Phase

PER_SECOND: dict[str, dict[str, Decimal]] = {
    "gmicloud": {"720p": Decimal("0.112"), "1080p": Decimal("0.14")},
    "evolink": {"720p": Decimal("0.106"), "1080p": Decimal("0.132")},
    "apimart": {"720p": Decimal("0.085"), "1080p": Decimal("0.11")},
}
"""USD per second by resolution: https://docs.gmicloud.ai/model-quickstarts/video/kling-3-0-turbo-t2v,
https://evolink.ai/kling-3-0-turbo, and APIMart's as the sandbox has it."""

CHARGES_FAILURES = {"gmicloud": False, "evolink": True, "apimart": False}


def price(generation: Generation) -> Decimal | None:
    """The price of a request in USD; None where the sandbox knows none."""
    per_second = PER_SECOND.get(generation.provider, {}).get(generation.asked.resolution)
    return None if per_second is None else per_second * generation.asked.video_seconds


class Bill:
    """All providers' bills, made from their requests when they are asked for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._charges_failures = dict(CHARGES_FAILURES)

    def charge_failures(self, provider: str, *, is_charged: bool) -> None:
        """Have failed requests at *provider* charged, or refunded."""
        if provider not in CHARGES_FAILURES:
            raise ValueError(f"provider must be one of {', '.join(CHARGES_FAILURES)}")
        with self._lock:
            self._charges_failures[provider] = is_charged

    def reset(self) -> None:
        """Charge failures as the providers' documents have it."""
        with self._lock:
            self._charges_failures = dict(CHARGES_FAILURES)

    def told(self, generations: Iterable[Generation], now: float) -> dict[str, Any]:
        """A line for each request, in the order they came, and the sums by provider, as of *now* (Unix seconds)."""
        lines = [self._line(generation, now) for generation in generations if price(generation) is not None]
        sums = dict.fromkeys(PER_SECOND, Decimal(0))
        for row in lines:
            sums[row["provider"]] += Decimal(row["usd"])
        return {
            "currency": "USD",
            "charges_failures": dict(self._charges_failures),
            "lines": lines,
            "sums": {name: f"{total:f}" for name, total in sums.items()},
        }

    def _line(self, generation: Generation, now: float) -> dict[str, Any]:
        standing = self._standing(generation, now)
        cost = price(generation) if standing in ("reserved", "charged") else Decimal(0)
        return {
            "request_id": generation.request_id,
            "provider": generation.provider,
            "model": generation.asked.model,
            "resolution": generation.asked.resolution,
            "seconds": generation.asked.video_seconds,
            "created_at": generation.created_at,
            "standing": standing,
            "usd": f"{cost:f}",
        }

    def _standing(self, generation: Generation, now: float) -> str:
        """`reserved` until the end; then `charged`, or `refunded` where the provider does not charge failures."""
        if generation.phase(now) not in (Phase.COMPLETED, Phase.FAILED, Phase.CANCELLED):
            return "reserved"
        if generation.fate.outcome is Outcome.COMPLETED or self._charges_failures[generation.provider]:
            return "charged"
        return "refunded"
