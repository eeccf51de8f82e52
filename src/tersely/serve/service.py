"""From texts to scores for many clients at once: admission, tokenising, the batcher, timeouts.

Each accepted document counts against one limit from its arrival to its answer, so that what waits
for the tokenizer is bounded as well as what waits for the model. Nothing here knows of HTTP.
"""

from __future__ import annotations

import asyncio
import time
import warnings
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from tersely.classifier import Classifier
from tersely.errors import PlanError, ServeError, TerselyWarning
from tersely.serve.batcher import Batcher, Done
from tersely.serve.budgets import Budgets
from tersely.serve.metrics import Metrics
from tersely.serve.refusals import (
    BackendFailed,
    Invalid,
    Overloaded,
    TimedOut,
    TokenizerFailed,
    Unhealthy,
)
from tersely.text.encoding import EncodedDocuments, join_encoded

__all__ = ["Answer", "Document", "Limits", "Service"]

Document = tuple[str, str | None]
"""A text, and the second text of a pair or None."""


@dataclass(frozen=True)
class Limits:
    """What a server takes.

    Attributes:
        max_concurrent_requests: documents that are under way at a time; more get a 429.
        max_client_batch_size: documents of one request.
        payload_limit: bytes of a request's body.
        request_timeout: seconds for a request, and as many again for its body to arrive.
        auto_truncate: whether documents that are too long are shortened where a request does not
            say; as the model was trained to, and otherwise refused.
    """

    max_concurrent_requests: int = 512
    max_client_batch_size: int = 32
    payload_limit: int = 2_000_000
    request_timeout: float = 30.0
    auto_truncate: bool = True

    def __post_init__(self) -> None:
        if self.max_client_batch_size > self.max_concurrent_requests:
            raise ServeError(
                "max_client_batch_size must not exceed max_concurrent_requests "
                f"({self.max_concurrent_requests}), or the largest batch could never be taken, "
                f"got {self.max_client_batch_size}"
            )


@dataclass(frozen=True)
class Answer:
    """What a request gets.

    Attributes:
        logits: `(documents, labels)` float32.
        tokens: tokens that were read.
        unread: tokens that were cut off.
        tokenizing: seconds.
        waited: seconds in the queue, mean of the documents.
        ran: seconds in the model, mean of the documents.
    """

    logits: np.ndarray
    tokens: int
    unread: int
    tokenizing: float
    waited: float
    ran: float


@dataclass(frozen=True)
class _Work:
    """A document for the model, and the classifier, at some budget, that is to run it."""

    classifier: Classifier
    encoded: EncodedDocuments


