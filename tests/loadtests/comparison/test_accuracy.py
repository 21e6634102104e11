"""Accuracy through HTTP: which files are sent, and what counts as right."""

import json
import sys
from pathlib import Path

import pytest

from loadtests.clients.http_client import Pool
from loadtests.command_line.progress import Progress
from loadtests.comparison.accuracy import Accuracy, Labelled, list_labelled, measure_accuracy
from loadtests.comparison.sides import Facts, Side
from loadtests.errors import ServerFault, WrongUsage
from loadtests.servers.server import Server, ServerSpec
from tests.loadtests.local_server import Peer, serve

IDLE = ServerSpec("idle", (sys.executable, "-c", "import time; time.sleep(60)"), Path())
LABELS = ("bird", "cat", "dog")


def make_files(folder: Path, names: list[str]) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    return folder


@pytest.mark.parametrize("part", ["test/", "val/", ""])
def test_folders_are_labels(tmp_path: Path, part: str) -> None:
    names = [f"{part}cat/2.jpg", f"{part}bird/1.JPG", f"{part}cat/notes.txt"]
    names += [f"{part}cat/._2.jpg", f"{part}cat/Thumbs.db"]  # of macOS and Windows
    files = list_labelled(make_files(tmp_path, names))
    assert [(file.label, file.path.name) for file in files] == [("bird", "1.JPG"), ("cat", "2.jpg")]


def test_training_images_are_not_tested_with(tmp_path: Path) -> None:
    files = list_labelled(make_files(tmp_path, ["train/cat/1.jpg", "test/dog/2.jpg"]))
    assert [file.label for file in files] == ["dog"]


def test_no_images(tmp_path: Path) -> None:
    with pytest.raises(WrongUsage, match="--data: expected images"):
        list_labelled(make_files(tmp_path, ["cat/notes.txt"]))


@pytest.fixture
def files(tmp_path: Path) -> list[Labelled]:
    """One right at once, one right among five, one wrong, one that nobody can read."""
    names = ["cat/cat.jpg", "dog/cat-dog.jpg", "bird/cat-dog.jpg", "cat/damaged.jpg"]
    return list_labelled(make_files(tmp_path, names))


async def answer_by_name(peer: Peer) -> None:
    """The labels that the body's file name has, best first."""
    while True:
        body = (await peer.read_request()).decode()
        name = Path(body).stem
        status = "422 Unprocessable" if name == "damaged" else "200 OK"
        text = json.dumps({"predictions": [{"label": label} for label in name.split("-")]})
        head = f"HTTP/1.1 {status}\r\nContent-Length: {len(text)}\r\n\r\n"
        await peer.send((head + text).encode())


async def measure(files: list[Labelled], labels: tuple[str, ...] = LABELS) -> Accuracy | None:
    async with serve(answer_by_name) as seen:
        with Server(IDLE) as server:
            side = Side(Path("bundle"), server, 0.1)
            side.facts = Facts("b", "net", 32, "onnx/cpu", 1, True, False, False, labels, "")
            side.pool = Pool(seen.address)
            return await measure_accuracy(side, files, Progress())


@pytest.mark.anyio
async def test_counts_the_best_and_the_best_five(files: list[Labelled]) -> None:
    found = await measure(files)
    assert found == Accuracy(images=4, top1=1, top5=2, refused=1)
    assert found.format() == "25.0% / 50.0% of 4"


@pytest.mark.anyio
async def test_a_model_that_has_other_labels_is_not_measured(files: list[Labelled]) -> None:
    assert await measure(files, ("bird", "cat")) is None


@pytest.mark.anyio
async def test_an_answer_that_is_neither_ends_it(tmp_path: Path) -> None:
    async def fail(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")

    files = list_labelled(make_files(tmp_path, ["cat/1.jpg"]))
    async with serve(fail) as seen:
        with Server(IDLE) as server:
            side = Side(Path("bundle"), server, 0.1)
            side.facts = Facts("b", "net", 32, "onnx/cpu", 1, True, False, False, LABELS, "")
            side.pool = Pool(seen.address)
            with pytest.raises(ServerFault, match="expected 200"):
                await measure_accuracy(side, files, Progress())
