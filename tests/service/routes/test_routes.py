"""service.routes.routes: what each path answers, good and bad, through the ASGI application."""

import asyncio
import io
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from service.app import create_app
from service.settings.settings import Settings

pytestmark = pytest.mark.anyio
STAGES = ("receive", "queue", "decode", "preprocess", "infer", "total")


async def test_a_form_is_classified(client: httpx.AsyncClient, make_image: Any) -> None:
    files = {"image": ("cat.jpg", make_image("blue"), "text/nonsense")}
    answer = await client.post("/classify", files=files, headers={"X-Request-Id": "mine"})
    body = answer.json()
    assert answer.status_code == 200
    assert body.keys() == {"predictions", "model", "engine", "image", "timings_ms", "request_id"}
    assert body["predictions"][0]["label"] == "blue"
    assert body["predictions"][0].keys() == {"label", "index", "score"}
    assert sum(item["score"] for item in body["predictions"]) == pytest.approx(1)
    assert body["model"]["name"] == "tiny"
    assert body["model"]["trained"] is True
    assert body["model"]["notice"] is None
    assert body["engine"] == "native/generic"
    assert body["image"] == {"format": "JPEG", "width": 60, "height": 40}
    assert body["request_id"] == answer.headers["x-request-id"] == "mine"
    times = body["timings_ms"]
    assert tuple(times) == STAGES
    assert sum(times.values()) - times["total"] <= times["total"]
    for stage in STAGES:
        assert float(answer.headers[f"x-time-{stage}-ms"]) == times[stage]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("declared", [None, "image/gif", "application/x-www-form-urlencoded"])
async def test_a_bare_image_is_classified(
    client: httpx.AsyncClient, make_image: Any, kind: str, declared: str | None
) -> None:
    headers = {"Content-Type": declared} if declared else {}
    data = make_image("lime", kind=kind)
    answer = await client.post("/classify?top_k=1", content=data, headers=headers)
    assert answer.status_code == 200
    assert [item["label"] for item in answer.json()["predictions"]] == ["green"]
    assert answer.json()["image"]["format"] == kind


async def test_an_untrained_model_says_so(connect: Any, make_engine: Any, make_image: Any) -> None:
    async with connect(engine=make_engine(trained=False, training=None)) as client:
        model = (await client.post("/classify", content=make_image())).json()["model"]
    assert model["trained"] is False
    assert "untrained" in model["notice"]


@pytest.mark.parametrize("top_k", [1, 2, 3])
async def test_top_k(client: httpx.AsyncClient, make_image: Any, top_k: int) -> None:
    answer = await client.post(f"/classify?top_k={top_k}", content=make_image())
    scores = [item["score"] for item in answer.json()["predictions"]]
    assert len(scores) == top_k
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("top_k", ["0", "-1", "4", "9" * 20, "9" * 5000, "x", "1.5", ""])
async def test_top_k_out_of_range(client: httpx.AsyncClient, make_image: Any, top_k: str) -> None:
    answer = await client.post(f"/classify?top_k={top_k}", content=make_image())
    assert answer.status_code == 422
    assert answer.json()["code"] == "invalid_parameter"
    assert answer.json()["detail"].startswith("top_k: ")
    assert "999" not in answer.json()["detail"]


async def test_the_default_top_k_is_five_or_all(
    connect: Any, make_engine: Any, make_image: Any, client: httpx.AsyncClient
) -> None:
    assert len((await client.post("/classify", content=make_image())).json()["predictions"]) == 3


