"""What a server counts, in the words of Prometheus."""

from __future__ import annotations

from typing import Any

__all__ = ["Metrics"]


class Metrics:
    """Counters of one server, in a registry of their own.

    The names of the attributes are those of the metrics without ``text2earth_`` and without units.
    """

    def __init__(self) -> None:
        from prometheus_client import (  # type: ignore[import-not-found, unused-ignore]
            CollectorRegistry,
            Counter,
            Gauge,
            Histogram,
        )

        self.registry = CollectorRegistry()
        common: Any = {"namespace": "text2earth", "registry": self.registry}
        seconds = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
        sizes = (1, 2, 4, 8, 16, 32, 64)
        self.requests = Counter("requests", "Answers by route and status.", ["route", "status"], **common)
        self.seconds = Histogram("request_seconds", "From request to answer.", ["route"], buckets=seconds, **common)
        self.painted = Counter("tiles_painted", "Tiles that the world painted.", **common)
        self.painting_seconds = Counter("painting_seconds", "Spent in painting.", **common)
        self.batches = Histogram("batch_tiles", "Tiles painted in one call.", buckets=sizes, **common)
        self.joined = Counter("tiles_joined", "Wishes for a tile that was on its way already.", **common)
        self.remembered = Counter("tiles_remembered", "Wishes for a tile that was in memory.", **common)
        self.refused = Counter("tiles_refused", "Tiles for which the queue had no room.", **common)
        self.abandoned = Counter("tiles_abandoned", "Tiles that left the queue as nobody waited any more.", **common)
        self.failed = Counter("tiles_failed", "Tiles that could not be painted.", **common)
        self.unchanged = Counter("not_modified", "Answers that the client had already (304).", **common)
        self.waiting = Gauge("queue_tiles", "Tiles that wait to be painted.", **common)
        self.on_the_easel = Gauge("painting_tiles", "Tiles that are being painted.", **common)
        self.worlds = Gauge("open_worlds", "Worlds that are open.", **common)
        self.memory = Gauge("memory_bytes", "Of tiles in memory.", **common)

    def text(self) -> tuple[bytes, str]:
        """Return the metrics in Prometheus' text format, and its media type."""
        from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

        return bytes(generate_latest(self.registry)), str(CONTENT_TYPE_LATEST)
