"""What the tests of the page share: a browser, its tabs, services and photos."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from runtime import load_engine
from tests.service.browser import Browser, Tab
from tests.service.servers import ServerThread

DEFAULT = Path(__file__).parents[3] / "service/bundles/default"
Open = Callable[..., Tab]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    browser = Browser(tmp_path_factory.mktemp("browser"))
    yield browser
    browser.close()


@pytest.fixture
def show(browser: Browser, shared_server: ServerThread, serve: Any) -> Iterator[Open]:
    """Opens the page: of a service with the fake engine, or of another. No script may fail.

    Its tabs are closed before what `serve` has started is stopped.
    """
    tabs: list[Tab] = []

    def open_page(server: ServerThread | None = None, host: str = "127.0.0.1", **look: Any) -> Tab:
        port = (server or shared_server).address[1]
        tabs.append(browser.open(f"http://{host}:{port}/", **look))
        return tabs[-1]

    yield open_page
    for tab in tabs:
        assert tab.list_faults() == []
        tab.close()


@pytest.fixture(scope="module")
def real_server() -> Iterator[ServerThread]:
    """A service with the model that is delivered."""
    server = ServerThread(load_engine(DEFAULT, "native"))
    yield server
    server.stop()


@pytest.fixture
def several(serve: Any, make_engine: Any, tmp_path: Path) -> ServerThread:
    """A service with two models: tiny, the default, and meliusnet13, which is delivered."""
    shutil.copytree(DEFAULT, tmp_path / "models" / "meliusnet13")
    started: ServerThread = serve(make_engine(), models=tmp_path / "models")
    return started


@pytest.fixture
def make_file(tmp_path: Path, make_image: Any) -> Callable[..., Path]:
    """Writes a one-coloured photo."""

    def make(name: str, *arguments: Any, **options: Any) -> Path:
        (tmp_path / name).write_bytes(make_image(*arguments, **options))
        return tmp_path / name

    return make
