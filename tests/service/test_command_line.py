"""service.command_line: what was asked for is done, and the status tells how it went."""

from pathlib import Path
from typing import Any

import pytest

from service.bulk.options import BulkOptions
from service.bulk.shards import Shard
from service.bulk.sources import Sources
from service.command_line import run
from service.settings.settings import Settings
from service.watch.watch import WatchOptions


def test_help_lists_the_settings(capsys: Any) -> None:
    with pytest.raises(SystemExit) as caught:
        run(["--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    for name in ("BNN_HOST", "BNN_BUNDLE", "BNN_FORCE_IMPLEMENTATION", "classify", "watch"):
        assert name in text


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Settings, WatchOptions]]:
    """What a watch was asked for, which then is not begun."""
    asked: list[tuple[Settings, WatchOptions]] = []
    monkeypatch.setattr("service.command_line.configure_logging", lambda *_: None)
    monkeypatch.setattr("service.watch.watch.watch", lambda *given: asked.append(given) or 0)
    return asked


def test_what_a_watch_is_asked_for(watched: list[tuple[Settings, WatchOptions]]) -> None:
    words = (
        "--every 5 --top-k 2 --min-score 0.5 --only-changes --count 9 --timeout 3 --post http://x"
    )
    assert run(["watch", "frames", *words.split(), "--engine", "native", "--json"]) == 0
    ((settings, options),) = watched
    assert settings.engine == "native"
    assert options == WatchOptions("frames", 5, 2, 0.5, True, 9, "http://x", 3, True)


@pytest.mark.parametrize(
    ("words", "is_terminal", "as_json"),
    [
        ([], True, False),
        ([], False, True),
        (["--json"], True, True),
        (["--text"], False, False),
    ],
)
def test_people_get_text_and_programs_json(
    watched: list[tuple[Settings, WatchOptions]],
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    is_terminal: bool,
    as_json: bool,
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: is_terminal)
    assert run(["watch", "frames", *words]) == 0
    assert watched[0][1].as_json is as_json


def test_what_classify_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[BulkOptions] = []
    monkeypatch.setattr("service.command_line.configure_logging", lambda *_: None)
    monkeypatch.setattr(
        "service.bulk.run.classify_images", lambda _, options: asked.append(options) or 3
    )
    words = "-r a b --from-file l --from-file - -0 --shard 2/3 --workers 4 -o f.csv --retry-errors"
    assert run(["classify", *words.split(), "--top-k", "2"]) == 3
    assert run(["classify", "a", "--json"]) == 3
    assert asked == [
        BulkOptions(
            Sources(("a", "b"), ("l", "-"), True, True, Shard(2, 3)),
            top_k=2,
            workers=4,
            output=Path("f.csv"),
            retry_errors=True,
        ),
        BulkOptions(Sources(("a",)), kind="jsonl", timed=True),
    ]
