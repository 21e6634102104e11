"""service.watch.watch: folders, still images and streams from a real bundle to lines and posts."""

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from service.__main__ import main
from service.classification.classifier import Classifier
from service.settings.settings import Settings
from service.watch.frames import Frame
from service.watch.newest import Newest
from service.watch.reporter import Result
from service.watch.watch import Watching, WatchOptions
from tests.service.cameras import Answer, Handler, WebServer, give, serve_web, stream
from tests.service.servers import wait_for
from tests.service.wire import SECONDS

ROOT = Path(__file__).parents[3]
Start = Callable[[Answer], WebServer]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts servers."""
    with ExitStack() as stack:
        yield lambda answer: stack.enter_context(serve_web(answer))


@pytest.fixture
def watch(bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> Any:
    """Runs the command in this process: (exit status, lines, errors)."""
    monkeypatch.setattr("service.command_line.configure_logging", lambda *_: None)

    def run(*arguments: object) -> tuple[int, list[Any], str]:
        words = ["watch", "--bundle", str(bundle), "--engine", "onnx", "--every", "0.01"]
        status = main([*words, *map(str, arguments)])
        output, errors = capsys.readouterr()
        return status, [json.loads(line) for line in output.splitlines()], errors

    return run


def read_labels(results: list[dict[str, Any]]) -> list[str]:
    return [result["predictions"][0]["label"] for result in results]


# ---- sources


def test_a_still_image(watch: Any, start: Start, make_image: Any, caplog: Any) -> None:
    caplog.set_level(logging.INFO)
    server = start(give(make_image("blue")))
    status, (first, second), errors = watch(server.url, "--count", 2, "--top-k", 1)
    assert (status, errors) == (0, "")
    assert read_labels([first, second]) == ["blue", "blue"]
    assert first["source"] == f"{server.url}/"
    assert len(first["predictions"]) == 1
    assert (first["model"], first["trained"], first["engine"]) == ("tiny", True, "onnx/cpu")
    assert first["image"] == {"format": "JPEG", "width": 60, "height": 40}
    assert first["timings_ms"].keys() == {"decode", "preprocess", "infer"}
    assert second["time"] > first["time"]
    summary = caplog.records[-1]
    assert summary.getMessage() == "the watch has ended"
    assert (summary.results, summary.bad, summary.outages) == (2, 0, 0)


def test_a_frame_that_shows_no_label_is_said_to(
    watch: Any, knowing_bundle: Path, start: Start, make_image: Any
) -> None:
    able = ["--bundle", str(knowing_bundle), "--count", 1]
    _, (grey,), _ = watch(start(give(make_image("gray"))).url, *able)
    assert grey["known"] < 0.1
    assert grey["notice"] == "The image probably shows none of the 3 labels."
    blue_url = start(give(make_image("blue"))).url
    _, (blue,), _ = watch(blue_url, *able)
    assert blue["known"] > 0.9
    assert blue["notice"] is None
    _, (plain,), _ = watch(blue_url, "--count", 1)
    assert not {"known", "notice"} & plain.keys()
    assert plain["predictions"] == blue["predictions"]


def test_hedged_results(watch: Any, start: Start, make_image: Any, hedging_bundle: Path) -> None:
    url, able = start(give(make_image("yellow"))).url, ["--bundle", str(hedging_bundle)]
    _, (yellow,), _ = watch(url, *able, "--count", 1, "--certainty", "0.9")
    assert (yellow["hedged"]["label"], yellow["hedged"]["certainty"]) == ("earth", 0.9)
    status, _, errors = watch(url, *able, "--certainty", "0.999")
    assert status == 2
    assert "--certainty: expected a number above 0, at most 0.99" in errors
    status, _, errors = watch(url, "--certainty", "0.9")
    assert status == 2
    assert "expected a model with a hierarchy" in errors


def test_a_stream(watch: Any, start: Start, make_image: Any) -> None:
    server = start(stream([make_image("red"), make_image("blue")], hang=True))
    status, results, _ = watch(server.url, "--count", 1)
    assert status == 0
    assert read_labels(results)[0] in ("red", "blue")


def test_a_folder(watch: Any, make_image: Any, tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    (folder / "old.jpg").write_bytes(make_image("red"))
    done = threading.Event()

    def write() -> None:
        for number in range(10_000):
            if done.wait(0.02):
                return
            (folder / f"{number % 7}.jpg").write_bytes(make_image("blue"))

    camera = threading.Thread(target=write, daemon=True)
    camera.start()
    try:
        status, results, _ = watch(folder, "--count", 2)
    finally:
        done.set()
        camera.join()
    assert status == 0
    assert read_labels(results) == ["blue", "blue"]
    assert all(result["source"].startswith(str(folder)) for result in results)


@pytest.mark.parametrize(
    ("arguments", "status", "text"),
    [
        (["ftp://camera/x"], 2, "error: SOURCE: expected a URL"),
        (["absent"], 2, "error: absent: expected a folder"),
        (["http://camera", "--post", "ftp://x"], 2, "error: --post: expected a URL"),
        (["http://camera", "--top-k", "4"], 2, "error: --top-k: expected 1 to 3"),
        (["http://camera", "--bundle", "absent"], 1, "manifest"),
    ],
)
def test_what_cannot_be_is_one_clear_line(
    watch: Any, arguments: list[str], status: int, text: str
) -> None:
    found, results, errors = watch(*arguments)
    assert (found, results, errors.count("\n")) == (status, [], 1)
    assert text in errors


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (give(b"<html>", "text/html"), "expected an image or a stream of images"),
        (give(status=404), "expected status 200; found 404"),
        (give(b"x", "multipart/x-mixed-replace"), "the boundary"),
        (stream([b"x" * 99_999], lengths=False, hang=True), "images of at most 50000 bytes"),
    ],
)
def test_a_source_that_turns_out_to_be_none_ends_it(
    watch: Any, start: Start, monkeypatch: pytest.MonkeyPatch, answer: Answer, text: str
) -> None:
    monkeypatch.setenv("BNN_MAX_BODY_BYTES", "50000")
    server = start(answer)
    status, results, errors = watch(server.url)
    assert (status, results, errors.count("\n")) == (1, [], 1)
    assert errors.startswith(f"error: {server.url}/: ")
    assert text in errors


# ---- the night


def test_a_camera_that_goes_away_and_gives_half_images(
    watch: Any, start: Start, make_image: Any, caplog: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.watch.outage.Backoff.advance", lambda _: 0.001)
    caplog.set_level(logging.INFO)
    red, blue = make_image("red"), make_image("blue")
    answers = [
        give(red),
        give(status=503),
        give(b"<html>the camera starts", "text/html"),
        lambda handler: handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nx"),
        give(blue[:-50]),
        give(blue),
    ]

    def answer(handler: Handler) -> None:
        (answers.pop(0) if len(answers) > 1 else answers[0])(handler)

    status, results, errors = watch(start(answer).url, "--count", 2, "--every", 0.05)
    assert (status, errors) == (0, "")
    assert set(read_labels(results)) <= {"red", "blue"}
    messages = [record.getMessage() for record in caplog.records]
    assert messages.count("the camera sends no images; trying again") == 1
    assert caplog.records[-1].outages == 1


def test_results_are_posted_instead_of_printed(watch: Any, start: Start, make_image: Any) -> None:
    camera, receiver = start(give(make_image("blue"))), start(give(status=204))
    status, lines, errors = watch(camera.url, "--count", 3, "--post", receiver.url)
    assert (status, lines, errors) == (0, [], "")
    bodies = [json.loads(request.body) for request in receiver.requests]
    assert read_labels(bodies) == ["blue"] * 3


def test_results_that_never_arrive_are_a_failure(
    watch: Any, start: Start, make_image: Any, caplog: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.watch.reporter._LAST_SECONDS", 0.1)
    caplog.set_level(logging.INFO)
    camera, receiver = start(give(make_image("blue"))), start(give(status=500))
    status, _, _ = watch(camera.url, "--count", 3, "--post", receiver.url)
    assert status == 1
    assert caplog.records[-1].unsent == 3


@pytest.fixture
def start_watch(bundle: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts the command as a process of its own."""
    started: list[subprocess.Popen[str]] = []

    def run(*arguments: object, **environment: str) -> subprocess.Popen[str]:
        words = ["watch", "--bundle", str(bundle), "--engine", "onnx", *map(str, arguments)]
        process = subprocess.Popen(
            [sys.executable, "-W", "error::ResourceWarning", "-m", "service", *words],
            cwd=ROOT,
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_order(
    start_watch: Any, start: Start, make_image: Any, by: signal.Signals
) -> None:
    server = start(stream([make_image("red"), make_image("blue")], hang=True))
    process = start_watch(server.url, "--text")
    line = process.stdout.readline()
    process.send_signal(by)
    output, errors = process.communicate(timeout=SECONDS)
    assert process.returncode == 0
    assert f" {server.url}/: " in line
    assert output.count("\n") <= 1
    (summary,) = [entry for entry in map(json.loads, errors.splitlines()) if "results" in entry]
    assert summary["message"] == "the watch has ended"
    assert summary["results"] == 1 + output.count("\n")


def test_a_signal_ends_it_while_everybody_is_away(start_watch: Any) -> None:
    with serve_web(give()) as server:
        pass
    process = start_watch(server.url, "--post", server.url)
    for line in process.stderr:
        if "the camera sends no images" in line:
            break
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=SECONDS)
    assert process.returncode == 0
    assert '"results":0' in errors
    assert "Connection refused" in line


