"""service.bulk.pool: real processes that die, hang or never start; no batch is lost."""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.bulk.forms import RowForm
from service.bulk.pool import PoolBroken, WorkerPool
from tests.service.bulk.workers import ObedientWorker

FORM = RowForm("jsonl", 1)
SECONDS = 60.0


@pytest.fixture
def pools() -> Iterator[list[WorkerPool]]:
    opened: list[WorkerPool] = []
    yield opened
    for pool in opened:
        pool.close()


def run(pool: WorkerPool, batches: list[list[str]]) -> dict[int, list[dict[str, Any]]]:
    """The rows of each batch by its number, whatever their order in time."""
    rows: dict[int, list[dict[str, Any]]] = {}
    waiting = list(enumerate(batches))
    while len(rows) < len(batches):
        while waiting and pool.has_room:
            pool.submit(*waiting.pop(0))
        for number, encoded in pool.wait(SECONDS)[0]:
            assert number not in rows
            rows[number] = [json.loads(line) for line in encoded.data.splitlines()]
            assert encoded.rows == len(rows[number])
            assert encoded.failed == sum("error" in row for row in rows[number])
    return rows


def names(rows: dict[int, list[dict[str, Any]]]) -> list[list[str]]:
    return [[row["file"] for row in rows[number]] for number in sorted(rows)]


def test_workers_that_die_are_replaced_and_no_row_is_lost(
    pools: list[WorkerPool], tmp_path: Path
) -> None:
    pool = WorkerPool(ObedientWorker(folder=str(tmp_path)), FORM, 2, SECONDS)
    pools.append(pool)
    batches = [["a", "kill 1", "b"], ["c"], ["d", "once", "bad"], ["kill 2"], ["e"], ["f", "g"]]
    rows = run(pool, batches)
    assert names(rows) == batches
    flat = {row["file"]: row for batch in rows.values() for row in batch}
    failed = {name: row["error"]["code"] for name, row in flat.items() if "error" in row}
    assert failed == {"kill 1": "worker_died", "kill 2": "worker_died", "bad": "unreadable"}
    assert "signal 9" in flat["kill 1"]["error"]["detail"]
    assert pool.deaths == 5  # twice for each that kills, once for "once"


def test_both_workers_work(pools: list[WorkerPool]) -> None:
    pool = WorkerPool(ObedientWorker(), FORM, 2, SECONDS)
    pools.append(pool)
    rows = run(pool, [[str(number)] for number in range(200)])
    processes = {row["engine"] for batch in rows.values() for row in batch}
    assert len(processes) <= 2
    assert str(os.getpid()) not in processes


def test_a_worker_that_hangs_is_killed(pools: list[WorkerPool]) -> None:
    pool = WorkerPool(ObedientWorker(), FORM, 1, 1.5)
    pools.append(pool)
    rows = run(pool, [["hang"], ["a"]])
    assert rows[0][0]["error"]["code"] == "hanging"
    assert "error" not in rows[1][0]


def test_a_hang_is_told_by_the_image_not_by_the_batch(pools: list[WorkerPool]) -> None:
    """Slow images one after another are no hang; one is, whatever the number beside it."""
    pool = WorkerPool(ObedientWorker(), FORM, 1, 2.5)
    pools.append(pool)
    rows = run(pool, [[f"slow {number}" for number in range(7)]])
    assert (pool.deaths, len(rows[0])) == (0, 7)
    pool.submit(1, ["hang", *map(str, range(500))])
    began = time.monotonic()
    while not pool.deaths:
        assert time.monotonic() < began + SECONDS
        pool.wait(SECONDS)


def test_workers_that_never_start_end_the_run(pools: list[WorkerPool]) -> None:
    pool = WorkerPool(ObedientWorker("kill"), FORM, 1, SECONDS)
    pools.append(pool)
    with pytest.raises(PoolBroken, match=r"3 ended \(signal 9\)"):
        run(pool, [["a"]])


def test_a_model_that_cannot_be_loaded_ends_the_run(pools: list[WorkerPool]) -> None:
    pool = WorkerPool(ObedientWorker("fail"), FORM, 1, SECONDS)
    pools.append(pool)
    with pytest.raises(PoolBroken, match="no model"):
        run(pool, [["a"]])


def test_other_descriptors_wake_it(pools: list[WorkerPool]) -> None:
    pool = WorkerPool(ObedientWorker(), FORM, 1, SECONDS)
    pools.append(pool)
    reader, writer = os.pipe()
    os.write(writer, b"x")
    assert pool.wait(SECONDS, [reader]) == ([], [reader])
    assert pool.wait(0.0) == ([], [])
    os.close(reader)
    os.close(writer)
