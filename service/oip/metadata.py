"""Metadata, configuration and index of the service and its models."""

from collections.abc import Iterable
from typing import Any

from service.oip.models import Model, TensorSpec

EXTENSIONS = ("binary_tensor_data", "classification", "model_configuration", "statistics")
_OLDER = "an older bundle is served; the service's log says why the newest is not"
_REFUSED = "the bundle cannot be served; the service's log says why"
#: Where keys may change models.
REPOSITORY_EXTENSION = "model_repository"


def describe_server(version: str, may_change: bool = False) -> dict[str, Any]:
    """The answer to GET /v2; `may_change`: some callers may load and unload models."""
    extensions = [*EXTENSIONS, *([REPOSITORY_EXTENSION] if may_change else [])]
    return {"name": "bnn-service", "version": version, "extensions": extensions}


def describe_model(model: Model) -> dict[str, Any]:
    """The answer to GET /v2/models/{model}; -1 stands for the number of images."""
    return {
        "name": model.name,
        "versions": [model.version],
        "platform": model.platform,
        "inputs": [_describe_tensor(model.input)],
        "outputs": [_describe_tensor(output) for output in model.outputs],
    }


def describe_config(model: Model, most_images: int) -> dict[str, Any]:
    """The answer to GET /v2/models/{model}/config, with the members that clients look at."""
    manifest = model.classifier.manifest
    facts = {
        "model_id": model.classifier.model_id,
        "trained": str(manifest.trained).lower(),
        "engine": model.classifier.engine_name,
        "labels": "\n".join(model.labels),
    }
    if manifest.known is not None:
        facts["known_threshold"] = repr(manifest.known.threshold)
    return {
        "name": model.name,
        "platform": model.platform,
        "backend": "bnn",
        "version_policy": {"latest": {"num_versions": 1}},
        "max_batch_size": most_images,
        "input": [_describe_config_tensor(model.input)],
        "output": [_describe_config_tensor(output) for output in model.outputs],
        "parameters": {key: {"string_value": value} for key, value in facts.items()},
    }


def describe_index(models: list[Model], faults: Iterable[str] = ()) -> list[dict[str, str]]:
    """The answer to POST /v2/repository/index; `faults`: names whose newest bundle isn't served."""
    faulty = set(faults)
    ready = [
        _describe_state(model.name, model.version, "READY", _OLDER if model.name in faulty else "")
        for model in models
    ]
    missing = sorted(faulty - {model.name for model in models})
    return [*ready, *(_describe_state(name, "", "UNAVAILABLE", _REFUSED) for name in missing)]


def _describe_state(name: str, version: str, state: str, reason: str) -> dict[str, str]:
    return {"name": name, "version": version, "state": state, "reason": reason}


def _describe_tensor(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "datatype": spec.datatype, "shape": [-1, *spec.dims]}


def _describe_config_tensor(spec: TensorSpec) -> dict[str, Any]:
    kind = "TYPE_STRING" if spec.datatype == "BYTES" else f"TYPE_{spec.datatype}"
    return {"name": spec.name, "data_type": kind, "dims": list(spec.dims)}