# ---- what is reported


class Notes:
    """A reporter that keeps what it is told."""

    def __init__(self) -> None:
        self.results: list[Result] = []

    def report(self, result: Result) -> None:
        self.results.append(result)

    def close(self) -> int:
        return 0


class Scene:
    """A watch over frames that the test puts there one at a time."""

    def __init__(self, engine: Any, **options: Any) -> None:
        self.stop = threading.Event()
        self.newest = Newest(self.stop)
        self.notes = Notes()
        wanted = WatchOptions("camera", **{"every": 0.0, **options})
        classifier = Classifier(engine, Settings().image_limits)
        self.watching = Watching(classifier, 1, 3, wanted, self.newest, self.notes, self.stop)
        self._thread = threading.Thread(target=self.watching.run, daemon=True)
        self._thread.start()

    def show(self, *images: bytes) -> None:
        """Each is looked at."""
        for image in images:
            frames = self.watching.counts["frames"]
            self.newest.put(Frame(image, "camera"))
            wait_for(lambda before=frames: self.watching.counts["frames"] > before)

    def end(self) -> list[str]:
        """The best labels of all results."""
        self.stop.set()
        self.newest.wake()
        self._thread.join(SECONDS)
        assert not self._thread.is_alive()
        return [result.predictions[0].label for result in self.notes.results]