class Service:
    """A classifier that many clients share.

    Args:
        classifier: a trained one.
        limits: what it takes.
        budgets: those that requests may ask for; None for what it reaches on made-up texts.

    Attributes:
        cut_off: documents of requests that the end of the server left without an answer.
    """

    def __init__(
        self,
        classifier: Classifier,
        limits: Limits | None = None,
        budgets: Budgets | None = None,
    ) -> None:
        self.classifier = classifier
        self.limits = limits or Limits()
        self.budgets = budgets or Budgets(classifier)
        self.metrics = Metrics()
        self.ready = False
        self.trouble = "the model is not ready"
        self.cut_off = 0
        self._under_way = 0
        # A tokenizer is not safe to share between threads, and one keeps a model busy.
        self._tokenizing = ThreadPoolExecutor(1, thread_name_prefix="tersely-tokenizer")
        # Finding the share for a budget takes a few runs, for which no other request should wait.
        self._planning = ThreadPoolExecutor(1, thread_name_prefix="tersely-budgets")
        self._batcher = Batcher(
            self._run, classifier.batch_tokens, self._observe, lambda work: work.classifier
        )
        self.metrics.waiting.set_function(lambda: len(self._batcher))

    # ---- beginning and end ---------------------------------------------------------------------

    async def start(self) -> None:
        """Start the worker and run a few batches, the largest first; then it is ready."""
        self._batcher.start()
        limit = self.classifier.limit
        try:
            for length in (limit, min(32, limit)):
                count = max(1, self.classifier.batch_tokens // length)
                texts = [_text_of(self.classifier.tokenizer, length)] * count
                encoded = self.classifier.encode(texts, tell=False)
                futures = self._submit(encoded, self.classifier)
                await asyncio.gather(*map(asyncio.wrap_future, futures))
            await asyncio.get_running_loop().run_in_executor(self._planning, self.budgets.prepare)
        except Exception as error:
            # Anybody may ask for the health; what the exception says is for the log.
            self.trouble = "the model failed on its first batch; the server's log says why"
            warnings.warn(
                f"the model failed on its first batch ({type(error).__name__}: {error}); no "
                "request will be answered",
                TerselyWarning,
                stacklevel=2,
            )
        else:
            self.ready = True

    async def stop(self) -> None:
        """Finish what was accepted, then stop the worker."""
        self.ready = False
        await asyncio.to_thread(self._batcher.close)
        for pool in (self._tokenizing, self._planning):
            pool.shutdown(wait=False, cancel_futures=True)

    @property
    def healthy(self) -> bool:
        """Whether a request would be answered: warm, and the worker alive."""
        return self.ready and self._batcher.alive

    # ---- a request -----------------------------------------------------------------------------

    async def logits(
        self,
        documents: Sequence[Document],
        *,
        truncate: bool | None = None,
        left: bool = False,
        budget: float | None = None,
    ) -> Answer:
        """Classify a request's documents; cancelling the call takes them out of the queue.

        Args:
            documents: texts and pairs.
            truncate: whether documents that are too long are shortened; None for the limits' own.
            left: whether the request wants their beginnings cut, which no model here does.
            budget: MACs over those without any removal; None for the model's own.

        Raises:
            Refusal: with its status and its message.
        """
        self._admit(len(documents))
        try:
            async with asyncio.timeout(self.limits.request_timeout):
                classifier = await self._at(budget)
                return await self._answer(classifier, documents, truncate, left)
        except TimeoutError:
            raise TimedOut(
                f"the answer was not ready within {self.limits.request_timeout:g} s"
            ) from None
        finally:
            self._under_way -= len(documents)

    def _admit(self, count: int) -> None:
        limits = self.limits
        if count > limits.max_client_batch_size:
            raise Invalid(
                f"batch size {count} > maximum allowed batch size {limits.max_client_batch_size}"
            )
        if not self.healthy:
            raise Unhealthy(self.trouble)
        if self._under_way + count > limits.max_concurrent_requests:
            raise Overloaded("Model is overloaded")
        self._under_way += count
        self.metrics.predictions.inc(count)

    async def _at(self, budget: float | None) -> Classifier:
        """The classifier at a budget; the first request for one waits until its share is found."""
        if budget is None:
            return self.classifier
        try:
            known = self.budgets.known(budget)
            if known is not None:
                return known
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._planning, self.budgets.at, budget)
        except PlanError as error:
            raise Invalid(str(error)) from None
        except Exception as error:
            raise BackendFailed(f"Inference failed: {type(error).__name__}") from error

    async def _answer(
        self,
        classifier: Classifier,
        documents: Sequence[Document],
        truncate: bool | None,
        left: bool,
    ) -> Answer:
        begun = time.monotonic()
        loop = asyncio.get_running_loop()
        encoded = await loop.run_in_executor(self._tokenizing, self._encode, documents)
        tokenized = time.monotonic() - begun
        self._check_lengths(encoded, truncate, left)
        for size in encoded.sizes.tolist():
            self.metrics.lengths.observe(size)
        futures = self._submit(encoded, classifier)
        try:
            done: list[Done] = await asyncio.gather(*map(asyncio.wrap_future, futures))
        except asyncio.CancelledError:
            raise
        except Exception as error:
            raise BackendFailed(f"Inference failed: {type(error).__name__}") from error
        finally:
            for future in futures:
                future.cancel()
        logits = np.stack([each.value for each in done])
        if not np.isfinite(logits).all():
            raise BackendFailed("score is NaN")
        self.metrics.predicted.inc(len(documents))
        return Answer(
            logits,
            tokens=encoded.tokens,
            unread=encoded.report.unread,
            tokenizing=tokenized,
            waited=float(np.mean([each.waited for each in done])),
            ran=float(np.mean([each.ran for each in done])),
        )

    def _encode(self, documents: Sequence[Document]) -> EncodedDocuments:
        """Tokenise texts and pairs, each kind in one call, in the order of the request."""
        single = [i for i, (_, pair) in enumerate(documents) if pair is None]
        paired = [i for i, (_, pair) in enumerate(documents) if pair is not None]
        parts = []
        try:
            if single:
                texts = [documents[i][0] for i in single]
                parts.append(self.classifier.encode(texts, tell=False))
            if paired:
                firsts, seconds = zip(*(documents[i] for i in paired), strict=True)
                parts.append(self.classifier.encode(list(firsts), list(seconds), tell=False))
        except Exception as error:
            raise TokenizerFailed(f"Tokenization error: {type(error).__name__}") from error
        order = np.argsort(np.array(single + paired))
        return join_encoded(parts).select(order)

    def _check_lengths(self, encoded: EncodedDocuments, truncate: bool | None, left: bool) -> None:
        report = encoded.report
        if not report.affected or report.policy == "windows":
            return
        truncate = self.limits.auto_truncate if truncate is None else truncate
        if not truncate:
            raise Invalid(
                f"`inputs` must have at most {report.max_length} tokens; {report.affected} of "
                f"{report.documents} have more, and truncate is false"
            )
        if left:
            raise Invalid(
                "`truncation_direction` must be right: this model does not read the ends of texts "
                f"alone, and {report.affected} of {report.documents} inputs have more than "
                f"{report.max_length} tokens"
            )
        self.metrics.shortened.inc(report.affected)
        self.metrics.unread.inc(report.unread)

    # ---- the model -----------------------------------------------------------------------------

    def _submit(self, encoded: EncodedDocuments, classifier: Classifier) -> list[Future[Done]]:
        return self._batcher.submit(
            [
                (_Work(classifier, encoded.select(np.array([i]))), size)
                for i, size in enumerate(encoded.sizes.tolist())
            ]
        )

    def _run(self, items: list[_Work]) -> np.ndarray:
        # All of one classifier, since the batcher takes it for their kind.
        encoded = join_encoded([item.encoded for item in items])
        return items[0].classifier.forward(encoded).logits

    def _observe(self, documents: int, tokens: int) -> None:
        if not self.ready:  # the batches that warm it up are nobody's traffic
            return
        self.metrics.batch_documents.observe(documents)
        self.metrics.batch_tokens.observe(tokens)


def _text_of(tokenizer: object, length: int) -> str:
    """A text of about so many tokens: words of the vocabulary, each of which is one token."""
    words = [word for word in tokenizer.get_vocab() if word.isalpha()] or ["a"]
    return " ".join(words[number % len(words)] for number in range(length))
