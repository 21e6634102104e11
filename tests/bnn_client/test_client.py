"""bnn_client.client: against a real service, and against scripted answers."""

import inspect
import socket
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

import bnn_client
from bnn_client import (
    AnswerMissing,
    AsyncClient,
    BatchFault,
    BatchItem,
    Client,
    ConnectionFailed,
    InvalidAnswer,
    InvalidImage,
    InvalidParameter,
    ModelNotFound,
    NoEngine,
    NotReady,
    Overloaded,
    RateLimited,
    Retry,
    TooLarge,
    Unauthorized,
    UnsupportedFormat,
)
from tests.bnn_client.answers import GOOD, MAP, MODELS, refuse
from tests.service.servers import ServerProcess

ROOT = Path(__file__).parents[2]
ONCE = Retry(attempts=1)


def test_one_image(service_url: str, image: bytes, tmp_path: Path) -> None:
    path = tmp_path / "sample.jpg"
    path.write_bytes(image)
    with Client(service_url) as client, path.open("rb") as stream:
        for given in (image, path, str(path), stream):
            answer = client.classify(given, top_k=2)
            assert answer.best.label == "flower"
            assert len(answer.predictions) == 2
            assert (answer.image.format, answer.image.width) == ("JPEG", 640)
            assert len(answer.request_id) == 32


def test_several_images_each_with_its_answer_or_problem(service_url: str, image: bytes) -> None:
    with Client(service_url) as client:
        good, bad = client.classify_batch([image, image[:-500]]).results
    assert isinstance(good, BatchItem)
    assert (good.index, good.best.label) == (0, "flower")
    assert isinstance(bad, BatchFault)
    assert (bad.index, bad.problem.code) == (1, "invalid_image")


def test_what_speaks_for_a_class_is_a_png(service_url: str, image: bytes) -> None:
    with Client(service_url) as client:
        best = client.explain(image)
        assert best.png.startswith(b"\x89PNG")
        assert (best.prediction.label, best.prediction.index) == ("flower", 11)
        answer = client.classify(image)
        assert best.prediction.score == pytest.approx(answer.best.score, abs=1e-6)
        assert best.timings_ms.total >= best.timings_ms.explain > 0
        assert len(best.request_id) == 32
        for wanted in ("cat", 6):
            other = client.explain(image, class_=wanted)
            assert (other.prediction.label, other.prediction.index) == ("cat", 6)
            assert other.png != best.png
        with pytest.raises(InvalidParameter, match="class: expected a label"):
            client.explain(image, class_="unicorn")
        with pytest.raises(InvalidImage):
            client.explain(b"\xff\xd8\xff\xe0")


def test_of_several_models_one_is_asked(several_url: str, image: bytes, default_name: str) -> None:
    with Client(several_url) as client:
        served = client.models()
        assert [(model.name, model.is_default) for model in served.models] == [
            *((default_name, True), ("second", False)),
        ]
        assert served.failed == ("broken",)
        assert served.models[1].engine.startswith("native/")
        assert client.classify(image).model.name == default_name
        answer = client.classify(image, top_k=1, model="second")
        assert (answer.model.name, answer.best.label) == ("second", "flower")
        assert client.classify_batch([image], model="second").model.name == "second"
        assert client.info(model="second").model.name == "second"
        assert client.explain(image, model="second").prediction.label == "flower"


@pytest.mark.parametrize("name", ["third", "broken", "", "a/b?c&d=é"])
def test_a_model_that_is_not_served_is_told(several_url: str, image: bytes, name: str) -> None:
    with Client(several_url) as client:
        for ask in (
            lambda: client.classify(image, model=name),
            lambda: client.classify_batch([image], model=name),
            lambda: client.explain(image, model=name),
            lambda: client.info(model=name),
        ):
            with pytest.raises(ModelNotFound) as caught:
                ask()
            assert (caught.value.status, caught.value.may_pass) == (404, False)


def test_facts_and_health(service_url: str) -> None:
    with Client(service_url + "/") as client:
        client.wait_until_ready()
        assert client.is_alive()
        assert client.is_ready()
        assert client.is_started()
        info = client.info()
    assert info.model.labels[11] == "flower"
    assert info.limits["max_batch_images"] == 16
    assert info.self_test.verdict == "exact"


