"""Answers as a service gives them, for tests that script them."""

from typing import Any

PROBLEM = "application/problem+json"
CLASSIFICATION: dict[str, Any] = {
    "predictions": [{"label": "cat", "index": 6, "score": 0.9}],
    "model": {"name": "tiny", "id": "0f3a", "trained": True, "notice": None},
    "engine": "native/generic",
    "image": {"format": "JPEG", "width": 5, "height": 4},
    "timings_ms": {
        **{"receive": 0.1, "queue": 0, "decode": 1, "preprocess": 1, "infer": 1, "total": 4},
    },
    "request_id": "mine",
}
GOOD = (200, {"Content-Type": "application/json"}, CLASSIFICATION)
_STAGES = ("Receive", "Queue", "Decode", "Preprocess", "Infer", "Explain", "Total")
_MAP_HEADERS: dict[str, str] = {
    **{"Content-Type": "image/png", "X-Class-Label": "gr%C3%BCn", "X-Class-Index": "6"},
    **{"X-Class-Score": "0.900000", "X-Request-Id": "mine"},
    **{f"X-Time-{name}-Ms": f"{index}.500" for index, name in enumerate(_STAGES)},
}
MAP = (200, _MAP_HEADERS, b"\x89PNG")
_MODEL = {
    **{"name": "tiny", "is_default": True, "id": "0f3a", "trained": True},
    **{"engine": "native/generic", "classes": 3, "is_newest": True},
}
MODELS = (200, GOOD[1], {"models": [_MODEL], "failed": ["broken"]})


def refuse(
    status: int, code: str, retry_after: str | None = None
) -> tuple[int, dict[str, str], Any]:
    """A problem, with or without Retry-After."""
    headers = {"Content-Type": PROBLEM}
    if retry_after is not None:
        headers["Retry-After"] = retry_after
    body = {
        **{"type": f"urn:bnn:problem:{code}", "title": "It is so", "status": status},
        **{"detail": "expected this; found that.", "code": code, "request_id": "abc"},
    }
    return status, headers, body