def test_only_changes(make_engine: Any, make_image: Any) -> None:
    scene = Scene(make_engine(), only_changes=True)
    scene.show(*(make_image(colour) for colour in ("red", "red", "blue", "blue", "red", "red")))
    assert scene.end() == ["red", "blue", "red"]
    assert scene.watching.counts["unchanged"] == 3


def test_classes_below_the_least_score_are_left_out(make_engine: Any, make_image: Any) -> None:
    scene = Scene(make_engine(), min_score=0.5)
    scene.show(make_image("white"), make_image("blue"), make_image("gray"))
    assert scene.end() == ["blue"]
    assert len(scene.notes.results[0].predictions) == 1
    assert scene.watching.counts["unsure"] == 2


def test_what_is_unsure_changes_nothing(make_engine: Any, make_image: Any) -> None:
    scene = Scene(make_engine(), min_score=0.5, only_changes=True)
    scene.show(make_image("blue"), make_image("gray"), make_image("blue"), make_image("red"))
    assert scene.end() == ["blue", "red"]


def test_bad_images_are_counted_and_said_once(
    make_engine: Any, make_image: Any, caplog: Any
) -> None:
    scene = Scene(make_engine())
    scene.show(*[make_image()[:-50], b"", b"no image", make_image("blue")] * 3)
    assert scene.end() == ["blue"] * 3
    assert scene.watching.counts["bad"] == 9
    assert [record.getMessage() for record in caplog.records] == [
        "the camera's images cannot be decoded; they are skipped"
    ]
    assert caplog.records[0].reason.startswith("camera: expected")


def test_no_memory_for_an_image_ends_nothing(
    make_engine: Any, make_image: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def decode(*_: Any, **__: Any) -> None:
        raise MemoryError

    scene = Scene(make_engine())
    with monkeypatch.context() as patch:
        patch.setattr("runtime.image_reader.decode_image", decode)
        scene.show(make_image("blue"))
    scene.show(make_image("red"))
    assert scene.end() == ["red"]


def test_the_rate_is_bounded_and_the_newest_wins(make_engine: Any, make_image: Any) -> None:
    scene = Scene(make_engine(), every=0.2, count=2)
    began = time.monotonic()
    scene.show(make_image("red"))
    for _ in range(20):
        scene.newest.put(Frame(make_image("green"), "camera"))
    scene.newest.put(Frame(make_image("blue"), "camera"))
    wait_for(lambda: len(scene.notes.results) == 2)
    assert time.monotonic() - began >= 0.2
    assert scene.end()[1:] == ["blue"]
    assert scene.newest.passed_over == 20
