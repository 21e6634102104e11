"""python -m service as a process of its own: real sockets, real clients, real failures."""

import http.client
import json
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

import service
from service.__main__ import main, open_listener

FALLBACK = ("torchscript", "native")
BUNDLES = Path(service.__file__).parent / "bundles"
# The libraries that a process with this engine must not have loaded.
ABSENT = {"torchscript": ["onnxruntime"], "native": ["torch", "onnxruntime"], "onnx": ["torch"]}


def wait_until_ready(url: str) -> None:
    """Polls /readyz as an orchestrator does."""
    for _ in range(600):
        if httpx.get(f"{url}/readyz").status_code == 200:
            return
        time.sleep(0.05)
    raise AssertionError("the service did not become ready")


@pytest.fixture
def server(start_server: Any, bundle: Path) -> Any:
    """A server of the tiny bundle."""
    settings = {"BNN_MAX_BODY_BYTES": "200000", "BNN_ENGINE": "onnx"}
    return start_server(BNN_BUNDLE=str(bundle), **settings)


def test_serves_real_clients(server: Any, picture: Any, tmp_path: Path) -> None:
    url = server.wait_until_ready()
    file = tmp_path / "private-name.jpg"
    file.write_bytes(picture("blue"))
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


def test_falling_back_is_visible_everywhere(start_server: Any, bundle: Path) -> None:
    server = start_server(BNN_BUNDLE=str(bundle))
    url = server.wait_until_ready()
    info = httpx.get(f"{url}/info").json()
    assert (info["engine"]["requested"], info["engine"]["name"]) == ("auto", "onnx")
    assert tuple(item["name"] for item in info["engine"]["skipped"]) == FALLBACK
    assert all(item["reason"] for item in info["engine"]["skipped"])
    metrics = httpx.get(f"{url}/metrics").text
    lines = map(json.loads, server.stop().splitlines())
    (warning,) = [line for line in lines if "fell back" in line["message"]]
    assert warning["level"] == "warning"
    for name in FALLBACK:
        assert f'bnn_engine_skipped{{engine="{name}"' in metrics
        assert name in warning["skipped"]


def test_odd_connections_do_no_harm(server: Any, picture: Any) -> None:
    url = server.wait_until_ready()
    address = (urlsplit(url).hostname, urlsplit(url).port)
    head = b"POST /classify HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n"
    for raw in (b"", b"nonsense\r\n\r\n", head, head + b"\xff\xd8\xff", b"\x16\x03\x01\x02"):
        with socket.create_connection(address) as connection:
            connection.sendall(raw)
    connection = http.client.HTTPConnection(*address, timeout=30)
    chunks = iter([picture()[:100], picture()[100:]])
    connection.request("POST", "/classify", chunks, {"Expect": ""}, encode_chunked=True)
    assert connection.getresponse().status == 200
    connection.close()
    expecting = head.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n")
    with socket.create_connection(address) as raw_connection:
        raw_connection.sendall(expecting.replace(b"5000", b"300000"))
        assert raw_connection.recv(12) == b"HTTP/1.1 413"
    with socket.create_connection(address) as raw_connection:
        raw_connection.sendall(expecting)
        assert raw_connection.recv(12) == b"HTTP/1.1 100"
    assert httpx.get(f"{url}/readyz").status_code == 200


def test_a_slow_body_is_cut_off(start_server: Any, bundle: Path) -> None:
    settings = {"BNN_BODY_IDLE_TIMEOUT_MS": "100", "BNN_ENGINE": "onnx"}
    url = start_server(BNN_BUNDLE=str(bundle), **settings).wait_until_ready()
    with socket.create_connection((urlsplit(url).hostname, urlsplit(url).port)) as connection:
        connection.settimeout(30)
        connection.sendall(b"POST /classify HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n1")
        received = b""
        while chunk := connection.recv(4096):
            received += chunk
    assert received.startswith(b"HTTP/1.1 408")
    assert b'"code":"body_timeout"' in received


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_in_order(
    start_server: Any, bundle: Path, picture: Any, by: signal.Signals
) -> None:
    settings = {"BNN_LOG_FORMAT": "text", "BNN_ENGINE": "onnx"}
    server = start_server(BNN_BUNDLE=str(bundle), **settings)
    url = urlsplit(server.wait_until_ready())
    data = picture()
    head = f"POST /classify HTTP/1.1\r\nHost: x\r\nContent-Length: {len(data)}\r\n\r\n"
    with socket.create_connection((url.hostname, url.port), timeout=30) as connection:
        connection.sendall(head.encode() + data[:100])
        while "bnn_requests_in_flight 2.0" not in httpx.get(f"{url.geturl()}/metrics").text:
            time.sleep(0.01)
        server.process.send_signal(by)
        for _ in range(600):  # until it is ending: no new connections
            try:
                socket.create_connection((url.hostname, url.port)).close()
            except ConnectionError:
                break
            time.sleep(0.05)
        connection.sendall(data[100:])
        assert connection.recv(12) == b"HTTP/1.1 200"
    assert server.process.wait(timeout=60) == 0
    assert "Traceback" not in server.stop()


