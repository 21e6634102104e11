"""service.oip.routes: the paths, who may ask, and Triton's clients against a real server."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from tritonclient.utils import InferenceServerException

from service.access.key_file import make_key
from service.messages.problems import Problem
from service.oip.repository import Repository
from service.oip.routes import OpenInference
from service.settings.settings import Settings
from tests.service.oip.clients import KSERVE, MLSERVER, ROOT, run_client
from tests.service.servers import ServerProcess

pytestmark = pytest.mark.anyio
RED = np.full((2, 3, 32, 32), [[[1.0]], [[0.0]], [[0.0]]], np.float32)
SOFTMAX = np.exp([3.0, 0, 0]) / np.exp([3.0, 0, 0]).sum()


@pytest.fixture(scope="module")
def server(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A service of the tiny bundle, one for all these tests."""
    environment = {"BNN_BUNDLE": str(bundle), "BNN_ENGINE": "onnx"}
    started = ServerProcess(tmp_path_factory.mktemp("server") / "log", environment)
    yield started
    started.stop()


@pytest.fixture
def client_of_triton(server: ServerProcess) -> Iterator[triton.InferenceServerClient]:
    """Its client."""
    host, port = server.address
    with triton.InferenceServerClient(f"{host}:{port}") as opened:
        yield opened


def make_tensor(tensor: np.ndarray, is_binary: bool = True) -> triton.InferInput:
    given = triton.InferInput("input", list(tensor.shape), "FP32")
    return given.set_data_from_numpy(tensor, binary_data=is_binary)


def make_files(*files: bytes) -> triton.InferInput:
    given = triton.InferInput("image_bytes", [len(files), 1], "BYTES")
    return given.set_data_from_numpy(np.array([[file] for file in files], dtype=np.object_))


def test_server_and_models(client_of_triton: Any) -> None:
    assert client_of_triton.is_server_live()
    assert client_of_triton.is_server_ready()
    assert client_of_triton.is_model_ready("tiny")
    assert client_of_triton.is_model_ready("tiny_image", "1")
    assert not client_of_triton.is_model_ready("tiny", "2")
    assert not client_of_triton.is_model_ready("other")
    assert "binary_tensor_data" in client_of_triton.get_server_metadata()["extensions"]
    index = client_of_triton.get_model_repository_index()
    assert [model["name"] for model in index] == ["tiny", "tiny_image"]
    metadata = client_of_triton.get_model_metadata("tiny", "1")
    assert metadata["inputs"][0]["shape"] == [-1, 3, 32, 32]
    config = client_of_triton.get_model_config("tiny_image")
    assert config["input"][0]["data_type"] == "TYPE_STRING"


@pytest.mark.parametrize("compression", [None, "gzip", "deflate"])
@pytest.mark.parametrize("is_binary", [True, False])
def test_tensors(client_of_triton: Any, is_binary: bool, compression: str | None) -> None:
    outputs = [
        triton.InferRequestedOutput("logits", binary_data=is_binary),
        triton.InferRequestedOutput("scores", binary_data=not is_binary),
    ]
    answer = client_of_triton.infer(
        "tiny",
        [make_tensor(RED, is_binary)],
        outputs=outputs,
        request_id="t1",
        timeout=20_000_000,
        priority=1,
        request_compression_algorithm=compression,
        response_compression_algorithm=compression,
    )
    assert answer.get_response()["id"] == "t1"
    assert np.allclose(answer.as_numpy("logits"), [[3, 0, 0]] * 2)
    assert np.allclose(answer.as_numpy("scores"), [SOFTMAX] * 2)


