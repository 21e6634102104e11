"""models.training.distributed: shares of a batch, two processes that end with equal weights."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from models.errors import RecipeError
from models.records.record import read_record
from models.training.distributed import Processes, device_of, join_processes, prepare
from tests.models.images import write_two_colours


def test_shares_are_disjoint_and_complete() -> None:
    batch = torch.arange(12)
    shares = [Processes(rank, 3).share(batch) for rank in range(3)]
    assert sorted(torch.cat(shares).tolist()) == batch.tolist()
    assert {len(share) for share in shares} == {4}
    with pytest.raises(RecipeError, match="multiple of 5"):
        Processes(0, 5).check_batch(12)


def test_without_torchrun_there_is_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    network = torch.nn.Linear(1, 1)
    with join_processes("cpu") as processes:
        assert processes == Processes(0, 1, 0)
        assert processes.first
        assert processes.wrap(network) is network
        processes.wait()
    assert device_of("cpu", processes) == torch.device("cpu")
    assert device_of("cuda", Processes(5, 8, 1)) == torch.device("cuda", 1)


FLAGS: tuple[tuple[Any, str], ...] = (
    (torch.backends.cuda.matmul, "allow_tf32"),
    (torch.backends.cudnn, "allow_tf32"),
    (torch.backends.cudnn, "benchmark"),
)


def get_flags() -> list[bool]:
    return [getattr(where, name) for where, name in FLAGS]


def set_flags(values: list[bool]) -> None:
    for (where, name), value in zip(FLAGS, values, strict=True):
        setattr(where, name, value)


@pytest.fixture
def _flags_come_back() -> Iterator[None]:
    """They are the whole process's. monkeypatch would delete them: no object holds them itself."""
    before = get_flags()
    yield
    set_flags(before)


@pytest.mark.usefixtures("_flags_come_back")
@pytest.mark.parametrize("value", [True, False])
def test_on_a_cpu_nothing_is_set(value: bool) -> None:
    set_flags([value] * 3)
    prepare(torch.device("cpu"))
    assert get_flags() == [value] * 3


@pytest.mark.usefixtures("_flags_come_back")
@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_on_a_gpu_float32_is_float32(device: str) -> None:
    """These are settings of torch: they can be made, and seen, without a GPU."""
    set_flags([True, True, False])
    prepare(torch.device(device))
    assert get_flags() == [False, False, True]


def test_two_processes_train_one_network(tmp_path: Path, repository: Path) -> None:
    write_two_colours(tmp_path / "data", train=24)
    options = (
        f"meliusnet13 --data {tmp_path / 'data'} --out {tmp_path / 'run'} --image-size 16 "
        "--epochs 2 --batch 8 --device cpu --threads 1 --quiet --validation-share 0.2 "
        "--freeze 2 --cutmix 0.5 --noise 0.1 --ema 0.9 --kernels"
    )
    launcher = "-m torch.distributed.run --standalone --nproc-per-node 2 -m models.train"
    answer = subprocess.run(
        [sys.executable, *launcher.split(), *options.split()],
        cwd=repository,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert answer.returncode == 0, answer.stderr
    record = read_record(tmp_path / "run" / "record.json")
    assert record.processes == 2
    assert record.finished
    assert len(record.epochs) == 2
    assert record.test is not None
    assert record.test.images == 4
    assert answer.stdout.count('"epoch": 1,') == 1, "one process speaks"
