"""The routes that are asked for now and then: facts, metrics, the pages."""

import asyncio
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse

from service.budget import Budget
from service.description import describe_problems
from service.inference import Inference
from service.info import describe_service
from service.metrics import Metrics
from service.page import CONTENT_SECURITY_POLICY, PAGE
from service.schemas import InfoBody
from service.settings import Settings


def build_router(
    settings: Settings, metrics: Metrics, inference: Inference, budget: Budget
) -> APIRouter:
    """The routes, bound to one application's parts."""
    router = APIRouter()

    @router.get(
        "/info",
        summary="Model, engine, processor, limits, versions",
        response_class=JSONResponse,
        responses=describe_problems("internal", "not_ready", "no_engine"),
    )
    async def info() -> Response:
        """Everything a person or a program needs to know to judge the answers."""
        # A model of pydantic as FastAPI's response model would have it import all of pydantic.v1.
        InfoBody.model_rebuild()  # the first time, and here, where there is one thread
        body = await asyncio.to_thread(
            describe_service, inference.classifier, inference.self_test, settings, budget
        )
        return Response(body.model_dump_json(), media_type="application/json")

    @router.get(
        "/metrics",
        summary="Prometheus metrics",
        response_class=Response,
        responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    )
    async def expose_metrics(request: Request) -> Response:
        """Text format; OpenMetrics if Accept asks for it."""
        accept = request.headers.get("accept", "")
        body, content_type = await asyncio.to_thread(metrics.expose, accept)
        return Response(body, headers={"Content-Type": content_type})

    @router.get("/", include_in_schema=False)
    async def page() -> HTMLResponse:
        return HTMLResponse(PAGE, headers={"Content-Security-Policy": CONTENT_SECURITY_POLICY})

    made: list[
        tuple[dict[str, Any], str]
    ] = []  # the document that /docs was last made of, the page

    @router.get("/docs", include_in_schema=False)
    async def docs(request: Request) -> HTMLResponse:
        from service.docs import DOCS_POLICY, render_docs  # few ask for it

        document = request.app.openapi()
        if not made or made[0][0] is not document:
            made[:] = [(document, render_docs(document))]
        return HTMLResponse(made[0][1], headers={"Content-Security-Policy": DOCS_POLICY})

    return router
