"""The server's figures, in Prometheus' format under the names of text-embeddings-inference.

Its counters have names without the suffix `_total`, which prometheus-client gives all counters. So
that its dashboards work here, they are gauges that only rise.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

__all__ = ["Metrics"]

_SECONDS = [15e-6 * 1.5**step for step in range(35)]
_POWERS = [2.0**step for step in range(17)]


class Metrics:
    """What is counted and timed; one registry a server, so that two of them do not mix."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = self._rising("te_request_count", "Requests.", ["method"])
        self.successes = self._rising("te_request_success", "Requests answered.", ["method"])
        self.failures = self._rising("te_request_failure", "Requests refused or failed.", ["err"])
        self.predictions = self._rising("te_predict_count", "Documents taken.")
        self.predicted = self._rising("te_predict_success", "Documents answered.")
        self.waiting = self._rising("te_queue_size", "Documents in the queue.")
        self.duration = self._seconds("te_request_duration", "A request, in seconds.")
        self.tokenization = self._seconds(
            "te_request_tokenization_duration", "Tokenising a request, in seconds."
        )
        self.queue = self._seconds(
            "te_request_queue_duration", "Waiting in the queue, in seconds, mean of a request."
        )
        self.inference = self._seconds(
            "te_request_inference_duration", "In the model, in seconds, mean of a request."
        )
        self.lengths = self._sizes("te_request_input_length", "Tokens of a document.")
        self.batch_documents = self._sizes("te_batch_next_size", "Documents of a batch.")
        self.batch_tokens = self._sizes("te_batch_next_tokens", "Tokens of a batch.")
        # What TEI does not count: how much of its input was never read.
        self.shortened = Counter(
            "tersely_shortened_documents",
            "Documents longer than the model's limit.",
            registry=self.registry,
        )
        self.unread = Counter(
            "tersely_unread_tokens", "Tokens that were cut off.", registry=self.registry
        )

    def render(self) -> bytes:
        """All figures in Prometheus' text format."""
        return generate_latest(self.registry)

    def _rising(self, name: str, what: str, labels: list[str] | None = None) -> Gauge:
        return Gauge(name, what, labels or [], registry=self.registry)

    def _seconds(self, name: str, what: str) -> Histogram:
        return Histogram(name, what, buckets=_SECONDS, registry=self.registry)

    def _sizes(self, name: str, what: str) -> Histogram:
        return Histogram(name, what, buckets=_POWERS, registry=self.registry)
