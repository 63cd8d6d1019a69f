"""What Prometheus reads at /metrics.

BentoML's own request metrics are switched off (`app.py`) because they label each request with its raw path:
whoever asks for a million paths makes a million time series. Here a route is one of those that exist, a
method one of those of HTTP, and everything else is "other".

With several worker processes the metrics live in files that the workers share (`prometheus_client`'s
multiprocess mode, which BentoML sets up); any worker then answers for all.
"""

import os
from pathlib import Path

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

CONTENT_TYPE = CONTENT_TYPE_LATEST
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """The metrics of one process.

    Args:
        shared_dir: folder that the worker processes share; None for one process alone.
    """

    def __init__(self, shared_dir: Path | None = None) -> None:
        self._shared_dir = shared_dir
        self._registry = registry = CollectorRegistry()
        self.requests = Counter(
            "lodisc_requests", "Requests answered.", ["route", "method", "status"], registry=registry
        )
        self.request_seconds = Histogram(
            "lodisc_request_seconds", "Seconds to answer.", ["route"], buckets=SECONDS, registry=registry
        )
        self.access_refused = Counter(
            "lodisc_access_refused", "Requests that were not let in, by the code of the error.", ["reason"],
            registry=registry,
        )  # fmt: skip
        self.stage_seconds = Histogram(
            "lodisc_stage_seconds",
            "Seconds of one picture (decode, queue, encode) or one request (read, search) in a stage.",
            ["stage"],
            buckets=SECONDS,
            registry=registry,
        )
        self.batch_pictures = Histogram(
            "lodisc_batch_pictures",
            "Pictures in one encoder run.",
            buckets=(1, 2, 4, 8, 16, 32),
            registry=registry,
        )
        self.pictures = Counter("lodisc_pictures", "Pictures by what became of them.", ["outcome"], registry=registry)
        self.cache = Counter(
            "lodisc_cache", "Pictures looked up in the embedding cache, by hit or miss.", ["outcome"], registry=registry
        )
        self.refusals = Counter(
            "lodisc_refusals", "Requests that were refused, by the code of the error.", ["code"], registry=registry
        )
        self.swaps = Counter(
            "lodisc_swaps", "Changes to another catalogue while serving, by outcome.", ["outcome"], registry=registry
        )
        self.in_flight = Gauge(
            "lodisc_pictures_in_flight",
            "Pictures being decoded, queued or encoded.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.waiting = Gauge(
            "lodisc_pictures_waiting",
            "Pictures in flight that nobody works at yet: the queue.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.answers = Counter(
            "lodisc_answers",
            "Searches by what was answered: known (a sure name), unsure, unknown (none of these), uncalibrated.",
            ["verdict"],
            registry=registry,
        )
        self.best_similarity = Histogram(
            "lodisc_best_similarity",
            "Cosine of a query to its first neighbour; a fall means queries unlike the catalogue.",
            buckets=tuple(step / 10 for step in range(11)),
            registry=registry,
        )

    def batch(self, size: int, _seconds: float) -> None:
        """One run of the encoder is done."""
        self.batch_pictures.observe(size)

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        """One request is answered."""
        self.requests.labels(route=route, method=method if method in METHODS else "other", status=str(status)).inc()
        self.request_seconds.labels(route=route).observe(seconds)

    def render(self) -> bytes:
        """The text that Prometheus scrapes."""
        if self._shared_dir is None:
            return generate_latest(self._registry)
        registry = CollectorRegistry()
        MultiProcessCollector(registry, path=str(self._shared_dir))  # type: ignore[no-untyped-call]
        return generate_latest(registry)

    def close(self) -> None:
        """Take this process out of the gauges that count live processes."""
        if self._shared_dir is not None:
            mark_process_dead(os.getpid(), path=str(self._shared_dir))  # type: ignore[no-untyped-call]