@pytest.mark.parametrize(
    ("environment", "status", "text"),
    [
        ({"BNN_PORT": "http"}, 2, "BNN_PORT: input should be a valid integer"),
        ({"BNN_PORT": "tcp://10.96.0.5:80"}, 2, "enableServiceLinks: false"),
        ({"BNN_CONFIG": "/nowhere/service.toml"}, 2, "/nowhere/service.toml: expected a TOML file"),
        ({"BNN_HOST": "192.0.2.1"}, 1, "cannot listen on 192.0.2.1"),  # of no machine: RFC 5737
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


def test_a_port_in_use_is_said_before_the_model_is_loaded(capsys: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr("service.__main__.configure_logging", lambda *_: None)
    with open_listener("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setenv("BNN_PORT", str(port))
        assert main([]) == 1
    error = capsys.readouterr().err
    assert f"cannot listen on 127.0.0.1 port {port}: Address already in use" in error
    assert "BNN_PORT" in error


@pytest.mark.parametrize("form", ["json", "text"])
def test_serves_until_interrupted(
    monkeypatch: pytest.MonkeyPatch, bundle: Path, form: str, capfd: Any
) -> None:
    """In this process, where signals, handlers and the event loop are all pytest's."""
    handlers, level = logging.root.handlers, logging.root.level
    settings = {"PORT": "0", "BUNDLE": str(bundle), "ENGINE": "onnx", "LOG_FORMAT": form}
    for name, value in settings.items():
        monkeypatch.setenv(f"BNN_{name}", value)
    monkeypatch.setenv("BNN_PROT", "1")
    ports: list[int] = []
    listening = threading.Event()

    def announce(listener: socket.socket) -> None:
        ports.append(listener.getsockname()[1])
        listening.set()

    monkeypatch.setattr("service.__main__._announce", announce)

    def interrupt() -> None:
        assert listening.wait(60)
        try:
            wait_until_ready(f"http://127.0.0.1:{ports[0]}")
        finally:
            os.kill(os.getpid(), signal.SIGINT)

    helper = threading.Thread(target=interrupt)
    helper.start()
    try:
        assert main([]) == 0
    finally:
        helper.join()
        logging.root.handlers = handlers
        logging.root.setLevel(level)
        logging.captureWarnings(False)
    assert "unknown setting" in capfd.readouterr().err


def test_a_model_that_cannot_be_loaded_ends_the_service(
    monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr("service.__main__.configure_logging", lambda *_: None)
    monkeypatch.setenv("BNN_PORT", "0")
    monkeypatch.setenv("BNN_BUNDLE", "/nowhere")
    assert main([]) == 1
    assert capsys.readouterr().err.startswith("error: /nowhere/manifest.json")


def test_help_lists_the_settings(capsys: Any) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    for name in ("BNN_HOST", "BNN_BUNDLE", "BNN_FORCE_IMPLEMENTATION", "classify"):
        assert name in text


def test_answers_do_not_wait_for_acknowledgements() -> None:
    """asyncio turns Nagle's algorithm off only where the socket names its protocol."""
    with open_listener("127.0.0.1", 0) as listener:
        assert listener.proto == socket.IPPROTO_TCP


def test_listens_on_ipv6() -> None:
    try:
        with open_listener("::1", 0) as listener:
            assert listener.family == socket.AF_INET6
    except OSError as fault:
        pytest.skip(f"this machine has no IPv6 loopback: {fault}")


def test_being_reachable_from_elsewhere_is_a_warning(start_server: Any, bundle: Path) -> None:
    server = start_server(BNN_BUNDLE=str(bundle), BNN_HOST="0.0.0.0", BNN_ENGINE="onnx")
    server.wait_until_ready()
    assert "without authentication" in server.stop()


# ---- the models in the repository


@pytest.mark.parametrize("engine", ABSENT)
def test_the_default_model_serves_on_every_engine(
    start_server: Any, picture: Any, request: pytest.FixtureRequest, engine: str
) -> None:
    if engine == "torchscript":
        pytest.importorskip("torch", reason="torch is missing: make WITH_TORCH=yes setup")
    server = start_server(BNN_ENGINE=engine)
    url = server.wait_until_ready()
    info = httpx.get(f"{url}/info").json()
    assert info["engine"]["name"] == engine
    assert info["model"]["trained"] is True
    assert info["engine"]["model_bytes"] > 0
    answer = httpx.post(f"{url}/classify", content=picture("skyblue"))
    assert answer.status_code == 200
    assert answer.json()["engine"].startswith(f"{engine}/")
    assert len(answer.json()["predictions"]) == 5
    if sys.platform == "linux":
        mapped = Path(f"/proc/{server.process.pid}/maps").read_text()
        assert not [name for name in ABSENT[engine] if f"site-packages/{name}/" in mapped]
    photo = request.getfixturevalue("photos") / "cat.jpg"  # the rest needs none: asked for last
    answer = httpx.post(f"{url}/classify", files={"image": photo.read_bytes()})
    assert "cat" in answer.json()["predictions"][0]["label"].lower()


def test_the_baseline_serves_through_the_same_service(start_server: Any, picture: Any) -> None:
    baseline = str(BUNDLES / "mobilenet_v1")
    url = start_server(BNN_BUNDLE=baseline, BNN_ENGINE="onnx").wait_until_ready()
    answer = httpx.post(f"{url}/classify", content=picture())
    assert answer.json()["model"]["name"].startswith("mobilenet_v1")
    assert answer.json()["engine"] == "onnx/cpu"


def test_the_shell_command_answers_as_the_service_does(
    run_command: Any, picture: Any, tmp_path: Path
) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(picture("skyblue", kind="PNG"))
    outputs = {
        run_command("classify", str(file), "--top-k", "1", "--engine", engine).stdout
        for engine in ("native", "onnx")
    }
    assert len(outputs) == 1
    assert outputs.pop().startswith(f"{file}: ")


def test_a_reader_that_has_seen_enough_is_no_error(picture: Any, tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(picture())
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "service", "classify", "--engine", "native", str(path)]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert done.returncode == 1
    assert done.stderr == ""
