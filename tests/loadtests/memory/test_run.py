"""Memory under load: slices until the peak is level, and answers that end it."""

import argparse
import io
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from loadtests.clients.images import generate_jpegs
from loadtests.command_line.progress import Progress
from loadtests.errors import ServerFault
from loadtests.memory.run import put_under_load, write_files
from loadtests.servers.server import Server, ServerSpec
from tests.loadtests.local_server import OK, Peer, answer_all, serve

IDLE = ServerSpec("idle", (sys.executable, "-c", "import time; time.sleep(60)"), Path())
IMAGES = generate_jpegs(1, 2, (16, 16))
SIDE: Any = SimpleNamespace(name="idle", form=True)
OPTIONS = argparse.Namespace(slices=9, max_rise=1.0, seconds=0.05)


@pytest.mark.anyio
async def test_a_load_ends_when_the_peak_is_level() -> None:
    with Server(IDLE) as server:
        async with serve(answer_all) as seen:
            server.address = seen.address
            progress = Progress(io.StringIO())
            load = await put_under_load(server, SIDE, IMAGES, 2, OPTIONS, progress)
    assert load.is_level(OPTIONS.max_rise)
    assert len(load.peaks) < OPTIONS.slices
    assert load.answers > 0
    assert load.peaks == sorted(load.peaks)


@pytest.mark.anyio
async def test_answers_that_are_not_200_end_it() -> None:
    async def refuse(peer: Peer) -> None:
        while True:
            await peer.read_request()
            await peer.send(OK.replace(b"200 OK", b"503 No"))

    with Server(IDLE) as server:
        async with serve(refuse) as seen:
            server.address = seen.address
            with pytest.raises(ServerFault, match="idle: expected 200 for every request"):
                await put_under_load(server, SIDE, IMAGES, 1, OPTIONS, Progress(io.StringIO()))


def test_files_have_the_names_and_bytes_of_their_images(tmp_path: Path) -> None:
    paths = write_files(IMAGES, tmp_path)
    assert [path.name for path in paths] == [image.name for image in IMAGES]
    assert [path.read_bytes() for path in paths] == [image.data for image in IMAGES]
