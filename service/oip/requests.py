"""Parses inference requests: the JSON and the bytes after it, checked and typed."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic_core import from_json

from service.messages.problems import Problem
from service.oip.errors import refuse
from service.oip.fields import find, take, take_all
from service.oip.models import KNOWN, LOGITS, SCORES, Model
from service.oip.tensors import (
    check_shape,
    read_binary_files,
    read_binary_tensors,
    read_json_files,
    read_json_tensors,
)

#: Parsing holds up everything else in the process, for up to 0.2 microseconds an element and more
#: an array: larger tensors are sent as bytes.
MAX_JSON_BYTES = 8 * 2**20
MAX_ELEMENTS, MAX_ARRAYS = 500_000, 20_000
_MAX_ID = 1000
_SHARED_MEMORY = "shared_memory_region"
# What parsed JSON takes at most: of an element a float or a text, its place in an array, and what
# is made of it; of an array or an object its head.
_ELEMENT_BYTES, _ARRAY_BYTES, _OBJECT_BYTES = 96, 120, 400


@dataclass(frozen=True)
class WantedOutput:
    """One output of the answer: the tensor, or its `classes` largest values as texts."""

    name: str
    is_binary: bool
    classes: int | None = None


@dataclass(frozen=True)
class InferRequest:
    """An inference request: images, wanted outputs, and its time-out in seconds if it has one."""

    images: list[bytes] | list[npt.NDArray[np.float32]]
    outputs: list[WantedOutput]
    id: str | None = None
    timeout: float | None = None


def read_header_length(header: bytes | None, body_bytes: int) -> int | None:
    """The length of the JSON by Inference-Header-Content-Length; None: the whole body.

    Raises Problem bad_request.
    """
    if header is None:
        return None
    text = header.strip()
    if not (text.isdigit() and len(text) < 12 and int(text) <= body_bytes):
        raise refuse(
            "in Inference-Header-Content-Length the bytes of JSON that the body begins with, "
            "counted before it is compressed",
            "something else",
        )
    return int(text)


def measure_json(text: memoryview) -> int:
    """Max bytes that parsing takes, its results included. Raises Problem too_large."""
    if len(text) > MAX_JSON_BYTES:
        raise _describe_large(f"{MAX_JSON_BYTES} bytes of JSON")
    content = bytes(text)
    elements, arrays, objects = (content.count(mark) for mark in (b",", b"[", b"{"))
    if elements > MAX_ELEMENTS:
        raise _describe_large(f"{MAX_ELEMENTS} elements in JSON")
    if arrays + objects > MAX_ARRAYS:
        raise _describe_large(f"{MAX_ARRAYS} arrays and objects in JSON")
    widest = 1 if content.isascii() and b"\\u" not in content else 4  # bytes of a character
    return (
        (2 + widest) * len(content)
        + _ELEMENT_BYTES * elements
        + _ARRAY_BYTES * arrays
        + _OBJECT_BYTES * objects
    )


def parse_infer_request(
    body: bytes, header_length: int | None, model: Model, most: int
) -> InferRequest:
    """Parses the request in a body, for a model, with at most `most` images.

    `header_length`: bytes of JSON, followed by those of the input; None: all is JSON; 0: all is the
    input. Raises Problem bad_request.
    """
    whole = memoryview(body)
    if header_length == 0:
        images = _read_raw(whole, model, most)
        return InferRequest(images, _want_all(model, is_binary=False))
    end = len(body) if header_length is None else header_length
    content = _parse(whole[:end])
    parameters = find(content, "parameters", dict) or {}
    if parameters.get("sequence_id"):
        raise refuse("a request on its own", "sequence_id", "Leave it out: the model has no state.")
    request_id = find(content, "id", str)
    if request_id is not None and len(request_id) > _MAX_ID:
        raise refuse(f"an id of at most {_MAX_ID} characters", "more")
    microseconds = find(parameters, "timeout", int, "parameters.")
    if microseconds is not None and microseconds < 0:
        raise refuse("a timeout of microseconds, from 0 on", "less")
    return InferRequest(
        images=_read_input(content, whole[end:], model, most),
        outputs=_read_outputs(content, parameters, model),
        id=request_id,
        timeout=microseconds / 1e6 if microseconds else None,
    )


def _parse(text: memoryview) -> dict[str, Any]:
    try:
        content = from_json(bytes(text))
    except ValueError as fault:
        raise refuse("an inference request in JSON", "other bytes") from fault
    if not isinstance(content, dict):
        raise refuse("an object of JSON", "something else")
    return content


def _read_input(content: dict[str, Any], rest: memoryview, model: Model, most: int) -> Any:
    inputs = take_all(content, "inputs", dict)
    spec = model.input
    if len(inputs) != 1:
        raise refuse(f"one input, {spec.name}", f"{len(inputs)}")
    (given,) = inputs
    if take(given, "name", str, "inputs[0].") != spec.name:
        raise refuse(f"the input {spec.name}", "one of another name")
    if take(given, "datatype", str, "inputs[0].") != spec.datatype:
        raise refuse(f"the datatype {spec.datatype} of {spec.name}", "another one")
    take(given, "shape", list, "inputs[0].")
    shape = take_all(given, "shape", int, "inputs[0].")
    images = check_shape(shape, spec.dims, most, spec.name)
    parameters = find(given, "parameters", dict, "inputs[0].") or {}
    if _SHARED_MEMORY in parameters:
        raise _describe_shared_memory()
    size = find(parameters, "binary_data_size", int, "inputs[0].parameters.")
    data = find(given, "data", list, "inputs[0].")
    if size is None and data is None:
        raise refuse("inputs[0].data, or binary_data_size among its parameters", "neither")
    if size is not None and data is not None:
        raise refuse("inputs[0].data, or binary_data_size among its parameters", "both")
    if len(rest) != (size or 0):
        raise refuse(f"{size or 0} bytes after the JSON", f"{len(rest)}")
    if data is None:
        if model.takes_files:
            return read_binary_files(rest, images)
        return read_binary_tensors(rest, images, spec.dims)
    if model.takes_files:
        return read_json_files(data, images)
    return read_json_tensors(data, images, spec.dims)


def _read_raw(body: memoryview, model: Model, most: int) -> Any:
    """The input without JSON: one file, or as many tensors as its bytes make."""
    if model.takes_files:
        if not body:
            raise refuse("an image file", "0 bytes")
        return [bytes(body)]
    dims = model.input.dims
    each = 4 * int(np.prod(dims))
    images = check_shape([len(body) // each, *dims], dims, most, model.input.name)
    return read_binary_tensors(body, images, dims)


def _read_outputs(
    content: dict[str, Any], parameters: dict[str, Any], model: Model
) -> list[WantedOutput]:
    default = find(parameters, "binary_data_output", bool, "parameters.") or False
    given = take_all(content, "outputs", dict)
    if not given:
        return _want_all(model, default)
    names = {output.name for output in model.outputs}
    wanted: list[WantedOutput] = []
    for output in given:
        name = take(output, "name", str, "outputs[].")
        if name not in names or name in (other.name for other in wanted):
            raise refuse(f"outputs among {', '.join(sorted(names))}, each once", "another one")
        where = "outputs[].parameters."
        own = find(output, "parameters", dict, "outputs[].") or {}
        if _SHARED_MEMORY in own:
            raise _describe_shared_memory()
        is_binary = find(own, "binary_data", bool, where)
        classes = find(own, "classification", int, where)
        if classes is not None and classes < 0:
            raise refuse("a classification of so many classes, from 1 on", "less")
        if classes and name == KNOWN:
            raise refuse(f"a classification of {SCORES} or {LOGITS}", f"one of {KNOWN}")
        wanted.append(
            WantedOutput(
                name,
                default if is_binary is None else is_binary,
                min(classes, len(model.labels)) if classes else None,
            )
        )
    return wanted


def _want_all(model: Model, is_binary: bool) -> list[WantedOutput]:
    return [WantedOutput(output.name, is_binary) for output in model.outputs]


def _describe_shared_memory() -> Problem:
    return refuse(
        "tensors in the body", "shared memory", "Send and ask for them there: it is not offered."
    )


def _describe_large(most: str) -> Problem:
    return Problem(
        "too_large", f"expected at most {most}; found more. Send the tensor as binary data."
    )
