"""The images, built and run under real limits, and compose.yaml's own services."""

import io
import json
import platform
import re
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from service.settings.settings import Settings
from tests.deploy.containers import (
    BASE,
    HERE,
    ROOT,
    Container,
    ContainerEngine,
    ask,
    classify,
    require_tools,
    run,
    wait_until,
)

pytestmark = pytest.mark.deploy

COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
MIB = 2**20
# What the environment in /opt/bnn may take; it was 222 MB with torch's absence alone.
MAX_ENVIRONMENT = 160 * 10**6
CLIENTS = 4


def tell(what: str, value: object) -> None:
    """One line of the summary; shown with -s."""
    print(f"\n    {what}: {value}", end="")


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> ContainerEngine:
    """In the user's cache, so that a second proof is quick; delete the folder to begin anew."""
    require_tools()
    folder = Path.home() / ".cache" / "bnn-service-containers"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for tool in ("buildah", "podman", "runc", "mmdebstrap"):
        tell(tool, run(tool, "--version").splitlines()[0])
    return ContainerEngine(folder)


@pytest.fixture(scope="session")
def base(engine: ContainerEngine) -> str:
    return engine.make_base(HERE)


@pytest.fixture(scope="session")
def slim(engine: ContainerEngine, base: str) -> str:
    return engine.build(COMPOSE["meliusnet"]["image"], "service-slim", HERE, base)


@pytest.fixture(scope="session")
def baseline(engine: ContainerEngine, base: str) -> str:
    return engine.build(COMPOSE["baseline"]["image"], "baseline", HERE, base)


@pytest.fixture
def small(engine: ContainerEngine, slim: str) -> Iterator[Container]:
    """As on a Raspberry Pi, with half a CPU."""
    with engine.running(slim, memory="256m", cpus="0.5") as container:
        yield container


def answer_here(bundle: str, photos: list[Path]) -> dict[str, str]:
    """File name -> label, by the package of this environment."""
    command = [sys.executable, "-m", "service", "classify", "--json"]
    printed = run(
        *command, *photos, cwd=ROOT, env={"BNN_BUNDLE": str(ROOT / "service" / "bundles" / bundle)}
    )
    lines = map(json.loads, printed.splitlines())
    return {Path(line["file"]).name: line["predictions"][0]["label"] for line in lines}


