"""Models, request bodies and tickets as the tests of the protocol need them."""

import json
import struct
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from service.messages.problems import Problem
from service.oip.models import Model
from service.work.admission import Ticket
from tests.service.conftest import make_served

Outcome = TypeVar("Outcome")
MOST = 4  # images of a request
TENSOR = np.linspace(-1, 1, 3 * 32 * 32, dtype=np.float32).reshape(3, 32, 32)


def attempt(call: Callable[[], Outcome]) -> Outcome | None:
    """What it returns; None: it refused the request, as it may."""
    try:
        return call()
    except Problem as problem:
        if problem.code != "bad_request":
            raise
    return None


class FreeTicket(Ticket):
    """A ticket that has room for everything, and notes how much."""

    def __init__(self) -> None:
        self.grown: list[int] = []

    def grow(self, received: int) -> None:
        self.grown.append(received)


def make_model(takes_files: bool = False, **changes: Any) -> Model:
    """A model of the fake engine."""
    return Model("tiny_image" if takes_files else "tiny", takes_files, make_served(**changes))


def describe_input(takes_files: bool = False, **changes: Any) -> dict[str, Any]:
    """The one input of a request; keywords replace its members, None leaves them out."""
    given: dict[str, Any] = {"name": "input", "datatype": "FP32", "shape": [1, 3, 32, 32]}
    if takes_files:
        given = {"name": "image_bytes", "datatype": "BYTES", "shape": [1, 1]}
    return {key: value for key, value in {**given, **changes}.items() if value is not None}


def encode(content: Any) -> bytes:
    """JSON, with NaN as bare tokens."""
    return json.dumps(content).encode()


def encode_request(*inputs: dict[str, Any], **members: Any) -> bytes:
    """A request of JSON alone."""
    return encode({"inputs": list(inputs), **members})


def join_binary(data: bytes, takes_files: bool = False, **changes: Any) -> tuple[bytes, int]:
    """A request whose input comes after the JSON, and the bytes of that."""
    members = changes.pop("members", {})
    parameters = {"binary_data_size": len(data)}
    described = describe_input(takes_files, **{"parameters": parameters, **changes})
    content = encode_request(described, **members)
    return content + data, len(content)


def encode_files(*files: bytes) -> bytes:
    """Files as elements of BYTES."""
    return b"".join(struct.pack("<I", len(file)) + file for file in files)
