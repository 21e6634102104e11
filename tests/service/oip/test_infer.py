"""service.oip.infer: the same bounds as every other way in, and nothing left behind."""

import asyncio
import gzip
import json
import zlib
from collections.abc import Callable
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.sdk.trace import TracerProvider

from service.settings.settings import Settings
from tests.service.oip.bodies import (
    TENSOR,
    describe_input,
    encode_files,
    encode_request,
    join_binary,
)
from tests.service.servers import make_settings, wait_for
from tests.service.wire import Wire

pytestmark = pytest.mark.anyio
PATH, FILES_PATH = "/v2/models/tiny/infer", "/v2/models/tiny_image/infer"
LENGTH = "Inference-Header-Content-Length"
MIB = 2**20
GREEN = np.full((1, 3, 32, 32), [[[0.0]], [[1.0]], [[0.0]]], np.float32)


async def ask(
    client: Any, body: bytes, length: int | None = None, **options: Any
) -> httpx.Response:
    """The answer to a body, of tensors unless `path` says otherwise."""
    headers = options.pop("headers", {})
    if length is not None:
        headers = {**headers, LENGTH: str(length)}
    answer: httpx.Response = await client.post(
        options.pop("path", PATH), content=body, headers=headers
    )
    assert not options
    return answer


def join_tensors(tensors: np.ndarray, **members: Any) -> tuple[bytes, int]:
    return join_binary(tensors.tobytes(), shape=list(tensors.shape), members=members)


def read_sample(text: str, start: str) -> float:
    """The value of the one sample whose line begins so; 0: there is none."""
    values = [line.rpartition(" ")[2] for line in text.splitlines() if line.startswith(start)]
    return sum(map(float, values))


async def test_answers_are_those_of_classify(client: httpx.AsyncClient, make_image: Any) -> None:
    file = make_image("lime")
    classified = (await client.post("/classify", content=file)).json()["predictions"]
    answer = await ask(client, file, 0, path=FILES_PATH)
    scores = next(out for out in answer.json()["outputs"] if out["name"] == "scores")["data"]
    for item in classified:
        assert scores[item["index"]] == pytest.approx(item["score"], rel=1e-6)


async def test_how_likely_a_label_is_shown_is_an_output(
    connect: Any, knowing: Any, make_image: Any
) -> None:
    """Of files and tensors, as numbers and bytes; the logits are those of the labels."""
    grey = np.zeros_like(GREEN)
    async with connect(engine=knowing) as client:
        known = (await client.post("/classify", content=make_image("gray"))).json()["known"]
        of_file = (await ask(client, make_image("gray"), 0, path=FILES_PATH)).json()["outputs"]
        both = await ask(client, *join_tensors(np.concatenate([GREEN, grey])))
        wanted = [{"name": "known", "parameters": {"binary_data": True}}]
        alone = await ask(client, *join_tensors(grey, outputs=wanted))
        config = (await client.get("/v2/models/tiny/config")).json()
        ranked = [{"name": "known", "parameters": {"classification": 1}}]
        refused = await ask(client, *join_tensors(grey, outputs=ranked))
    assert [(out["name"], out["shape"]) for out in of_file] == [
        ("scores", [1, 3]),
        ("logits", [1, 3]),
        ("known", [1, 1]),
    ]
    assert of_file[2]["data"] == pytest.approx([known], rel=1e-6)
    scores, logits, of_tensors = both.json()["outputs"]
    assert (logits["shape"], of_tensors["shape"]) == ([2, 3], [2, 1])
    assert sum(scores["data"]) == pytest.approx(2)
    assert of_tensors["data"][0] > 0.9 > 0.4 > of_tensors["data"][1]
    assert np.frombuffer(alone.content[-4:], "<f4") == np.float32(of_tensors["data"][1])
    assert config["parameters"]["known_threshold"] == {"string_value": "0.4"}
    assert [output["name"] for output in config["output"]] == ["scores", "logits", "known"]
    assert refused.status_code == 400
    assert "a classification of scores or logits" in refused.json()["error"]


async def test_stages_units_and_images_are_counted(client: Any) -> None:
    await ask(client, *join_tensors(np.concatenate([GREEN, GREEN])))
    metrics = (await client.get("/metrics")).text
    assert read_sample(metrics, 'bnn_stage_duration_seconds_count{stage="infer"}') == 2
    assert read_sample(metrics, 'bnn_stage_duration_seconds_count{stage="receive"}') == 1
    assert read_sample(metrics, "bnn_unit_images_count") == 2


