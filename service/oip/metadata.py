"""What the service and its models say of themselves: metadata, configuration, index."""

from typing import Any

from service.oip.models import Model, TensorSpec

EXTENSIONS = ("binary_tensor_data", "classification", "model_configuration", "statistics")


def describe_server(version: str) -> dict[str, Any]:
    """The answer to GET /v2."""
    return {"name": "bnn-service", "version": version, "extensions": list(EXTENSIONS)}


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


def describe_index(models: list[Model]) -> list[dict[str, str]]:
    """The answer to POST /v2/repository/index."""
    return [
        {"name": model.name, "version": model.version, "state": "READY", "reason": ""}
        for model in models
    ]


def _describe_tensor(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "datatype": spec.datatype, "shape": [-1, *spec.dims]}


def _describe_config_tensor(spec: TensorSpec) -> dict[str, Any]:
    kind = "TYPE_STRING" if spec.datatype == "BYTES" else f"TYPE_{spec.datatype}"
    return {"name": spec.name, "data_type": kind, "dims": list(spec.dims)}
