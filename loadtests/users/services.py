"""What a running service says of itself: its model by GET /info, its CPU time by GET /metrics."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from loadtests.users.asking import ask, ask_json

CPU_SECONDS = "process_cpu_seconds_total"
RESIDENT_BYTES = "process_resident_memory_bytes"


@dataclass(frozen=True)
class Consumption:
    """CPU seconds of the process so far and its resident bytes; None where it tells none."""

    cpu_seconds: float | None
    resident_bytes: float | None


UNKNOWN = Consumption(None, None)


def read_consumption(address: str) -> Consumption:
    """By its metrics. Raises ServerFault without an answer."""
    status, text = ask(address, "/metrics")
    found = parse_metrics(text.decode(errors="replace")) if status == 200 else {}
    return Consumption(found.get(CPU_SECONDS), found.get(RESIDENT_BYTES))


def parse_metrics(text: str) -> Mapping[str, float]:
    """The samples without labels, by name; none of a text that Prometheus would not take."""
    try:
        return {
            sample.name: sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if not sample.labels
        }
    except ValueError:
        return {}


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
