"""service.oip.repository: Triton's client loads and unloads models of a real server, with a key."""

import itertools
import signal
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

from service.access.key_file import make_key
from service.settings.settings import Settings
from tests.service.servers import ServerProcess, wait_for

BIRDS, CROWS = ("robin", "wren", "swift"), ("crow", "jay", "rook")
SWAPS = 6
CLIENTS = 4


@pytest.fixture
def models(make_bundle: Callable[..., Path], tmp_path: Path) -> Path:
    """A directory with two bundles that the link "birds" may lead to."""
    for name, labels in (("1", BIRDS), ("2", CROWS)):
        make_bundle(tmp_path / "versions" / name, labels=labels)
    (tmp_path / "models").mkdir()
    turn_link(tmp_path / "models", "1")
    return tmp_path / "models"


def turn_link(models: Path, version: str) -> None:
    """Lets "birds" be another bundle from now on, at once."""
    new = models / ".new"
    new.symlink_to(models.parent / "versions" / version)
    new.rename(models / "birds")


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, str, str]:
    """A file of keys, one that may change models and one that may not."""
    path = tmp_path / "keys.toml"
    (chief, first), (guest, second) = make_key("chief", change_models=True), make_key("guest")
    path.write_text(f"{first}\n{second}\n")
    path.chmod(0o600)
    return path, chief, guest


@pytest.fixture
def server(
    start_server: Any, tiny: dict[str, str], models: Path, keys: tuple[Path, str, str]
) -> ServerProcess:
    """A service of the directory that asks for keys."""
    started: ServerProcess = start_server(
        **tiny, BNN_MODELS=str(models), BNN_API_KEYS_FILE=str(keys[0])
    )
    return started


@pytest.fixture
def client(server: ServerProcess) -> Iterator[triton.InferenceServerClient]:
    """Triton's, without a key of its own."""
    host, port = server.address
    with triton.InferenceServerClient(f"{host}:{port}", network_timeout=60) as opened:
        yield opened


def carry(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def test_loads_and_unloads(
    client: Any, server: ServerProcess, models: Path, keys: tuple[Path, str, str]
) -> None:
    chief = carry(keys[1])
    assert "model_repository" in client.get_server_metadata(headers=chief)["extensions"]

    def list_models() -> list[str]:
        index = client.get_model_repository_index(headers=chief)
        return [model["name"] for model in index if model["state"] == "READY"]

    assert list_models() == ["tiny", "tiny_image", "birds", "birds_image"]
    client.unload_model("birds", headers=chief)
    assert list_models() == ["tiny", "tiny_image"]
    assert not client.is_model_ready("birds")
    turn_link(models, "2")
    client.load_model("birds", headers=chief)
    assert client.is_model_ready("birds")
    config = client.get_model_config("birds", headers=chief)
    assert config["parameters"]["labels"]["string_value"] == "\n".join(CROWS)
    assert '"route":"/v2/repository/models/{model}/load"' in server.log


def test_who_may_not(client: Any, keys: tuple[Path, str, str]) -> None:
    _, _, guest = keys
    for change in (client.load_model, client.unload_model):
        for headers, status in (({}, "401"), (carry(guest), "403")):
            with pytest.raises(InferenceServerException, match=r"expected .*; found ") as caught:
                change("birds", headers=headers)
            assert caught.value.status() == status
    assert client.is_model_ready("birds")


def test_what_cannot_be(client: Any, models: Path, keys: tuple[Path, str, str]) -> None:
    chief = carry(keys[1])
    (models / "cats").mkdir()
    calls: list[tuple[str, Callable[[], Any]]] = [
        ("404", lambda: client.load_model("nobody", headers=chief)),
        ("404", lambda: client.load_model("birds_image", headers=chief)),
        ("400", lambda: client.load_model("cats", headers=chief)),  # a folder without a bundle
        ("404", lambda: client.load_model("..", headers=chief)),
        ("404", lambda: client.unload_model("nobody", headers=chief)),
        ("400", lambda: client.unload_model("tiny", headers=chief)),
        ("400", lambda: client.load_model("birds", headers=chief, config="{}")),
        ("400", lambda: client.load_model("birds", headers=chief, files={"file:1/m": b"x"})),
    ]
    for status, call in calls:
        with pytest.raises(InferenceServerException, match=r"expected .*; found ") as caught:
            call()
        assert caught.value.status() == status
    assert client.is_model_ready("birds")


@pytest.mark.parametrize("body", [b"", b" ", b"{}", b'{"parameters": {}}'])
def test_bodies(server: ServerProcess, keys: tuple[Path, str, str], body: bytes) -> None:
    url = f"{server.wait_until_ready()}/v2/repository/models/birds/load"
    assert httpx.post(url, content=body, headers=carry(keys[1])).json() == {}


@pytest.mark.parametrize("body", [b"[]", b"no JSON", b'{"parameters": 7}', b"x" * 70_000])
def test_bodies_that_are_refused(
    server: ServerProcess, keys: tuple[Path, str, str], body: bytes
) -> None:
    url = f"{server.wait_until_ready()}/v2/repository/models/birds/load"
    answer = httpx.post(url, content=body, headers=carry(keys[1]))
    assert answer.status_code == (413 if len(body) > 1000 else 400)
    assert "expected" in answer.json()["error"]


def test_swaps_under_load_lose_no_request(
    server: ServerProcess, models: Path, keys: tuple[Path, str, str], make_image: Any
) -> None:
    """Each answer is that of one of both bundles, whole; models change by SIGHUP and by load."""
    url, chief = server.wait_until_ready(), carry(keys[1])
    stop, answers = threading.Event(), list[tuple[int, str, str]]()

    def ask(query: str) -> None:
        with httpx.Client(headers=chief, timeout=60) as own:
            while not stop.is_set():
                answer = own.post(f"{url}/classify{query}", content=make_image("red"))
                content = answer.json()
                label = content["predictions"][0]["label"] if answer.status_code == 200 else "none"
                answers.append((answer.status_code, query, label))

    threads = [
        threading.Thread(target=ask, args=(query,))
        for query in itertools.islice(itertools.cycle(("?model=birds", "")), CLIENTS)
    ]
    for thread in threads:
        thread.start()
    for swap in range(SWAPS):
        turn_link(models, "21"[swap % 2])
        if swap % 2:
            answer = httpx.post(f"{url}/v2/repository/models/birds/load", headers=chief, timeout=60)
            assert answer.status_code == 200, answer.text
        else:
            readings = server.log.count("models read again") + 1
            server.send(signal.SIGHUP)
            wait_for(partial(lambda n: server.log.count("models read again") == n, readings))
        wait_for(partial(lambda n: len(answers) > n, len(answers) + 2 * CLIENTS))
    stop.set()
    for thread in threads:
        thread.join()
    assert {status for status, _, _ in answers} == {200}
    assert {label for _, query, label in answers if query} == {"robin", "crow"}
    assert {label for _, query, label in answers if not query} == {"red"}
    metrics = httpx.get(f"{url}/metrics").text
    assert f'bnn_model_changes_total{{result="loaded"}} {SWAPS + 1}.0' in metrics
    assert 'bnn_model_changes_total{result="failed"} 0.0' in metrics


@pytest.mark.anyio
async def test_without_keys_nobody_may(connect: Any) -> None:
    async with connect(Settings()) as open_client:
        for action in ("load", "unload"):
            answer = await open_client.post(f"/v2/repository/models/tiny/{action}")
            assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
            assert "SIGHUP" in answer.json()["error"]
        assert "model_repository" not in (await open_client.get("/v2")).json()["extensions"]
