"""service.oip.requests: any body becomes a typed request or a refusal."""

import base64
import json
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic_core import from_json

from service.messages.problems import Problem
from service.oip.requests import (
    MAX_ARRAYS,
    MAX_ELEMENTS,
    MAX_JSON_BYTES,
    InferRequest,
    WantedOutput,
    measure_json,
    parse_infer_request,
    read_header_length,
)
from tests.service.oip.bodies import (
    MOST,
    TENSOR,
    attempt,
    describe_input,
    encode,
    encode_files,
    encode_request,
    join_binary,
    make_model,
)

TENSORS, FILES = make_model(), make_model(takes_files=True)
FLAT = TENSOR.ravel().tolist()
MIB = 2**20


def parse(body: bytes, header_length: int | None = None, takes_files: bool = False) -> InferRequest:
    return parse_infer_request(body, header_length, FILES if takes_files else TENSORS, MOST)


def refusal(body: bytes, header_length: int | None = None, takes_files: bool = False) -> str:
    with pytest.raises(Problem) as caught:
        parse(body, header_length, takes_files)
    assert caught.value.code == "bad_request"
    return caught.value.detail


def test_tensors_as_json_flat_and_nested() -> None:
    for data in (FLAT, TENSOR[np.newaxis].tolist()):
        request = parse(encode_request(describe_input(data=data)))
        assert np.array_equal(request.images, TENSOR[np.newaxis])
        assert request.outputs == [WantedOutput("scores", False), WantedOutput("logits", False)]
        assert (request.id, request.timeout) == (None, None)


@pytest.mark.parametrize("images", [1, 3])
def test_tensors_as_bytes(images: int) -> None:
    whole = np.stack([TENSOR * n for n in range(1, images + 1)])
    request = parse(*join_binary(whole.tobytes(), shape=list(whole.shape)))
    assert np.array_equal(request.images, whole)


def test_one_image_needs_no_first_dimension() -> None:
    request = parse(*join_binary(TENSOR.tobytes(), shape=[3, 32, 32]))
    assert np.array_equal(request.images, TENSOR[np.newaxis])


@pytest.mark.parametrize("shape", [[2], [2, 1]])
def test_files(shape: list[int]) -> None:
    data = encode_files(b"one", b"other")
    assert parse(*join_binary(data, True, shape=shape), True).images == [b"one", b"other"]
    texts = [base64.b64encode(file).decode() for file in (b"one", b"other")]
    body = encode_request(describe_input(True, shape=shape, data=texts))
    assert parse(body, takes_files=True).images == [b"one", b"other"]


def test_without_json_the_body_is_the_input() -> None:
    assert parse(b"\xff\xd8 a JPEG", 0, True).images == [b"\xff\xd8 a JPEG"]
    both = np.stack([TENSOR, -TENSOR])
    request = parse(both.tobytes(), 0)
    assert np.array_equal(request.images, both)
    assert not any(output.is_binary for output in request.outputs)
    refusal(b"", 0, True)
    for body in (b"", both.tobytes()[:-1], both.tobytes() + b"1", both.tobytes() * 3):
        refusal(body, 0)


def test_what_is_wanted_of_it() -> None:
    outputs = [
        {"name": "logits", "parameters": {"binary_data": True}},
        {"name": "scores", "parameters": {"classification": 2}},
    ]
    request = parse(
        encode_request(
            describe_input(data=FLAT),
            id="a b ü",
            outputs=outputs,
            parameters={"timeout": 250_000, "priority": 1, "own": "anything"},
        )
    )
    assert request.id == "a b ü"
    assert request.timeout == 0.25
    assert request.outputs == [WantedOutput("logits", True), WantedOutput("scores", False, 2)]


def test_binary_for_all_outputs_unless_one_says_otherwise() -> None:
    parameters = {"binary_data_output": True}
    body = encode_request(describe_input(data=FLAT), parameters=parameters)
    assert all(output.is_binary for output in parse(body).outputs)
    outputs = [{"name": "logits", "parameters": {"binary_data": False}}, {"name": "scores"}]
    body = encode_request(describe_input(data=FLAT), parameters=parameters, outputs=outputs)
    assert [output.is_binary for output in parse(body).outputs] == [False, True]


