"""dist/raspberry-pi: installed and served on emulated boards, and refused on 32 bits."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.deploy.elf import Binary
from tests.deploy.pi import PI_4, PI_5, Board, EmulatedPi, require_tools, terminate

pytestmark = pytest.mark.deploy

SECONDS = 300  # an emulator on a busy machine
PROGRAM = "/opt/bnn-service/bin/bnn-service"
LABELS = {
    "bird": "bird",
    "cat": "cat",
    "hot_dog": "food",
    "parrot": "bird",
    "pets": "dog",
    "sunflower": "flower",
}


@dataclass(frozen=True)
class Case:
    """A board, the system on it, and the kernels that belong to its processor."""

    board: Board
    suite: str
    python: str
    kernels: str


CASES = {
    "pi4": Case(PI_4, "bookworm", "3.11", "neon"),
    "pi5": Case(PI_5, "trixie", "3.13", "neon_dot"),
}


def say(text: str) -> None:
    print(f"  proved: {text}")


@pytest.fixture(scope="module")
def delivery(repository: Path) -> Path:
    """The folder that is copied to a Pi, just made."""
    require_tools()
    environment = {k: v for k, v in os.environ.items() if k not in {"MAKEFLAGS", "MFLAGS"}}
    answer = subprocess.run(
        ["make", "raspberry-pi"],
        cwd=repository,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    print(f"\n  {answer.stdout.splitlines()[-1]}")
    return repository / "dist/raspberry-pi"


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


@pytest.fixture(scope="module")
def pi(case: Case, delivery: Path, tmp_path_factory: pytest.TempPathFactory) -> EmulatedPi:
    """The board with the service installed by the script, without a network."""
    pi = EmulatedPi(tmp_path_factory.mktemp("pi") / "root", case.board)
    pi.unpack_debian(case.suite, "arm64")
    shutil.copytree(delivery, pi.root / "srv/raspberry-pi")
    answer = pi.run(["/srv/raspberry-pi/install"])
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert f"self-test: native/{case.kernels}: exact" in answer.stdout
    say(f"{case.board.name}, {case.suite}: install: {' | '.join(answer.stdout.splitlines())}")
    return pi


@pytest.fixture(scope="module")
def expected(photos: Path) -> dict[str, Any]:
    """Photo -> predictions of the native engine of this checkout, on this machine."""
    command = [sys.executable, "-m", "service", "classify", "--engine", "native", "--json"]
    files = sorted(photos.glob("*.jpg"))
    answer = subprocess.run([*command, *files], capture_output=True, text=True, check=True)
    lines = map(json.loads, answer.stdout.splitlines())
    return {Path(line["file"]).stem: line["predictions"] for line in lines}


def wait_for(condition: Callable[[], bool], process: "subprocess.Popen[str]") -> None:
    until = time.monotonic() + SECONDS
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until, "never happened"
        time.sleep(0.1)


def equal(predictions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What equals these: logits agree bit for bit, but each system's exp rounds its last digit."""
    return [{**entry, "score": pytest.approx(entry["score"], rel=1e-14)} for entry in predictions]


@contextmanager
def serve(pi: EmulatedPi) -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    """The service as its unit starts it, on a free port; killed at the end if it still runs."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"

    def is_ready() -> bool:
        try:
            return httpx.get(f"{url}/readyz", timeout=SECONDS).status_code == 200
        except httpx.ConnectError:
            return False

    command = [PROGRAM, "--config", "/etc/bnn-service/settings.toml"]
    variables = {"BNN_HOST": "127.0.0.1", "BNN_PORT": str(port), "BNN_DEADLINE_MS": "60000"}
    variables["BNN_MEMORY_BUDGET"] = "1GiB"  # the emulator's own memory counts as the service's
    process = pi.start(command, network=True, **variables)
    try:
        wait_for(is_ready, process)
        yield url, process
    finally:
        process.kill()
        process.communicate()


def test_unit_settings_and_program_are_in_place(pi: EmulatedPi, case: Case) -> None:
    unit = (pi.root / "etc/systemd/system/bnn-service.service").read_text()
    assert f"\nExecStart={PROGRAM} " in unit
    assert (pi.root / "etc/bnn-service/settings.toml").is_file()
    done = (pi.root / "var/log/systemctl").read_text().splitlines()
    assert done[:3] == [
        "daemon-reload",
        "--quiet enable bnn-service.service",
        "restart bnn-service.service",
    ]
    answer = pi.run([PROGRAM, "--version"])
    assert answer.stdout.startswith("bnn-service "), answer.stderr
    python = pi.run(["/opt/bnn-service/bin/python", "-c", "import sys; print(sys.version)"])
    assert python.stdout.startswith(case.python)


def test_libraries_load_with_pages_of_a_raspberry_pi_5(pi: EmulatedPi) -> None:
    """All of them, those of the dependencies too."""
    files = [path for path in (pi.root / "opt").rglob("*") if re.search(r"\.so(\.|$)", path.name)]
    assert any(path.name == "libbnn.so" for path in files)
    for path in files:
        assert Binary(path.read_bytes()).loads_with_pages_of(16384), path
    say(f"{len(files)} libraries are aligned to pages of 16 KB")


def test_the_kernel_has_the_boards_pages(pi: EmulatedPi, case: Case) -> None:
    program = "import mmap; print(mmap.PAGESIZE)"
    answer = pi.run(["/opt/bnn-service/bin/python", "-c", program])
    assert answer.stdout.strip() == str(case.board.page_size), answer.stderr


def test_a_library_for_small_pages_does_not_load(
    pi: EmulatedPi, case: Case, tmp_path: Path
) -> None:
    """What the emulator's pages are worth: one of 4 KB loads on the Pi 4 alone."""
    if shutil.which("aarch64-linux-gnu-g++") is None:
        pytest.skip("aarch64-linux-gnu-g++ (package g++-aarch64-linux-gnu) is not installed")
    source = tmp_path / "counter.cpp"
    source.write_text('static int next = 7;\nextern "C" int count() { return next++; }\n')
    options = ["-shared", "-fPIC", "-Wl,-z,max-page-size=4096", "-Wl,-z,common-page-size=4096"]
    library = pi.root / "tmp/counter.so"
    subprocess.run(["aarch64-linux-gnu-g++", *options, source, "-o", library], check=True)
    program = "import ctypes; print(ctypes.CDLL('/tmp/counter.so').count())"
    answer = pi.run(["/opt/bnn-service/bin/python", "-c", program])
    if case.board.page_size == 4096:
        assert answer.stdout == "7\n", answer.stderr
    else:
        assert "not page-aligned" in answer.stderr
        say(f"pages of {case.board.page_size} bytes are real: a library for 4096 does not load")


