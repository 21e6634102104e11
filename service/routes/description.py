"""The document /openapi.json: the service's routes, added ones, every problem."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from service.classification.classifier import DEFAULT_TOP_K
from service.classification.explanation import METHODS
from service.messages.problems import MEDIA_TYPE, PROBLEMS, Problem
from service.requests.body import FIELD
from service.routes.schemas import (
    BatchBody,
    ClassifyBody,
    InfoBody,
    ModelsBody,
    ProblemBody,
    StateBody,
)
from service.settings.settings import MAX_DEADLINE_MS, Settings
from service.work.inference import Inference

TITLE = "Binary neural network image classification"
_REFERENCE = "#/components/schemas/{model}"
_IMAGE = {"schema": {"type": "string", "format": "binary"}}
_IMAGE_TYPES = ("image/jpeg", "image/png", "image/webp", "image/avif", "application/octet-stream")
_TIMES = ("Receive", "Queue", "Decode", "Preprocess", "Infer", "Total")
_EXPLANATION_HEADERS = {
    "X-Time-Explain-Ms": "milliseconds of drawing the map, with explain=cam",
    "X-Class-Label": "label of the map's class, percent-encoded, with explain=cam",
    "X-Class-Index": "its index, with explain=cam",
    "X-Class-Score": "its score, with explain=cam",
}
_EXPLAIN_PARAMETERS = [
    {
        "name": "explain",
        "in": "query",
        "description": "cam: answer with a class activation map, drawn over the image (image/png)",
        "schema": {"type": "string", "enum": list(METHODS)},
    },
    {
        "name": "class",
        "in": "query",
        "description": "with explain: the label or the index of the class; else the best one",
        "schema": {"type": "string"},
    },
]
_CERTAINTY_PARAMETER = {
    "name": "certainty",
    "in": "query",
    "description": "adds a hedged answer that is right this often: a label, or a name for several; "
    "between two levels of the model the stricter one counts (`hierarchy` of /info has them)",
    "schema": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
}
_MODEL_PARAMETER = {
    "name": "model",
    "in": "query",
    "description": "name of a model that GET /models lists; else the default one",
    "schema": {"type": "string"},
}
_ANY_ROUTE = ("internal",)
_CLASSIFY = (
    *("bad_request", "body_timeout", "too_large", "invalid_parameter", "overloaded", "not_ready"),
    *("no_engine", "draining", "deadline_exceeded", "model_not_found", "no_hierarchy", *_ANY_ROUTE),
)
_ONE_IMAGE = ("unsupported_format", "invalid_image", "out_of_memory")


def describe_api(app: FastAPI, settings: Settings, inference: Inference) -> dict[str, Any]:
    """The whole OpenAPI document; the max of `top_k` is that of the loaded model."""
    # Of no use to anybody else: a service that nobody asks for the document does without.
    from service.oip.description import SCHEMAS, describe_open_inference

    document = get_openapi(
        title=app.title,
        version=app.version,
        summary="A photo in, labels out.",
        routes=app.routes,
    )
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    models: list[type[BaseModel]] = [
        *(ClassifyBody, BatchBody, InfoBody, ModelsBody),
        *(StateBody, ProblemBody),
    ]
    _, definitions = models_json_schema(
        [(model, "serialization") for model in models], ref_template=_REFERENCE
    )
    schemas |= definitions["$defs"] | SCHEMAS
    parameters = _describe_parameters(_count_classes(inference))
    document["paths"] |= {
        "/info": {"get": _describe_info()},
        "/models": {"get": _describe_models()},
        "/metrics": {"get": _describe_metrics()},
        "/classify": {"post": _describe_one(parameters)},
        "/classify/batch": {"post": _describe_batch(parameters, settings.max_batch_images)},
        "/livez": {"get": _describe_probe("Is the process alive?", "hanging")},
        "/readyz": {
            "get": _describe_probe(
                "Is the model warm, and are requests welcome?", "not_ready", "no_engine", "draining"
            )
        },
        "/startupz": {"get": _describe_probe("Is the start over?", "not_ready", "no_engine")},
        **describe_open_inference(),
    }
    return document


def describe_problems(*codes: str) -> dict[int | str, dict[str, Any]]:
    """The responses of these problem codes; codes that share a status share a response."""
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
        content = {"schema": {"$ref": _REFERENCE.format(model="ProblemBody")}, "examples": {}}
        row = by_status.setdefault(
            definition.status, {"description": "", "content": {MEDIA_TYPE: content}}
        )
        if definition.retry_after is not None:
            row["headers"] = {"Retry-After": _describe_header("seconds to wait", "integer")}
        row["description"] = f"{row['description']} `{code}`: {definition.title}.".strip()
        row["content"][MEDIA_TYPE]["examples"][code] = {"value": example}
    return by_status


def _describe_one(parameters: list[dict[str, Any]]) -> dict[str, Any]:
    headers = {"X-Request-Id": _describe_header("the caller's, if acceptable, else a new one")}
    headers |= {
        f"X-Time-{stage}-Ms": _describe_header(f"as timings_ms.{stage.lower()}") for stage in _TIMES
    }
    headers |= {name: _describe_header(text) for name, text in _EXPLANATION_HEADERS.items()}
    responses = _describe_responses(
        ClassifyBody, *_CLASSIFY, *_ONE_IMAGE, "not_explainable", headers=headers
    )
    responses["200"]["content"]["image/png"] = _IMAGE  # for explain=cam
    one = {"type": "string", "format": "binary"}
    return {
        "summary": "Classify one image",
        "description": "Labels, indices and scores of one image, best first; with `explain=cam` "
        "instead a PNG of what the network saw, coloured by the class activation map of a class.",
        "operationId": "classify",
        "parameters": [*parameters, *_EXPLAIN_PARAMETERS],
        "requestBody": {
            "required": True,
            "description": f"The image: as the file field `{FIELD}` of a form, or bare. JPEG, PNG, "
            "WebP or AVIF, decided by its bytes; a declared type is not trusted.",
            "content": {
                **_describe_form(one),
                **dict.fromkeys(_IMAGE_TYPES, _IMAGE),
            },
        },
        "responses": responses,
    }


def _describe_batch(parameters: list[dict[str, Any]], most: int) -> dict[str, Any]:
    several = {
        "type": "array",
        "items": {"type": "string", "format": "binary"},
        "minItems": 1,
        "maxItems": most,
    }
    return {
        "summary": "Classify several images",
        "description": "Each image has its answer or its problem, in the order of the form.",
        "operationId": "classify_batch",
        "parameters": parameters,
        "requestBody": {
            "required": True,
            "description": f"1 to {most} images, each a file field `{FIELD}` of one form.",
            "content": _describe_form(several),
        },
        "responses": _describe_responses(BatchBody, *_CLASSIFY),
    }


def _describe_info() -> dict[str, Any]:
    return {
        "summary": "Model, engine, processor, limits, versions",
        "description": "Everything a person or a program needs to know to judge the answers.",
        "operationId": "info_info_get",
        "parameters": [_MODEL_PARAMETER],
        "responses": _describe_responses(
            InfoBody, *_ANY_ROUTE, "not_ready", "no_engine", "model_not_found"
        ),
    }


def _describe_models() -> dict[str, Any]:
    return {
        "summary": "The models that are served",
        "description": "Names for `?model=` and the Open Inference Protocol, the default first.",
        "operationId": "list_models",
        "responses": _describe_responses(ModelsBody, *_ANY_ROUTE, "not_ready", "no_engine"),
    }


def _describe_metrics() -> dict[str, Any]:
    text = {"text/plain": {"schema": {"type": "string"}}}
    return {
        "summary": "Prometheus metrics",
        "description": "Text format; OpenMetrics if Accept asks for it.",
        "operationId": "expose_metrics_metrics_get",
        "responses": {"200": {"description": "Successful Response", "content": text}},
    }


def _describe_form(field: dict[str, Any]) -> dict[str, Any]:
    schema = {"type": "object", "required": [FIELD], "properties": {FIELD: field}}
    return {"multipart/form-data": {"schema": schema}}


def _describe_parameters(classes: int | None) -> list[dict[str, Any]]:
    top_k = {"type": "integer", "minimum": 1, "default": DEFAULT_TOP_K}
    if classes is not None:
        top_k |= {"maximum": classes, "default": min(DEFAULT_TOP_K, classes)}
    deadline = {"type": "integer", "minimum": 1, "maximum": MAX_DEADLINE_MS}
    return [
        _MODEL_PARAMETER,
        {
            "name": "top_k",
            "in": "query",
            "description": "number of classes in the answer; the max is that of the default model",
            "schema": top_k,
        },
        {
            "name": "X-Deadline-Ms",
            "in": "header",
            "description": "max milliseconds from the complete body to the answer",
            "schema": deadline,
        },
        _CERTAINTY_PARAMETER,
    ]


def _describe_probe(summary: str, *codes: str) -> dict[str, Any]:
    name = summary.lower().replace("?", "").replace(",", "").replace(" ", "_")
    return {
        "summary": summary,
        "operationId": name,
        "responses": _describe_responses(StateBody, *codes, *_ANY_ROUTE),
    }


def _describe_responses(
    model: type[BaseModel], *codes: str, headers: dict[str, Any] | None = None
) -> dict[str, Any]:
    answer = _describe_answer(model)
    if headers:
        answer["headers"] = headers
    problems = {str(status): row for status, row in describe_problems(*codes).items()}
    return {"200": answer, **dict(sorted(problems.items()))}


def _describe_answer(model: type[BaseModel]) -> dict[str, Any]:
    reference = {"$ref": _REFERENCE.format(model=model.__name__)}
    return {
        "description": "Successful Response",
        "content": {"application/json": {"schema": reference}},
    }


def _describe_header(text: str, kind: str = "string") -> dict[str, Any]:
    return {"description": text, "schema": {"type": kind}}


def _count_classes(inference: Inference) -> int | None:
    """The model's classes; None while it is not loaded."""
    try:
        return len(inference.classifier.manifest.labels)
    except Problem:
        return None
