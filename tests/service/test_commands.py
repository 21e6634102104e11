"""service.commands: files on a real bundle, settings, keys; in any encoding."""

import json
import os
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runtime import Bundle, read_bundle
from runtime.bundle import write_bundle
from service.__main__ import main
from service.key_file import parse_keys
from service.settings import Settings, read_settings


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
    monkeypatch.setattr("service.command_line.configure_logging", lambda *_: None)

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
        ("text.jpg", "expected a JPEG, PNG, WebP or AVIF file"),
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
    def decode(*_: Any, **__: Any) -> None:
        raise MemoryError

    monkeypatch.setattr("runtime.image_reader.decode_image", decode)
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


@pytest.fixture
def chinese(bundle: Path, tmp_path: Path) -> Path:
    """The bundle, its labels in other scripts than ASCII's."""
    found = read_bundle(bundle)
    manifest = replace(found.manifest, labels=("红\U0001f534", "grün", "blue"))
    path = tmp_path / "chinese"
    write_bundle(path, Bundle(path, manifest).manifest, {"model.onnx": bundle / "model.onnx"})
    return path


@pytest.mark.parametrize("encoding", ["ascii:strict", "latin-1"])
def test_text_that_the_terminal_lacks_is_escaped(
    chinese: Path, tmp_path: Path, picture: Any, encoding: str
) -> None:
    file = tmp_path / "é中\udcff.jpg"  # the last is a byte that is no UTF-8
    file.write_bytes(picture("red"))

    def run(*words: str) -> tuple[int, str, str]:
        arguments = ["--bundle", str(chinese), "--engine", "onnx", "--top-k", "1", *words]
        done = subprocess.run(
            [sys.executable, "-m", "service", "classify", *arguments],
            env={**os.environ, "PYTHONIOENCODING": encoding},
            cwd=Path(__file__).parents[2],
            capture_output=True,
            check=False,
            timeout=120,
        )
        output, errors = (
            text.decode(encoding.removesuffix(":strict")) for text in (done.stdout, done.stderr)
        )
        return done.returncode, output, errors

    status, output, errors = run("--json", str(file))
    assert (status, errors) == (0, "")
    answer = json.loads(output)
    assert answer["file"] == str(file)
    assert answer["predictions"][0]["label"] == "红\U0001f534"
    status, output, errors = run(str(file), str(tmp_path / "中"))
    name = "é" if encoding == "latin-1" else r"\xe9"
    assert (status, output.count("\n")) == (1, 1)
    assert output.startswith(rf"{tmp_path}/{name}\u4e2d\udcff.jpg: \u7ea2\U0001f534 0.9")
    assert errors.startswith(rf"error: {tmp_path}/\u4e2d: ")
    assert errors.count("\n") == 1


# ---- settings


def test_printed_settings_are_a_settings_file(
    monkeypatch: pytest.MonkeyPatch, capsys: Any, tmp_path: Path
) -> None:
    file = tmp_path / "own\n.toml"
    file.write_text('port = 7\nbundle = "a \\"b\\" \u202e中"\nallowed_hosts = ["a.b", "*.c"]')
    monkeypatch.setenv("BNN_DEADLINE_MS", "1234")
    assert main(["--config", str(file), "--print-config"]) == 0
    output = capsys.readouterr().out
    lines = output.splitlines()
    assert "port = 7  # file " + str(file).replace("\n", r"\n") in lines
    assert "deadline_ms = 1234  # variable BNN_DEADLINE_MS" in lines
    assert "queue_images = 64  # default" in lines
    assert "# api_keys_file is not set  # default" in lines
    monkeypatch.delenv("BNN_DEADLINE_MS")
    printed = tmp_path / "printed.toml"
    printed.write_text(output)
    assert read_settings(printed) == read_settings(file, deadline_ms=1234)
    assert tomllib.loads(output).keys() == Settings.model_fields.keys() - {"api_keys_file"}


def test_settings_that_no_file_can_hold_are_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setenv("BNN_BUNDLE", os.fsdecode(b"\xff"))
    assert main(["--print-config"]) == 2
    assert capsys.readouterr() == (
        "",
        "error: BNN_BUNDLE: expected Unicode, which TOML can hold; found '\\udcff'\n",
    )


def test_wrong_settings_are_a_line_each(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setenv("BNN_PORT", "x")
    monkeypatch.setenv("BNN_ENGINE", "y")
    assert main(["--print-config"]) == 2
    output, errors = capsys.readouterr()
    assert output == ""
    assert [line[:15] for line in errors.splitlines()] == ["error: BNN_PORT", "error: BNN_ENGI"]


def test_the_version(capsys: Any) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("bnn-service ")


# ---- keys


def test_a_new_key_and_its_lines_go_different_ways(capsys: Any) -> None:
    """So that make-key NAME >> FILE keeps the key itself out of the file."""
    assert main(["make-key", "app", "--rate", "5", "--burst", "9"]) == 0
    lines, note = capsys.readouterr()
    key = note.split()[-1]
    assert note == f"key for app, shown this once: {key}\n"
    assert key not in lines
    entry = parse_keys(lines.encode(), Path("keys.toml"))["app"]
    assert (entry.rate, entry.burst) == (5, 9)


@pytest.mark.parametrize("words", [["a b"], ["a", "--rate", "0"], ["a", "--burst", "2"]])
def test_a_key_that_cannot_be_is_wrong_usage(words: list[str], capsys: Any) -> None:
    assert main(["make-key", *words]) == 2
    output, errors = capsys.readouterr()
    assert output == ""
    assert errors.startswith("error: ")


def test_a_key_whose_lines_are_lost_is_not_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    assert main(["make-key", "app"]) == 1
    assert "bnn_" not in capsys.readouterr().err


def test_a_jpeg_is_not_written_to_a_terminal(monkeypatch: Any, capsysbinary: Any) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert main(["sample-image"]) == 2
    output, errors = capsysbinary.readouterr()
    assert output == b""
    assert b"sample-image > sample.jpg" in errors
    monkeypatch.setattr("sys.stdout.isatty", lambda: False)
    assert main(["sample-image"]) == 0
    assert capsysbinary.readouterr().out.startswith(b"\xff\xd8\xff")
