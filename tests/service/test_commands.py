"""service.commands: the shell command, on a real bundle."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runtime import read_bundle
from runtime.bundle import write_bundle
from service.__main__ import main


@pytest.fixture
def files(tmp_path: Path, picture: Any) -> dict[str, Path]:
    """Good and bad files."""
    contents = {"red.jpg": picture("red"), "blue.png": picture("blue", kind="PNG")}
    contents |= {"cut.jpg": picture()[:-50], "text.jpg": b"no picture", "empty.jpg": b""}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    return {name: tmp_path / name for name in (*contents, "absent.jpg")}


@pytest.fixture
def classify(bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> Any:
    """Runs the command in this process: (exit status, output, errors)."""
    monkeypatch.setattr("service.__main__.configure_logging", lambda *_: None)

    def run(*arguments: object) -> tuple[int, str, str]:
        words = ["classify", "--bundle", str(bundle), "--engine", "onnx", *map(str, arguments)]
        status = main(words)
        return status, *capsys.readouterr()

    return run


def test_prints_a_line_per_file(classify: Any, files: dict[str, Path]) -> None:
    status, output, errors = classify(files["red.jpg"], files["blue.png"])
    assert (status, errors) == (0, "")
    red, blue = output.splitlines()
    assert red.startswith(f"{files['red.jpg']}: red 0.9")
    assert blue.startswith(f"{files['blue.png']}: blue 0.9")
    assert red.count(",") == 2


def test_prints_json(classify: Any, files: dict[str, Path]) -> None:
    status, output, _ = classify("--json", "--top-k", 1, files["red.jpg"], files["text.jpg"])
    good, bad = map(json.loads, output.splitlines())
    assert status == 1
    assert good["file"] == str(files["red.jpg"])
    assert [item["label"] for item in good["predictions"]] == ["red"]
    assert (good["engine"], good["model"], good["trained"]) == ("onnx/cpu", "tiny", True)
    assert bad["error"]["code"] == "unsupported_format"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("cut.jpg", "expected a"),
        ("text.jpg", "expected a JPEG, PNG or WebP file"),
        ("empty.jpg", "found no bytes"),
        ("absent.jpg", "No such file"),
    ],
)
def test_a_bad_file_is_reported_and_the_others_go_on(
    classify: Any, files: dict[str, Path], name: str, text: str
) -> None:
    status, output, errors = classify(files[name], files["red.jpg"])
    assert status == 1
    assert len(output.splitlines()) == 1
    assert errors.startswith(f"error: {files[name]}: ")
    assert text in errors


def test_a_directory_is_a_bad_file(classify: Any, tmp_path: Path) -> None:
    status, _, errors = classify(tmp_path)
    assert status == 1
    assert "directory" in errors


@pytest.mark.parametrize("top_k", [0, 4])
def test_an_impossible_top_k_is_wrong_usage(
    classify: Any, files: dict[str, Path], top_k: int
) -> None:
    status, output, errors = classify("--top-k", top_k, files["red.jpg"])
    assert (status, output) == (2, "")
    assert "expected 1 to 3" in errors


def test_a_missing_bundle_is_one_clear_line(
    classify: Any, files: dict[str, Path], tmp_path: Path
) -> None:
    status, output, errors = classify("--bundle", tmp_path / "none", files["red.jpg"])
    assert (status, output) == (1, "")
    assert errors.startswith("error: ")
    assert "manifest" in errors


def test_an_untrained_model_is_noted(
    classify: Any, bundle: Path, files: dict[str, Path], tmp_path: Path
) -> None:
    manifest = replace(read_bundle(bundle).manifest, trained=False, training=None)
    write_bundle(tmp_path / "untrained", manifest, {"model.onnx": bundle / "model.onnx"})
    status, _, errors = classify("--bundle", tmp_path / "untrained", files["red.jpg"])
    assert status == 0
    assert "untrained" in errors


def test_no_memory_for_one_file_is_an_error_of_that_file(
    classify: Any, files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def decode(*_: Any) -> None:
        raise MemoryError

    monkeypatch.setattr("service.classifier.decode_image", decode)
    status, output, errors = classify("--json", files["red.jpg"])
    assert status == 1
    assert json.loads(output)["error"]["code"] == "out_of_memory"
    assert "expected memory" in errors


def test_names_steer_no_terminal(classify: Any, tmp_path: Path, picture: Any) -> None:
    file = tmp_path / "a\x1b[2J\nb.jpg"
    file.write_bytes(picture("red"))
    status, output, _ = classify(file)
    assert status == 0
    assert output.count("\n") == 1
    assert r"a\x1b[2J\nb.jpg: red" in output
