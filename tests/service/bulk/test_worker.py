"""service.bulk.worker: a row for each name, the service's own answers, and nothing raised."""

import pickle
from pathlib import Path
from typing import Any

import pytest

from runtime import BundleError
from service.bulk.worker import ImageWorker
from service.classification.classifier import Classifier, InvalidTopK
from service.settings.settings import Settings


@pytest.fixture
def settings(bundle: Path) -> Settings:
    return Settings(bundle=bundle, engine="onnx")


def test_rows_come_in_the_order_of_the_names(
    settings: Settings, tmp_path: Path, make_image: Any
) -> None:
    contents = {
        "red.jpg": make_image("red"),
        "cut.jpg": make_image()[:-50],
        "text.jpg": b"no image",
    }
    contents |= {"blue.png": make_image("blue", kind="PNG"), "empty.jpg": b""}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    names = [str(tmp_path / name) for name in (*contents, "absent.jpg", ".", "nul\0.jpg")]
    rows = ImageWorker(settings, 1).classify(names)
    assert [row.name for row in rows] == names
    found = [row.error.code if row.error else row.predictions[0].label for row in rows]
    assert found == [
        *("red", "invalid_image", "unsupported_format", "blue", "invalid_image"),
        *("unreadable", "unreadable", "unreadable"),
    ]
    assert {row.engine for row in rows if not row.error} == {"onnx/cpu"}


def test_a_pickled_worker_gives_the_same_rows(
    settings: Settings, tmp_path: Path, make_image: Any
) -> None:
    (tmp_path / "red.jpg").write_bytes(make_image("red"))
    worker = ImageWorker(settings, None)
    copy = pickle.loads(pickle.dumps(worker))
    rows = [each.classify([str(tmp_path / "red.jpg")])[0].as_json() for each in (worker, copy)]
    assert rows[0] == rows[1]
    assert len(rows[0]["predictions"]) == 3


def test_a_file_above_the_limit_is_refused(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "large.jpg").write_bytes(bytes(2000))
    (row,) = ImageWorker(settings.model_copy(update={"max_body_bytes": 1024}), 1).classify(
        [str(tmp_path / "large.jpg")]
    )
    assert row.error is not None
    assert row.error.code == "too_large"


@pytest.mark.parametrize("top_k", [0, 4, -1])
def test_an_impossible_top_k(settings: Settings, top_k: int) -> None:
    with pytest.raises(InvalidTopK, match="expected 1 to 3"):
        ImageWorker(settings, top_k).load()


def test_a_model_that_cannot_be_used_is_raised(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(BundleError):
        ImageWorker(settings.model_copy(update={"bundle": tmp_path}), 1).classify(["a"])


def test_images_behind_urls_are_read_ahead_in_their_order(
    settings: Settings, make_image: Any
) -> None:
    fsspec = pytest.importorskip("fsspec", reason="the extra bulk is not installed")
    store = fsspec.filesystem("memory")
    colours = ("red", "green", "blue")
    for number in range(12):
        store.pipe_file(f"/ahead/{number}.jpg", make_image(colours[number % 3]))
    store.pipe_file("/ahead/empty.jpg", b"")
    names = [f"memory://ahead/{number}.jpg" for number in range(12)]
    rows = ImageWorker(settings, 1).classify(
        [*names, "memory://ahead/empty.jpg", "memory://ahead/absent.jpg", "nonsense://x/a.jpg"]
    )
    assert [row.predictions[0].label for row in rows[:12]] == [*colours] * 4
    codes = [row.error.code for row in rows[12:] if row.error]
    assert codes == ["invalid_image", "unreadable", "unreadable"]


def test_no_memory_and_faults_of_the_code_are_rows(
    settings: Settings, tmp_path: Path, make_image: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "red.jpg").write_bytes(make_image("red"))
    worker = ImageWorker(settings, 1)
    for fault, code in ((MemoryError(), "out_of_memory"), (ArithmeticError("NaN"), "internal")):

        def prepare(*_: Any, fault: Exception = fault) -> None:
            raise fault

        monkeypatch.setattr(Classifier, "prepare", prepare)
        (row,) = worker.classify([str(tmp_path / "red.jpg")])
        assert row.error is not None
        assert row.error.code == code
