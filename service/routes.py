"""The paths of the service and what each one answers."""

import asyncio
from dataclasses import asdict
from time import perf_counter
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse

from service.body import FIELD, read_picture
from service.classifier import DEFAULT_TOP_K, Classifier
from service.connection import run_while_connected
from service.inference import Answer, Inference
from service.info import describe_service
from service.metrics import Metrics
from service.page import CONTENT_SECURITY_POLICY, PAGE
from service.problems import MEDIA_TYPE, PROBLEMS, Problem
from service.schemas import (
    ClassifyBody,
    ImageBody,
    InfoBody,
    ModelBody,
    PredictionBody,
    StateBody,
    TimingsBody,
)
from service.settings import Settings

_UNTRAINED = "untrained: random weights, the labels mean nothing"
_PICTURE = {"schema": {"type": "string", "format": "binary"}}
_BODY = {
    "required": True,
    "description": f"The picture: as the file field `{FIELD}` of a form, or bare. JPEG, PNG or "
    "WebP, decided by its bytes; a declared type is not trusted.",
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": [FIELD],
                "properties": {FIELD: {"type": "string", "format": "binary"}},
            }
        },
        **dict.fromkeys(
            ("image/jpeg", "image/png", "image/webp", "application/octet-stream"), _PICTURE
        ),
    },
}


def build_router(settings: Settings, metrics: Metrics, inference: Inference) -> APIRouter:
    """The routes, bound to one application's parts."""
    router = APIRouter()

    @router.post(
        "/classify",
        summary="Classify one picture",
        response_model=ClassifyBody,
        responses={
            200: {"headers": {name: _describe_header(text) for name, text in _HEADERS.items()}},
            **describe_problems(
                "bad_request",
                "body_timeout",
                "too_large",
                "unsupported_format",
                "invalid_image",
                "invalid_parameter",
                "internal",
                "not_ready",
                "no_engine",
                "out_of_memory",
            ),
        },
        openapi_extra={"requestBody": _BODY},
    )
    async def classify(
        request: Request,
        response: Response,
        top_k: Annotated[
            int, Query(ge=1, description="how many classes to answer; at most as many as it has")
        ] = DEFAULT_TOP_K,
    ) -> ClassifyBody:
        """Labels, indices and scores of one picture, best first."""
        classifier = inference.classifier
        top_k = _check_top_k(request, top_k, len(classifier.manifest.labels))
        began = perf_counter()
        data = await read_picture(request, settings.max_body_bytes, settings.body_timeout_ms)
        received = perf_counter() - began
        metrics.count_stage("receive", received)
        answer = await run_while_connected(request, inference.classify(data, top_k))
        seconds = {"receive": received, **answer.seconds}
        seconds["total"] = perf_counter() - request.state.started
        timings = {stage: round(value * 1000, 3) for stage, value in seconds.items()}
        for stage, value in timings.items():
            response.headers[f"X-Time-{stage.title()}-Ms"] = f"{value:.3f}"
        return _compose(classifier, answer, timings, request.state.request_id)

    @router.get(
        "/info",
        summary="Model, engine, processor, limits, versions",
        response_model=InfoBody,
        responses=describe_problems("internal", "not_ready", "no_engine"),
    )
    async def info() -> InfoBody:
        """Everything a person or a program needs to know to judge the answers."""
        return await asyncio.to_thread(describe_service, inference.classifier, settings)

    @router.get("/livez", summary="Is the process alive?", response_model=StateBody)
    async def livez() -> StateBody:
        """Touches neither model nor queue."""
        return StateBody(status="ok")

    @router.get(
        "/readyz",
        summary="Is the model loaded and warm?",
        response_model=StateBody,
        responses=describe_problems("not_ready", "no_engine"),
    )
    async def readyz() -> StateBody:
        """200 from the moment on that pictures are answered at full speed."""
        _ = inference.classifier
        return StateBody(status="ready")

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

    return router


_HEADERS = {
    "X-Request-Id": "the caller's, if acceptable, else a new one",
    **{
        f"X-Time-{stage}-Ms": f"as timings_ms.{stage.lower()}"
        for stage in ("Receive", "Decode", "Preprocess", "Infer", "Total")
    },
}


def _describe_header(text: str) -> dict[str, Any]:
    return {"description": text, "schema": {"type": "string"}}


def describe_problems(*codes: str) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI responses of these problem codes; codes that share a status share a response."""
    by_status: dict[int | str, dict[str, Any]] = {}
    for code in codes:
        definition = PROBLEMS[code]
        example = {
            "type": f"urn:bnn:problem:{code}",
            "title": definition.title,
            "status": definition.status,
            "detail": "expected ...; found ...; what to do",
            "code": code,
            "request_id": "6f1c2a0b9d4e4f0c8a7b6c5d4e3f2a1b",
        }
        row = by_status.setdefault(
            definition.status,
            {
                "description": "",
                "content": {
                    MEDIA_TYPE: {
                        "schema": {"$ref": "#/components/schemas/ProblemBody"},
                        "examples": {},
                    }
                },
            },
        )
        text = f"`{code}`: {definition.title}."
        row["description"] = f"{row['description']} {text}".strip()
        row["content"][MEDIA_TYPE]["examples"][code] = {"value": example}
    return by_status


def _check_top_k(request: Request, top_k: int, classes: int) -> int:
    """An explicit top_k above the number of classes is a mistake; the default adapts."""
    if "top_k" not in request.query_params:
        return min(top_k, classes)
    if top_k > classes:
        raise Problem(
            "invalid_parameter",
            f"top_k: expected at most {classes}, the model's classes; found more. Ask for less.",
        )
    return top_k


def _compose(
    classifier: Classifier, answer: Answer, timings: dict[str, float], request_id: str
) -> ClassifyBody:
    engine, manifest, picture = classifier.engine, classifier.manifest, answer.picture
    return ClassifyBody(
        predictions=[PredictionBody(**asdict(item)) for item in answer.predictions],
        model=ModelBody(
            name=manifest.name,
            id=classifier.model_id,
            trained=manifest.trained,
            notice=None if manifest.trained else _UNTRAINED,
        ),
        engine=f"{engine.name}/{engine.implementation}",
        image=ImageBody(format=picture.format, width=picture.width, height=picture.height),
        timings_ms=TimingsBody(**timings),
        request_id=request_id,
    )
