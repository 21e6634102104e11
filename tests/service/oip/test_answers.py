"""service.oip.answers: outputs as numbers, bytes and ranked texts."""

import json
from typing import Any

import numpy as np
import pytest

from service.classification.classifier import Prepared
from service.messages.exchange import Answer
from service.oip.answers import encode_answer
from service.oip.requests import InferRequest, WantedOutput
from service.work.inference import Classified
from tests.service.oip.bodies import make_model

ROWS = np.array([[0.5, 2.0, -1.0], [3.0, 3.0, 0.25]], np.float32)
SCORES = np.exp(ROWS) / np.exp(ROWS).sum(axis=1, keepdims=True)


def answer(*outputs: WantedOutput, **changes: Any) -> Answer:
    """The answer of a model to two images with these logits."""
    make_image = Prepared(np.zeros((3, 1, 1), np.float32), "tensor", 1, 1, 0.0, 0.0, 0.0)
    classified = [Classified([], make_image, {}, 1, 0.0, row) for row in ROWS]
    request = InferRequest([b"a", b"b"], list(outputs), changes.pop("id", None))
    return encode_answer(make_model(**changes), request, classified)


def read(given: Answer) -> tuple[dict[str, Any], bytes]:
    """The JSON, and the bytes after it."""
    headers = dict(given.headers)
    length = headers.get(b"inference-header-content-length")
    kind = "application/json" if length is None else "application/octet-stream"
    assert headers[b"content-type"] == kind.encode()
    end = len(given.body) if length is None else int(length)
    return json.loads(given.body[:end]), given.body[end:]


def test_numbers_as_json() -> None:
    content, rest = read(answer(WantedOutput("scores", False), WantedOutput("logits", False)))
    assert not rest
    assert (content["model_name"], content["model_version"]) == ("tiny", "1")
    assert "id" not in content
    assert content["parameters"]["trained"] is True
    scores, logits = content["outputs"]
    assert (scores["name"], scores["datatype"], scores["shape"]) == ("scores", "FP32", [2, 3])
    assert scores["data"] == pytest.approx(SCORES.ravel().tolist(), rel=1e-6)
    assert logits["data"] == ROWS.ravel().tolist()


def test_an_untrained_model_says_so() -> None:
    content, _ = read(answer(WantedOutput("scores", False), trained=False, training=None))
    assert content["parameters"]["trained"] is False


def test_bytes_come_in_the_order_of_the_outputs() -> None:
    content, rest = read(
        answer(
            WantedOutput("logits", True),
            WantedOutput("scores", False),
            id="seven",
        )
    )
    assert content["id"] == "seven"
    logits, scores = content["outputs"]
    assert logits["parameters"] == {"binary_data_size": 24}
    assert "data" not in logits
    assert rest == ROWS.astype("<f4").tobytes()
    assert len(scores["data"]) == 6


def test_classes_are_ranked_texts_the_first_of_equals_first() -> None:
    content, _ = read(answer(WantedOutput("logits", False, 2)))
    (output,) = content["outputs"]
    assert (output["datatype"], output["shape"]) == ("BYTES", [2, 2])
    assert output["data"] == [
        *("2.000000:1:green", "0.500000:0:red"),
        *("3.000000:0:red", "3.000000:1:green"),
    ]


def test_ranked_texts_as_bytes() -> None:
    content, rest = read(answer(WantedOutput("logits", True, 1), WantedOutput("scores", True)))
    ranked, scores = content["outputs"]
    text = b"2.000000:1:green"
    first = len(text).to_bytes(4, "little") + text
    assert rest.startswith(first)
    size = ranked["parameters"]["binary_data_size"]
    assert len(rest) == size + scores["parameters"]["binary_data_size"]
    assert np.allclose(np.frombuffer(rest[size:], "<f4"), SCORES.ravel())
