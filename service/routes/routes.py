"""The routes that are used now and then: facts, metrics, the API's document, the pages."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from service.memory.budget import Budget
from service.messages.exchange import Answer, Exchange
from service.metrics.metrics import Metrics
from service.page.page import CONTENT_SECURITY_POLICY, PAGE
from service.repository.served import ServedModel
from service.requests.front import Handler
from service.routes.late_api import LateApi
from service.settings.settings import Settings
from service.work.inference import Inference

_JSON = [(b"content-type", b"application/json")]


class Routes:
    """The routes, for the components of one application."""

    def __init__(
        self,
        settings: Settings,
        metrics: Metrics,
        inference: Inference,
        budget: Budget,
        late_api: LateApi,
    ) -> None:
        self._settings = settings
        self._metrics = metrics
        self._inference = inference
        self._budget = budget
        self._late_api = late_api
        self._docs: tuple[dict[str, Any], str] | None = None  # the document, the page made of it

    def list_handlers(self) -> dict[str, Mapping[str, Handler]]:
        """Path -> method -> handler."""
        return {
            "/info": {"GET": self.answer_info},
            "/models": {"GET": self.answer_models},
            "/metrics": {"GET": self.answer_metrics},
            "/openapi.json": {"GET": self.answer_document},
            "/docs": {"GET": self.answer_docs},
            "/": {"GET": answer_page},
        }

    async def answer_info(self, exchange: Exchange) -> Answer:
        """Everything a person or a program needs to know to judge the answers of a model.

        Raises Problem not_ready, no_engine, model_not_found.
        """
        model = self._inference.catalogue.choose(exchange.scope["query_string"])
        return Answer(200, await asyncio.to_thread(self._tell, model), _JSON)

    def _tell(self, model: ServedModel) -> bytes:
        from service.routes.info import describe_service  # with pydantic's models of it

        return describe_service(model, self._settings, self._budget).model_dump_json().encode()

    async def answer_models(self, _: Exchange) -> Answer:
        """The models that are served, the default one first.

        Raises Problem not_ready, no_engine.
        """
        from service.routes.info import describe_models

        return Answer(
            200, describe_models(self._inference.catalogue).model_dump_json().encode(), _JSON
        )

    async def answer_metrics(self, exchange: Exchange) -> Answer:
        """Text format; OpenMetrics if Accept asks for it."""
        accept = exchange.headers.get(b"accept", b"").decode("latin-1")
        body, content_type = await asyncio.to_thread(self._metrics.expose, accept)
        return Answer(200, body, [(b"content-type", content_type.encode())])

    async def answer_document(self, exchange: Exchange) -> Answer:
        """The OpenAPI document."""
        document = await self._late_api.describe()
        text = json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return Answer(200, text.encode(), _JSON)

    async def answer_docs(self, exchange: Exchange) -> Answer:
        """The page that describes the API to people."""
        from service.routes.docs import DOCS_POLICY, render_docs  # few ask for it

        document = await self._late_api.describe()
        if self._docs is None or self._docs[0] is not document:
            self._docs = (document, render_docs(document))
        return _show(self._docs[1], DOCS_POLICY)


async def answer_page(_: Exchange) -> Answer:
    """The page for people."""
    return _show(PAGE, CONTENT_SECURITY_POLICY)


def _show(page: str, policy: str) -> Answer:
    """A page of HTML that may do what `policy`, a Content-Security-Policy, allows."""
    headers = [
        (b"content-type", b"text/html; charset=utf-8"),
        (b"content-security-policy", policy.encode()),
    ]
    return Answer(200, page.encode(), headers)