def make_scan_bomb(make_image: Any) -> bytes:
    """A progressive JPEG with a hundred times its last scan."""
    data = make_image(kind="JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * 100 + data[-2:]


@pytest.mark.parametrize(
    ("make", "status", "code"),
    [
        (lambda make_image: b"", 400, "bad_request"),
        (lambda make_image: b"hello", 415, "unsupported_format"),
        (lambda make_image: b"<svg/>", 415, "unsupported_format"),
        (lambda make_image: make_image(kind="GIF"), 415, "unsupported_format"),
        (lambda make_image: make_image()[:-50], 422, "invalid_image"),
        (lambda make_image: make_image(kind="PNG")[:60], 422, "invalid_image"),
        (lambda make_image: make_image(size=(101, 100), kind="PNG"), 413, "too_large"),
        (lambda make_image: b"\xff\xd8\xff" + b"x" * 40_000, 413, "too_large"),
        (make_scan_bomb, 413, "too_large"),
    ],
)
async def test_bad_images_are_4xx_and_counted(
    connect: Any, make_image: Any, make: Any, status: int, code: str
) -> None:
    async with connect(Settings(max_body_bytes=40_000, max_pixels=10_000)) as client:
        answer = await client.post("/classify", content=make(make_image))
        metrics = (await client.get("/metrics")).text
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert (body["status"], body["code"]) == (status, code)
    assert body["detail"].startswith("expected ")
    assert body["request_id"] == answer.headers["x-request-id"]
    if code != "bad_request" and "body" not in body["detail"]:
        assert f'bnn_decode_failures_total{{code="{code}"}} 1.0' in metrics


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/classify", 405),
        ("PUT", "/classify", 405),
        ("POST", "/info", 405),
        ("POST", "/", 405),
        ("HEAD", "/classify", 405),
        ("GET", "/classify/batch", 405),
        ("OPTIONS", "/livez", 405),
        ("POST", "/openapi.json", 405),
        ("GET", "/nothing", 404),
        ("GET", "/classify/", 404),
        ("POST", "/../etc/passwd", 404),
        ("POST", "/docs", 405),
        ("GET", "/redoc", 404),
    ],
)
async def test_other_paths_and_methods(
    client: httpx.AsyncClient, method: str, path: str, status: int
) -> None:
    answer = await client.request(method, path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert method == "HEAD" or answer.json()["status"] == status
    if status == 405:
        allowed = set(answer.headers["allow"].split(", "))
        assert allowed == {"POST"} or {"GET"} <= allowed <= {"GET", "HEAD"}
        assert method not in allowed


@pytest.mark.parametrize(
    "path", ["/", "/info", "/metrics", "/openapi.json", "/livez", "/readyz", "/startupz"]
)
async def test_head_is_get_without_the_body(client: httpx.AsyncClient, path: str) -> None:
    got, head = await client.get(path), await client.head(path)
    assert got.status_code == head.status_code == 200
    assert got.headers["content-type"] == head.headers["content-type"]
    if path not in ("/metrics", "/info"):  # these change from one moment to the next
        assert got.headers["content-length"] == head.headers["content-length"]
    metrics = (await client.get("/metrics")).text
    assert f'bnn_requests_total{{method="HEAD",route="{path}",status="200"}} 1.0' in metrics


async def test_many_at_once(client: httpx.AsyncClient, make_image: Any) -> None:
    colours = ["red", "lime", "blue"] * 10
    answers = await asyncio.gather(
        *(client.post("/classify", content=make_image(colour)) for colour in colours)
    )
    best = [answer.json()["predictions"][0]["index"] for answer in answers]
    assert best == [0, 1, 2] * 10


async def test_before_the_model_is_loaded(connect: Any, make_image: Any, gated: Any) -> None:
    gated.close()
    async with connect(engine=gated, wait=False) as client:
        assert (await client.get("/livez")).status_code == 200
        assert (await client.get("/metrics")).status_code == 200
        for request in (
            client.get("/readyz"),
            client.get("/startupz"),
            client.get("/info"),
            client.post("/classify", content=make_image()),
            client.post("/classify/batch", files={"image": make_image()}),
        ):
            answer = await request
            assert answer.status_code == 503
            assert answer.json()["code"] == "not_ready"
            assert int(answer.headers["retry-after"]) > 0
        gated.open()
        while (await client.get("/readyz")).status_code != 200:
            await asyncio.sleep(0.01)
        assert (await client.get("/readyz")).json() == {"status": "ready"}


async def test_without_a_model(tmp_path: Any, make_image: Any) -> None:
    app = create_app(Settings(bundle=tmp_path))
    async with app.lifespan():
        await app.state.inference.wait()
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            assert (await client.get("/livez")).status_code == 200
            for answer in (
                await client.get("/readyz"),
                await client.get("/startupz"),
                await client.get("/info"),
                await client.post("/classify", content=make_image()),
            ):
                assert (answer.status_code, answer.json()["code"]) == (503, "no_engine")
                assert str(tmp_path) not in answer.text


FILES = []
for kind, options in [("JPEG", {}), ("PNG", {}), ("WEBP", {}), ("JPEG", {"progressive": True})]:
    stream = io.BytesIO()
    Image.linear_gradient("L").resize((20, 30)).convert("RGB").save(stream, kind, **options)
    FILES.append(stream.getvalue())


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    seed=st.sampled_from(FILES),
    flips=st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 255)), max_size=6),
    cut=st.integers(0, 5000),
)
async def test_fuzzed_images_are_never_a_500(
    shared_client: httpx.AsyncClient, seed: bytes, flips: list[tuple[int, int]], cut: int
) -> None:
    data = bytearray(seed)
    for place, value in flips:
        data[place % len(data)] = value
    content = bytes(data[: len(data) - cut] if cut < len(data) // 2 else data)
    answer = await shared_client.post("/classify", content=content)
    assert answer.status_code in (200, 413, 415, 422), answer.text