def test_files_with_all_outputs_and_ranked(client_of_triton: Any, make_image: Any) -> None:
    files = make_files(make_image("lime"), make_image("blue", kind="PNG"))
    answer = client_of_triton.infer("tiny_image", [files])
    assert answer.as_numpy("scores").argmax(axis=1).tolist() == [1, 2]
    assert answer.as_numpy("logits").shape == (2, 3)
    for is_binary in (True, False):
        wanted = triton.InferRequestedOutput("scores", is_binary, class_count=2)
        ranked = client_of_triton.infer("tiny_image", [files], outputs=[wanted])
        first = ranked.as_numpy("scores")[0]
        if is_binary:
            first = [text.decode() for text in first]
        score, index, label = first[0].split(":")
        assert (index, label) == ("1", "green")
        assert 0.5 < float(score) <= 1
        assert len(first) == 2


@pytest.mark.parametrize("is_binary", [True, False])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_has_its_reason(client_of_triton: Any, value: float, is_binary: bool) -> None:
    tensor = RED.copy()
    tensor[1, 2, 3, 4] = value
    with pytest.raises(InferenceServerException, match="NaN or infinity") as caught:
        client_of_triton.infer("tiny", [make_tensor(tensor, is_binary)])
    assert caught.value.status() == "400"


def test_values_that_the_network_has_no_answer_to(client_of_triton: Any) -> None:
    huge = np.full((1, 3, 32, 32), 3e38, np.float32)
    with pytest.raises(InferenceServerException, match="no answer to") as caught:
        client_of_triton.infer("tiny", [make_tensor(huge)])
    assert caught.value.status() == "400"
    assert client_of_triton.infer("tiny", [make_tensor(RED)]).as_numpy("logits").shape == (2, 3)


def test_faults_are_read(client_of_triton: Any, make_image: Any) -> None:
    calls: list[tuple[str, Callable[[], Any]]] = [
        ("404", lambda: client_of_triton.infer("other", [make_tensor(RED)])),
        ("404", lambda: client_of_triton.get_model_metadata("other")),
        ("403", lambda: client_of_triton.load_model("tiny")),
        ("403", lambda: client_of_triton.unload_model("tiny")),
        ("404", lambda: client_of_triton.get_system_shared_memory_status()),
        ("404", lambda: client_of_triton.get_trace_settings()),
        ("404", lambda: client_of_triton.get_log_settings()),
        ("400", lambda: client_of_triton.infer("tiny", [make_tensor(RED[:, :, :8])])),
        ("400", lambda: client_of_triton.infer("tiny_image", [make_tensor(RED)])),
        ("400", lambda: client_of_triton.infer("tiny_image", [make_files(b"no image")])),
        ("400", lambda: client_of_triton.infer("tiny", [make_tensor(RED)], sequence_id=3)),
        (
            "413",
            lambda: client_of_triton.infer(
                "tiny", [make_tensor(np.tile(RED, (99, 1, 1, 1)), False)]
            ),
        ),
    ]
    for status, call in calls:
        with pytest.raises(InferenceServerException, match=r"expected .*; found ") as caught:
            call()
        assert caught.value.status() == status
    with pytest.raises(InferenceServerException, match="image 1: "):
        client_of_triton.infer("tiny_image", [make_files(make_image(), make_image()[:-99])])


def test_statistics_count_what_was_asked(client_of_triton: Any) -> None:
    def read() -> tuple[int, int]:
        (stats,) = client_of_triton.get_inference_statistics("tiny")["model_stats"]
        return stats["inference_count"], stats["inference_stats"]["fail"]["count"]

    images, failures = read()
    client_of_triton.infer("tiny", [make_tensor(RED)])
    with pytest.raises(InferenceServerException):
        client_of_triton.infer("tiny", [make_tensor(RED[:, :, :8])])
    assert read() == (images + 2, failures + 1)
    assert len(client_of_triton.get_inference_statistics()["model_stats"]) == 2