@pytest.mark.parametrize(
    ("content", "options", "error", "code"),
    [
        (b"text", {}, UnsupportedFormat, "unsupported_format"),
        (b"\xff\xd8\xff\xe0", {}, InvalidImage, "invalid_image"),
        (b"", {"top_k": 0}, InvalidParameter, "invalid_parameter"),
        (b"", {"deadline_ms": 0}, InvalidParameter, "invalid_parameter"),
    ],
)
def test_problems_are_typed(
    service_url: str, content: bytes, options: dict[str, int], error: Any, code: str
) -> None:
    with Client(service_url) as client, pytest.raises(error) as caught:
        client.classify(content, **options)
    assert caught.value.code == code
    assert len(caught.value.request_id) == 32
    assert caught.value.detail


def test_a_key_whose_rate_is_used_up_is_waited_for(
    keyed_url: str, api_key: tuple[str, str], image: bytes
) -> None:
    """By Retry-After of the real service."""
    statuses: list[int] = []
    hooks = {"response": [lambda answer: statuses.append(answer.status_code)]}
    with httpx.Client(event_hooks=hooks) as http:  # type: ignore[arg-type]
        client = Client(keyed_url, api_key=api_key[0], http=http)
        while 429 not in statuses:
            client.classify(image)
    assert statuses[-2:] == [429, 200]


def test_keys_and_rates_are_refused_by_name(
    keyed_url: str, api_key: tuple[str, str], image: bytes
) -> None:
    with Client(keyed_url) as client, pytest.raises(Unauthorized):
        client.classify(image)
    with Client(keyed_url, api_key=api_key[0], retry=ONCE) as client:
        images = [image] * 2  # more than the burst: the next one waits longer
        client.wait_until_ready()
        with pytest.raises(RateLimited) as caught:
            exhaust(client, images)
    assert caught.value.retry_after is not None
    assert caught.value.retry_after >= 1


def exhaust(client: Client, images: list[bytes]) -> None:
    """Sends until the client raises."""
    while True:
        client.classify_batch(images)


def make(
    script: Any, *steps: Any, **options: Any
) -> tuple[Client, list[httpx.Request], list[float]]:
    """A client of scripted answers, what it sends, and its waits, which take no time."""
    transport, seen = script(*steps)
    client = Client(http=httpx.Client(transport=transport), **options)
    waits: list[float] = []
    client._sleep = waits.append
    return client, seen, waits


def test_a_busy_service_is_asked_again_with_the_same_image(script: Any) -> None:
    steps = (refuse(429, "overloaded", "2"), httpx.ConnectError("x"), refuse(503, "draining", "1"))
    client, seen, waits = make(script, *steps, GOOD)
    assert client.classify(b"image").best.label == "cat"
    assert [request.content for request in seen] == [b"image"] * 4
    assert 2 <= waits[0] <= 3
    assert 0.5 <= waits[1] <= 0.75
    assert 1 <= waits[2] <= 1.5


def test_models_and_explanations_are_asked_for_again_too(script: Any) -> None:
    steps = (refuse(503, "not_ready", "2"), MODELS, refuse(429, "rate_limited", "3"), MAP)
    client, seen, waits = make(script, *steps)
    assert client.models().failed == ("broken",)
    assert client.explain(b"image", class_=6).prediction.label == "grün"
    assert len(seen) == 4
    assert 2 <= waits[0] <= 3
    assert 3 <= waits[1] <= 4.5


@pytest.mark.parametrize(
    ("step", "error"),
    [
        (refuse(422, "invalid_image"), InvalidImage),
        (refuse(503, "no_engine"), NoEngine),
        (httpx.ReadTimeout("x"), AnswerMissing),
        ((502, {}, b"a proxy"), InvalidAnswer),
        ((307, {"Location": "http://elsewhere/classify"}, b""), InvalidAnswer),
    ],
)
def test_what_is_final_is_sent_once(script: Any, step: Any, error: type[Exception]) -> None:
    client, seen, waits = make(script, step)
    with pytest.raises(error):
        client.classify(b"image")
    assert (len(seen), waits) == (1, [])


