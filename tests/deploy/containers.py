"""Builds images by buildah and runs them by podman, in storage of the proofs' own."""

import http.client
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = ("buildah", "podman", "runc", "mmdebstrap")
BASE = "localhost/bnn-python"
HERE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
SECONDS = 60
# Python 3.11 in Debian, as small as it gets. It stands in for the Dockerfile's python:3.13-slim.
PACKAGES = "python3,python3-venv,python3-pip,ca-certificates"
FOREIGN_PACKAGES = "python3,python3-venv,libstdc++6,libgomp1,ca-certificates,base-files,base-passwd"


def require_tools() -> None:
    """Skips, naming what is missing."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed: containers not proved")
    if os.geteuid() != 0:
        pytest.skip("not root: containers with real limits not proved")


def run(*command: str | Path, **options: Any) -> str:
    """The output of a command that has to succeed; its errors are shown."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def wait_until(what: str, check: Callable[[], Any]) -> Any:
    """What `check` returns once it is true."""
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        try:
            if found := check():
                return found
        except OSError:
            pass  # nobody listens yet
        time.sleep(0.1)
    raise AssertionError(f"did not happen within {SECONDS} s: {what}")


def ask(port: int, path: str, body: bytes | None = None) -> tuple[int, bytes]:
    """Status and body of one request on a connection of its own; an image is posted as it is."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
    try:
        if body is None:
            connection.request("GET", path)
        else:
            connection.request("POST", path, body, {"Content-Type": "application/octet-stream"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def classify(port: int, image: bytes) -> str:
    """The first label."""
    status, body = ask(port, "/classify", image)
    assert status == 200, body
    return str(json.loads(body)["predictions"][0]["label"])


@dataclass
class Container:
    """A container that runs; what podman tells of it and what happens in it."""

    name: str
    port: int
    engine: "ContainerEngine"

    def inspect(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.engine.podman("inspect", self.name))[0]
        return found

    def exec(self, *command: str) -> str:
        return self.engine.podman("exec", self.name, *command)

    @property
    def log(self) -> str:
        done = subprocess.run(
            ["podman", "logs", self.name], env=self.engine.environment, capture_output=True,
            text=True, check=True,
        )  # fmt: skip
        return done.stdout + done.stderr

    def wait_until_ready(self) -> None:
        wait_until(f"{self.name} is ready", lambda: ask(self.port, "/readyz")[0] == 200)

    @property
    def metrics(self) -> dict[str, float]:
        """Samples without labels, by name."""
        lines = ask(self.port, "/metrics")[1].decode().splitlines()
        pairs = (line.split() for line in lines if not line.startswith("#") and "{" not in line)
        return {name: float(value) for name, value in pairs}


@dataclass
class ContainerEngine:
    """buildah and podman over one folder, which later runs find again."""

    folder: Path
    environment: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        config, storage = self.folder / "containers.conf", self.folder / "storage.conf"
        (self.folder / "networks").mkdir(parents=True, exist_ok=True)
        # Limits of processes that need no rights beyond those of this process.
        config.write_text(
            '[engine]\nruntime = "runc"\ncgroup_manager = "cgroupfs"\n'
            '[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]\n'
            f'[network]\nnetwork_config_dir = "{self.folder}/networks"\n'
        )
        storage.write_text(
            f'[storage]\ndriver = "overlay"\ngraphroot = "{self.folder}/store"\n'
            f'runroot = "{self.folder}/run"\n'
        )
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("BNN_")},
            "CONTAINERS_CONF": str(config),
            "CONTAINERS_STORAGE_CONF": str(storage),
            "BUILDAH_ISOLATION": "chroot",
        }

    def buildah(self, *arguments: str | Path) -> str:
        return run("buildah", *arguments, env=self.environment)

    def podman(self, *arguments: str | Path) -> str:
        # A container may not have more files and processes than the one who starts it.
        limits = ("sh", "-c", 'ulimit -n 1024; ulimit -u 4096; exec podman "$@"', "podman")
        return run(*limits, *arguments, env=self.environment)

    def make_base(self, architecture: str) -> str:
        """An image of Debian bookworm with its Python 3.11; the foreign one only unpacked."""
        name = f"{BASE}:{architecture}"
        if subprocess.run(
            ["buildah", "inspect", "--type", "image", name], env=self.environment,
            capture_output=True, check=False,
        ).returncode == 0:  # fmt: skip
            return name
        archive = self.folder / f"{architecture}.tar"
        foreign = architecture != HERE
        variant = "extract" if foreign else "minbase"
        packages = FOREIGN_PACKAGES if foreign else PACKAGES
        run(
            *("mmdebstrap", "--quiet", f"--variant={variant}", f"--architectures={architecture}"),
            *(f"--include={packages}", "bookworm", archive),
        )
        root = self.folder / f"root-{architecture}"
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir()
        run("tar", "-C", root, "-xf", archive)
        for guard in root.glob("usr/lib/python3*/EXTERNALLY-MANAGED"):
            guard.unlink()
        (python,) = root.glob("usr/bin/python3.[0-9]*[0-9]")
        for link in ("python3", "python"):
            if not (root / "usr" / "bin" / link).is_symlink():
                (root / "usr" / "bin" / link).symlink_to(python.name)
        container = self.buildah("from", "--arch", architecture, "scratch").strip()
        self.buildah("add", "--quiet", container, root, "/")
        path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        self.buildah("config", "--arch", architecture, "--env", f"PATH={path}", container)
        self.buildah("commit", "--quiet", "--rm", container, name)
        shutil.rmtree(root)
        archive.unlink()
        return name

    def download(self, architecture: str) -> Path:
        """The locked packages, fetched once with the configuration of the pip that runs here."""
        machine = {"amd64": "x86_64", "arm64": "aarch64"}[architecture]
        folder = self.folder / f"packages-{architecture}"
        glibcs = ("manylinux_2_28", "manylinux_2_27", "manylinux2014")
        run(
            *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"),
            *("--only-binary", ":all:", "--python-version", "3.11", "--dest", folder),
            *(word for glibc in glibcs for word in ("--platform", f"{glibc}_{machine}")),
            *("-r", ROOT / ".locks" / "runtime.txt", "-r", ROOT / ".locks" / "build.txt"),
        )
        return folder

    def build(self, tag: str, target: str, architecture: str, base: str) -> str:
        """The image of a target; pip sees only what was downloaded. Returns its full name."""
        packages = {self.download(one) for one in (HERE, architecture)}
        shared = self.folder / "packages"
        shared.mkdir(exist_ok=True)
        for file in (file for folder in packages for file in folder.iterdir()):
            shutil.copy2(file, shared)
        (self.folder / "pip.conf").write_text("[global]\nno-index = true\nfind-links = /packages\n")
        self.buildah(
            *("build", "--layers", "--pull=never", "--format", "docker", "--target", target),
            *("--volume", f"{shared}:/packages:ro"),
            *("--volume", f"{self.folder}/pip.conf:/etc/pip.conf:ro"),
            *("--build-arg", f"PYTHON_IMAGE={base}"),
            *("--platform", f"linux/{architecture}", "--build-arg", f"BUILDPLATFORM=linux/{HERE}"),
            *("--tag", tag, ROOT),
        )
        return f"localhost/{tag}"

    def size(self, image: str) -> int:
        """Bytes."""
        return int(self.podman("image", "inspect", "--format", "{{.Size}}", image))

    @contextmanager
    def mounted(self, image: str) -> Iterator[Path]:
        """The image's file system."""
        container = self.buildah("from", "--pull=never", image).strip()
        try:
            yield Path(self.buildah("mount", container).strip())
        finally:
            self.buildah("rm", container)

    @contextmanager
    def running(
        self, image: str, memory: str, cpus: str, environment: dict[str, str] | None = None
    ) -> Iterator[Container]:
        """A container without any privilege or writable place, on a free port, once it is ready."""
        variables = (f"--env={key}={value}" for key, value in (environment or {}).items())
        name = self.podman(
            *("run", "--detach", "--read-only", "--read-only-tmpfs=false", "--cap-drop", "ALL"),
            *("--security-opt", "no-new-privileges", "--memory", memory, "--memory-swap", memory),
            *("--cpus", cpus, "--publish", "127.0.0.1::8000", "--no-healthcheck"),
            *(*variables, image),
        ).strip()
        try:
            port = int(self.podman("port", name, "8000").rpartition(":")[2])
            container = Container(name, port, self)
            container.wait_until_ready()
            yield container
        finally:
            self.podman("rm", "--force", "--time", "0", name)