def make_image(kind: str, side: int, seed: int) -> bytes:
    """Smooth noise, below the largest body whatever the format."""
    rng = np.random.default_rng(seed)
    spots = side // (100 if kind == "PNG" else 8)
    small = rng.integers(0, 256, (spots, spots, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    options = {"WEBP": {"method": 0}, "AVIF": {"speed": 10}}.get(kind, {})
    Image.fromarray(small).resize((side, side)).save(buffer, kind, quality=60, **options)
    return buffer.getvalue()


# ---- the image ----


def test_size_and_content(engine: ContainerEngine, base: str, slim: str, baseline: str) -> None:
    whole, below = engine.size(slim), engine.size(base)
    tell("image MB, of which base", f"{whole / 1e6:.0f}, {below / 1e6:.0f}")
    assert whole - below < MAX_ENVIRONMENT
    assert engine.size(baseline) == pytest.approx(whole, abs=MIB)
    with engine.mounted(slim) as root:
        (site,) = (root / "opt" / "bnn" / "lib").glob("python3.*/site-packages")
        names = {path.name for path in site.iterdir()}
        assert {"service", "runtime"} <= names
        assert not names & {"models", "loadtests", "torch", "pip", "tests", "bin"}
        assert not (site / "runtime" / "bench").exists()
        assert not list(site.glob("onnxruntime/capi/libonnxruntime.so*"))
        assert not [path for path in site.rglob("tests") if path.is_dir()]
        assert all(path.stat().st_mode & 0o022 == 0 for path in site.rglob("*.py"))


def test_answers_without_rights_and_tells_its_limits(small: Container, photos: Path) -> None:
    files = sorted(photos.glob("*.jpg"))
    expected = answer_here("default", files)
    found = {file.name: classify(small.port, file.read_bytes()) for file in files}
    tell("labels", found)
    assert found == expected
    assert found["cat.jpg"] == "cat"
    assert small.exec("id", "-u").strip() == "10001"
    for place in ("/opt/bnn", "/tmp", "/srv/bnn"):
        with pytest.raises(AssertionError, match=r"Read-only|Permission"):
            small.exec("touch", f"{place}/x")
    assert "NoNewPrivs:\t1" in small.exec("cat", "/proc/1/status")
    assert re.search(r"CapEff:\t0+\n", small.exec("cat", "/proc/1/status"))
    metrics = small.metrics
    assert metrics["bnn_cgroup_memory_limit_bytes"] == 256 * MIB
    assert metrics["bnn_memory_budget_bytes"] == 256 * MIB
    assert metrics["bnn_cgroup_cpu_quota_cpus"] == 0.5
    info = json.loads(ask(small.port, "/info")[1])
    tell("engine", info["engine"]["name"] + "/" + info["engine"]["implementation"])
    tell("memory MiB after the photos", metrics["process_resident_memory_bytes"] // MIB)
    assert info["engine"]["name"] == "native"


def test_log_has_nothing_of_torch_and_of_fallbacks(small: Container) -> None:
    for line in small.log.splitlines():
        assert not re.search("torch|fell back|cannot be used", line, re.IGNORECASE), line
    messages = [json.loads(line)["message"] for line in small.log.splitlines()]
    assert "ready" in messages, messages


def test_health_check_of_the_image(small: Container) -> None:
    config = json.loads(small.engine.podman("image", "inspect", small.inspect()["Image"]))
    command = config[0]["Healthcheck"]["Test"]
    assert command[0] == "CMD"
    small.exec(*command[1:])
    with pytest.raises(AssertionError, match="refused"):
        small.exec("env", "BNN_PORT=1", *command[1:])


def test_baseline_answers(engine: ContainerEngine, baseline: str, photos: Path) -> None:
    files = sorted(photos.glob("*.jpg"))
    expected = answer_here("mobilenet_v1", files)
    with engine.running(baseline, memory="704m", cpus="1") as container:
        found = {file.name: classify(container.port, file.read_bytes()) for file in files}
        info = json.loads(ask(container.port, "/info")[1])
        tell("labels", found)
        tell("memory MiB", container.metrics["process_resident_memory_bytes"] // MIB)
        assert not re.search("torch|fell back", container.log, re.IGNORECASE)
    assert found == expected
    assert info["engine"]["name"] == "onnx"


# ---- under load ----


def test_stop_loses_no_request(engine: ContainerEngine, slim: str) -> None:
    """Clients go on until nobody listens; whoever was let in gets an answer."""
    service = COMPOSE["meliusnet"]
    image = make_image("JPEG", 256, seed=3)
    told = threading.Event()
    fates: Counter[str] = Counter()

    def loop(port: int) -> None:
        while True:
            late = told.is_set()
            try:
                status, _ = ask(port, "/classify", image)
            except ConnectionRefusedError:
                fates["refused" if late else "refused early"] += 1
                return
            except OSError as fault:
                fates[f"lost: {type(fault).__name__}"] += 1
                return
            fates[f"{status} after TERM" if late else str(status)] += 1

    with engine.running(slim, "640m", "1", service["environment"]) as container:
        with ThreadPoolExecutor(CLIENTS) as pool:
            clients = [pool.submit(loop, container.port) for _ in range(CLIENTS)]
            time.sleep(2)
            told.set()
            begun = time.monotonic()
            grace = service["stop_grace_period"].removesuffix("s")
            engine.podman("stop", "--time", grace, container.name)
            seconds = time.monotonic() - begun
            for client in clients:
                client.result()
        status = container.inspect()["State"]["ExitCode"]
    tell("fates of requests", dict(fates))
    tell("exit status, seconds from TERM", f"{status}, {seconds:.1f}")
    assert status == 0
    assert not [fate for fate in fates if fate.startswith("lost") or fate == "refused early"]
    assert fates["200 after TERM"] > 0, "the drain delay served nobody"
    assert set(fates) <= {"200", "200 after TERM", "refused"}


def post_together(container: Container, image: bytes) -> list[int]:
    """Statuses of as many requests at a time as there are clients."""
    with ThreadPoolExecutor(CLIENTS) as pool:
        posts = [pool.submit(ask, container.port, "/classify", image) for _ in range(CLIENTS)]
        return [post.result()[0] for post in posts]


@pytest.mark.parametrize(
    ("memory", "decoded"), [(256, {"JPEG"}), (640, {"JPEG", "PNG", "WEBP", "AVIF"})]
)
def test_large_images_do_not_end_it(
    engine: ContainerEngine, slim: str, memory: int, decoded: set[str]
) -> None:
    """25 megapixels, legal by the default settings, with and without room for them."""
    found = {}
    with engine.running(slim, memory=f"{memory}m", cpus="1") as container:
        for kind in ("JPEG", "PNG", "WEBP", "AVIF"):
            image = make_image(kind, 5000, seed=4)
            assert len(image) < Settings().max_body_bytes
            answers = found[kind] = post_together(container, image)
            assert set(answers) <= {200, 413, 429, 503, 504}, (kind, answers)
            assert (200 in answers) == (kind in decoded), (kind, answers)
        tell(f"25 megapixels, {CLIENTS} at a time, in {memory} MiB", found)
        state = container.inspect()["State"]
        assert state["Running"]
        assert not state["OOMKilled"]
        assert ask(container.port, "/livez")[0] == 200
        assert ask(container.port, "/classify", make_image("JPEG", 256, seed=5))[0] == 200
        peak = int(container.exec("cat", find_peak()))
        tell("memory peak MiB", peak // MIB)
        assert peak < memory * MIB


def find_peak() -> str:
    """The file with the most memory that the container has had."""
    if Path("/sys/fs/cgroup/cgroup.controllers").exists():
        return "/sys/fs/cgroup/memory.peak"
    return "/sys/fs/cgroup/memory/memory.max_usage_in_bytes"


# ---- compose.yaml ----


@pytest.fixture
def composed(
    engine: ContainerEngine, slim: str, baseline: str, tmp_path: Path
) -> Iterator[dict[str, int]]:
    """Service -> port, of both models as podman-compose has started them."""
    program = Path(sys.executable).parent / "podman-compose"
    if not program.exists():
        pytest.skip("podman-compose is not installed: make setup")
    # Podman runs health checks by systemd's timers, which need not be there; they are run below.
    override = tmp_path / "override.yaml"
    disabled = {"healthcheck": {"disable": True}}
    services = ("meliusnet", "baseline")
    override.write_text(yaml.safe_dump({"services": dict.fromkeys(services, disabled)}))
    ports = {"meliusnet": 18000, "baseline": 18001}
    environment = engine.environment | {"MELIUSNET_PORT": "18000", "BASELINE_PORT": "18001"}

    def compose(*arguments: str, check: bool = True) -> None:
        limits = 'ulimit -n 1024; ulimit -u 4096; exec "$@"'
        files = ("-f", str(ROOT / "compose.yaml"), "-f", str(override))
        command = ["sh", "-c", limits, "sh", str(program), "--in-pod", "0", *files, *arguments]
        subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=check)

    try:
        compose("up", "--detach", "--no-build", *services)
        for port in ports.values():
            wait_until("a composed service is ready", lambda p=port: ask(p, "/readyz")[0] == 200)
        yield ports
    finally:
        compose("down", "--volumes", check=False)


def test_composed_services(engine: ContainerEngine, composed: dict[str, int], photos: Path) -> None:
    cat = (photos / "cat.jpg").read_bytes()
    for name, port in composed.items():
        assert classify(port, cat) == "cat"
        container = Container(f"bnn-service_{name}_1", port, engine)
        asked, host = COMPOSE[name], container.inspect()["HostConfig"]
        assert host["Memory"] == int(asked["mem_limit"].removesuffix("m")) * MIB
        assert host["NanoCpus"] == asked["cpus"] * 10**9
        assert host["PidsLimit"] == asked["pids_limit"]
        assert host["ReadonlyRootfs"]
        assert "no-new-privileges" in host["SecurityOpt"]
        assert re.search(r"CapEff:\t0+\n", container.exec("cat", "/proc/1/status"))
        assert container.inspect()["Config"]["User"] == asked["user"]
        container.exec(*asked["healthcheck"]["test"][1:])
        assert container.metrics["bnn_cgroup_memory_limit_bytes"] == host["Memory"]


def test_prometheus_of_compose(composed: dict[str, int], tmp_path: Path) -> None:
    """Debian's with compose's file, in which only addresses and the rules' folder differ."""
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("prometheus is not installed: what compose.yaml scrapes is not proved")
    text = (ROOT / "deploy" / "compose" / "prometheus.yaml").read_text()
    for name, port in composed.items():
        text = text.replace(f"{name}:8000", f"127.0.0.1:{port}")
    text = text.replace("127.0.0.1:9090", "127.0.0.1:19090")
    text = text.replace("/etc/prometheus/rules", f"{ROOT}/k8s/components/monitoring/rules")
    config = tmp_path / "prometheus.yaml"
    config.write_text(text)
    command = [program, f"--config.file={config}", f"--storage.tsdb.path={tmp_path / 'data'}"]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--web.listen-address=127.0.0.1:19090"], stdout=log, stderr=log
        )

    def query(expression: str) -> list[dict[str, Any]]:
        path = f"/api/v1/query?query={expression}"
        found: list[dict[str, Any]] = json.loads(ask(19090, path)[1])["data"]["result"]
        return found

    try:
        wait_until("Prometheus is ready", lambda: ask(19090, "/-/ready")[0] == 200)
        path = COMPOSE["prometheus"]["healthcheck"]["test"][-1].partition(":9090")[2]
        assert ask(19090, path)[0] == 200
        up = wait_until(
            "both are scraped", lambda: (found := query("bnn_ready")) and len(found) == 2 and found
        )
        assert {sample["metric"]["job"] for sample in up} == {"bnn-service"}
        assert {sample["value"][1] for sample in up} == {"1"}
        groups = json.loads(ask(19090, "/api/v1/rules")[1])["data"]["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        wait_until("all rules are evaluated", lambda: all_healthy(query_rules()))
        tell("scraped, rules", f"{len(up)} instances, {len(rules)} rules without fault")
        assert query("ALERTS{alertstate=%22firing%22}") == []
    finally:
        process.terminate()
        process.wait()


def query_rules() -> list[str]:
    groups = json.loads(ask(19090, "/api/v1/rules")[1])["data"]["groups"]
    return [rule["health"] for group in groups for rule in group["rules"]]


def all_healthy(health: list[str]) -> bool:
    assert "err" not in health
    return set(health) == {"ok"}


# ---- the other architecture ----


def test_image_for_arm64_is_built_without_emulation(
    engine: ContainerEngine, base: str, photos: Path
) -> None:
    """Only copied into an arm64 base; then its files run as a Pi 4's and a Pi 5's core."""
    if platform.machine() != "x86_64":
        pytest.skip("not on x86-64: nothing foreign to build")
    assert not list(Path("/proc/sys/fs/binfmt_misc").glob("qemu-aarch64")), "it might help"
    foreign = engine.make_base("arm64")
    both = f"{BASE}:both"
    subprocess.run(
        ["buildah", "manifest", "rm", both],
        env=engine.environment,
        capture_output=True,
        check=False,
    )
    engine.buildah("manifest", "create", both)
    for one in (base, foreign):
        engine.buildah("manifest", "add", both, one)
    image = engine.build("bnn-service:arm64", "service-slim", "arm64", both)
    config = json.loads(engine.podman("image", "inspect", image))[0]
    assert config["Architecture"] == "arm64"
    with engine.mounted(image) as root:
        (site,) = (root / "opt" / "bnn" / "lib").glob("python3.*/site-packages")
        libraries = [root / "usr" / "bin" / "python3.11", *site.rglob("*.so*")]
        assert site / "runtime" / "libbnn.so" in libraries
        for library in libraries:
            assert library.read_bytes()[18:20] == b"\xb7\x00", f"{library}: not for aarch64"
        emulator = shutil.which("qemu-aarch64") or shutil.which("qemu-aarch64-static")
        if emulator is None:
            pytest.skip("qemu-aarch64 (package qemu-user) is not installed: image built, not run")
        for core, kernels in (("cortex-a72", "neon"), ("cortex-a76", "neon_dot")):
            printed = run(
                *(emulator, "-L", root, "-cpu", core, "-E", f"PYTHONPATH={site}"),
                *("-E", f"PYTHONHOME={root}/usr", "-E", "PYTHONDONTWRITEBYTECODE=1"),
                *(root / "usr" / "bin" / "python3.11", "-m", "service", "classify", "--json"),
                *(photos / "cat.jpg",),
                cwd="/",
            )
            answer = json.loads(printed)
            tell(core, f"{answer['engine']}, {answer['predictions'][0]}")
            assert answer["engine"] == f"native/{kernels}"
            assert answer["predictions"][0]["label"] == "cat"
