"""Raw tensors: the service is asked first, and the body is what the protocol says."""

import json

import numpy as np
import pytest

from loadtests.errors import ServerFault
from loadtests.users.tensors import TensorModel, build_tensor_payloads, find_model
from tests.loadtests.stub_service import StubService, run_stub


def describe(datatype: str, shape: list[int]) -> dict[str, object]:
    return {"name": "x", "inputs": [{"name": "x", "datatype": datatype, "shape": shape}]}


PAGES: dict[str, object] = {
    "/v2": {"name": "service"},
    "/info": {"model": {"name": "net"}},
    "/v2/models/net": describe("FP32", [-1, 3, 8, 9]),
    "/v2/models/bytes": describe("BYTES", [-1, 1]),
    "/v2/models/free": describe("FP32", [-1, 3, -1, -1]),
}


def test_the_model_is_found() -> None:
    with run_stub(StubService(pages=PAGES, delay=0)) as address:
        model = find_model(address)
        assert model == find_model(address, "net") == TensorModel("net", "x", (3, 8, 9))
        for name in ("bytes", "free", "none"):
            with pytest.raises(ServerFault, match=f"found none among: {name}; name another"):
                find_model(address, name)


def test_a_service_without_the_protocol() -> None:
    with (
        run_stub(StubService(delay=0)) as address,
        pytest.raises(ServerFault, match=r"found status 404: this service has no route for raw"),
    ):
        find_model(address)


def test_the_body_is_json_and_then_the_bytes() -> None:
    payloads = build_tensor_payloads(TensorModel("a/b", "x", (3, 8, 9)), 1, 2)
    assert len({payload.body for payload in payloads}) == 2
    payload = payloads[0]
    assert payload.path == "/v2/models/a%2Fb/infer"
    length = int(payload.headers["Inference-Header-Content-Length"])
    (tensor,) = json.loads(payload.body[:length])["inputs"]
    values = np.frombuffer(payload.body[length:], "<f4").reshape(tensor["shape"])
    assert values.shape == (1, 3, 8, 9)
    assert values.nbytes == tensor["parameters"]["binary_data_size"]
    assert abs(values).max() < 10
