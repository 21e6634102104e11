"""service.routes.info: everything GET /info promises."""

from typing import Any

import httpx
import pytest

from runtime import SkippedEngine

pytestmark = pytest.mark.anyio


async def test_tells_model_engine_and_limits(connect: Any, make_engine: Any) -> None:
    engine = make_engine()
    engine.skipped = (SkippedEngine("torchscript", "torch is missing"),)
    async with connect(engine=engine) as client:
        info = (await client.get("/info")).json()
    model = info["model"]
    assert (model["name"], model["format"], model["trained"]) == ("tiny", 3, True)
    assert model["training"]["accuracy"] == {"top1": 0.9, "images": 10}
    assert (model["classes"], model["labels"]) == (3, ["red", "green", "blue"])
    assert model["input"] == {"shape": [3, 32, 32], "dtype": "float32"}
    assert model["preprocessing"]["interpolation"] == "area"
    assert model["temperature"] == 1
    assert model["files"] == {"model.onnx": 1234}
    assert model["parity"] == {"onnx": {"max_abs_logit_difference": 0.0}}
    assert (model["quantization"], model["reduction"], model["known"]) == (None, None, None)
    assert info["engine"] == {
        "name": "native",
        "implementation": "generic",
        "requested": "auto",
        "skipped": [
            {"name": "torchscript", "cause": "failed", "reason": "torch is missing"},
        ],
        "threads": info["engine"]["threads"],
        "explains": True,
        "model_bytes": 1234,
        "workspace_bytes": 5678,
    }
    assert info["engine"]["threads"] >= 1
    assert info["limits"]["max_pixels"] == 25_000_000
    assert info["cpu"]["usable"] >= 1
    assert isinstance(info["cpu"]["features"], list)
    assert {"service", "python", "fastapi", "numpy", "pillow"} <= info["versions"].keys()


async def test_an_untrained_model_has_no_training(connect: Any, make_engine: Any) -> None:
    async with connect(engine=make_engine(trained=False, training=None)) as client:
        model = (await client.get("/info")).json()["model"]
    assert (model["trained"], model["training"]) == (False, None)


async def test_tells_of_8_bit_parts_and_reduced_decoding(connect: Any, make_engine: Any) -> None:
    engine = make_engine(quantization={"float_parts": "int8"}, reduction={"images": 7})
    async with connect(engine=engine) as client:
        model = (await client.get("/info")).json()["model"]
    assert (model["quantization"], model["reduction"]) == ({"float_parts": "int8"}, {"images": 7})


async def test_answers_the_same_identity_as_classify(
    client: httpx.AsyncClient, make_image: Any
) -> None:
    info = (await client.get("/info")).json()
    answer = (await client.post("/classify", content=make_image())).json()
    assert info["model"]["id"] == answer["model"]["id"]
