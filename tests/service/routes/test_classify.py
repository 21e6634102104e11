"""service.routes.classify: answers, batches, deadlines, refusals, and clients that leave."""

import asyncio
import gc
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from service.access.key_file import make_key
from service.work.scheduler import Job
from tests.service.servers import make_settings, wait_for

pytestmark = pytest.mark.anyio
ONE_WORKER = {"workers": 1, "deadline_ms": 60_000}


def count(client: Any, name: str, **labels: str) -> float:
    """The value of a counter."""
    return client.app.state.metrics.registry.get_sample_value(name, labels) or 0.0


def make_files(*contents: bytes) -> list[tuple[str, tuple[str, bytes]]]:
    """A form with so many images."""
    return [("image", ("a.jpg", content)) for content in contents]


async def until(condition: Any) -> None:
    """Waits, and lets the event loop run."""
    await asyncio.to_thread(wait_for, condition)


class Client:
    """A request over ASGI whose client can leave; `statuses` is what it was sent."""

    def __init__(self, app: Any, body: bytes, path: str = "/classify", **headers: str) -> None:
        self.leave = asyncio.Event()
        self.statuses: list[int] = []
        self._body: bytes | None = body
        headers = {"host": "localhost", "content-length": str(len(body)), **headers}
        scope = {
            "type": "http",
            "method": "POST",
            "path": path,
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
            "query_string": b"",
            "root_path": "",
        }
        self.task = asyncio.create_task(app(scope, self._receive, self._send))

    async def _receive(self) -> dict[str, Any]:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self.leave.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.statuses.append(message["status"])


async def occupy(client: Any, engine: Any, data: bytes) -> Any:
    """A request that keeps the only worker busy until the engine's gate is opened."""
    client.app.state.inference.scheduler.unit = 1
    engine.close()
    busy = asyncio.create_task(client.post("/classify", content=data))
    await asyncio.to_thread(engine.wait_for_call)
    return busy


# ---- several images


async def test_a_batch_answers_image_by_image(client: Any, make_image: Any) -> None:
    contents = (make_image("blue"), b"no image", make_image("lime", kind="PNG"), make_image()[:-60])
    answer = await client.post("/classify/batch?top_k=1", files=make_files(*contents))
    body = answer.json()
    assert answer.status_code == 200
    assert list(body) == ["results", "model", "engine", "timings_ms", "request_id"]
    blue, text, green, broken = body["results"]
    assert [result["index"] for result in body["results"]] == [0, 1, 2, 3]
    assert [item["label"] for item in blue["predictions"]] == ["blue"]
    assert [item["label"] for item in green["predictions"]] == ["green"]
    assert green["image"] == {"format": "PNG", "width": 60, "height": 40}
    assert (text["problem"]["status"], text["problem"]["code"]) == (415, "unsupported_format")
    assert broken["problem"]["code"] == "invalid_image"
    assert set(blue["timings_ms"]) == {"queue", "decode", "preprocess", "infer"}
    assert body["request_id"] == answer.headers["x-request-id"]
    assert set(body["timings_ms"]) == {"receive", "total"}
    assert count(client, "bnn_unit_images_count") == 2
    assert count(client, "bnn_decode_failures_total", code="invalid_image") == 1


async def test_an_image_that_shows_no_label_is_said_to(
    connect: Any, knowing: Any, make_image: Any, client: Any
) -> None:
    """Beside the ranking, which is that of the labels; of each image of several for itself."""
    async with connect(engine=knowing) as able:
        grey = (await able.post("/classify", content=make_image("gray"))).json()
        red = (await able.post("/classify?top_k=3", content=make_image("red"))).json()
        contents = (make_image("gray"), b"no image", make_image("red"))
        batch = (await able.post("/classify/batch", files=make_files(*contents))).json()["results"]
        too_many = await able.post("/classify?top_k=4", content=make_image("red"))
        assert count(able, "bnn_model_images_total", model="tiny") == 4
        assert count(able, "bnn_unknown_images_total", model="tiny") == 2
        listed = (await able.get("/models")).json()["models"]
        info = (await able.get("/info")).json()["model"]
    says = "The image probably shows none of the 3 labels."
    assert list(grey)[:3] == ["predictions", "known", "notice"]
    assert (grey["notice"], red["notice"]) == (says, None)
    assert grey["known"] < 0.4 < 0.9 < red["known"]
    assert (grey["model"]["notice"], grey["model"]["trained"]) == (None, True)
    plain = (await client.post("/classify?top_k=3", content=make_image("red"))).json()
    assert red["predictions"] == plain["predictions"]
    assert sum(item["score"] for item in red["predictions"]) == pytest.approx(1)
    assert "known" not in plain
    assert "notice" not in plain
    assert "bnn_unknown_images_total{" not in (await client.get("/metrics")).text
    assert [result.get("notice") for result in batch] == [says, None, None]
    assert [result.get("known") for result in batch] == [grey["known"], None, red["known"]]
    assert (too_many.status_code, too_many.json()["code"]) == (422, "invalid_parameter")
    assert [model["has_known"] for model in listed] == [True]
    assert info["known"] == {
        **{"source": "other", "slope": 1.0, "offset": 0.0, "threshold": 0.4, "measured": None},
    }
    assert (info["classes"], info["labels"]) == (3, ["red", "green", "blue"])


