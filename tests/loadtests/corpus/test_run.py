"""The files of a corpus: which are taken, what is a fault, and that each is posted once."""

import argparse
import io
from pathlib import Path

import pytest

from loadtests.clients.http_client import How, Pool
from loadtests.clients.outcomes import Outcome
from loadtests.command_line.progress import Progress
from loadtests.corpus.run import Posted, list_files, post_all
from loadtests.errors import WrongUsage
from tests.loadtests.local_server import OK, Peer, serve


@pytest.mark.parametrize(
    ("outcome", "faulty"),
    [
        (Outcome(0, 0, 1, 200), False),
        (Outcome(0, 0, 1, 422), False),
        (Outcome(0, 0, 1, 503), False),
        (Outcome(0, 0, 1, 504), False),
        (Outcome(0, 0, 1, 500), True),
        (Outcome(0, 0, 1, lost=How.TIMEOUT), True),
    ],
)
def test_faults(outcome: Outcome, faulty: bool) -> None:
    posted = Posted(Path("a.JPG"), 3, outcome)
    assert posted.faulty is faulty
    assert posted.kind == ".jpg"


def test_files_of_all_folders_in_order(tmp_path: Path) -> None:
    for name in ("b/2", "b/1", "a/3"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = list_files([tmp_path / "b", tmp_path / "a"])
    assert [path.name for path in found] == ["1", "2", "3"]
    (tmp_path / "empty").mkdir()
    for folder in ("empty", "missing"):
        with pytest.raises(WrongUsage, match="expected"):
            list(list_files([tmp_path / folder]))


@pytest.mark.anyio
async def test_each_file_is_posted_once(tmp_path: Path) -> None:
    bodies = []

    async def behave(peer: Peer) -> None:
        while True:
            bodies.append(await peer.read_request())
            await peer.send(OK)

    paths = [tmp_path / str(number) for number in range(5)]
    for path in paths:
        path.write_text(f"file {path.name}")
    options = argparse.Namespace(form=False, give_up=5.0, clients=2)
    async with serve(behave) as seen:
        posted = await post_all(Pool(seen.address), paths, options, Progress(io.StringIO()))
    assert sorted(bodies) == [path.read_bytes() for path in paths]
    assert sorted(each.path for each in posted) == paths
    assert {(each.size, each.outcome.status) for each in posted} == {(6, 200)}
