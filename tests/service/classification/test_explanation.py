"""service.classification.explanation: what can be asked for, the image that answers, refusals
by name.
"""

import io
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from runtime import NotExplainable, load_engine
from service.access.key_file import make_key
from service.settings.settings import Settings

pytestmark = pytest.mark.anyio
DEFAULT = Path(__file__).parents[3] / "service/bundles/default"
MOBILENET = DEFAULT.parent / "mobilenet_v1"


def read_png(answer: httpx.Response) -> np.ndarray:
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
    return np.asarray(Image.open(io.BytesIO(answer.content)))


def encode(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


async def test_the_map_of_the_best_class(client: httpx.AsyncClient) -> None:
    pixels = np.zeros((36, 36, 3), np.uint8)
    pixels[:, :, 0] = 180
    pixels[:10, :10] = [255, 0, 0]  # the brightest red is top left
    answer = await client.post("/classify?explain=cam", content=encode(pixels))
    drawn = read_png(answer)
    assert drawn.shape == (32, 32, 3)
    assert drawn[:6, :6].mean() > drawn[20:, 20:].mean() + 10
    plain = (await client.post("/classify", content=encode(pixels))).json()["predictions"][0]
    assert answer.headers["x-class-label"] == plain["label"] == "red"
    assert answer.headers["x-class-index"] == "0"
    assert float(answer.headers["x-class-score"]) == pytest.approx(plain["score"], abs=1e-6)
    assert float(answer.headers["x-time-explain-ms"]) > 0
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("wanted", "index"), [("blue", 2), ("2", 2), ("0", 0), ("green&class=blue", 2)]
)
async def test_the_map_of_a_class_by_label_or_index(
    client: httpx.AsyncClient, make_image: Any, wanted: str, index: int
) -> None:
    answer = await client.post(
        f"/classify?explain=cam&class={wanted}&top_k=1", content=make_image()
    )
    read_png(answer)
    assert answer.headers["x-class-index"] == str(index)
    assert answer.headers["x-class-label"] == ("red", "green", "blue")[index]


async def test_labels_may_have_any_letters_and_may_be_numbers(
    connect: Any, make_engine: Any, make_image: Any
) -> None:
    engine = make_engine(labels=("1", "žába, 青蛙", "0"))
    async with connect(engine=engine) as client:
        for given_, index in [("1", 0), ("0", 2), ("2", 2), ("%C5%BE%C3%A1ba%2C%20青蛙", 1)]:
            answer = await client.post(
                f"/classify?explain=cam&class={given_}", content=make_image()
            )
            assert answer.headers["x-class-index"] == str(index)
            assert unquote(answer.headers["x-class-label"]) == engine.bundle.manifest.labels[index]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/classify?explain=", "explain: expected cam"),
        ("/classify?explain=lime", "explain: expected cam"),
        ("/classify?explain=cam&class=yellow", "an index from 0 to 2"),
        ("/classify?explain=cam&class=3", "an index from 0 to 2"),
        ("/classify?explain=cam&class=-1", "an index from 0 to 2"),
        ("/classify?explain=cam&class=", "an index from 0 to 2"),
        ("/classify?class=red", "beside explain=cam"),
        ("/classify/batch?explain=cam", "on /classify"),
        ("/classify?expl%61in=lime", "explain: expected cam"),
        ("/classify?cl%61ss=red", "beside explain=cam"),
        ("/classify/batch?expl%61in=cam", "on /classify"),
    ],
)
async def test_what_cannot_be_asked(
    client: httpx.AsyncClient, make_image: Any, path: str, text: str
) -> None:
    answer = await client.post(path, files={"image": make_image()})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_parameter")
    assert text in answer.json()["detail"]
    assert "yellow" not in answer.text
    assert "lime" not in answer.text


@given(query=st.text(st.sampled_from("explainclass=cam&%20;+ž"), max_size=40))
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_no_query_is_a_fault(shared_client: Any, make_image: Any, query: str) -> None:
    answer = await shared_client.post(f"/classify?explain=cam&{query}", content=make_image())
    assert answer.status_code in (200, 422)