@pytest.mark.parametrize("path", [PATH, FILES_PATH])
@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_a_bomb_is_refused_and_its_memory_never_taken(
    connect: Any, path: str, encoding: str
) -> None:
    async with connect(Settings(max_body_bytes=2 * MIB)) as client:
        bomb = (gzip.compress if encoding == "gzip" else zlib.compress)(bytes(50 * MIB))
        highest, bodies = 0, client.app.state.budget.bodies
        extend = bodies.try_take

        def watch(size: int) -> bool:
            nonlocal highest
            taken: bool = extend(size)
            highest = max(highest, bodies.held)
            return taken

        bodies.try_take = watch
        answer = await ask(client, bomb, path=path, headers={"Content-Encoding": encoding})
        assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
        assert 2 * MIB < highest < 10 * MIB
        metrics = (await client.get("/metrics")).text
        assert 'bnn_problems_total{code="too_large"} 1.0' in metrics


async def test_inflated_bodies_count_against_the_memory_of_bodies(connect: Any) -> None:
    async with connect() as client:
        client.app.state.budget.bodies.capacity = MIB
        body = gzip.compress(bytes(8 * MIB))
        answer = await ask(client, body, headers={"Content-Encoding": "gzip"})
        assert (answer.status_code, answer.json()["code"]) == (429, "overloaded")
        assert int(answer.headers["retry-after"]) > 0


async def test_header_length_counts_what_is_inflated(client: Any) -> None:
    body, length = join_tensors(GREEN)
    for encoding, compress in (("gzip", gzip.compress), ("deflate", zlib.compress)):
        headers = {"Content-Encoding": encoding}
        answer = await ask(client, compress(body), length, headers=headers)
        assert answer.status_code == 200
        assert answer.json()["outputs"][1]["data"] == pytest.approx([0, 3, 0])


async def test_json_that_there_is_no_memory_to_parse(connect: Any) -> None:
    async with connect() as client:
        client.app.state.budget.bodies.capacity = 4 * MIB
        answer = await ask(client, b"[" + b"1," * 100_000 + b"1]")
        assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


async def test_large_json_is_parsed_beside_the_event_loop(client: Any) -> None:
    tensors = np.repeat(GREEN, 8, axis=0) / 3
    body = encode_request(describe_input(shape=list(tensors.shape), data=tensors.tolist()))
    assert len(body) > 64 * 2**10
    answer = await ask(client, body)
    assert answer.json()["outputs"][1]["data"] == pytest.approx([0, 1, 0] * 8)


@pytest.mark.parametrize(("images", "status"), [(3, 200), (4, 400)])
async def test_images_are_at_most_as_many_as_those_of_a_form(
    connect: Any, images: int, status: int
) -> None:
    async with connect(Settings(max_batch_images=3)) as client:
        config = (await client.get("/v2/models/tiny/config")).json()
        assert config["max_batch_size"] == 3
        answer = await ask(client, *join_tensors(np.repeat(GREEN, images, axis=0)))
        assert answer.status_code == status


async def test_the_deadline_is_that_of_the_request(connect: Any, gated: Any) -> None:
    async with connect(engine=gated) as client:
        gated.close()
        body, length = join_tensors(GREEN, parameters={"timeout": 20_000})
        answer = await ask(client, body, length)
        assert (answer.status_code, answer.json()["code"]) == (504, "deadline_exceeded")
        answer = await ask(client, *join_tensors(GREEN), headers={"X-Deadline-Ms": "20"})
        assert answer.status_code == 504
        answer = await ask(client, *join_tensors(GREEN), headers={"X-Deadline-Ms": "x"})
        assert answer.status_code == 400
        gated.open()
        assert (await ask(client, *join_tensors(GREEN))).status_code == 200


async def test_a_full_queue_refuses_in_the_form_of_the_protocol(connect: Any, gated: Any) -> None:
    limits = make_settings(workers=1, queue_images=1, max_batch_images=1, deadline_ms=60_000)
    async with connect(limits, gated) as client:
        client.app.state.inference.scheduler.unit = 1
        gated.close()
        first = asyncio.create_task(ask(client, *join_tensors(GREEN)))
        await asyncio.to_thread(gated.wait_for_call)
        second = asyncio.create_task(ask(client, *join_tensors(GREEN)))
        while not client.app.state.inference.scheduler.waiting:
            await asyncio.sleep(0.001)
        refused = await ask(client, *join_tensors(GREEN))
        assert (refused.status_code, refused.json()["code"]) == (429, "overloaded")
        assert int(refused.headers["retry-after"]) > 0
        gated.open()
        assert [(await task).status_code for task in (first, second)] == [200, 200]


