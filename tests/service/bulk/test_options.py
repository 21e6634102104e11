"""service.bulk.options: what contradicts itself, and what follows from what was said."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runtime import ImageLimits
from service.bulk.options import (
    BulkOptions,
    CannotRun,
    check_options,
    choose_form,
    describe_making,
    limit_workers,
)
from service.bulk.shards import Shard
from service.bulk.sources import Sources
from service.classification.classifier import Classifier
from service.settings.settings import Settings

FILES = BulkOptions(Sources(("a.jpg",)))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (BulkOptions(Sources()), "expected files, folders, URLs or --from-file"),
        (BulkOptions(Sources(("-", "a"))), "expected it alone"),
        (BulkOptions(Sources(("-",), ("list",))), "expected it alone"),
        (BulkOptions(Sources(("-",)), output=Path("x")), "found -"),
        (replace(FILES, output=Path("x"), kind="text"), "jsonl or csv"),
        (replace(FILES, overwrite=True), "expected --output"),
        (replace(FILES, retry_errors=True), "expected --output"),
        (BulkOptions(Sources(("a",), by_nul=True)), "expected a list"),
        (BulkOptions(Sources(("a", "a/b.jpg"), shard=Shard(1, 2))), "found a/b.jpg in a"),
    ],
)
def test_what_contradicts_itself(options: BulkOptions, text: str) -> None:
    with pytest.raises(CannotRun, match=text) as caught:
        check_options(options)
    assert caught.value.status == 2


def test_what_does_not() -> None:
    for options in (FILES, BulkOptions(Sources(("-",))), BulkOptions(Sources((), ("-",)))):
        check_options(options)


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        (FILES, "text"),
        (replace(FILES, kind="csv"), "csv"),
        (replace(FILES, output=Path("rows.CSV")), "csv"),
        (replace(FILES, output=Path("rows")), "jsonl"),
        (replace(FILES, output=Path("rows.csv"), kind="jsonl"), "jsonl"),
    ],
)
def test_the_form(options: BulkOptions, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    form = choose_form(options, 3)
    assert (form.kind, form.top_k, form.encoding) == (kind, 3, "utf-8")


def test_all_that_changes_rows_is_described(make_engine: Any) -> None:
    def describe(options: BulkOptions, **settings: Any) -> dict[str, object]:
        classifier = Classifier(make_engine(), ImageLimits())
        return describe_making(classifier, choose_form(options, 3), options, Settings(**settings))

    plain = describe(FILES)
    assert plain == describe(replace(FILES, workers=3), port=7, workers=9)
    others = [
        describe(BulkOptions(Sources(shard=Shard(1, 2)))),
        describe(replace(FILES, kind="csv")),
        describe(replace(FILES, timed=True)),
        describe(FILES, max_pixels=1000),
    ]
    assert plain not in others


def test_workers_take_no_more_memory_than_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert limit_workers(Settings(workers=8, memory_budget=256 * 2**20)) == 1
    assert "1 worker, not 8" in capsys.readouterr().err
    assert limit_workers(Settings(workers=8, memory_budget=2**34)) == 8
    assert limit_workers(Settings(workers=1, memory_budget=2**20)) == 1
    assert capsys.readouterr().err == ""
