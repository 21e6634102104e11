"""service.bulk.progress: one line at a terminal, nothing elsewhere."""

import pytest

from service.bulk.progress import Progress, describe_seconds


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (89, "89 s"), (600, "10 min"), (7500, "2 h 05 min"), (190_000, "2 d 4 h")],
)
def test_seconds_for_people(seconds: float, text: str) -> None:
    assert describe_seconds(seconds) == text


def test_a_line_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    now = [0.0]
    progress = Progress(True, lambda: now[0])
    progress.show(1, 0)
    assert capsys.readouterr().err == ""
    now[0] = 10.0
    progress.show(1000, 2)
    assert capsys.readouterr().err == "\r1,000 images, 100.0 a second, 2 failed\r"
    progress.total = 7000
    now[0] = 20.0
    progress.show(2000, 2, there=1000)  # what was there says nothing of the speed
    text = "3,000 of 7,000 images, 100.0 a second, 2 failed, 40 s left"
    assert capsys.readouterr().err == f"\r{text}\r"
    progress.clear()
    assert capsys.readouterr().err == f"\r{' ' * len(text)}\r"
    progress.clear()
    assert capsys.readouterr().err == ""


def test_elsewhere_it_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    now = [0.0]
    progress = Progress(False, lambda: now[0])
    now[0] = 100.0
    progress.show(5, 0)
    progress.clear()
    assert capsys.readouterr().err == ""