async def test_requests_of_all_ways_in_are_computed_together(
    connect: Any, gated: Any, make_image: Any
) -> None:
    async with connect(make_settings(workers=1, deadline_ms=60_000), gated) as client:
        scheduler = client.app.state.inference.scheduler
        scheduler.unit = 4
        gated.close()
        asked = [asyncio.create_task(ask(client, *join_tensors(GREEN)))]
        await asyncio.to_thread(gated.wait_for_call)
        asked += [
            asyncio.create_task(ask(client, *join_tensors(GREEN))),
            asyncio.create_task(ask(client, make_image("lime"), 0, path=FILES_PATH)),
            asyncio.create_task(ask(client, make_image("lime"), path="/classify")),
        ]
        while scheduler.waiting < 3:
            await asyncio.sleep(0.001)
        gated.open()
        answers = [await task for task in asked]
        assert [answer.status_code for answer in answers] == [200] * 4
        assert [images for images, _ in gated.asked] == [1, 3]


async def test_a_network_that_answers_nan_to_files_is_a_fault_of_ours(
    connect: Any, make_engine: Any, make_image: Any
) -> None:
    class Broken(make_engine):  # type: ignore[misc]
        breaks = False

        def predict(self, images: np.ndarray, threads: int | None = None) -> np.ndarray:
            logits: np.ndarray = super().predict(images, threads)
            return logits * np.float32(np.nan) if self.breaks else logits

    engine = Broken()
    async with connect(engine=engine) as client:
        engine.breaks = True
        answer = await ask(client, make_image(), 0, path=FILES_PATH)
        assert (answer.status_code, answer.json()["code"]) == (500, "internal")
        answer = await ask(client, *join_tensors(GREEN))
        assert (answer.status_code, answer.json()["code"]) == (400, "bad_request")
        engine.breaks = False
        assert (await ask(client, *join_tensors(GREEN))).status_code == 200


def test_a_client_that_leaves_is_not_computed_for(serve: Callable[..., Any], gated: Any) -> None:
    server = serve(gated, workers=1, deadline_ms=60_000)
    gated.close()
    body, length = join_tensors(GREEN)
    head = (
        f"POST {PATH} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(body)}\r\n"
        f"{LENGTH}: {length}\r\n\r\n"
    )
    with Wire(server.address) as busy:
        busy.send(head.encode() + body)
        gated.wait_for_call()
        leaving = Wire(server.address)
        leaving.send(head.encode() + body)
        wait_for(lambda: server.scheduler.waiting == 1)
        leaving.reset()
        wait_for(lambda: server.scheduler.waiting == 0)
        gated.open()
        assert busy.read().status == 200
    wait_for(lambda: server.held == 0)
    labels = {"method": "POST", "route": "/v2/models/{model}/infer", "status": "499"}
    wait_for(lambda: server.count("bnn_requests_total", **labels) == 1)


async def test_a_traced_request_has_its_stages(
    connect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = TracerProvider()
    names: list[str] = []
    for module in ("service.requests.intake.add_receive", "service.requests.intake.add_image"):
        monkeypatch.setattr(module, lambda *_, name=module: names.append(name))
    async with connect() as client:
        with provider.get_tracer("test").start_as_current_span("outer") as span:
            monkeypatch.setattr("service.requests.front.find_span", lambda: span)
            answer = await ask(client, *join_tensors(np.concatenate([GREEN, GREEN])))
        assert answer.status_code == 200
    assert (
        names == ["service.requests.intake.add_receive"] + ["service.requests.intake.add_image"] * 2
    )


BODIES = [
    join_binary(TENSOR.tobytes()),
    (encode_request(describe_input(data=[0.5] * TENSOR.size)), None),
    join_binary(encode_files(b"\xff\xd8\xff\xe0 no photo", b"GIF89a"), True, shape=[2, 1]),
    (encode_request(describe_input(True, data=["aGVsbG8="])), None),
]


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    seed=st.sampled_from(BODIES),
    flips=st.lists(st.tuples(st.integers(0, 20_000), st.integers(0, 255)), max_size=6),
    cut=st.integers(0, 200),
    shift=st.integers(-2, 2),
    takes_files=st.booleans(),
    encoding=st.sampled_from([None, "gzip", "deflate", "br"]),
    is_compressed=st.booleans(),
)
async def test_fuzzed_requests_are_never_a_500(
    shared_client: httpx.AsyncClient,
    seed: tuple[bytes, int | None],
    flips: list[tuple[int, int]],
    cut: int,
    shift: int,
    takes_files: bool,
    encoding: str | None,
    is_compressed: bool,
) -> None:
    body, length = bytearray(seed[0]), seed[1]
    for place, value in flips:
        body[place % len(body)] = value
    content = bytes(body[: len(body) - cut])
    if is_compressed and encoding is not None:
        content = (gzip.compress if encoding == "gzip" else zlib.compress)(content)
    headers = {} if encoding is None else {"Content-Encoding": encoding}
    if length is not None:
        length = max(0, length + shift)
    path = FILES_PATH if takes_files else PATH
    answer = await ask(shared_client, content, length, path=path, headers=headers)
    assert answer.status_code in (200, 400, 413, 415), answer.text
    if answer.status_code != 200:
        assert isinstance(json.loads(answer.content)["error"], str)