def test_the_example_of_the_readme(
    server: ServerProcess, make_image: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (ROOT / "service" / "README.md").read_text()
    start = text.index("    from pathlib import Path\n\n    import numpy")
    lines = text[start : text.index("\nand without a client", start)].splitlines()
    photo = tmp_path / "cat.jpg"
    photo.write_bytes(make_image("lime"))
    host, port = server.address
    code = "\n".join(line[4:] for line in lines)
    for before, after in (("localhost:8000", f"{host}:{port}"), ("cat.jpg", str(photo))):
        assert before in code
        code = code.replace(before, after)
    exec(compile(code + "\nclient.close()", "README.md", "exec"), {})
    printed = capsys.readouterr().out
    assert "1:green" in printed
    assert "(2, 3)" in printed


async def test_the_asynchronous_client(server: ServerProcess, make_image: Any) -> None:
    host, port = server.address
    async with triton_aio.InferenceServerClient(f"{host}:{port}") as client:
        assert await client.is_server_ready()
        answer = await client.infer(
            "tiny_image", [make_files(make_image("blue"))], request_compression_algorithm="gzip"
        )
        assert answer.as_numpy("scores").argmax() == 2
        answer = await client.infer("tiny", [make_tensor(RED, False)])
        assert np.allclose(answer.as_numpy("logits"), [[3, 0, 0]] * 2)
        with pytest.raises(InferenceServerException, match="expected the name"):
            await client.infer("other", [make_tensor(RED)])


def test_the_client_of_kserve(server: ServerProcess, make_image: Any, tmp_path: Path) -> None:
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(make_image("lime"))
    host, port = server.address
    found = run_client("kserve", KSERVE, f"http://{host}:{port}", photo)
    assert (found["live"], found["ready"], found["model"], found["id"]) == (True,) * 3 + ("k1",)
    assert np.argmax(found["scores"]) == 1
    assert np.allclose(found["logitsTrue"], [[3, 0, 0]] * 2)
    assert np.allclose(found["logitsFalse"], [[3, 0, 0]] * 2)
    assert "expected the name" in found["fault"]


def test_the_client_of_mlserver(server: ServerProcess, make_image: Any, tmp_path: Path) -> None:
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(make_image("lime"))
    host, port = server.address
    found = run_client("mlserver", MLSERVER, f"http://{host}:{port}", photo)
    assert (found["id"], found["platform"]) == ("m1", "bnn_onnx")
    assert np.argmax(found["scores"]) == 1
    assert np.allclose(found["logits"], [[3, 0, 0]] * 2)


# ---- paths


def make_routes() -> OpenInference:
    nothing: Any = None
    return OpenInference(nothing, nothing, nothing, Repository(Settings(), *[nothing] * 3))


@pytest.mark.parametrize(
    "path",
    [
        *(
            "/v2/",
            "/v2/health",
            "/v2/health/ready/",
            "/v2/models",
            "/v2/models/",
            "/v2/models//infer",
        ),
        *("/v2/models/m/", "/v2/models/m/other", "/v2/models/m/versions", "/v2/models/m/infer/x"),
        *("/v2/models/m/versions/1/versions/1", "/v2/repository/models/m/start", "/v2x"),
    ],
)
def test_paths_that_are_not_there(path: str) -> None:
    with pytest.raises(Problem, match="not_found"):
        make_routes().find(path)


def test_names_in_paths_are_no_labels() -> None:
    found = make_routes().find("/v2/models/any name/versions/7/infer")
    assert found.template == "/v2/models/{model}/versions/{version}/infer"
    assert found.handlers.keys() == {"POST"}
    assert make_routes().find("/v2/models/stats").template == "/v2/models/stats"


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v2/models/tiny/infer", 405, "method_not_allowed"),
        ("POST", "/v2", 405, "method_not_allowed"),
        ("GET", "/v2/none", 404, "not_found"),
        ("GET", "/v2/models/other", 404, "model_not_found"),
    ],
)
async def test_errors_have_the_form_of_the_protocol(
    client: httpx.AsyncClient, method: str, path: str, status: int, code: str
) -> None:
    answer = await client.request(method, path)
    assert answer.status_code == status
    assert answer.json() == {"error": answer.json()["error"], "code": code}
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-request-id"]
    assert status != 405 or answer.headers["allow"]