@pytest.mark.parametrize(("asked", "given"), [(1, 1), (3, 3), (99, 3), (0, None)])
def test_classes_are_as_many_as_there_are(asked: int, given: int | None) -> None:
    outputs = [{"name": "scores", "parameters": {"classification": asked}}]
    request = parse(encode_request(describe_input(data=FLAT), outputs=outputs))
    assert request.outputs == [WantedOutput("scores", False, given)]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"inputs": []}, "one input, input; found 0"),
        ({"inputs": None}, "one input, input; found 0"),
        ({"inputs": [describe_input(data=FLAT)] * 2}, "found 2"),
        ({"inputs": {}}, "an array in inputs"),
        ({"inputs": [[]]}, "an array in inputs"),
        ({"id": 7}, "a text in id"),
        ({"id": "x" * 1001}, "an id of at most"),
        ({"parameters": []}, "an object in parameters"),
        ({"parameters": {"timeout": -1}}, "a timeout"),
        ({"parameters": {"timeout": "1"}}, "a whole number in parameters.timeout"),
        ({"parameters": {"sequence_id": 4}}, "sequence_id"),
        ({"parameters": {"binary_data_output": 1}}, "true or false"),
        ({"outputs": [{"name": "other"}]}, "outputs among logits, scores"),
        ({"outputs": [{"name": "logits"}] * 2}, "each once"),
        ({"outputs": [{}]}, "a text in outputs[].name"),
        ({"outputs": [{"name": "logits", "parameters": {"classification": -1}}]}, "from 1 on"),
        ({"outputs": [{"name": "logits", "parameters": {"binary_data": 1}}]}, "true or false"),
        (
            {"outputs": [{"name": "logits", "parameters": {"shared_memory_region": "a"}}]},
            "shared memory",
        ),
    ],
)
def test_requests_that_are_refused(changes: dict[str, Any], text: str) -> None:
    content = {"inputs": [describe_input(data=FLAT)], **changes}
    assert text in refusal(encode(content))


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"name": "image"}, "the input input"),
        ({"name": 1}, "a text in inputs[0].name"),
        ({"datatype": "FP64"}, "the datatype FP32"),
        ({"datatype": "BYTES"}, "the datatype FP32"),
        ({"shape": None}, "an array in inputs[0].shape; found none"),
        ({"shape": [1.0, 3, 32, 32]}, "each element a whole number"),
        ({"shape": [True, 3, 32, 32]}, "each element a whole number"),
        ({"shape": [-1, 3, 32, 32]}, "no image"),
        ({"shape": [5, 3, 32, 32]}, "more images"),
        ({"shape": [1, 3, 224, 224]}, "another one"),
        ({"data": None}, "found neither"),
        ({"data": "AAAA"}, "an array in inputs[0].data"),
        ({"data": FLAT[:-1]}, "as many elements"),
        ({"parameters": {"binary_data_size": 0}}, "found both"),
        ({"parameters": {"binary_data_size": 1.5}}, "a whole number"),
        ({"parameters": {"shared_memory_region": "a"}}, "shared memory"),
    ],
)
def test_inputs_that_are_refused(changes: dict[str, Any], text: str) -> None:
    given = describe_input(**{"data": FLAT, **changes})
    assert text in refusal(encode_request(given))


@pytest.mark.parametrize("size", [-1, 0, 12287, 12289, 2**70])
def test_bytes_that_are_not_as_many_as_announced(size: int) -> None:
    body, length = join_binary(TENSOR.tobytes(), parameters={"binary_data_size": size})
    assert "bytes after the JSON" in refusal(body, length)


def test_bytes_after_json_that_has_all() -> None:
    body = encode_request(describe_input(data=FLAT))
    assert "found 1" in refusal(body + b"x", len(body))
    assert "JSON" in refusal(body + b"x")


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{", b"null", b"[]", b"1", b'"a"', b"\xff\xfe", b'{"inputs"', b"[" * 5000),
        *(
            b'{"a":' * 5000,
            b'{"id": "\\ud800", "inputs": []}',
            b"NaN",
            b"-",
            b"{}" * 2,
            b"1" * 5000,
        ),
    ],
)
def test_bodies_that_are_no_object_of_json(body: bytes) -> None:
    assert "JSON" in refusal(body)


def test_nan_is_a_bare_token_and_is_refused_by_name() -> None:
    for token in (b"NaN", b"Infinity", b"-Infinity"):
        body = encode_request(describe_input(data=FLAT)).replace(b"-1.0,", token + b",", 1)
        assert token in body
        assert "found NaN or infinity" in refusal(body)


@pytest.mark.parametrize(
    ("header", "length"), [(None, None), (b"0", 0), (b" 7 ", 7), (b"100", 100)]
)
def test_header_length(header: bytes | None, length: int | None) -> None:
    assert read_header_length(header, 100) == length


