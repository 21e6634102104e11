"""The client for asyncio and trio: the same as `Client`, to be awaited."""

from collections.abc import Iterable
from types import TracebackType
from typing import Self, TypeVar

import anyio
import anyio.to_thread
import httpx

from bnn_client.answers import Batch, Classification, ServedModels, ServiceInfo
from bnn_client.calls import (
    LIMITS,
    ask_info,
    ask_models,
    ask_probe,
    make_target,
    send_batch,
    send_explain,
    send_one,
)
from bnn_client.errors import ClientError
from bnn_client.exchange import translate_faults
from bnn_client.explanation import Explanation
from bnn_client.flows import Flow, Step, await_ready, probe, repeat
from bnn_client.images import ImageSource, read_image
from bnn_client.retries import Retry

_T = TypeVar("_T")


class AsyncClient:
    """A client of one service; keeps its connections until it is closed, or `async with` ends.

    Args:
        url: address of the service, such as http://127.0.0.1:8000; a path in it is kept.
        api_key: sent as a bearer token, only to that URL; redirects are not followed.
        deadline_ms: max milliseconds of each answer, counted from the image's arrival; None: the
            service's own limit.
        timeout: max seconds of silence; if a deadline is longer, five seconds more than it.
        retry: how often and how long requests are repeated; Retry(attempts=1): never.
        http: an httpx.AsyncClient of yours, with the proxies or certificates you need. It is not
            closed here.

    Raises:
        ValueError: an argument has a value that is not allowed.
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:8000",
        *,
        api_key: str | None = None,
        deadline_ms: int | None = None,
        timeout: float = 30.0,
        retry: Retry | None = None,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        self._target = make_target(url, api_key, timeout, deadline_ms)
        self._retry = retry or Retry()
        self._owns_http = http is None
        self._http = http or httpx.AsyncClient(limits=LIMITS)

    async def classify(
        self,
        image: ImageSource,
        *,
        top_k: int | None = None,
        certainty: float | None = None,
        deadline_ms: int | None = None,
        model: str | None = None,
    ) -> Classification:
        """The classes of one image, best first; `top_k` is their number.

        With `certainty`, as 0.95, the answer also has `hedged`, which is right that often.

        `model` names one of those that `models` lists; None: the default model. Raises ClientError;
        its kind ServiceError has a kind for each of the service's problems. Raises OSError if the
        image cannot be read.
        """
        call = send_one(self._target, await _read(image), top_k, deadline_ms, model, certainty)
        return await self._run(repeat(self._retry, call))

    async def classify_batch(
        self,
        images: Iterable[ImageSource],
        *,
        top_k: int | None = None,
        certainty: float | None = None,
        deadline_ms: int | None = None,
        model: str | None = None,
    ) -> Batch:
        """The classes of several images in one request; each has its answer or its problem.

        The service's `/info` has the max number of images. Raises as `classify` does.
        """
        contents = [await _read(image) for image in images]
        call = send_batch(self._target, contents, top_k, deadline_ms, model, certainty)
        return await self._run(repeat(self._retry, call))

    async def explain(
        self,
        image: ImageSource,
        *,
        class_: str | int | None = None,
        deadline_ms: int | None = None,
        model: str | None = None,
    ) -> Explanation:
        """Explains a class: a PNG of the network's input, coloured by the class's activation map.

        `class_` is a label or an index; None: the best class. Raises as `classify` does;
        NotExplainable if the engine has no map to show.
        """
        call = send_explain(self._target, await _read(image), class_, deadline_ms, model)
        return await self._run(repeat(self._retry, call))

    async def info(self, *, model: str | None = None) -> ServiceInfo:
        """Model, engine, processor, limits, versions. Raises ClientError."""
        return await self._run(repeat(self._retry, ask_info(self._target, model)))

    async def models(self) -> ServedModels:
        """The served models, the default one first. Raises ClientError."""
        return await self._run(repeat(self._retry, ask_models(self._target)))

    async def is_alive(self) -> bool:
        """Whether the process answers and no worker hangs. Raises ClientError without an answer."""
        return await self._run(probe(ask_probe(self._target, "/livez")))

    async def is_ready(self) -> bool:
        """Whether the service accepts requests. Raises ClientError if there is no answer."""
        return await self._run(probe(ask_probe(self._target, "/readyz")))

    async def is_started(self) -> bool:
        """Whether the model is, or was, loaded. Raises ClientError if there is no answer."""
        return await self._run(probe(ask_probe(self._target, "/startupz")))

    async def wait_until_ready(self, seconds: float = 60.0) -> None:
        """Waits until the service is ready, even if it does not listen yet.

        Raises the last ClientError if it is not ready in time, or never will be.
        """
        await self._run(await_ready(ask_probe(self._target, "/readyz"), seconds))

    async def close(self) -> None:
        """Closes the connections."""
        if self._owns_http:
            await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def _run(self, flow: Flow[_T]) -> _T:
        """Runs the steps of a flow; returns what it returns, raises what it raises."""
        try:
            step = next(flow)
            while True:
                try:
                    answer = await self._take(step)
                except ClientError as fault:
                    step = flow.throw(fault)
                else:
                    step = flow.send(answer)
        except StopIteration as end:
            result: _T = end.value
            return result

    async def _take(self, step: Step) -> httpx.Response:
        if step.wait:
            await anyio.sleep(step.wait)
        request = self._http.build_request(**step.call.keywords)
        with translate_faults():
            return await self._http.send(request, follow_redirects=False)


async def _read(image: ImageSource) -> bytes:
    """Reads in a thread, because a slow disk must not delay everything else."""
    if isinstance(image, bytes):
        return image
    return await anyio.to_thread.run_sync(read_image, image)
