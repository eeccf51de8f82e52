"""From texts to scores for many clients at once: admission, tokenising, the batcher, timeouts.

Each accepted document counts against one limit from its arrival to its answer, so that what waits
for the tokenizer is bounded as well as what waits for the model. Nothing here knows of HTTP but the
statuses of its refusals and the names of TEI's headers.
"""

import asyncio
import functools
import logging
import operator
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from tersely.certificates import Audit
from tersely.classifier import Classifier
from tersely.errors import TerselyError, warn
from tersely.export.directory import made_up_texts
from tersely.modeling.inference import Forward
from tersely.serve import Limits
from tersely.serve.batcher import Batcher, Done
from tersely.serve.schemas import Refusal
from tersely.text.encoding import EncodedDocuments, LengthReport, join_encoded

logger = logging.getLogger(__name__)

Document = tuple[str, str | None]
"""A text, and the second text of a pair or None."""

_SECONDS = [15e-6 * 1.5**step for step in range(35)]
_POWERS = [2.0**step for step in range(17)]

_AUDIT = {
    "audited": "Documents drawn for audit.",
    "differing": "Of those, answered early with a different label than the reference.",
    "at_least": "A lower bound on the share that differs, at the audit's confidence.",
    "plausible": "1 while the certified limit is plausible, 0 when it no longer is.",
}


class Metrics:
    """What is counted and timed; one registry a server, so that two of them do not mix."""

    def __init__(self, audit: Callable[[], Audit | None] = lambda: None) -> None:
        self.registry = CollectorRegistry()
        options: dict[str, Any] = {"namespace": "tersely", "registry": self.registry}
        total = functools.partial(Counter, **options)
        seconds = functools.partial(Histogram, **options, unit="seconds", buckets=_SECONDS)
        sizes = functools.partial(Histogram, **options, buckets=_POWERS)
        self.requests = total("requests", "Requests for predictions, by status.", ["status"])
        self.taken = total("documents_taken", "Documents that were accepted.")
        self.answered = total("documents_answered", "Documents that were answered.")
        self.apart = total("documents_for_review", "Documents that people should look at.")
        self.shortened = total("documents_shortened", "Documents longer than the model's limit.")
        self.unread = total("unread_tokens", "Tokens that were cut off.")
        self.waiting = Gauge("queue_documents", "Documents in the queue.", **options)
        self.request = seconds("request", "A request that was answered.")
        self.tokenization = seconds("tokenization", "Tokenising a request.")
        self.queue = seconds("queue", "Waiting in the queue, mean of a request's documents.")
        self.inference = seconds("inference", "In the model, mean of a request's documents.")
        self.lengths = sizes("document_tokens", "Tokens of a document.")
        self.batch_documents = sizes("batch_documents", "Documents of a batch.")
        self.batch_tokens = sizes("batch_tokens", "Tokens of a batch.")
        for field, text in (_AUDIT if audit() is not None else {}).items():
            read = functools.partial(lambda field: float(audit().report()[field]), field)
            Gauge(f"audit_{field}", text, **options).set_function(read)


class Asked(NamedTuple):
    """Documents of a request, or of warming up, for the classifier that encoded them."""

    encoded: EncodedDocuments
    classifier: Classifier
    traffic: bool = True


