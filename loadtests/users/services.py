"""What a running service says about its model (GET /info), for people."""

from collections.abc import Mapping
from typing import Any

from loadtests.clients.asking import ask_json


def read_info(address: str) -> Mapping[str, Any]:
    """GET /info; empty for a service that has none. Raises ServerFault without an answer."""
    info = ask_json(address, "/info")
    return info if isinstance(info, Mapping) else {}


def describe_service(info: Mapping[str, Any]) -> dict[str, str]:
    """Model, engine, image size and accuracy, for people; "unknown" where nothing is said."""
    engine = _join(_dig(info, "engine", "name"), _dig(info, "engine", "implementation"), "/")
    shape = _dig(info, "model", "input", "shape")
    size = f"{shape[-1]}x{shape[-2]}" if isinstance(shape, list) and len(shape) > 1 else ""
    accuracy = _dig(info, "model", "training", "accuracy")
    record = ""
    if isinstance(accuracy, Mapping) and "top1" in accuracy:
        record = f"{accuracy['top1']} % top-1, {_join(accuracy.get('images'), 'images', ' ')}"
        record += f" of {_dig(info, 'model', 'training', 'data') or 'unnamed data'}"
    found = {
        "model": _join(_dig(info, "model", "name"), _dig(info, "model", "id"), " "),
        "engine": engine,
        "image size": size,
        "accuracy": record,
        "service": str(_dig(info, "versions", "service") or ""),
    }
    return {name: text or "unknown" for name, text in found.items()}


def _join(first: object, second: object, between: str) -> str:
    return f"{first}{between}{second}" if first and second else str(first or "")


def _dig(found: Any, *names: str) -> Any:
    for name in names:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found
