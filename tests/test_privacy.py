"""What runs here keeps nothing in the home folder and speaks with no other machine."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]
TRACE = "trace=connect,sendto,sendmsg,sendmmsg"
_PEER = re.compile(
    r"sin6?_port=htons\((\d+)\).*?(?:inet_addr\(\"|inet_pton\(AF_INET6, \")([^\"]+)\""
)
_OWN = re.compile(r"127\.|::1$|::ffff:127\.|0\.0\.0\.0$|::$")
SERVE = """
import os, signal, threading, time, urllib.request
from service.__main__ import main
def ask():
    for _ in range(600):
        try:
            urllib.request.urlopen("http://127.0.0.1:{port}/readyz").close()
            break
        except OSError:
            time.sleep(0.1)
    time.sleep({seconds})
    os.kill(os.getpid(), signal.SIGTERM)
threading.Thread(target=ask).start()
raise SystemExit(main([]))
"""
COMMANDS: dict[str, list[str]] = {
    **{
        f"service {engine}": ["-c", SERVE.format(port=port, seconds=5)]
        for engine, port in (("native", 8741), ("onnx", 8742), ("torchscript", 8743))
    },
    "classify": ["-m", "service", "classify", "IMAGE"],
    "classify in processes": ["-m", "service", "classify", "IMAGE", "--workers", "2"],
    "self-test onnx": ["-m", "service", "self-test", "--engine", "onnx"],
    "export": ["-m", "models.export", "mobilenet_v1_0.25", "--out", "OUT"],
    "bench": ["-m", "runtime.bench", "--only", "kernels", "--runs", "1"],
    "locust": ["-m", "locust", "-f", "loadtests/locustfile.py", "--list"],
    "pytest": ["-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/runtime/test_errors.py"],
}
needs_strace = pytest.mark.skipif(
    shutil.which("strace") is None, reason="no strace: make system-test-tools"
)


class Watched:
    """Runs Python under strace with an empty home; tells what came of it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.home = folder / "home"
        self.home.mkdir()

    def run(self, words: list[str], **environment: str) -> "subprocess.CompletedProcess[str]":
        """The program's end."""
        kept = {k: v for k, v in os.environ.items() if k in ("PATH", "LANG", "TMPDIR")}
        names = ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME")
        trace = ["strace", "-f", "-qq", "-s", "99", "-e", TRACE, "-o", str(self._folder / "trace")]
        return subprocess.run(
            [*trace, sys.executable, *words],
            cwd=ROOT,
            env=kept | dict.fromkeys(names, str(self.home)) | environment,
            capture_output=True,
            text=True,
            timeout=180,
        )

    def list_peers(self) -> set[str]:
        """Other machines that were spoken to, and whoever was asked for a name."""
        lines = (self._folder / "trace").read_text(errors="replace").splitlines()
        found = [match.groups() for line in lines for match in _PEER.finditer(line)]
        return {
            f"{address} port {port}"
            for port, address in found
            if port == "53" or not _OWN.match(address)
        }

    def list_kept(self) -> list[str]:
        """What lies in the home folder."""
        return sorted(str(path.relative_to(self.home)) for path in self.home.rglob("*"))


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    """With a home of its own."""
    return Watched(tmp_path)


@needs_strace
@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_nothing_is_kept_and_nobody_is_told(name: str, watched: Watched, tmp_path: Path) -> None:
    if "torchscript" in name:
        pytest.importorskip("torch")
    Image.new("RGB", (60, 40), "red").save(tmp_path / "image.jpg")
    places = {"IMAGE": str(tmp_path / "image.jpg"), "OUT": str(tmp_path / "out")}
    environment = {}
    if name.startswith("service"):
        port = re.search(r":(\d{4})/", COMMANDS[name][1])
        assert port is not None
        environment = {"BNN_ENGINE": name.split()[1], "BNN_PORT": port[1]}
    ended = watched.run([places.get(word, word) for word in COMMANDS[name]], **environment)
    assert ended.returncode == 0, ended.stderr
    assert watched.list_peers() == set()
    assert watched.list_kept() == []


@needs_strace
def test_the_watch_notices_a_name_that_is_looked_up(watched: Watched) -> None:
    """Otherwise the test above could not fail."""
    code = "import socket, contextlib\nwith contextlib.suppress(OSError):\n    {}"
    watched.run(["-c", code.format("socket.getaddrinfo('telemetry.invalid', 443)")])
    assert any(peer.endswith(" port 53") for peer in watched.list_peers())
    watched.run(["-c", code.format("socket.socket(2, 2).connect(('192.0.2.1', 443))")])
    assert watched.list_peers() == {"192.0.2.1 port 443"}
    watched.run(["-c", code.format("socket.create_connection(('127.0.0.1', 9))")])
    assert watched.list_peers() == set()


@needs_strace
def test_the_watch_notices_telemetry(watched: Watched) -> None:
    watched.run(["-c", "import onnxruntime"])
    if not watched.list_kept():
        pytest.skip("this onnxruntime has no telemetry: nothing to notice")
    assert any(name.endswith("deviceid") for name in watched.list_kept())
