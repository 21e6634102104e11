"""The BentoML peer: a real run in its environment."""

from pathlib import Path

import pytest

from tests.loadtests.peers.real_run import check_answers


@pytest.mark.slow
@pytest.mark.anyio
async def test_answers_are_the_network_s(repository: Path) -> None:
    await check_answers("bentoml", repository)