def test_service_answers_as_on_a_pc(
    pi: EmulatedPi, case: Case, photos: Path, expected: dict[str, Any]
) -> None:
    """Labels and scores over HTTP; and SIGTERM ends it."""
    with serve(pi) as (url, process), httpx.Client(base_url=url, timeout=SECONDS) as client:
        info = client.get("/info").json()
        engine = info["engine"]
        assert info["cpu"]["architecture"] == "aarch64"
        assert (engine["name"], engine["implementation"]) == ("native", case.kernels)
        for photo, predictions in expected.items():
            image = (photos / f"{photo}.jpg").read_bytes()
            answer = client.post("/classify", files={"image": image})
            assert answer.status_code == 200, answer.text
            found = answer.json()["predictions"]
            assert found == equal(predictions), photo
            if photo in LABELS:
                assert found[0]["label"] == LABELS[photo]
        assert client.post("/classify", content=b"no image").status_code == 415
        assert "bnn_ready 1" in client.get("/metrics").text
        terminate(process)
        _, log = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, log
    best = expected["cat"][0]
    say(f"{case.board.name}: HTTP: engine native/{engine['implementation']}")
    say(f"{len(expected)} photos as on a PC, cat.jpg: {best['label']} {best['score']}; SIGTERM: 0")


def test_watch_of_a_camera(
    pi: EmulatedPi, case: Case, photos: Path, expected: dict[str, Any]
) -> None:
    frames = pi.root / "run/frames"
    frames.mkdir(parents=True, exist_ok=True)
    names = ("cat", "owl", "sunflower")
    command = [PROGRAM, "watch", "/run/frames", "--json", "--every", "0", "--count", "3"]
    process = pi.start(command)
    late = threading.Timer(SECONDS, process.kill)
    late.start()
    try:
        assert process.stdout is not None
        assert process.stderr is not None
        while '"watching"' not in process.stderr.readline():  # what is there before is no frame
            assert process.poll() is None
        for name in names:
            shutil.copy(photos / f"{name}.jpg", frames / "part")
            (frames / "part").rename(frames / f"{name}.jpg")
            line = json.loads(process.stdout.readline())
            assert line["predictions"] == equal(expected[name])
        _, log = process.communicate(timeout=SECONDS)
        assert process.returncode == 0, log
    finally:
        late.cancel()
        process.kill()
        process.communicate()
    say(f"{case.board.name}: watch: {', '.join(names)}, as on a PC")


def test_uninstall_leaves_settings_alone(pi: EmulatedPi) -> None:
    """Last in this file: it takes away what the others use."""
    answer = pi.run(["/srv/raspberry-pi/install", "--uninstall"])
    assert answer.returncode == 0, answer.stderr
    assert not (pi.root / "opt/bnn-service").exists()
    assert not list((pi.root / "etc/systemd/system").iterdir())
    assert (pi.root / "etc/bnn-service/settings.toml").is_file()


def test_a_32_bit_system_is_refused(delivery: Path, tmp_path: Path) -> None:
    """By the script with a word on why, and by pip."""
    pi = EmulatedPi(tmp_path / "root", PI_4, machine="arm")
    pi.unpack_debian("bookworm", "armhf")
    shutil.copytree(delivery, pi.root / "srv/raspberry-pi")
    answer = pi.run(["/srv/raspberry-pi/install"], QEMU_CPU="cortex-a15")
    assert answer.returncode == 1
    assert "expected a 64-bit system (aarch64); found a 32-bit one (armv7l)" in answer.stderr
    assert "Raspberry Pi OS (64-bit)" in answer.stderr
    say(f"32 bits: {answer.stderr.strip()}")
    (wheel,) = (delivery / "wheels").glob("pip-*.whl")
    pip = f"/srv/raspberry-pi/wheels/{wheel.name}/pip"
    wanted = ["--no-index", "--find-links", "/srv/raspberry-pi/wheels", "bnn-service"]
    answer = pi.run(
        ["/usr/bin/python3", pip, "install", "--no-deps", "--target", "/tmp/site", *wanted],
        QEMU_CPU="cortex-a15",
    )
    assert answer.returncode == 1
    assert "No matching distribution found for bnn-service" in answer.stderr
    say("32 bits: pip finds no wheel")
