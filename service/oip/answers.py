"""Answers to inference requests: JSON, followed by bytes for binary outputs."""

from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic_core import to_json

from service.messages.exchange import Answer
from service.oip.models import KNOWN, LOGITS, SCORES, Model
from service.oip.requests import InferRequest, WantedOutput
from service.oip.tensors import encode_texts
from service.work.inference import Classified


def encode_answer(model: Model, request: InferRequest, classified: list[Classified]) -> Answer:
    """The outputs that the request wants, of its images in their order."""
    values = _compute_outputs(model, request, classified)
    outputs: list[dict[str, Any]] = []
    pieces: list[bytes] = []
    for wanted in request.outputs:
        output, piece = _encode_output(model, wanted, values[wanted.name])
        outputs.append(output)
        if piece is not None:
            pieces.append(piece)
    manifest = model.classifier.manifest
    content: dict[str, Any] = {
        "model_name": model.name,
        "model_version": model.version,
        "parameters": {"model_id": model.classifier.model_id, "trained": manifest.trained},
        "outputs": outputs,
    }
    if request.id is not None:
        content["id"] = request.id
    body = to_json(content)
    if not pieces:
        return Answer(200, body, [(b"content-type", b"application/json")])
    headers = [
        (b"content-type", b"application/octet-stream"),
        (b"inference-header-content-length", b"%d" % len(body)),
    ]
    return Answer(200, b"".join([body, *pieces]), headers)


def _compute_outputs(
    model: Model, request: InferRequest, classified: list[Classified]
) -> dict[str, npt.NDArray[np.float32]]:
    """The wanted tensors by name, each [images, ...]; the logits are those of the labels."""
    logits = np.stack([image.logits for image in classified])
    values: dict[str, npt.NDArray[np.float32]] = {}
    for wanted in request.outputs:
        if wanted.name == SCORES:
            values[SCORES] = _score(model, logits)
        elif wanted.name == KNOWN:
            values[KNOWN] = np.array([[image.known] for image in classified], np.float32)
        else:
            values[LOGITS] = logits[:, : len(model.labels)]
    return values


def _score(model: Model, logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return np.stack([model.classifier.score(row) for row in logits]).astype(np.float32)


def _encode_output(
    model: Model, wanted: WantedOutput, values: npt.NDArray[np.float32]
) -> tuple[dict[str, Any], bytes | None]:
    """The JSON of an output, and its bytes if it is binary."""
    output: dict[str, Any] = {"name": wanted.name}
    if wanted.classes is None:
        output |= {"datatype": "FP32", "shape": list(values.shape)}
        if not wanted.is_binary:
            return output | {"data": values.ravel().tolist()}, None
        encoded = values.astype("<f4").tobytes()
    else:
        texts = [text for row in values for text in _rank(model, row, wanted.classes)]
        output |= {"datatype": "BYTES", "shape": [len(values), wanted.classes]}
        if not wanted.is_binary:
            return output | {"data": texts}, None
        encoded = encode_texts(texts)
    return output | {"parameters": {"binary_data_size": len(encoded)}}, encoded


def _rank(model: Model, values: npt.NDArray[np.float32], classes: int) -> list[str]:
    """The largest values, largest first, each as value:index:label."""
    best = np.argsort(-values, kind="stable")[:classes]
    return [f"{values[index]:f}:{index}:{model.labels[index]}" for index in best]