async def test_an_engine_that_cannot_is_named(connect: Any, make_image: Any) -> None:
    engine = load_engine(MOBILENET, "onnx")
    with pytest.raises(NotExplainable, match="found onnx"):
        engine.explain(np.zeros((1, *engine.bundle.manifest.input), np.float32), 0)
    async with connect(engine=engine) as client:
        answer = await client.post("/classify?explain=cam", content=make_image())
        assert (answer.status_code, answer.json()["code"]) == (422, "not_explainable")
        assert "found onnx" in answer.json()["detail"]
        assert (await client.get("/info")).json()["engine"]["explains"] is False
        assert (await client.post("/classify", content=make_image())).status_code == 200


@pytest.mark.parametrize("name", ["native", "torchscript"])
async def test_the_default_bundle_explains_itself(connect: Any, name: str, photos: Path) -> None:
    data = (photos / "hot_dog.jpg").read_bytes()
    async with connect(engine=load_engine(DEFAULT, name)) as client:
        drawn = read_png(await client.post("/classify?explain=cam", content=data))
        other = read_png(await client.post("/classify?explain=cam&class=dog", content=data))
    assert drawn.shape == other.shape == (128, 128, 3)
    assert np.abs(drawn.astype(int) - other).mean() > 5
    yellow = drawn[:, :, 0].astype(int) - drawn[:, :, 2]  # where the map is at its peak
    row, column = np.unravel_index(yellow.argmax(), yellow.shape)
    assert 20 < row < 100  # on the sausage, not on the receipt
    assert 30 < column < 150


async def test_bad_images_are_refused_as_without(client: httpx.AsyncClient) -> None:
    answer = await client.post("/classify?explain=cam", content=b"no image")
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_format")


async def test_a_fault_of_one_explanation_is_its_own(
    connect: Any, gated: Any, make_image: Any
) -> None:
    def fail(images: np.ndarray, class_index: int) -> np.ndarray:
        raise RuntimeError("broken")

    gated.explain = fail
    async with connect(engine=gated) as client:
        assert (await client.post("/classify?explain=cam", content=make_image())).status_code == 500
        assert (await client.post("/classify", content=make_image())).status_code == 200


async def test_keys_rates_and_metrics_count_as_for_other_answers(
    connect: Any, make_image: Any, tmp_path: Path
) -> None:
    key, lines = make_key("app", rate=0.01, burst=1)
    keys = tmp_path / "keys.toml"
    keys.write_text(lines)
    keys.chmod(0o600)
    async with connect(Settings(api_keys_file=keys)) as client:
        path, headers = "/classify?explain=cam", {"X-API-Key": key}
        assert (await client.post(path, content=make_image())).status_code == 401
        assert (await client.post(path, content=make_image(), headers=headers)).status_code == 200
        assert (await client.post(path, content=make_image(), headers=headers)).status_code == 429
        registry = client.app.state.metrics.registry
        stages = registry.get_sample_value("bnn_stage_duration_seconds_count", {"stage": "explain"})
        labels = {"route": "/classify", "method": "POST", "status": "200"}
        assert (stages, registry.get_sample_value("bnn_requests_total", labels)) == (1, 1)


async def test_who_does_not_ask_costs_no_second_run(
    connect: Any, make_engine: Any, make_image: Any
) -> None:
    engine = make_engine()
    asked: list[int] = []
    explain = engine.explain

    def record(images: np.ndarray, class_index: int) -> np.ndarray:
        asked.append(class_index)
        return explain(images, class_index)  # type: ignore[no-any-return]

    engine.explain = record
    async with connect(engine=engine) as client:
        for query in ("", "?top_k=2"):
            answer = await client.post(f"/classify{query}", content=make_image("blue"))
            assert answer.headers["content-type"] == "application/json"
        assert not asked
        await client.post("/classify?explain=cam", content=make_image("blue"))
    assert asked == [2]
