"""Raw tensors for a service that speaks the Open Inference Protocol, which is asked first."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import numpy as np

from loadtests.clients.asking import ask, ask_json
from loadtests.errors import ServerFault
from loadtests.users.payloads import Payload

HEADER_LENGTH = "Inference-Header-Content-Length"
TENSOR_RANK = 4  # images, channels, height, width


@dataclass(frozen=True)
class TensorModel:
    """A model that takes images as FP32 tensors: their shape without the number of images."""

    name: str
    input_name: str
    shape: tuple[int, int, int]

    @property
    def path(self) -> str:
        """Where its requests go."""
        return f"/v2/models/{quote(self.name, safe='')}/infer"


def find_model(address: str, name: str = "") -> TensorModel:
    """The model of that name, or the first that takes FP32 images. Raises ServerFault."""
    status, _ = ask(address, "/v2")
    if status != 200:
        raise ServerFault(
            f"expected the Open Inference Protocol (GET /v2) at {address}, found status {status}: "
            "this service has no route for raw tensors; send images (--send form or bare)"
        )
    names = [name] if name else _list_models(address)
    for candidate in names:
        described = ask_json(address, f"/v2/models/{quote(candidate, safe='')}")
        if found := _read_model(candidate, described):
            return found
    raise ServerFault(
        f"expected a model at {address} with one FP32 input of images, channels, height, width; "
        f"found none among: {', '.join(names) or 'no models'}; name another with --model"
    )


def _list_models(address: str) -> list[str]:
    """By the repository index, else by the service's own name of its model."""
    index = ask_json(address, "/v2/repository/index", b"{}")
    if isinstance(index, list):
        return [str(row["name"]) for row in index if isinstance(row, dict) and "name" in row]
    info = ask_json(address, "/info")
    return [str(info["model"]["name"])] if isinstance(info, dict) and "model" in info else []


def _read_model(name: str, described: Any) -> TensorModel | None:
    inputs = described.get("inputs") if isinstance(described, Mapping) else None
    if not isinstance(inputs, list) or len(inputs) != 1 or not isinstance(inputs[0], Mapping):
        return None
    (tensor,) = inputs
    shape = tensor.get("shape", [])
    if tensor.get("datatype") != "FP32" or len(shape) != TENSOR_RANK:
        return None
    channels, height, width = (int(size) for size in shape[1:])
    if min(channels, height, width) < 1:
        return None
    return TensorModel(name, str(tensor["name"]), (channels, height, width))


def build_tensor_payloads(model: TensorModel, seed: int, count: int) -> list[Payload]:
    """Requests of one image each, in the protocol's binary form: JSON, then the tensor's bytes."""
    generator = np.random.default_rng(seed)
    payloads = []
    for _ in range(count):
        tensor = generator.standard_normal((1, *model.shape), np.float32).astype("<f4").tobytes()
        head = json.dumps(
            {
                "inputs": [
                    {
                        "name": model.input_name,
                        "shape": [1, *model.shape],
                        "datatype": "FP32",
                        "parameters": {"binary_data_size": len(tensor)},
                    }
                ],
                "parameters": {"binary_data_output": True},
            }
        ).encode()
        headers = {
            "Content-Type": "application/octet-stream",
            HEADER_LENGTH: str(len(head)),
        }
        payloads.append(Payload(model.path, model.path, head + tensor, headers))
    return payloads
