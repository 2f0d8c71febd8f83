"""A model's list prices, as data."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

CURRENCY = "USD"


@dataclass(frozen=True)
class Price:
    """One list price. A condition that is None fits every order."""

    usd: Decimal
    per: str  # "second" or "video"
    resolution: str | None = None
    sound: bool | None = None
    mode: str | None = None
    source: str = ""
    read: date | None = None

    def fits(self, resolution: str, sound: bool | None, mode: str | None) -> bool:
        """Whether it is the price of such a video; an order that leaves open what the price goes by fits none."""
        asked = ((self.resolution, resolution), (self.sound, sound), (self.mode, mode))
        return all(condition is None or condition == value for condition, value in asked)

    def of(self, seconds: int) -> Decimal:
        """The price of a video of so many seconds."""
        return self.usd * seconds if self.per == "second" else self.usd

    def in_words(self) -> str:
        """Such as `0.112 USD 720p`, or `1.5 USD a video with sound`."""
        sound = None if self.sound is None else "with sound" if self.sound else "without sound"
        per = "a video" if self.per == "video" else None
        return " ".join(part for part in (f"{self.usd} {CURRENCY}", per, self.resolution, self.mode, sound) if part)


def price_of(prices: Iterable[Price], resolution: str, *, sound: bool | None, mode: str | None) -> Price | None:
    """The first of *prices* that fits; None where none does: it is not known."""
    return next((price for price in prices if price.fits(resolution, sound, mode)), None)
