"""python -m service as a process of its own: real sockets, real clients, real failures."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

import service
from tests.service.servers import wait_for

FALLBACK = ("native", "torchscript")
BUNDLES = Path(service.__file__).parent / "bundles"
# The libraries that a process with this engine must not have loaded.
ABSENT = {"torchscript": ["onnxruntime"], "native": ["torch", "onnxruntime"], "onnx": ["torch"]}


@pytest.fixture
def server(start_server: Any, bundle: Path) -> Any:
    """A server of the tiny bundle."""
    settings = {"BNN_MAX_BODY_BYTES": "200000", "BNN_ENGINE": "onnx"}
    return start_server(BNN_BUNDLE=str(bundle), **settings)


def test_serves_real_clients(server: Any, make_image: Any, tmp_path: Path) -> None:
    url = server.wait_until_ready()
    file = tmp_path / "private-name.jpg"
    file.write_bytes(make_image("blue"))
    answer = httpx.post(f"{url}/classify", files={"image": file.read_bytes()})
    assert answer.json()["predictions"][0]["label"] == "blue"
    assert answer.json()["engine"] == "onnx/cpu"
    if shutil.which("curl") is None:
        pytest.skip("curl is missing: install it to prove the documented commands")
    for option in (["-F", f"image=@{file}"], ["--data-binary", f"@{file}"], ["-T", str(file)]):
        command = ["curl", "-sS", "-X", "POST", *option, f"{url}/classify?top_k=1"]
        output = subprocess.run(command, capture_output=True, check=True, timeout=30).stdout
        assert json.loads(output)["predictions"][0]["label"] == "blue"
    big = tmp_path / "big"
    big.write_bytes(b"\xff\xd8\xff" + b"x" * 5_000_000)
    for option in (["-F", f"image=@{big}"], ["-H", "Transfer-Encoding: chunked", "-T", str(big)]):
        command = ["curl", "-sS", "-X", "POST", *option, f"{url}/classify"]
        output = subprocess.run(command, capture_output=True, check=True, timeout=30).stdout
        assert json.loads(output)["code"] == "too_large"
    log = server.stop()
    lines = [json.loads(line) for line in log.splitlines()]
    assert all({"time", "level", "logger", "message"} <= line.keys() for line in lines)
    answered = [line for line in lines if line["message"] == "answered"]
    assert {line["status"] for line in answered} == {200, 413}
    assert all(line["request_id"] for line in answered)
    assert "private-name" not in log
    assert "Traceback" not in log


def test_engines_that_are_passed_over_are_told_of_to_who_asks(start_server: Any, tiny: Any) -> None:
    """This bundle has no files for them, which is somebody's choice: no line in the log."""
    server = start_server(**{**tiny, "BNN_ENGINE": "auto"})
    url = server.wait_until_ready()
    info = httpx.get(f"{url}/info").json()
    assert (info["engine"]["requested"], info["engine"]["name"]) == ("auto", "onnx")
    assert tuple(item["name"] for item in info["engine"]["skipped"]) == FALLBACK
    assert all(item["reason"] for item in info["engine"]["skipped"])
    metrics = httpx.get(f"{url}/metrics").text
    lines = [json.loads(line) for line in server.stop().splitlines()]
    assert not [line for line in lines if line["level"] == "warning"]
    for item in info["engine"]["skipped"]:
        cause = f'cause="{item["cause"]}"'
        assert f'bnn_engine_skipped{{{cause},engine="{item["name"]}"' in metrics
        assert not [line for line in lines if f"engine {item['name']} " in line["message"]]


@pytest.mark.parametrize(
    ("environment", "status", "text"),
    [
        ({"BNN_PORT": "http"}, 2, "BNN_PORT: input should be a valid integer"),
        ({"BNN_PORT": "tcp://10.96.0.5:80"}, 2, "enableServiceLinks: false"),
        ({"BNN_CONFIG": "/nowhere/service.toml"}, 2, "/nowhere/service.toml: expected a TOML file"),
        ({"BNN_HOST": "192.0.2.1"}, 1, "cannot listen on 192.0.2.1"),  # of no machine: RFC 5737
        ({"BNN_HOST": "name.invalid"}, 1, "BNN_HOST: expected an address or a name"),  # RFC 2606
        ({"BNN_HOST": "a..b"}, 1, "no host name has this form"),
        ({"BNN_HOST": "x" * 64}, 1, "BNN_HOST: expected an address or a name"),
        ({"BNN_BUNDLE": "/nowhere"}, 1, "/nowhere/manifest.json"),
        ({"BNN_ENGINE": "native"}, 1, "error: "),
    ],
)
def test_what_prevents_the_start_is_said_without_a_traceback(
    run_command: Any, bundle: Path, environment: dict[str, str], status: int, text: str
) -> None:
    settings = {"BNN_PORT": "0", "BNN_BUNDLE": str(bundle), "BNN_LOG_LEVEL": "error"}
    result = run_command(**settings | environment)
    assert result.returncode == status
    assert text in result.stderr
    assert result.stderr.splitlines()[-1].startswith("error: ")
    assert "Traceback" not in result.stderr


def test_being_reachable_from_elsewhere_is_a_warning(start_server: Any, bundle: Path) -> None:
    server = start_server(BNN_BUNDLE=str(bundle), BNN_HOST="0.0.0.0", BNN_ENGINE="onnx")
    server.wait_until_ready()
    assert "without authentication" in server.stop()


