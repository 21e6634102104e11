"""What the client's tests share: real services, an image, and scripted answers."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.access.key_file import make_key
from service.commands.sample_image import draw_sample_image
from tests.service.servers import ROOT, ServerProcess

Script = list[tuple[int, dict[str, str], Any] | Exception]


@pytest.fixture
def anyio_backend() -> str:
    """The loop that asynchronous tests run on."""
    return "asyncio"


@pytest.fixture(scope="session")
def image() -> bytes:
    """A JPEG that the default model takes for a flower."""
    return draw_sample_image()


def _start(folder: Path, **environment: str) -> Iterator[str]:
    server = ServerProcess(folder / "server.log", environment)
    try:
        yield server.wait_until_ready()
    finally:
        server.stop()


@pytest.fixture(scope="session")
def service_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a service with the default model."""
    yield from _start(tmp_path_factory.mktemp("service"))


@pytest.fixture(scope="session")
def default_name() -> str:
    """What the default model is called."""
    manifest = json.loads((ROOT / "service" / "bundles" / "default" / "manifest.json").read_text())
    return str(manifest["name"])


@pytest.fixture(scope="session")
def several_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a service with the default model, and the same as `second`; `broken` is none."""
    models = tmp_path_factory.mktemp("models")
    shutil.copytree(ROOT / "service" / "bundles" / "default", models / "second")
    shutil.copytree(models / "second", models / "broken")
    (models / "broken" / "manifest.json").write_text("{}")
    yield from _start(tmp_path_factory.mktemp("several"), BNN_MODELS=str(models))


@pytest.fixture(scope="session")
def api_key() -> tuple[str, str]:
    """A key of one image a second, and the lines that let it in."""
    return make_key("app", rate=1, burst=1)


@pytest.fixture(scope="session")
def keyed_url(tmp_path_factory: pytest.TempPathFactory, api_key: tuple[str, str]) -> Iterator[str]:
    """The URL of a service that asks for that key."""
    folder = tmp_path_factory.mktemp("keyed")
    file = folder / "keys.toml"
    file.write_text(api_key[1])
    file.chmod(0o600)
    yield from _start(folder, BNN_API_KEYS_FILE=str(file))


@pytest.fixture
def script() -> Callable[..., tuple[httpx.MockTransport, list[httpx.Request]]]:
    """A transport that gives one answer or error after the other, and what it was asked."""

    def make(*steps: Any) -> tuple[httpx.MockTransport, list[httpx.Request]]:
        left, seen = list(steps), []

        def answer(request: httpx.Request) -> httpx.Response:
            seen.append(request)
            step = left.pop(0)
            if isinstance(step, Exception):
                raise step
            status, headers, body = step
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            return httpx.Response(status, headers=headers, content=content)

        return httpx.MockTransport(answer), seen

    return make