@pytest.mark.parametrize("header", [b"", b"-1", b"101", b"1e1", b"x", b"1" * 5000, b"\xb2", b"+5"])
def test_header_lengths_that_cannot_be(header: bytes) -> None:
    with pytest.raises(Problem, match="counted before it is compressed"):
        read_header_length(header, 100)


KEYS = st.sampled_from(
    [
        *("inputs", "outputs", "parameters", "id", "name", "shape", "datatype", "data"),
        *("binary_data_size", "binary_data", "classification", "timeout"),
    ]
) | st.text(max_size=3)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=20,
)
MEMBERS = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["input", "image_bytes"]) | JSON,
        "datatype": st.sampled_from(["FP32", "BYTES"]) | JSON,
        "shape": st.sampled_from([[1], [2, 1], [1, 3, 32, 32], [3, 32, 32]]) | JSON,
        "data": st.lists(JSON, max_size=4) | st.just(FLAT),
        "parameters": st.fixed_dictionaries({"binary_data_size": st.integers() | JSON}),
    },
)


@settings(max_examples=200)
@given(
    content=JSON | st.fixed_dictionaries({"inputs": st.lists(MEMBERS, max_size=2), "id": JSON}),
    rest=st.binary(max_size=20),
    cut=st.integers(-3, 3),
    takes_files=st.booleans(),
)
def test_any_json_is_a_request_or_refused(
    content: Any, rest: bytes, cut: int, takes_files: bool
) -> None:
    text = encode(content)
    for length in (None, 0, max(0, min(len(text) + cut, len(text + rest)))):
        request = attempt(lambda length=length: parse(text + rest, length, takes_files))
        assert request is None or 1 <= len(request.images) <= MOST


@given(body=st.binary(max_size=60), takes_files=st.booleans())
def test_any_bytes_are_a_request_or_refused(body: bytes, takes_files: bool) -> None:
    for length in (None, 0, len(body), len(body) // 2):
        attempt(lambda length=length: parse(body, length, takes_files))


@given(
    files=st.lists(st.binary(min_size=1, max_size=30), min_size=1, max_size=MOST),
    request_id=st.text(max_size=20),
)
def test_round_trip_of_files(files: list[bytes], request_id: str) -> None:
    request_id = request_id.encode(errors="ignore").decode()
    members = {"id": request_id}
    body, length = join_binary(encode_files(*files), True, shape=[len(files)], members=members)
    request = parse(body, length, True)
    assert (request.images, request.id) == (files, request_id)


@settings(max_examples=60)
@example(text=b"[" + b"1.1," * 1000 + b"1]")
@example(text=b"[" + b"-9," * 1000 + b"1]")
@example(text=b"[" + b"[]," * 1000 + b"1]")
@example(text=b"[" + b"{}," * 1000 + b"1]")
@example(text=b"[" + b'{"":1},' * 1000 + b"1]")
@example(text=b"[" + b'"ab",' * 1000 + b"1]")
@example(text='["ab\U0001f600"]'.encode() * 1)
@example(text=b'["' + b"a" * 50_000 + "\U0001f600".encode() + b'"]')
@example(text=b'["' + b"a" * 50_000 + b'\\ud83d\\ude00"]')
@given(text=JSON.map(lambda content: json.dumps([content] * 100).encode()))
def test_parsed_json_takes_no_more_than_is_asked_for(text: bytes) -> None:
    from_json(text)
    tracemalloc.start()
    try:
        content = from_json(text)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert content is not None
    assert peak <= measure_json(memoryview(text)) + 1000


@pytest.mark.parametrize(
    ("most", "more"),
    [
        (b" " * MAX_JSON_BYTES, b" "),
        (b"," * MAX_ELEMENTS, b","),
        (b"[{" * (MAX_ARRAYS // 2), b"["),
    ],
)
def test_json_is_bounded(most: bytes, more: bytes) -> None:
    """In what parsing takes of time, for which everything else waits, and of memory."""
    assert measure_json(memoryview(most)) > len(most)
    with pytest.raises(Problem, match=r"too_large: .* as binary data"):
        measure_json(memoryview(most + more))


def test_parsing_a_request_takes_no_more_than_is_asked_for() -> None:
    images = np.random.default_rng(0).normal(size=(MOST, 3, 32, 32)).astype(np.float32)
    for data in (images.tolist(), images.ravel().tolist(), [7] * images.size):
        body = encode_request(describe_input(shape=list(images.shape), data=data))
        parse(body)
        tracemalloc.start()
        try:
            parse(body)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert MIB // 10 < peak <= measure_json(memoryview(body))