def test_start_says_what_it_cost(start_server: Any, bundle: Path) -> None:
    server = start_server(BNN_BUNDLE=str(bundle), BNN_ENGINE="onnx")
    server.wait_until_ready()
    lines = {line["message"]: line for line in map(json.loads, server.stop().splitlines())}
    assert 0 < lines["listening"]["cpu_ms"] < lines["ready"]["cpu_ms"]
    assert lines["ready"]["load_ms"] > 0
    assert lines["ready"]["warm_up_ms"] > 0


# ---- signals before it serves


@pytest.fixture
def slow_import(tmp_path: Path) -> tuple[dict[str, str], Path]:
    """An environment in which the imports of the service take for ever, and a file that tells."""
    began = tmp_path / "began"
    (tmp_path / "prometheus_client.py").write_text(
        f"import pathlib, time; pathlib.Path({str(began)!r}).touch(); time.sleep(3600)"
    )
    return {"PYTHONPATH": str(tmp_path)}, began


@pytest.fixture
def first_process() -> tuple[str, ...]:
    """The command that makes another one process 1 of a namespace, as in a container."""
    command = ("unshare", "--pid", "--fork", "--kill-child")
    if (
        shutil.which("unshare") is None
        or subprocess.run([*command, "true"], check=False).returncode
    ):
        pytest.skip("expected unshare and the right to make a PID namespace; found none: be root")
    return command


def find_child(parent: int) -> int:
    """The process that this one has started."""
    (child,) = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return int(child)


def test_a_signal_while_it_imports_ends_it_at_once(start_server: Any, slow_import: Any) -> None:
    environment, began = slow_import
    server = start_server(**environment)
    wait_for(began.exists)
    server.send(signal.SIGTERM)
    assert server.wait() == -signal.SIGTERM


def test_a_signal_while_it_imports_ends_the_first_process_at_once(
    start_server: Any, slow_import: Any, first_process: tuple[str, ...]
) -> None:
    """The kernel ignores SIGTERM for process 1 unless it has a handler: a container's is one."""
    environment, began = slow_import
    server = start_server(before=first_process, **environment)
    wait_for(began.exists)
    os.kill(find_child(server.process.pid), signal.SIGTERM)
    assert server.wait() == 128 + signal.SIGTERM


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_the_model_is_loaded_ends_it_in_order(
    start_server: Any, tiny: Any, by: signal.Signals
) -> None:
    server = start_server(**tiny)
    server.wait_until_listening()
    server.send(by)
    assert server.wait() == 0
    assert "Traceback" not in server.log


def test_the_first_process_drains_as_any_other(
    start_server: Any, tiny: Any, first_process: tuple[str, ...]
) -> None:
    server = start_server(before=first_process, **tiny)
    server.wait_until_ready()
    os.kill(find_child(server.process.pid), signal.SIGTERM)
    assert server.wait() == 0
    assert '"message":"stopped"' in server.log


# ---- the models in the repository


@pytest.mark.parametrize("engine", ABSENT)
def test_the_default_model_serves_on_every_engine(
    start_server: Any, make_image: Any, request: pytest.FixtureRequest, engine: str
) -> None:
    if engine == "torchscript":
        pytest.importorskip("torch", reason="torch is missing: make WITH_TORCH=yes setup")
    server = start_server(BNN_ENGINE=engine)
    url = server.wait_until_ready()
    info = httpx.get(f"{url}/info").json()
    assert info["engine"]["name"] == engine
    assert info["model"]["trained"] is True
    assert info["engine"]["model_bytes"] > 0
    answer = httpx.post(f"{url}/classify", content=make_image("skyblue"))
    assert answer.status_code == 200
    assert answer.json()["engine"].startswith(f"{engine}/")
    assert len(answer.json()["predictions"]) == 5
    if sys.platform == "linux":
        mapped = Path(f"/proc/{server.process.pid}/maps").read_text()
        assert not [name for name in ABSENT[engine] if f"site-packages/{name}/" in mapped]
    photo = request.getfixturevalue("photos") / "cat.jpg"  # the rest needs none: asked for last
    answer = httpx.post(f"{url}/classify", files={"image": photo.read_bytes()})
    assert "cat" in answer.json()["predictions"][0]["label"].lower()


def test_the_baseline_serves_through_the_same_service(start_server: Any, make_image: Any) -> None:
    baseline = str(BUNDLES / "mobilenet_v1")
    url = start_server(BNN_BUNDLE=baseline, BNN_ENGINE="onnx").wait_until_ready()
    answer = httpx.post(f"{url}/classify", content=make_image())
    assert answer.json()["model"]["name"].startswith("mobilenet_v1")
    assert answer.json()["engine"] == "onnx/cpu"


def test_the_shell_command_answers_as_the_service_does(
    run_command: Any, make_image: Any, tmp_path: Path
) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(make_image("skyblue", kind="PNG"))
    outputs = {
        run_command("classify", str(file), "--top-k", "1", "--engine", engine).stdout
        for engine in ("native", "onnx")
    }
    assert len(outputs) == 1
    assert outputs.pop().startswith(f"{file}: ")


def test_a_reader_that_has_seen_enough_is_no_error(make_image: Any, tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    path.write_bytes(make_image())
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "service", "classify", "--engine", "native", str(path)]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert done.returncode == 1
    assert done.stderr == ""
