"""API keys in /openapi.json: how they are sent, where they are needed, refusals."""

from typing import Any

from service.oip.description import describe_errors
from service.requests.front import asks_for_key
from service.routes.description import describe_problems

_SCHEMES: dict[str, Any] = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "An API key, as `Authorization: Bearer KEY`.",
    },
    "api_key": {
        "type": "apiKey",
        "in": "header",
        "name": "X-API-Key",
        "description": "The same key, as `X-API-Key: KEY`.",
    },
}
_CHALLENGE = {"WWW-Authenticate": {"description": "Bearer", "schema": {"type": "string"}}}


def describe_keys(document: dict[str, Any]) -> None:
    """Adds the schemes, of which one is enough, and to each operation whether it needs a key.

    An operation that needs none has an empty list; operations added to FastAPI keep their own
    statement.
    """
    components = document.setdefault("components", {})
    components["securitySchemes"] = components.get("securitySchemes", {}) | _SCHEMES
    for path, item in document["paths"].items():
        for operation in item.values():
            if asks_for_key(path):
                operation["security"] = [{name: []} for name in _SCHEMES]
                _add_refusals(operation, path)
            else:
                operation.setdefault("security", [])


def _add_refusals(operation: dict[str, Any], path: str) -> None:
    """No key or an unknown one; on routes for images, also too many images for the key."""
    takes_images = path.startswith("/classify") or path.endswith("/infer")
    codes = ["unauthorized", *(["rate_limited"] if takes_images else [])]
    refusals = (describe_errors if path.startswith("/v2") else describe_problems)(*codes)
    responses: dict[str, Any] = operation["responses"]
    for status, row in refusals.items():
        known = responses.setdefault(str(status), row)
        if known is not row:
            known["description"] += f" {row['description']}"
            for kind, content in row["content"].items():
                if "examples" in content:
                    known["content"][kind]["examples"] |= content["examples"]
    responses["401"]["headers"] = _CHALLENGE
    operation["responses"] = dict(sorted(responses.items()))