async def test_other_paths_keep_their_errors(client: httpx.AsyncClient) -> None:
    for path in ("/v2x", "/v20/health/live", "/V2"):
        answer = await client.get(path)
        assert answer.json()["code"] == "not_found"
        assert answer.headers["content-type"] == "application/problem+json"


async def test_labels_are_templates(client: httpx.AsyncClient) -> None:
    for path in ("/v2/models/tiny", "/v2/models/other", "/v2/models/tiny/versions/1", "/v2/a/b"):
        await client.get(path)
    metrics = (await client.get("/metrics")).text
    assert 'method="GET",route="/v2/models/{model}",status="200"} 1.0' in metrics
    assert 'method="GET",route="/v2/models/{model}",status="404"} 1.0' in metrics
    assert 'route="/v2/models/{model}/versions/{version}",status="200"} 1.0' in metrics
    assert 'route="unmatched",status="404"} 1.0' in metrics
    assert "tiny/" not in metrics
    assert 'route="/v2/models/{model}/infer",status="503"} 0.0' in metrics


async def test_work_and_facts_are_those_who_have_a_key(connect: Any, tmp_path: Path) -> None:
    keys = tmp_path / "keys.toml"
    key, line = make_key("one")
    keys.write_text(line)
    keys.chmod(0o600)
    async with connect(Settings(api_keys_file=keys)) as client:
        for path in ("/v2/health/live", "/v2/health/ready", "/v2/models/tiny/ready"):
            assert (await client.get(path)).status_code == 200
        for method, path in (
            ("GET", "/v2"),
            ("GET", "/v2/models/tiny"),
            ("GET", "/v2/models/tiny/config"),
            ("GET", "/v2/models/stats"),
            ("POST", "/v2/repository/index"),
            ("POST", "/v2/models/tiny/infer"),
            ("POST", "/v2/models/other/versions/1/infer"),
        ):
            answer = await client.request(method, path)
            assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
            assert answer.headers["www-authenticate"]
        known = {"authorization": f"Bearer {key}"}
        assert (await client.get("/v2/models/tiny", headers=known)).status_code == 200


async def test_before_the_model_is_loaded(connect: Any, gated: Any) -> None:
    gated.close()
    async with connect(engine=gated, wait=False) as client:
        assert (await client.get("/v2/health/live")).json() == {"live": True}
        assert (await client.get("/v2")).status_code == 200
        for method, path in (
            *(("GET", "/v2/health/ready"), ("GET", "/v2/models/tiny/ready")),
            *(("GET", "/v2/models/tiny"), ("GET", "/v2/models/stats")),
            *(("POST", "/v2/repository/index"), ("POST", "/v2/models/tiny/infer")),
        ):
            answer = await client.request(method, path)
            assert (answer.status_code, answer.json()["code"]) == (503, "not_ready")
            assert int(answer.headers["retry-after"]) > 0
        gated.open()
        await client.app.state.inference.wait()
        assert (await client.get("/v2/health/ready")).json() == {"ready": True}
        answer = await client.get("/v2/models/tiny/ready")
        assert answer.json() == {"name": "tiny", "ready": True}


async def test_while_it_drains(client: Any) -> None:
    client.app.state.lifecycle.begin_drain()
    for path in ("/v2/health/ready", "/v2/models/tiny/ready"):
        answer = await client.get(path)
        assert (answer.status_code, answer.json()["code"]) == (503, "draining")
    assert (await client.get("/v2/models/tiny")).status_code == 200
    client.app.state.lifecycle.refuse_new()
    answer = await client.post("/v2/models/tiny/infer", content=b"{}")
    assert (answer.status_code, answer.json()["code"]) == (503, "draining")
