"""What is counted, for Prometheus. No label holds what a client wrote, except names that exist."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
FIRST = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)


class Metrics:
    """The counters of one server, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.requests = Counter(
            "portavoz_requests", "requests by route and status", ("route", "status"), registry=registry
        )
        self.disconnects = Counter("portavoz_disconnects", "clients that left early", registry=registry)
        self.audio = Counter("portavoz_audio_seconds", "seconds of sound made", ("model",), registry=registry)
        self.first = Histogram(
            "portavoz_first_audio_seconds", "from the request to the first bytes of sound", ("model",),
            registry=registry, buckets=FIRST,
        )  # fmt: skip
        self.running = Gauge("portavoz_running", "slots taken", registry=registry)
        self.waiting = Gauge("portavoz_waiting", "requests in the queue", registry=registry)
        self.slots = Gauge("portavoz_slots", "slots in all", registry=registry)
        self.models = Gauge("portavoz_models_open", "models in memory", registry=registry)
        self.opened = Gauge("portavoz_models_opened", "models opened since the start", registry=registry)
        self.closed = Gauge("portavoz_models_closed", "models closed since the start", registry=registry)

    def text(self) -> bytes:
        """The page that Prometheus reads."""
        return generate_latest(self.registry)