async def test_before_an_image_shows_no_label_the_series_is_there(
    connect: Any, knowing: Any, make_image: Any
) -> None:
    async with connect(engine=knowing) as able:
        await able.post("/classify", content=make_image("red"))
        text = (await able.get("/metrics")).text
    assert 'bnn_unknown_images_total{model="tiny"} 0.0' in text


async def test_a_batch_may_be_of_one(client: Any, make_image: Any) -> None:
    answer = await client.post("/classify/batch", files=make_files(make_image("blue")))
    (result,) = answer.json()["results"]
    assert result["predictions"][0]["label"] == "blue"
    answer = await client.post("/classify/batch", content=make_image("blue"))
    assert len(answer.json()["results"]) == 1


async def test_a_batch_without_a_body_is_none(client: Any) -> None:
    for options in ({}, {"content": b"", "headers": {"content-type": "image/jpeg"}}):
        answer = await client.post("/classify/batch", **options)
        assert answer.status_code == 400
        assert answer.json()["code"] == "bad_request"


async def test_a_batch_has_a_bound(connect: Any, make_image: Any) -> None:
    async with connect(make_settings(max_batch_images=3)) as client:
        four = await client.post("/classify/batch", files=make_files(*[make_image()] * 4))
        three = await client.post("/classify/batch", files=make_files(*[make_image()] * 3))
        none = await client.post("/classify/batch", files={"other": b"x"})
    assert (four.status_code, four.json()["code"]) == (400, "bad_request")
    assert "1 to 3" in four.json()["detail"]
    assert three.status_code == 200
    assert none.status_code == 400


