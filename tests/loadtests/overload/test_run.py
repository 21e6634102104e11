"""The run of an overload: the rate that counts, and a server that answers nothing."""

import sys
from pathlib import Path

import pytest

from loadtests.clients.outcomes import Outcome
from loadtests.errors import ServerFault
from loadtests.overload.run import OverloadRun, find_best_rate
from loadtests.servers.server import Server, ServerSpec
from tests.loadtests.local_server import OK, Peer, answer_all, serve

IDLE = ServerSpec("idle", (sys.executable, "-c", "import time; time.sleep(60)"), Path())
BODIES = [b"POST /classify HTTP/1.1\r\nContent-Length: 1\r\n\r\nx"]


def test_rate_counts_what_was_answered_while_the_overload_lasted() -> None:
    run = OverloadRun("kept", 10.0, seconds=4.0, began=100.0)
    for ended in (100.5, 101.5, 102.0, 103.9, 104.5):  # the first second is left out
        run.outcomes.append(Outcome(100.0, 100.0, ended, 200))
    run.outcomes.append(Outcome(100.0, 100.0, 102.0, 429))
    assert run.rate == 3 / 3
    assert run.offered_rate == 6 / 4
    assert (run.accepted.count, run.refused.count) == (5, 1)


@pytest.mark.anyio
async def test_the_best_rate_is_of_answers_200() -> None:
    async def refuse(peer: Peer) -> None:
        while True:
            await peer.read_request()
            await peer.send(OK.replace(b"200 OK", b"503 No"))

    with Server(IDLE) as server:
        async with serve(answer_all) as seen:
            server.address = seen.address
            assert await find_best_rate(server, BODIES, 0.05, warm_up=0.01) > 0
        async with serve(refuse) as seen:
            server.address = seen.address
            with pytest.raises(ServerFault, match="answers with status 200 from an idle service"):
                await find_best_rate(server, BODIES, 0.05, warm_up=0.01)
