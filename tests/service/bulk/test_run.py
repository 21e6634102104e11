"""service.bulk.run: rows of files, folders and lists, whatever happens meanwhile."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from runtime import Bundle, load_engine, read_bundle
from runtime.bundle import write_bundle
from service.__main__ import main
from service.settings.settings import Settings

ROOT = Path(__file__).parents[3]
SECONDS = 120


@pytest.fixture
def files(tmp_path: Path, make_image: Any) -> dict[str, Path]:
    """Good and bad files."""
    contents = {"red.jpg": make_image("red"), "blue.png": make_image("blue", kind="PNG")}
    contents |= {"cut.jpg": make_image()[:-50], "text.jpg": b"no image", "empty.jpg": b""}
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


def test_an_image_that_shows_no_label_is_said_to(
    classify: Any, knowing_bundle: Path, files: dict[str, Path], make_image: Any, tmp_path: Path
) -> None:
    (tmp_path / "grey.png").write_bytes(make_image("gray", kind="PNG"))
    images = ["--bundle", knowing_bundle, files["red.jpg"], tmp_path / "grey.png"]
    status, output, errors = classify(*images)
    assert (status, errors) == (0, "")
    red, grey = output.splitlines()
    assert "probably" not in red
    assert re.search(r" \(probably none of the labels, 0\.0\d\d\)$", grey)
    _, output, _ = classify("--json", *images)
    first, second = map(json.loads, output.splitlines())
    assert first["notice"] is None
    assert first["known"] > 0.9
    assert second["notice"] == "The image probably shows none of the 3 labels."
    table = tmp_path / "rows.csv"
    for _ in range(2):  # the second run finds all of them there
        assert classify("--output", table, *images)[0] == 0
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert [row["known"] for row in rows] == [repr(first["known"]), repr(second["known"])]
    status, _, errors = classify("--output", table, files["red.jpg"])
    assert status == 2, "of another model"
    assert str(table) in errors


def test_hedged_rows(
    classify: Any, files: dict[str, Path], hedging_bundle: Path, make_image: Any, tmp_path: Path
) -> None:
    torn = tmp_path / "torn.jpg"
    torn.write_bytes(make_image("yellow"))
    images = (files["blue.jpg"] if "blue.jpg" in files else files["red.jpg"], torn)
    able = ("--bundle", hedging_bundle, "--certainty", "0.9")
    _, output, _ = classify(*able, "--json", *images)
    rows = [json.loads(line)["hedged"] for line in output.splitlines()]
    assert (rows[0]["phrase"], rows[1]["label"]) == (None, "earth")
    table = tmp_path / "rows.csv"
    for _ in range(2):  # the second run finds all of them there
        assert classify(*able, "--workers", "2", "--output", table, *images)[0] == 0
    written = list(csv.DictReader(table.read_text().splitlines()))
    assert [row["hedged_label"] for row in written] == [row["label"] for row in rows]
    status, _, errors = classify(*able[:3], "0.5", "--output", table, *images)
    assert status == 2, "made for another certainty"
    assert str(table) in errors
    for options, text in (
        ((*able[:3], "0.999"), "--certainty: expected a number above 0, at most 0.99"),
        (("--certainty", "0.9"), "expected a model with a hierarchy of labels"),
    ):
        status, _, errors = classify(*options, *images)
        assert status == 2
        assert text in errors


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


def test_names_steer_no_terminal(classify: Any, tmp_path: Path, make_image: Any) -> None:
    file = tmp_path / "a\x1b[2J\nb.jpg"
    file.write_bytes(make_image("red"))
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
    chinese: Path, tmp_path: Path, make_image: Any, encoding: str
) -> None:
    file = tmp_path / "é中\udcff.jpg"  # the last is a byte that is no UTF-8
    file.write_bytes(make_image("red"))

    def run(*words: str) -> tuple[int, str, str]:
        arguments = ["--bundle", str(chinese), "--engine", "onnx", "--top-k", "1", *words]
        done = subprocess.run(
            [sys.executable, "-m", "service", "classify", *arguments],
            env={**os.environ, "PYTHONIOENCODING": encoding},
            cwd=ROOT,
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


# ---- many images


@pytest.fixture
def folder(tmp_path: Path, make_image: Any) -> Path:
    """Images in a folder and in one of it, and what is none."""
    for number in range(40):
        place = tmp_path / "photos" / ("sub" if number % 4 == 3 else ".") / f"{number:02}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(make_image(("red", "lime", "blue")[number % 3], (40, 30), "PNG"))
    (tmp_path / "photos" / "05.png").write_bytes(b"no image")
    for name in ("Thumbs.db", "desktop.ini", ".DS_Store", "notes.txt"):
        (tmp_path / "photos" / name).write_bytes(b"no image")
    return tmp_path / "photos"


def read_rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_folder_gives_its_own_images(classify: Any, folder: Path) -> None:
    status, output, errors = classify(folder, "--top-k", 1)
    assert status == 1
    names = [line.partition(": ")[0] for line in output.splitlines()]
    expected = [str(folder / f"{n:02}.png") for n in range(40) if n % 4 != 3 and n != 5]
    assert names == expected
    assert errors.startswith(f"error: {folder}/05.png: expected a JPEG")
    assert "note: passed over 4 other files and 1 folder (-r enters it)\n" in errors


def test_processes_give_the_same_rows_in_the_same_order(
    classify: Any, folder: Path, tmp_path: Path
) -> None:
    status, one, errors = classify("-r", folder, "--format", "jsonl", "--workers", 1)
    assert status == 1
    assert "40 images in" in errors
    assert "39 classified, 1 failed" in errors
    assert "error:" not in errors  # rows tell it
    status, two, _ = classify("-r", folder, "--workers", 2, "-o", tmp_path / "rows")
    assert (status, two) == (1, "")
    assert (tmp_path / "rows").read_text() == one
    rows = read_rows(tmp_path / "rows")
    assert [row["file"] for row in rows if "error" in row] == [str(folder / "05.png")]
    status, few, _ = classify(*[row["file"] for row in rows[:5]], "--json")
    for line, row in zip(map(json.loads, few.splitlines()), rows[:5], strict=True):
        line.pop("infer_ms", None)
        assert line == row


def test_errors_can_be_accepted(classify: Any, files: dict[str, Path], tmp_path: Path) -> None:
    """Rows of bad images are no reason for a job to begin anew; a folder that is absent is."""
    output = tmp_path / "rows.jsonl"
    words = [*files.values(), "--output", output]
    assert classify(*words)[0] == 1
    assert classify(*words)[0] == 1
    assert classify(*words, "--accept-errors")[0] == 0
    assert classify(*words, "--accept-errors", "--overwrite")[0] == 0
    assert len(read_rows(output)) == len(files)
    status, _, errors = classify(*words, "--accept-errors", "--from-file", tmp_path / "none")
    assert status != 0, errors


def test_a_cluster_cannot_read_our_standard_input(classify: Any, files: dict[str, Path]) -> None:
    for words in (["-"], [files["red.jpg"], "--workers", 2]):
        status, _, errors = classify("--dask", "tcp://127.0.0.1:1", *words)
        assert status == 2
        assert "--dask: expected" in errors


def test_two_shards_equal_one_run(classify: Any, folder: Path, tmp_path: Path) -> None:
    classify("-r", folder, "--workers", 2, "-o", tmp_path / "all.csv")
    for index in (1, 2):
        classify("-r", folder, "--shard", f"{index}/2", "-o", tmp_path / f"{index}.csv")
    whole, first, second = (
        (tmp_path / name).read_text().splitlines() for name in ("all.csv", "1.csv", "2.csv")
    )
    assert whole[0] == first[0] == second[0]
    assert sorted(first[1:] + second[1:]) == sorted(whole[1:])
    assert min(len(first), len(second)) > 5


def test_a_later_run_goes_on_and_can_try_errors_again(
    classify: Any, folder: Path, tmp_path: Path, make_image: Any
) -> None:
    rows = tmp_path / "rows.jsonl"
    assert classify(folder, "-o", rows)[0] == 1
    first = rows.read_text()
    status, _, errors = classify("-r", folder, "-o", rows)
    assert status == 1  # the file has an error
    assert "10 images in" in errors
    assert f"30 were in {rows} already; 1 of its rows is an error (--retry-errors)" in errors
    assert rows.read_text().startswith(first)
    (folder / "05.png").write_bytes(make_image("red", kind="PNG"))
    status, _, errors = classify("-r", folder, "-o", rows, "--retry-errors")
    assert status == 0
    assert "1 image in" in errors
    assert len({row["file"] for row in read_rows(rows)}) == 40
    status, _, errors = classify("-r", folder, "-o", rows, "--top-k", 2)
    assert status == 2
    assert "top_k 2, found 3" in errors
    assert len(read_rows(rows)) == 40
    assert classify("-r", folder, "-o", rows, "--top-k", 2, "--overwrite")[0] == 0


@pytest.mark.parametrize(
    ("words", "status", "text"),
    [
        ([], 2, "expected files, folders, URLs or --from-file"),
        (["-", "a.jpg"], 2, "expected it alone"),
        (["-", "-o", "x"], 2, "found -"),
        (["a.jpg", "-o", "x", "--format", "text"], 2, "expected --format jsonl or csv"),
        (["a.jpg", "--overwrite"], 2, "expected --output"),
        (["a.jpg", "-0"], 2, "expected a list"),
        (["--from-file", "no/list"], 2, "No such file"),
        (["nonsense://x/"], 2, "nonsense"),
        (["."], 1, "expected images; found none"),
    ],
)
def test_what_cannot_be_run(
    classify: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    status: int,
    text: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    found, output, errors = classify(*words)
    assert (found, output) == (status, "")
    assert text in errors
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("words", [(), ("--workers", 1), ("-o", "rows.jsonl")])
def test_a_package_that_is_missing_ends_the_run(
    classify: Any,
    tmp_path: Path,
    files: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[object, ...],
) -> None:
    """Rather than an error row for each image, which --accept-errors would take for success."""
    pytest.importorskip("fsspec", reason="the extra bulk is not installed")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    Path("list").write_text(f"{files['red.jpg']}\ngs://bucket/a.jpg\ngs://bucket/b.jpg\n")
    status, _, errors = classify("--from-file", "list", "--accept-errors", *words)
    assert status == 2
    assert errors.count("expected the package that gs://bucket/a.jpg takes") == 1


# ---- as processes


class Command:
    """`python -m service classify` on the tiny bundle, with pipes."""

    def __init__(self, bundle: Path, *words: object) -> None:
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "service", "classify"),
                *("--bundle", str(bundle), "--engine", "onnx", *map(str, words)),
            ],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def send(self, names: list[str]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("".join(f"{name}\n" for name in names).encode())
        self.process.stdin.flush()

    def end(self, data: bytes | None = None) -> tuple[int, str, str]:
        output, errors = self.process.communicate(data, timeout=SECONDS)
        return self.process.returncode, output.decode(), errors.decode()


@pytest.fixture
def start(bundle: Path) -> Iterator[Callable[..., Command]]:
    started: list[Command] = []

    def begin(*words: object) -> Command:
        started.append(Command(bundle, *words))
        return started[-1]

    yield begin
    for command in started:
        command.process.kill()
        command.process.communicate()


def wait_for_rows(path: Path, count: int) -> None:
    deadline = time.monotonic() + SECONDS
    while not path.exists() or path.read_bytes().count(b"\n") < count:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def list_images(folder: Path) -> list[str]:
    return [str(path) for path in sorted(folder.rglob("*.png"))]


def test_a_run_that_is_killed_is_gone_on_with(
    start: Callable[..., Command], folder: Path, tmp_path: Path
) -> None:
    rows, names = tmp_path / "rows.jsonl", list_images(folder)
    words = ("--from-file", "-", "--workers", 2, "-o", rows)
    killed = start(*words)
    killed.send(names[:25])
    wait_for_rows(rows, 20)
    killed.process.kill()
    killed.process.wait()
    before = rows.read_bytes()
    rows.write_bytes(before + b'{"file": "half')
    status, _, errors = start(*words).end("\n".join(names).encode())
    assert status == 1
    found = read_rows(rows)
    assert rows.read_bytes().startswith(before)
    assert sorted(row["file"] for row in found) == names
    assert f"{before.count(10)} were in" in errors


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_interrupted_ends_in_order(
    start: Callable[..., Command], folder: Path, tmp_path: Path, by: signal.Signals
) -> None:
    rows, names = tmp_path / "rows.csv", list_images(folder)
    command = start("--from-file", "-", "--workers", 2, "-o", rows)
    command.send(names[:10])
    wait_for_rows(rows, 11)
    command.process.send_signal(by)
    status, _, errors = command.end()
    assert status == 130
    assert errors.rstrip().endswith("; interrupted")
    assert "Traceback" not in errors
    assert rows.read_text().count("\n") == 11


def test_a_second_run_on_the_same_file_is_refused(
    start: Callable[..., Command], folder: Path, tmp_path: Path
) -> None:
    rows, names = tmp_path / "rows.jsonl", list_images(folder)
    first = start("--from-file", "-", "--workers", 1, "-o", rows)
    first.send(names[:1])
    wait_for_rows(rows, 1)
    status, _, errors = start(folder, "-o", rows).end()
    assert status == 1  # later it may go: a Job must not end for it
    assert "expected no other run" in errors
    assert first.end("\n".join(names[1:3]).encode())[0] == 0
    assert len(read_rows(rows)) == 3


def test_standard_input_is_one_image_and_names_are_asked_for(
    start: Callable[..., Command], folder: Path
) -> None:
    names = list_images(folder)
    status, output, errors = start("-", "--top-k", 1).end(Path(names[0]).read_bytes())
    assert (status, errors) == (0, "")
    assert output.startswith("-: red 0.9")
    status, output, _ = start("-", "--workers", 2, "--json").end(b"")
    assert status == 1
    assert json.loads(output)["error"]["code"] == "invalid_image"
    status, output, errors = start("--from-file", "-").end(b"-\n")  # there, a file of this name
    assert (status, output) == (1, "")
    assert "-: No such file" in errors
    status, output, _ = start("--from-file", "-", "-0").end("\0".join(names[:2]).encode())
    assert status == 0
    assert [line.partition(": ")[0] for line in output.splitlines()] == names[:2]


def test_a_reader_that_has_seen_enough(start: Callable[..., Command], folder: Path) -> None:
    command = start("-r", folder, "--workers", 1)
    assert command.process.stdout is not None
    command.process.stdout.close()
    assert command.process.wait(SECONDS) == 1
    assert command.process.stderr is not None
    assert b"Traceback" not in command.process.stderr.read()


@pytest.mark.anyio
async def test_the_service_gives_the_same_answers(
    connect: Any, classify: Any, tmp_path: Path, rng: np.random.Generator, capsys: Any
) -> None:
    """Bit for bit, with the model that the package brings."""
    for number in range(3):
        pixels = rng.integers(0, 256, (30 + 40 * number, 50, 3), np.uint8)
        image = Image.fromarray(pixels).resize((300, 200 + 50 * number))
        image.save(tmp_path / f"{number}.jpg", quality=90)
    rows = tmp_path / "rows"
    assert main(["classify", str(tmp_path), "--workers", "1", "-o", str(rows)]) == 0
    assert main(["classify", *map(str, sorted(tmp_path.glob("*.jpg"))), "--json"]) == 0
    shell = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    settings = Settings()
    engine = load_engine(settings.bundle, settings.engine)
    async with connect(settings, engine) as client:
        for number, row in enumerate(read_rows(rows)):
            answer = await client.post(
                "/classify", content=(tmp_path / f"{number}.jpg").read_bytes()
            )
            assert answer.json()["predictions"] == row["predictions"]
            assert shell[number]["predictions"] == row["predictions"]
