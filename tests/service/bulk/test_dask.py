"""service.bulk.dask: a real cluster of processes, some of which die; each row comes once."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import service.bulk.dask
from service.bulk.dask import ClusterUnusable, DaskPool
from service.bulk.forms import RowForm
from service.bulk.process import encode_rows
from service.bulk.worker import ImageWorker
from service.settings.settings import Settings

distributed = pytest.importorskip(
    "distributed", reason="the extra dask is not installed: pip install 'bnn-service[dask]'"
)
dask_config = pytest.importorskip("dask.config")

SECONDS = 60.0
FORM = RowForm("jsonl", 1)
# Runs in each worker process before anything else: some names end it, some are not there.
PRELOAD = """
import os
from service.bulk.worker import ImageWorker
def fail(self, name):
    if name.endswith("deadly.jpg"):
        os._exit(9)
    if "only-here" in name:
        raise FileNotFoundError(2, "No such file or directory")
    if "failing-disk" in name:
        raise OSError(5, "Input/output error")
    return read(self, name)
if ImageWorker._read_file.__name__ != "fail":  # Dask runs this file twice
    read = ImageWorker._read_file
    ImageWorker._read_file = fail
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Two worker processes of one thread, which are replaced when they die."""
    preload = tmp_path_factory.mktemp("dask") / "preload.py"
    preload.write_text(PRELOAD)
    # One death is enough for Dask to give a task up.
    with (
        dask_config.set({"distributed.scheduler.allowed-failures": 0}),
        distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address=None,
            preload=[str(preload)],
            silence_logs=50,
        ) as cluster,
    ):
        yield cluster


@pytest.fixture
def settings(bundle: Path) -> Settings:
    return Settings(bundle=bundle, engine="onnx", threads=1)


@pytest.fixture
def worker(settings: Settings) -> ImageWorker:
    return ImageWorker(settings, 1)


@pytest.fixture
def pool(cluster: Any, worker: ImageWorker) -> Iterator[DaskPool]:
    cluster.wait_for_workers(2, timeout=SECONDS)
    pool = DaskPool(cluster.scheduler_address, worker, FORM, worker.load()[0].model_id)
    yield pool
    pool.close()


@pytest.fixture
def names(tmp_path: Path, make_image: Callable[..., bytes]) -> list[str]:
    """Of two hundred files, one of them broken."""
    contents = [make_image(colour) for colour in ("red", "green", "blue")]
    paths = [tmp_path / f"{number:03}.jpg" for number in range(200)]
    for number, path in enumerate(paths):
        path.write_bytes(contents[number % 3])
    paths[70].write_bytes(contents[0][:-50])
    return list(map(str, paths))


def collect(pool: DaskPool, count: int) -> dict[int, bytes]:
    """The rows of so many batches, by their numbers."""
    found: dict[int, bytes] = {}
    end = time.monotonic() + SECONDS
    while len(found) < count:
        assert time.monotonic() < end, f"{len(found)} of {count} batches"
        done, _ = pool.wait(1.0)
        for number, rows in done:
            assert number not in found
            found[number] = rows.data
    return found


def cut(names: Sequence[str], size: int = 8) -> list[list[str]]:
    return [list(names[start : start + size]) for start in range(0, len(names), size)]


def list_workers(cluster: Any) -> list[int]:
    """The process ids of the workers."""
    with distributed.Client(cluster, set_as_default=False) as client:
        return list(client.run(os.getpid).values())


def test_rows_are_those_of_one_process(
    pool: DaskPool, worker: ImageWorker, names: list[str]
) -> None:
    batches = cut(names)
    for number, batch in enumerate(batches):
        pool.submit(number, batch)
    found = collect(pool, len(batches))
    expected = encode_rows(worker.classify(names), FORM)
    assert b"".join(found[number] for number in sorted(found)) == expected.data
    assert expected.failed == 1


def test_equal_batches_are_two(pool: DaskPool, names: list[str]) -> None:
    pool.submit(0, names[:2])
    pool.submit(1, names[:2])
    found = collect(pool, 2)
    assert found[0] == found[1]


def test_there_is_room_for_the_threads_that_there_are(pool: DaskPool, names: list[str]) -> None:
    assert pool.size == 2
    sent = 0
    while pool.has_room:
        pool.submit(sent, names[:1])
        sent += 1
    assert sent == 6
    collect(pool, sent)
    assert pool.has_room


def test_descriptors_are_listened_to(pool: DaskPool) -> None:
    reading, writing = os.pipe()
    assert pool.wait(0.0, [reading]) == ([], [])
    os.write(writing, b"\0")
    assert pool.wait(SECONDS, [reading]) == ([], [reading])
    os.close(reading)
    os.close(writing)


def test_a_deadly_image_gets_an_error_row_and_the_others_theirs(
    pool: DaskPool, worker: ImageWorker, names: list[str], tmp_path: Path
) -> None:
    deadly = str(tmp_path / "deadly.jpg")
    Path(deadly).write_bytes(Path(names[0]).read_bytes())
    pool.submit(7, [names[0], deadly, names[1]])
    rows = [json.loads(line) for line in collect(pool, 1)[7].splitlines()]
    assert [row["file"] for row in rows] == [names[0], deadly, names[1]]
    assert rows[1]["error"]["code"] == "worker_died"
    good = [json.loads(json.dumps(row.as_json())) for row in worker.classify(names[:2])]
    assert [rows[0], rows[2]] == good
    assert pool.deaths == 2
    assert pool.has_room


def test_local_names_are_taken_from_the_folder_here(
    cluster: Any, worker: ImageWorker, names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, name = os.path.split(names[0])
    monkeypatch.chdir(folder)
    pool = DaskPool(cluster.scheduler_address, worker, FORM, worker.load()[0].model_id)
    try:
        pool.submit(0, [name])
        row = json.loads(collect(pool, 1)[0])
    finally:
        pool.close()
    assert row["file"] == name
    assert "predictions" in row


def test_images_that_are_only_here_end_the_run(
    pool: DaskPool, names: list[str], tmp_path: Path
) -> None:
    """Rather than a million rows that say unreadable."""
    path = tmp_path / "only-here.jpg"
    path.write_bytes(Path(names[0]).read_bytes())
    pool.submit(0, [str(tmp_path / "nowhere.jpg")])
    assert b"unreadable" in collect(pool, 1)[0]
    pool.submit(1, [str(path)])
    with pytest.raises(ClusterUnusable, match="on the workers' machines"):
        collect(pool, 1)


def test_a_file_that_cannot_be_read_is_a_row(
    pool: DaskPool, names: list[str], tmp_path: Path
) -> None:
    """No reason to end the run; nor is one that is not there when others were."""
    for number, name in enumerate(("failing-disk.jpg", "only-here.jpg")):
        (tmp_path / name).write_bytes(Path(names[0]).read_bytes())
        pool.submit(number, [str(tmp_path / name)])
        assert b"unreadable" in collect(pool, 1)[number]


def test_another_model_there_ends_the_run(
    cluster: Any, settings: Settings, names: list[str]
) -> None:
    worker = ImageWorker(settings, 2)
    pool = DaskPool(cluster.scheduler_address, worker, FORM, "0123456789ab")
    try:
        pool.submit(0, names[:1])
        with pytest.raises(ClusterUnusable, match=r"expected .* 0123456789ab; found"):
            collect(pool, 1)
    finally:
        pool.close()


def test_a_model_that_is_not_there_ends_the_run(
    cluster: Any, settings: Settings, names: list[str], tmp_path: Path
) -> None:
    worker = ImageWorker(settings.model_copy(update={"bundle": tmp_path / "none"}), 1)
    pool = DaskPool(cluster.scheduler_address, worker, FORM, "0123456789ab")
    try:
        pool.submit(0, names[:1])
        with pytest.raises(ClusterUnusable, match=r"Dask worker on .*manifest"):
            collect(pool, 1)
    finally:
        pool.close()


@pytest.mark.parametrize("address", ["nonsense", "tcp://127.0.0.1:1", "foo://127.0.0.1:1"])
def test_no_scheduler(address: str, worker: ImageWorker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service.bulk.dask, "_CONNECT_SECONDS", 0.5)
    with pytest.raises(ClusterUnusable, match=r"expected a Dask scheduler at .*, as tcp://HOST"):
        DaskPool(address, worker, FORM, "")


def test_no_package(worker: ImageWorker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ClusterUnusable, match=r"bnn-service\[dask\]"):
        DaskPool("tcp://127.0.0.1:1", worker, FORM, "")


# ---- a scheduler in a process of its own, and the command ----


def start(*command: str) -> subprocess.Popen[bytes]:
    """`dask scheduler` or `dask worker`; what it logs is read away by nobody."""
    program = Path(sys.executable).parent / "dask"
    return subprocess.Popen(
        [program, *command, "--no-dashboard"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


@pytest.fixture
def scheduler(tmp_path: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    file = tmp_path / "scheduler.json"
    process = start("scheduler", "--host", "127.0.0.1", "--port=0", f"--scheduler-file={file}")
    deadline = time.monotonic() + SECONDS
    while not file.exists() or not file.read_text().endswith("}"):
        assert time.monotonic() < deadline, "no scheduler"
        time.sleep(0.02)
    yield json.loads(file.read_text())["address"], process
    end(process)


def test_no_worker(
    scheduler: tuple[str, subprocess.Popen[bytes]],
    worker: ImageWorker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(service.bulk.dask, "_WORKER_SECONDS", 0.3)
    with pytest.raises(ClusterUnusable, match="expected a Dask worker within"):
        DaskPool(scheduler[0], worker, FORM, "")


class Run:
    """`classify --dask`, with names as they are handed to it."""

    def __init__(self, output: Path, bundle: Path, address: str) -> None:
        self._output = output
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "service", "classify", "--from-file=-", "--top-k=1"),
                *("--engine=onnx", f"--bundle={bundle}", f"--output={output}"),
                f"--dask={address}",
            ],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def hand(self, names: Sequence[str]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("".join(f"{name}\n" for name in names).encode())
        self._process.stdin.flush()

    def wait_for_rows(self, count: int) -> None:
        deadline = time.monotonic() + SECONDS
        while self._output.exists() is False or self._output.read_bytes().count(b"\n") < count:
            assert time.monotonic() < deadline, "no rows"
            assert self._process.poll() is None
            time.sleep(0.02)

    def finish(self) -> tuple[int, str]:
        """Its status, and what it said."""
        _, errors = self._process.communicate(timeout=SECONDS)
        return self._process.returncode, errors.decode()


def test_a_worker_that_is_lost_half_way_loses_no_row(
    cluster: Any, worker: ImageWorker, names: list[str], bundle: Path, tmp_path: Path
) -> None:
    cluster.wait_for_workers(2, timeout=SECONDS)
    output = tmp_path / "rows.jsonl"
    run = Run(output, bundle, cluster.scheduler_address)
    run.hand(names[:100])
    run.wait_for_rows(16)
    before = list_workers(cluster)
    os.kill(before[0], signal.SIGKILL)
    run.hand(names[100:])
    status, said = run.finish()
    assert status == 1, said  # for the broken image
    assert output.read_bytes() == encode_rows(worker.classify(names), FORM).data
    assert "200 images" in said
    assert before[0] not in list_workers(cluster)


def test_what_a_lost_scheduler_has_left_is_gone_on_with(
    cluster: Any,
    scheduler: tuple[str, subprocess.Popen[bytes]],
    worker: ImageWorker,
    names: list[str],
    bundle: Path,
    tmp_path: Path,
) -> None:
    address, process = scheduler
    there = start("worker", address, "--nthreads=1", "--no-nanny")
    output = tmp_path / "rows.jsonl"
    try:
        run = Run(output, bundle, address)
        run.hand(names[:100])
        run.wait_for_rows(16)
        end(process)
        run.hand(names[100:])
        status, said = run.finish()
    finally:
        end(there)
    assert status == 1
    assert "error: expected the Dask scheduler to stay" in said
    again = Run(output, bundle, cluster.scheduler_address)
    again.hand(names)
    status, said = again.finish()
    assert status == 1, said
    assert output.read_bytes() == encode_rows(worker.classify(names), FORM).data
    assert " were in " in said
