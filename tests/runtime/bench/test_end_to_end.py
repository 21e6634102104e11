"""A JPEG's bytes to a label: ours and the peer on small photos, and a peer that is missing."""

import io
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from runtime.bench import end_to_end
from runtime.bench.end_to_end import (
    PHOTOS,
    format_end_to_end,
    make_photo,
    measure_end_to_end,
)
from runtime.bundle import Bundle, read_bundle
from runtime.errors import RuntimeFault


@pytest.fixture
def bundle(repository: Path, monkeypatch: pytest.MonkeyPatch) -> Bundle:
    """The trained MobileNet of the repository, which two engines run."""
    monkeypatch.setattr(end_to_end, "PHOTOS", {"small": (90, 70), "tall": (70, 200)})
    return read_bundle(repository / "service" / "bundles" / "mobilenet_v1")


def measure(repository: Path, mobilenet: Bundle, folder: Path, python: str) -> dict[str, Any]:
    ours = read_bundle(repository / "service" / "bundles" / "default")
    return measure_end_to_end(
        ours,
        mobilenet,
        {"onnxruntime": python},
        folder=folder,
        runs=3,
        progress=lambda text: None,
    )


def test_both_take_turns_on_every_photo(repository: Path, bundle: Bundle, tmp_path: Path) -> None:
    result = measure(repository, bundle, tmp_path, sys.executable)
    rows = [(row["photo"], row["network"]) for row in result["rows"]]
    names = ("meliusnet24", bundle.manifest.name)
    assert rows == [(photo, name) for photo in ("small", "tall") for name in names]
    for row in result["rows"]:
        assert row["whole"]["runs"] == row["cpu"]["runs"] == 3
        assert row["trained"]
    assert result["not_measured"] == {}
    printed = format_end_to_end(result, [1])
    assert "CPU 1" in printed.splitlines()[0]
    assert printed.count("Pillow and onnxruntime") == 2


def test_peer_that_is_missing_is_named(repository: Path, bundle: Bundle, tmp_path: Path) -> None:
    result = measure(repository, bundle, tmp_path, "/bin/false")
    assert [row["network"] for row in result["rows"]] == ["meliusnet24"] * 2
    assert "Pillow and onnxruntime not measured: label_peer failed" in format_end_to_end(result, [])


def test_peer_with_another_answer_is_not_timed(
    repository: Path, bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> float:
        raise RuntimeFault("another answer")

    monkeypatch.setattr(end_to_end, "check_answer", refuse)
    result = measure(repository, bundle, tmp_path, sys.executable)
    assert next(iter(result["not_measured"].values())).startswith("another answer")
    assert len(result["rows"]) == 2


def test_photos_are_seeded_jpegs_that_code_as_long_as_photos() -> None:
    data = make_photo(512, 384)
    assert data == make_photo(512, 384)
    image = Image.open(io.BytesIO(data))
    assert (image.format, image.size) == ("JPEG", (512, 384))
    assert 1 < 8 * len(data) / (512 * 384) < 4  # bits a pixel
    assert max(width * height for width, height in PHOTOS.values()) == 12_000_000
