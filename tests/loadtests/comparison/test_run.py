"""The order of a case's turns, and what ends it."""

from pathlib import Path
from typing import Any

import pytest

from loadtests.clients.loops import GeneratorUse
from loadtests.command_line.progress import Progress
from loadtests.comparison.material import Material
from loadtests.comparison.run import CaseRun, Result
from loadtests.comparison.turns import Turn
from tests.loadtests.comparison.made_up import OPTIONS, make_run, make_turn


class Named:
    """A side that only has a name."""

    def __init__(self, name: str) -> None:
        self.name = name


def prepare(run: CaseRun) -> list[str]:
    run._sides = [Named("a"), Named("b"), Named("c")]  # type: ignore[list-item]
    run.results = [run.results[0]] * 3
    return []


@pytest.mark.anyio
async def test_turns_go_forwards_and_backwards() -> None:
    run = make_run()
    seen = prepare(run)

    async def take(side: Any, result: Result, number: int) -> Turn | None:
        seen.append(f"{side.name}{number}")
        return None

    await run._in_turns("loop", take, 3)
    assert seen == ["a0", "b0", "c0", "c1", "b1", "a1", "a2", "b2", "c2"]
    assert run.unfit == []


@pytest.mark.anyio
async def test_a_busy_generator_is_noted_with_the_side() -> None:
    run = make_run()
    prepare(run)

    async def take(side: Any, result: Result, number: int) -> Turn:
        turn = make_turn(1.0)
        turn.generator = GeneratorUse(0.95, 1.0) if side.name == "b" else GeneratorUse()
        return turn

    await run._in_turns("loop", take, 1)
    assert len(run.unfit) == 1
    assert run.unfit[0].startswith("b, loop: the generator used 95%")


def test_a_case_has_nothing_before_it_is_run() -> None:
    run = CaseRun(make_run().case, OPTIONS, {}, Material((), ()), Progress())
    assert (run.results, run.unfit) == ([], [])
    assert run.case.bundles == [Path("ours"), Path("theirs")]