class Service:
    """A trained classifier that many clients share.

    `trouble` is why it is not ready, in words that anybody may read; `cut_off` are documents of
    requests that the end of the server left without an answer. `share` of the documents are drawn
    at random for `audit`, which is None where that is 0.

    Raises:
        ModelError: if there is nothing that an audit could watch.
    """

    def __init__(
        self, classifier: Classifier, limits: Limits | None = None, *, share: float = 0.0
    ) -> None:
        self.classifier = classifier
        self.limits = limits or Limits()
        self.audit = classifier.new_audit() if share else None
        self.metrics = Metrics(lambda: self.audit)
        self.ready = False
        self.trouble = "the model is not ready"
        self.cut_off = 0
        self._under_way = 0
        # A tokenizer is not safe to share between threads, and one keeps a model busy.
        self._tokenizing = ThreadPoolExecutor(1, thread_name_prefix="tersely-tokenizer")
        self._share, self._draw = share, np.random.default_rng(0)
        self._answered: list[tuple[Asked, Forward]] = []
        self._swapping = threading.Lock()
        self._batcher = Batcher(self._run, classifier.batch_tokens, self._watch)
        self.metrics.waiting.set_function(lambda: len(self._batcher))

    async def start(self) -> None:
        """Start the worker, and warm the classifier up."""
        self._batcher.start()
        self.ready = await asyncio.to_thread(self.swap, lambda: self.classifier)

    def swap(self, load: Callable[[], Classifier]) -> bool:
        """Load a classifier, warm it up, and answer with it from then on; tell if it worked.

        It runs two batches, of the longest documents and of short ones. Nobody waits for it but the
        caller. Where it fails, the model that is there goes on, and a warning says why.
        """
        with self._swapping:
            try:
                classifier = load()
                audit = classifier.new_audit() if self._share else None
                for longest in (classifier.limit, min(32, classifier.limit)):
                    text = made_up_texts(classifier.tokenizer, longest)[-1]
                    count = max(1, classifier.batch_tokens // longest)
                    encoded = classifier.encode([text] * count, tell=False)
                    for future in self._submit(Asked(encoded, classifier, traffic=False)):
                        future.result()
            except Exception as error:  # of files, of torch or of the system; for the log alone
                self.trouble = "the model failed on its first batch; the server's log says why"
                after = "the one before goes on" if self.ready else "no request will be answered"
                reason = f"{type(error).__name__}: {error}"
                warn(f"the model failed before its first answer ({reason}); {after}")
                return False
            self._batcher.budget = classifier.batch_tokens
            self.classifier, self.audit = classifier, audit
            return True

    async def stop(self) -> None:
        """Finish what was accepted, then stop the worker."""
        self.ready = False
        await asyncio.to_thread(self._batcher.close)
        self._tokenizing.shutdown(wait=False, cancel_futures=True)

    @property
    def healthy(self) -> bool:
        """Whether a request would be answered: warm, and the worker alive."""
        return self.ready and self._batcher.alive

    async def answer(
        self, documents: Sequence[Document], *, truncate: bool | None = None
    ) -> tuple[np.ndarray, np.ndarray, Classifier, dict[str, float]]:
        """Return logits of a request, what is set apart, by whom, and what it took, in TEI's names.

        Logits are `(documents, labels)`, and `(documents,)` is true for what people should look at.
        Cancelling the call takes the documents out of the queue. `truncate` says what is done with
        those that are too long; None is what the limits say.
        """
        self._admit(len(documents))
        try:
            async with asyncio.timeout(self.limits.request_timeout):
                return await self._answer(documents, truncate)
        except TimeoutError:
            seconds = self.limits.request_timeout
            raise Refusal(504, f"the answer was not ready within {seconds:g} s") from None
        finally:
            self._under_way -= len(documents)

    def _admit(self, count: int) -> None:
        most = self.limits.max_client_batch_size
        if count > most:
            raise Refusal(422, f"batch size {count} > maximum allowed batch size {most}")
        if not self.healthy:
            raise Refusal(503, self.trouble)
        if self._under_way + count > self.limits.max_concurrent_requests:
            raise Refusal(429, "Model is overloaded")
        self._under_way += count
        self.metrics.taken.inc(count)

    async def _answer(
        self, documents: Sequence[Document], truncate: bool | None
    ) -> tuple[np.ndarray, np.ndarray, Classifier, dict[str, float]]:
        begun = time.monotonic()
        loop, classifier = asyncio.get_running_loop(), self.classifier
        work = functools.partial(self._encode, classifier, documents)
        parts = await loop.run_in_executor(self._tokenizing, work)
        tokenizing = time.monotonic() - begun
        report = functools.reduce(operator.add, (encoded.report for encoded, _ in parts))
        self._check_lengths(report, truncate)
        futures: dict[int, Future[Done]] = {}
        for encoded, numbers in parts:
            futures |= zip(numbers, self._submit(Asked(encoded, classifier)), strict=True)
        futures = [futures[number] for number in range(len(documents))]
        try:
            done: list[Done] = await asyncio.gather(*map(asyncio.wrap_future, futures))
        except Exception as error:  # of torch or of the system, in the worker's thread
            # A client is told what our own sentences say, and of others the class alone.
            logger.error("the model failed", exc_info=error)
            reason = str(error) if isinstance(error, TerselyError) else type(error).__name__
            raise Refusal(424, f"Inference failed: {reason}") from error
        finally:
            for future in futures:
                future.cancel()
        logits, apart = map(np.stack, zip(*(each.value for each in done), strict=True))
        if not np.isfinite(logits).all():
            raise Refusal(424, "score is NaN")
        waited, ran = (float(np.mean(each)) for each in zip(*(d[1:] for d in done), strict=True))
        self.metrics.answered.inc(len(documents))
        self.metrics.apart.inc(int(apart.sum()))
        took = {"x-compute-tokens": sum(encoded.tokens for encoded, _ in parts)}
        took["x-unread-tokens"] = report.unread
        # Times in whole milliseconds, as TEI gives them.
        for name, seconds in ("tokenization", tokenizing), ("queue", waited), ("inference", ran):
            took[f"x-{name}-time"] = round(seconds * 1000)
            getattr(self.metrics, name).observe(seconds)
        return logits, apart, classifier, took

    def _encode(
        self, classifier: Classifier, documents: Sequence[Document]
    ) -> list[tuple[EncodedDocuments, list[int]]]:
        """Tokenise a request's texts in one call and its pairs in another, with their numbers."""
        parts = []
        for paired in (False, True):
            numbers = [i for i, (_, other) in enumerate(documents) if (other is not None) is paired]
            if not numbers:
                continue
            if paired and classifier.model_config.pairs is False:
                said = "the model was trained on single texts, got a pair; send several texts as "
                raise Refusal(422, said + "[[text], [text], …]")
            firsts, seconds = map(list, zip(*(documents[i] for i in numbers), strict=True))
            try:
                encoded = classifier.encode(firsts, seconds if paired else None, tell=False)
            except Exception as error:  # tokenizers' own has no class but this one
                reason = f"Tokenization error: {type(error).__name__}: {error}"
                reason = str(error) if isinstance(error, TerselyError) else reason
                raise Refusal(422, reason, "Tokenizer") from error
            parts.append((encoded, numbers))
        return parts

    def _check_lengths(self, report: LengthReport, truncate: bool | None) -> None:
        if not report.affected or report.policy == "windows":
            return
        if not (self.limits.auto_truncate if truncate is None else truncate):
            most = f"`inputs` must have at most {report.max_length} tokens where truncate is false"
            raise Refusal(422, f"{most}, and {report.affected} of {report.documents} have more")
        self.metrics.shortened.inc(report.affected)
        self.metrics.unread.inc(report.unread)

    def _submit(self, asked: Asked) -> list[Future[Done]]:
        """Queue documents, each as what it was asked with and its number therein."""
        sizes = asked.encoded.sizes.tolist()
        if asked.traffic:
            for size in sizes:
                self.metrics.lengths.observe(size)
        return self._batcher.submit([((asked, i), size) for i, size in enumerate(sizes)])

    def _run(self, items: list[tuple[Asked, int]]) -> list[tuple[np.ndarray, bool]]:
        rows: list[tuple[np.ndarray, bool]] = []
        # Two of them only where a swap, or its warming up, falls into the batch.
        for (classifier, traffic), own in groupby(items, lambda item: item[0][1:]):
            groups = (list(group) for _, group in groupby(own, lambda item: id(item[0])))
            parts = [group[0][0].encoded.select([i for _, i in group]) for group in groups]
            encoded = join_encoded(parts)
            forward = classifier.forward(encoded)
            apart = classifier.set_apart(forward)
            apart = [False] * len(encoded) if apart is None else apart
            rows.extend(zip(forward.logits, apart, strict=True))
            if traffic:
                self.metrics.batch_documents.observe(len(encoded))
                self.metrics.batch_tokens.observe(encoded.tokens)
                if self.audit is not None:
                    self._answered.append((Asked(encoded, classifier), forward))
        return rows

    def _watch(self) -> None:
        """Audit some of what was just answered, so that nobody waits for his own audit."""
        while self._answered:
            (encoded, classifier, _), forward = self._answered.pop()
            drawn, audit = self._draw.random(len(encoded)) < self._share, self.audit
            if classifier is not self.classifier:  # swapped since; its audit is over
                continue
            warned = audit.warns
            try:
                classifier.watch(audit, encoded, forward, drawn)
            except Exception as error:  # of torch or of the system; answers do not depend on it
                logger.error("the reference failed in the audit", exc_info=error)
            if audit.warns and not warned:
                warn(audit.sentence())
