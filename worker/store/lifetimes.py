"""The life of what the store keeps of a job once it is closed."""

from __future__ import annotations

from dataclasses import dataclass

DAY_MS = 24 * 60 * 60 * 1000
TOMBSTONE_MS = 90 * DAY_MS
"""The life of a job's tombstone beyond that of its record."""


@dataclass(frozen=True)
class Lifetimes:
    """Milliseconds for which things are kept. `retention_ms`: a closed job's record."""

    retention_ms: int

    @property
    def tombstone_ms(self) -> int:
        """A closed job's tombstone."""
        return self.retention_ms + TOMBSTONE_MS

    @property
    def request_id_ms(self) -> int:
        """The entry of a request id: longer than a job can stay open and its tombstone be kept."""
        return 3 * self.retention_ms + TOMBSTONE_MS
