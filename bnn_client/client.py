"""The client for programs that wait for each answer; safe to share between threads."""

import time
from collections.abc import Iterable
from time import monotonic
from types import TracebackType
from typing import Self, TypeVar

import httpx

from bnn_client.answers import Batch, Classification, ServiceInfo
from bnn_client.errors import ClientError, ServiceError
from bnn_client.exchange import (
    LIMITS,
    POLL_SECONDS,
    Call,
    State,
    ask,
    make_target,
    may_become_ready,
    read_answer,
    send_batch,
    send_one,
    translate_faults,
)
from bnn_client.images import ImageSource, read_image
from bnn_client.retries import Attempts, Retry

_T = TypeVar("_T")


class Client:
    """A client of one service, which keeps its connections until it is closed, or `with` ends.

    Args:
        url: where the service is, such as http://127.0.0.1:8000; a path before its own is kept.
        api_key: sent as a bearer token to that URL alone; redirects are not followed.
        deadline_ms: milliseconds that each answer may take, from the image's arrival on; None: what
            the service allows by itself.
        timeout: seconds of silence that are borne; if a deadline is longer, five seconds beyond it.
        retry: how often and how long requests are repeated; Retry(attempts=1): never.
        http: an httpx.Client of yours, with proxies or certificates as you need them. It is not
            closed here.

    Raises:
        ValueError: an argument cannot be.
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:8000",
        *,
        api_key: str | None = None,
        deadline_ms: int | None = None,
        timeout: float = 30.0,
        retry: Retry | None = None,
        http: httpx.Client | None = None,
    ) -> None:
        self._target = make_target(url, api_key, timeout, deadline_ms)
        self._retry = retry or Retry()
        self._owns_http = http is None
        self._http = http or httpx.Client(limits=LIMITS)
        self._sleep = time.sleep

    def classify(
        self, image: ImageSource, *, top_k: int | None = None, deadline_ms: int | None = None
    ) -> Classification:
        """The classes of one image, best first; `top_k` is how many.

        Raises ClientError, of which ServiceError has a kind for each of the service's problems;
        OSError if the image cannot be read.
        """
        call = send_one(self._target, read_image(image), top_k, deadline_ms)
        return self._repeat(call, Classification)

    def classify_batch(
        self,
        images: Iterable[ImageSource],
        *,
        top_k: int | None = None,
        deadline_ms: int | None = None,
    ) -> Batch:
        """The classes of several images in one request; each has its answer or its problem.

        The service's `/info` has how many images it takes at once. Raises as `classify` does.
        """
        contents = [read_image(image) for image in images]
        return self._repeat(send_batch(self._target, contents, top_k, deadline_ms), Batch)

    def info(self) -> ServiceInfo:
        """Model, engine, processor, limits, versions. Raises ClientError."""
        return self._repeat(ask(self._target, "/info"), ServiceInfo)

    def is_alive(self) -> bool:
        """Whether the process answers and no worker hangs. Raises ClientError if nobody answers."""
        return self._probe("/livez")

    def is_ready(self) -> bool:
        """Whether requests are welcome. Raises ClientError if nobody answers."""
        return self._probe("/readyz")

    def is_started(self) -> bool:
        """Whether the model is, or was, loaded. Raises ClientError if nobody answers."""
        return self._probe("/startupz")

    def wait_until_ready(self, seconds: float = 60.0) -> None:
        """Returns when the service is ready, also if it does not listen yet.

        Raises the last ClientError if it is not ready in time, or never will be.
        """
        until = monotonic() + seconds
        while True:
            try:
                self._send(ask(self._target, "/readyz"), State)
                return
            except ClientError as fault:
                if not may_become_ready(fault) or monotonic() + POLL_SECONDS > until:
                    raise
            self._sleep(POLL_SECONDS)

    def close(self) -> None:
        """Closes the connections."""
        if self._owns_http:
            self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _repeat(self, call: Call, kind: type[_T]) -> _T:
        attempts = Attempts(self._retry)
        while True:
            try:
                return self._send(call, kind)
            except ClientError as fault:
                wait = attempts.wait_after(fault)
            self._sleep(wait)

    def _send(self, call: Call, kind: type[_T]) -> _T:
        request = self._http.build_request(**call.keywords)
        with translate_faults():
            answer = self._http.send(request, follow_redirects=False)
        return read_answer(kind, answer)

    def _probe(self, path: str) -> bool:
        try:
            self._send(ask(self._target, path), State)
        except ServiceError as fault:
            if fault.status == 503:
                return False
            raise
        return True