async def test_a_network_that_fails_is_a_500_and_leaves_nothing_behind(
    connect: Any, gated: Any, make_image: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What else the batch has is not computed for nobody, and no exception is left unheard."""

    class FailingOnce(type(gated)):  # type: ignore[misc]
        fails = False

        def predict(self, images: np.ndarray, threads: int | None = None) -> np.ndarray:
            if self.fails:
                self.fails = False
                raise RuntimeError("the network fails")
            return super().predict(images, threads)

    engine = FailingOnce()
    async with connect(make_settings(**ONE_WORKER), engine) as client:
        scheduler = client.app.state.inference.scheduler
        scheduler.unit = 1
        submit, jobs = scheduler.submit, []

        def note(job: Any) -> None:
            jobs.append(job)
            submit(job)

        monkeypatch.setattr(scheduler, "submit", note)
        engine.fails = True
        engine.close()
        contents = [make_image(), b"no image", make_image(), b"no image"] * 3
        answer = await client.post("/classify/batch", files=make_files(*contents))
        assert (answer.status_code, answer.json()["code"]) == (500, "internal")
        assert scheduler.waiting == 0
        engine.open()
        await until(lambda: not scheduler.busy)
        await asyncio.sleep(0)
        assert len(jobs) == 12
        assert all(job.done.done() for job in jobs)
        assert not any(job.done._log_traceback for job in jobs), "exceptions that nobody heard of"
        assert sum(job.began > 0 for job in jobs) <= 3
        assert count(client, "bnn_dropped_images_total") == 0, "the client is still there"


# ---- parameters


async def test_a_batch_above_the_keys_burst_is_let_in_and_owed(
    connect: Any, make_image: Any, tmp_path: Path
) -> None:
    key, lines = make_key("app", rate=0.5, burst=2)
    (tmp_path / "keys.toml").write_text(lines)
    (tmp_path / "keys.toml").chmod(0o600)
    async with connect(make_settings(api_keys_file=tmp_path / "keys.toml")) as client:
        client.headers["X-API-Key"] = key
        batch = await client.post("/classify/batch", files=make_files(*[make_image()] * 6))
        after = await client.post("/classify", content=make_image())
    assert batch.status_code == 200
    assert after.json()["code"] == "rate_limited"
    assert 5 <= int(after.headers["Retry-After"]) <= 10, "4 are owed, and 1 is asked for"


async def test_top_k_of_a_batch(client: Any, make_image: Any) -> None:
    answer = await client.post("/classify/batch?top_k=2", files=make_files(make_image()))
    assert len(answer.json()["results"][0]["predictions"]) == 2
    answer = await client.post("/classify/batch?top_k=4", files=make_files(make_image()))
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_parameter")


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("top_k=1&other=2", 200),
        ("other=2", 200),
        ("top_k=9&top_k=2", 200),
        ("top_k=2&top_k=9", 422),
        ("top_k", 422),
        ("top_k=%32", 200),
        ("top_k=%D9%A2", 422),
        ("top_k=+2", 422),
        ("TOP_K=9", 200),
    ],
)
async def test_queries(client: Any, make_image: Any, query: str, status: int) -> None:
    answer = await client.post(f"/classify?{query}", content=make_image())
    assert answer.status_code == status


@pytest.mark.parametrize("given", ["0", "-1", "1.5", "x", "", "60001", "9" * 5000, "1 2"])
async def test_deadlines_that_are_none(client: Any, make_image: Any, given: str) -> None:
    headers = {"X-Deadline-Ms": given}
    answer = await client.post("/classify", content=make_image(), headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_parameter")
    assert answer.json()["detail"].startswith("X-Deadline-Ms: expected")
    assert "999" not in answer.json()["detail"]


@pytest.mark.parametrize("given", ["60000", " 30000 ", "00030000"])
async def test_deadlines_that_are_ample(client: Any, make_image: Any, given: str) -> None:
    headers = {"X-Deadline-Ms": given}
    answer = await client.post("/classify", content=make_image(), headers=headers)
    assert answer.status_code == 200


# ---- time


async def test_an_answer_that_is_late_is_a_504_and_never_computed(
    connect: Any, gated: Any, make_image: Any
) -> None:
    async with connect(make_settings(**ONE_WORKER), gated) as client:
        busy = await occupy(client, gated, make_image())
        client.app.state.inference.predictor._seconds.clear()  # nothing says that it will be late
        headers = {"X-Deadline-Ms": "60"}
        late = await client.post("/classify", content=make_image(), headers=headers)
        assert (late.status_code, late.json()["code"]) == (504, "deadline_exceeded")
        assert late.headers["retry-after"] == "1"
        assert client.app.state.inference.scheduler.waiting == 0
        gated.open()
        assert (await busy).status_code == 200
        assert gated.asked == [(1, gated.asked[0][1])]
        assert count(client, "bnn_rejections_total", reason="expired") == 1


async def test_an_image_that_computes_for_too_long_is_a_504(
    connect: Any, gated: Any, make_image: Any
) -> None:
    async with connect(make_settings(workers=1, deadline_ms=60), gated) as client:
        busy = await occupy(client, gated, make_image())
        assert (await busy).status_code == 504
        gated.open()
        await until(lambda: not client.app.state.inference.scheduler.busy)
        assert (await client.post("/classify", content=make_image())).status_code in (200, 504)


async def test_a_batch_that_is_late_has_what_was_in_time(
    connect: Any, gated: Any, make_image: Any
) -> None:
    async with connect(make_settings(workers=1, deadline_ms=1000), gated) as client:
        client.app.state.inference.scheduler.unit = 1
        gated.close()
        files = make_files(b"no image", make_image(), make_image())
        answer = await client.post("/classify/batch", files=files)
        gated.open()
        codes = [result["problem"]["code"] for result in answer.json()["results"]]
        assert codes == ["unsupported_format", "deadline_exceeded", "deadline_exceeded"]
        assert answer.status_code == 200


# ---- refusals


async def test_overload_is_said_before_the_body_is_read(
    connect: Any, gated: Any, make_image: Any
) -> None:
    read = 0

    async def upload() -> AsyncIterator[bytes]:
        nonlocal read
        for _ in range(50):
            read += 1
            yield b"x" * 1000

    async with connect(make_settings(queue_images=1, **ONE_WORKER), gated) as client:
        busy = await occupy(client, gated, make_image())
        waiting = asyncio.create_task(client.post("/classify", content=make_image()))
        await until(lambda: client.app.state.inference.scheduler.waiting == 1)
        refused = await client.post("/classify", content=upload())
        assert (refused.status_code, refused.json()["code"]) == (429, "overloaded")
        assert int(refused.headers["retry-after"]) >= 1
        assert "connection" not in refused.headers
        assert read == 0
        batch = await client.post("/classify/batch", files=make_files(make_image()))
        assert batch.status_code == 429
        gated.open()
        assert [(await one).status_code for one in (busy, waiting)] == [200, 200]
        assert count(client, "bnn_rejections_total", reason="queue") == 2


async def test_what_cannot_be_in_time_is_refused_at_once(
    connect: Any, gated: Any, make_image: Any
) -> None:
    async with connect(make_settings(**ONE_WORKER), gated) as client:
        busy = await occupy(client, gated, make_image())
        predictor = client.app.state.inference.predictor
        for _ in range(100):
            predictor.learn(len(make_image()), 10.0)
        hurried = {"X-Deadline-Ms": "3000"}
        refused = await client.post("/classify", content=make_image(), headers=hurried)
        assert (refused.status_code, refused.json()["code"]) == (429, "overloaded")
        assert count(client, "bnn_rejections_total", reason="deadline") == 1
        waiting = asyncio.create_task(client.post("/classify", content=make_image()))
        await until(lambda: client.app.state.inference.scheduler.waiting == 1)
        gated.open()
        assert [(await one).status_code for one in (busy, waiting)] == [200, 200]


async def test_memory_for_bodies_is_bounded(connect: Any, make_image: Any) -> None:
    async with connect() as client:
        bodies = client.app.state.admission.bodies
        bodies.capacity = 200_000
        refused = await client.post("/classify", content=b"x" * 100_000)
        assert (refused.status_code, refused.json()["code"]) == (429, "overloaded")
        assert count(client, "bnn_rejections_total", reason="bytes") == 1
        assert bodies.held == 0
        assert (await client.post("/classify", content=make_image())).status_code == 200


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/classify?top_k=99", {}, 422),
        ("/classify", {"x-deadline-ms": "never"}, 422),
        ("/classify", {"content-length": "99999999"}, 413),
    ],
)
async def test_what_is_wrong_with_the_head_is_said_before_the_body_is_read(
    client: Any, path: str, headers: dict[str, str], status: int
) -> None:
    async def upload() -> AsyncIterator[bytes]:
        raise AssertionError("the body was read")
        yield b""

    answer = await client.post(path, content=upload(), headers=headers)
    assert answer.status_code == status


# ---- clients that leave


async def test_a_client_that_left_before_its_body_came_is_not_answered(client: Any) -> None:
    leaving = Client(client.app, b"")
    leaving._body = None
    leaving.leave.set()
    await asyncio.wait_for(leaving.task, 60)
    empty = Client(client.app, b"", **{"content-length": "9"})
    empty._body = None
    empty.leave.set()
    await empty.task
    assert (leaving.statuses, empty.statuses) == ([400], [])
    route = {"method": "POST", "route": "/classify"}
    assert count(client, "bnn_requests_total", status="499", **route) == 1


@pytest.mark.parametrize("path", ["/classify", "/classify/batch"])
async def test_what_waits_for_a_client_that_left_is_never_computed(
    connect: Any, gated: Any, make_image: Any, path: str
) -> None:
    async with connect(make_settings(**ONE_WORKER), gated) as client:
        app = client.app
        busy = await occupy(client, gated, make_image())
        leaving, staying = Client(app, make_image(), path), Client(app, make_image(), path)
        await until(lambda: app.state.inference.scheduler.waiting == 2)
        leaving.leave.set()
        await leaving.task  # while the first one still computes
        assert app.state.inference.scheduler.waiting == 1
        gated.open()
        await asyncio.gather(busy, staying.task)
        assert (leaving.statuses, staying.statuses) == ([], [200])
        assert len(gated.asked) == 2
        route = {"method": "POST", "route": path}
        assert count(client, "bnn_requests_total", status="499", **route) == 1
        assert count(client, "bnn_dropped_images_total") == 1


async def test_a_client_that_leaves_while_its_image_is_computed(
    connect: Any, gated: Any, make_image: Any
) -> None:
    async with connect(make_settings(**ONE_WORKER), gated) as client:
        client.app.state.inference.scheduler.unit = 1
        gated.close()
        leaving = Client(client.app, make_image())
        await asyncio.to_thread(gated.wait_for_call)
        leaving.leave.set()
        await leaving.task
        assert leaving.statuses == []
        assert count(client, "bnn_dropped_images_total") == 0, "it was begun"
        gated.open()
        assert (await client.post("/classify", content=make_image())).status_code == 200


def count_jobs() -> int:
    """Jobs, each with its image, that somebody or a circle of references has."""
    return sum(type(one) is Job for one in gc.get_objects())


@pytest.mark.parametrize("path", ["/classify", "/classify/batch"])
async def test_images_are_freed_without_the_garbage_collector(
    connect: Any, gated: Any, make_image: Any, path: str
) -> None:
    """It counts objects: a few refused images of megabytes each would end a small container."""
    async with connect(make_settings(**ONE_WORKER), gated) as client:
        gc.collect()
        gc.disable()
        try:
            contents = [
                b"no image",
                make_image()[:-40],
                make_image(size=(6000, 6000)),
                make_image(),
            ]
            for content in contents:
                await client.post(path, files=make_files(content))
            gated.close()
            busy = asyncio.create_task(client.post(path, files=make_files(make_image())))
            await until(lambda: client.app.state.inference.scheduler.busy)
            late = await client.post(
                path, files=make_files(make_image()), headers={"x-deadline-ms": "20"}
            )
            assert "deadline_exceeded" in late.text
            leaving = Client(client.app, make_image(), path)
            await until(lambda: client.app.state.inference.scheduler.waiting == 1)
            leaving.leave.set()
            await leaving.task
            gated.open()
            assert (await busy).status_code == 200
            del busy, leaving
            await until(lambda: not count_jobs())
        finally:
            gc.enable()


async def test_a_request_that_is_cancelled_leaves_nothing_behind(
    connect: Any, gated: Any, make_image: Any
) -> None:
    async with connect(make_settings(**ONE_WORKER), gated) as client:
        busy = await occupy(client, gated, make_image())
        cancelled = Client(client.app, make_image())
        await until(lambda: client.app.state.inference.scheduler.waiting == 1)
        cancelled.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled.task
        assert client.app.state.inference.scheduler.waiting == 0
        gated.open()
        await busy
        assert len(gated.asked) == 1
        assert count(client, "bnn_requests_in_flight") == 0


async def test_the_end_of_the_service_answers_what_waits(
    connect: Any, gated: Any, make_image: Any
) -> None:
    """A deadline that would pass later disturbs nobody."""
    settings = make_settings(workers=1, deadline_ms=300)
    async with connect(settings, gated) as client:
        busy = await occupy(client, gated, make_image())
        waiting = asyncio.create_task(client.post("/classify", content=make_image()))
        scheduler = client.app.state.inference.scheduler
        await until(lambda: scheduler.waiting == 1)
        stopping = asyncio.create_task(scheduler.stop(60))
        answer = await waiting
        assert (answer.status_code, answer.json()["code"]) == (503, "draining")
        late = await client.post("/classify", content=make_image())
        assert (late.status_code, late.json()["code"]) == (503, "draining")
        gated.open()
        assert (await busy).status_code in (200, 504)
        await stopping
        await asyncio.sleep(0.4)  # longer than the deadline
        assert count(client, "bnn_rejections_total", reason="expired") <= 1


async def test_any_mix_of_requests_gives_all_back(
    connect: Any, make_image: Any, rng: np.random.Generator
) -> None:
    settings = make_settings(queue_images=6, max_body_bytes=20_000, workers=2)
    async with connect(settings) as client:

        async def ask(kind: int) -> int:
            data = make_image(size=(60 + kind, 40))
            match kind % 8:
                case 0:
                    answer = await client.post("/classify", content=data)
                case 1:
                    answer = await client.post("/classify", content=b"x" * 30_000)
                case 2:
                    answer = await client.post(
                        "/classify/batch", files=make_files(data, b"x", data)
                    )
                case 3:
                    headers = {"X-Deadline-Ms": "1"}
                    answer = await client.post("/classify", content=data, headers=headers)
                case 4:
                    headers = {"content-type": "multipart/form-data; boundary=x"}
                    answer = await client.post("/classify", content=data, headers=headers)
                case 5:
                    leaving = Client(client.app, data)
                    await asyncio.sleep(0)
                    leaving.leave.set()
                    await leaving.task
                    return (leaving.statuses or [499])[0]
                case 6:
                    answer = await client.get("/livez")
                case _:
                    try:
                        async with asyncio.timeout(0.001):
                            answer = await client.post("/classify", content=data)
                    except TimeoutError:
                        return 499
            assert isinstance(answer, httpx.Response)
            return int(answer.status_code)

        kinds = rng.integers(0, 8, 200)
        statuses = await asyncio.gather(*(ask(int(kind)) for kind in kinds))
        assert set(statuses) <= {200, 400, 413, 429, 499, 504}
        state = client.app.state
        await until(lambda: not state.inference.scheduler.busy)
        assert state.inference.scheduler.waiting == 0
        assert state.admission.bodies.held == 0
        assert not state.admission._young
        assert count(client, "bnn_requests_in_flight") == 0