def test_attempts_are_bounded(script: Any) -> None:
    steps = [refuse(429, "overloaded", "1")] * 3
    client, seen, waits = make(script, *steps, retry=Retry(attempts=3))
    with pytest.raises(Overloaded) as caught:
        client.classify(b"image")
    assert (len(seen), len(waits)) == (3, 2)
    assert caught.value.retry_after == 1


def test_waiting_for_a_service_that_starts(script: Any) -> None:
    ready = (200, {}, {"status": "ok"})
    client, seen, _ = make(script, httpx.ConnectError("x"), refuse(503, "not_ready", "2"), ready)
    client.wait_until_ready()
    assert len(seen) == 3
    client, _, _ = make(script, refuse(503, "no_engine"))
    with pytest.raises(NoEngine):
        client.wait_until_ready()
    client, _, _ = make(script, refuse(503, "not_ready", "2"))
    with pytest.raises(NotReady):
        client.wait_until_ready(seconds=0)
    client, _, _ = make(script, refuse(503, "not_ready", "2"), refuse(503, "hanging"))
    assert not client.is_ready()
    assert not client.is_alive()


def test_nobody_there(script: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    reason = pytest.raises(ConnectionFailed, match="expected a service to connect to")
    with Client(f"http://127.0.0.1:{port}", retry=ONCE) as client, reason:
        client.info()


def test_connections_are_kept(service_url: str, image: bytes) -> None:
    with Client(service_url) as client:
        streams = set()
        for _ in range(3):
            client.classify(image)
            pool = client._http._transport._pool  # type: ignore[attr-defined]
            streams |= {id(connection) for connection in pool.connections}
        assert len(streams) == 1


def test_an_http_client_that_is_given_stays_open_and_one_of_its_own_is_closed(
    service_url: str,
) -> None:
    with httpx.Client() as http:
        with Client(service_url, http=http) as client:
            assert client.is_alive()
        assert not http.is_closed
    with Client(service_url) as client:
        pass
    assert client._http.is_closed


def test_both_clients_take_and_say_the_same() -> None:
    def describe(kind: type) -> dict[str, tuple[str, str | None]]:
        names = {"__aenter__": "__enter__", "__aexit__": "__exit__"}
        found: dict[str, Callable[..., Any]] = dict(inspect.getmembers(kind, inspect.isfunction))
        return {
            names.get(name, name): (
                str(inspect.signature(member)).replace("AsyncClient", "Client"),
                member.__doc__,
            )
            for name, member in found.items()
        }

    assert describe(AsyncClient) == describe(Client)


def test_it_needs_httpx_and_nothing_of_the_server(repository: Path) -> None:
    program = "import sys, bnn_client; print(*sys.modules)"
    answer = subprocess.run(
        [sys.executable, "-c", program], cwd=repository, capture_output=True, text=True, check=True
    )
    loaded = {name.partition(".")[0] for name in answer.stdout.split()}
    assert {"httpx", "bnn_client"} <= loaded
    assert loaded.isdisjoint({"service", "runtime", "numpy", "PIL", "fastapi", "pydantic"})


def test_its_types_are_there_for_others() -> None:
    assert (Path(bnn_client.__file__).parent / "py.typed").exists()


def test_the_wheel_s_version_is_the_service_s(repository: Path) -> None:
    folders = (repository, repository / "bnn_client")
    one, other = (
        tomllib.loads((folder / "pyproject.toml").read_text())["project"]["version"]
        for folder in folders
    )
    assert one == other


def test_a_service_that_was_started_anew_is_asked_over_a_new_connection(
    image: bytes, tmp_path: Path
) -> None:
    first = ServerProcess(tmp_path / "first.log", {})
    url = first.wait_until_ready()
    with Client(url, retry=ONCE) as client:
        client.classify(image)
        first.stop()
        second = ServerProcess(tmp_path / "second.log", {"BNN_PORT": str(httpx.URL(url).port)})
        try:
            client.wait_until_ready()
            assert client.classify(image).best.label == "flower"
        finally:
            second.stop()


def test_an_image_that_is_refused_before_it_is_sent_whole(service_url: str) -> None:
    with Client(service_url) as client, pytest.raises(TooLarge) as caught:
        client.classify(bytes(40 * 2**20))
    assert caught.value.status == 413
