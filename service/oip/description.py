"""The protocol's routes in /openapi.json."""

from collections.abc import Mapping
from typing import Any

from service.messages.problems import PROBLEMS, Problem
from service.oip.errors import encode_error
from service.oip.repository import TEMPLATE
from service.oip.routes import MODEL, VERSION

_JSON = "application/json"
_ERROR = {"$ref": "#/components/schemas/OipError"}
_TENSOR_MEMBERS = {
    "name": {"type": "string"},
    "datatype": {"type": "string", "enum": ["FP32", "BYTES"]},
    "shape": {"type": "array", "items": {"type": "integer"}},
}
_DATA = {
    "type": "array",
    "items": {},
    "description": "numbers, or texts: files in base64; flat or nested as the shape",
}
_PARAMETERS = {"type": "object", "additionalProperties": True}

#: Schemas by name, as they stand among the components.
SCHEMAS: dict[str, Any] = {
    "OipError": {
        "type": "object",
        "required": ["error"],
        "properties": {
            "error": {"type": "string", "description": "expected, found, remedy"},
            "code": {"type": "string", "description": "stable, for programs"},
        },
    },
    "OipTensor": {
        "type": "object",
        "required": ["name", "datatype", "shape"],
        "properties": {**_TENSOR_MEMBERS, "parameters": _PARAMETERS, "data": _DATA},
    },
    "OipInferRequest": {
        "type": "object",
        "required": ["inputs"],
        "properties": {
            "id": {"type": "string"},
            "parameters": _PARAMETERS,
            "inputs": {
                "type": "array",
                "minItems": 1,
                "maxItems": 1,
                "items": {"$ref": "#/components/schemas/OipTensor"},
            },
            "outputs": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["name"],
                    "properties": {"name": {"type": "string"}, "parameters": _PARAMETERS},
                },
            },
        },
    },
    "OipInferAnswer": {
        "type": "object",
        "required": ["model_name", "model_version", "outputs"],
        "properties": {
            "model_name": {"type": "string"},
            "model_version": {"type": "string"},
            "id": {"type": "string"},
            "parameters": _PARAMETERS,
            "outputs": {"type": "array", "items": {"$ref": "#/components/schemas/OipTensor"}},
        },
    },
}

_NOT_LOADED = ("not_ready", "no_engine", "draining", "internal")
_OF_MODEL = ("model_not_found", *_NOT_LOADED)
_INFER = (
    *("bad_request", "model_not_found", "body_timeout", "too_large", "unsupported_encoding"),
    *("overloaded", "out_of_memory", "deadline_exceeded", *_NOT_LOADED),
)
_CHANGE = (
    *("bad_request", "body_timeout", "too_large", "forbidden", "model_not_found"),
    *("model_not_loaded", *_NOT_LOADED),
)


def describe_open_inference() -> dict[str, Any]:
    """The paths below /v2, each with its operations."""
    paths: dict[str, Any] = {
        "/v2": {"get": _describe("Name, version, extensions", "server", ("internal",))},
        "/v2/health/live": {"get": _describe("Is it alive?", "live", ("hanging", "internal"))},
        "/v2/health/ready": {"get": _describe("Is it ready?", "ready", _NOT_LOADED)},
        "/v2/models/stats": {"get": _describe("Statistics of all", "all_stats", _NOT_LOADED)},
        "/v2/repository/index": {"post": _describe("Models by name", "index", _NOT_LOADED)},
    }
    of_models = {
        "": ("Inputs and outputs", "model"),
        "/ready": ("Is the model ready?", "model_ready"),
        "/config": ("Configuration, as Triton's clients read it", "config"),
        "/stats": ("Statistics of the model", "stats"),
    }
    for action, summary in (
        ("load", "Load or reload a model of the directory"),
        ("unload", "Unload a model"),
    ):
        operation = _describe(summary, f"{action}_model", _CHANGE)
        operation["parameters"] = [_describe_name("model")]
        paths[f"{TEMPLATE}/{action}"] = {"post": operation}
    for version, suffix in (("", ""), (VERSION, "_of_version")):
        parameters = [_describe_name("model"), *([_describe_name("version")] if version else [])]
        for action, (summary, name) in of_models.items():
            operation = _describe(summary, f"{name}{suffix}", _OF_MODEL)
            paths[f"{MODEL}{version}{action}"] = {"get": {**operation, "parameters": parameters}}
        infer = _describe_infer(f"infer{suffix}", parameters)
        paths[f"{MODEL}{version}/infer"] = {"post": infer}
    return paths


def _describe_infer(name: str, parameters: list[dict[str, Any]]) -> dict[str, Any]:
    length = {"description": "bytes of JSON, which come first", "schema": {"type": "integer"}}
    header = "Inference-Header-Content-Length"
    answer = {"$ref": "#/components/schemas/OipInferAnswer"}
    binary = {"schema": {"type": "string", "format": "binary"}}
    operation = _describe("Scores and logits of images or tensors", name, _INFER)
    operation["responses"]["200"] = {
        "description": "The outputs, as JSON, or JSON and binary tensors after it.",
        "headers": {header: length},
        "content": {_JSON: {"schema": answer}, "application/octet-stream": binary},
    }
    request = {"$ref": "#/components/schemas/OipInferRequest"}
    return {
        **operation,
        "parameters": [*parameters, {"name": header, "in": "header", **length}],
        "requestBody": {
            "required": True,
            "description": "JSON, or JSON and binary tensors after it; may be compressed by gzip "
            "or deflate. With Inference-Header-Content-Length: 0 the body is the one input.",
            "content": {_JSON: {"schema": request}, "application/octet-stream": binary},
        },
    }


def _describe(summary: str, name: str, codes: tuple[str, ...]) -> dict[str, Any]:
    answer = {"type": "object"} if name != "index" else {"type": "array", "items": {}}
    responses: Mapping[str, Any] = {
        "200": {"description": "Successful Response", "content": {_JSON: {"schema": answer}}}
    }
    return {
        "summary": summary,
        "operationId": f"oip_{name}",
        "responses": {**responses, **dict(sorted(describe_errors(*codes).items()))},
    }


def describe_errors(*codes: str) -> dict[str, Any]:
    """The responses of these problems; those that share a status share a response."""
    by_status: dict[str, Any] = {}
    for code in codes:
        status = str(encode_error(Problem(code, "")).status)
        content = {_JSON: {"schema": _ERROR}}
        row = by_status.setdefault(status, {"description": "", "content": content})
        row["description"] = f"{row['description']} `{code}`: {PROBLEMS[code].title}.".strip()
    return by_status


def _describe_name(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
