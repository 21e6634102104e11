"""models.report.runs: runs as reports read them."""

from pathlib import Path
from typing import Any

import pytest

from models.errors import DataError
from models.report.runs import Run, read_runs
from tests.models.recorded_runs import make_record, parse_record, write_run, write_runs

LATER_FIELDS = ("color_jitter", "blur", "cutmix", "noise", "ema", "other_share", "latent", "crops")


def test_runs_come_by_data_then_the_best_first(tmp_path: Path) -> None:
    runs = read_runs(write_runs(tmp_path / "runs"))
    accuracies = [run.test.top1 for run in runs]
    assert accuracies == sorted(accuracies, reverse=True)
    assert {run.data for run in runs} == {"pets"}


def test_what_a_run_is(tmp_path: Path) -> None:
    runs = {run.name: run for run in read_runs(write_runs(tmp_path / "runs"))}
    assert runs["melius-1"].is_binary
    assert runs["melius-1"].identity == runs["melius-2"].identity
    for other in runs.keys() - {"melius-1", "melius-2"}:
        assert runs[other].identity != runs["melius-1"].identity, other
    assert runs["melius-shift"].describe() == "meliusnet13, shift +0.1"
    assert runs["dense"].describe() == "meliusnet13 without improvement blocks"
    assert runs["dense"].counts.binary_convs == runs["melius-1"].counts.binary_convs // 2
    assert runs["float"].describe() == "meliusnet13, full precision"
    assert not runs["float"].is_binary
    assert runs["taught"].describe() == "meliusnet13, distilled (0.5)"
    assert runs["mobile-small"].is_mobilenet


@pytest.mark.parametrize(
    "change",
    [
        {"processes": 2},
        {"start": "meliusnet13 on tiny"},
        {"data": make_record()["data"] | {"parts": {"train": {"images": 9, "sha256": "0"}}}},
        {"recipe": make_record()["recipe"] | {"epochs": 2}},
        {"recipe": make_record()["recipe"] | {"color_jitter": 0.5}},
        {"recipe": make_record()["recipe"] | {"blur": 0.5}},
    ],
)
def test_whatever_decides_the_outcome_is_its_identity(change: dict[str, Any]) -> None:
    first, other = (Run("r", Path(), parse_record(make_record(**c))) for c in ({}, change))
    assert first.identity != other.identity


def test_a_field_that_an_older_record_lacks_had_its_default() -> None:
    recipe = make_record()["recipe"]
    older = {key: value for key, value in recipe.items() if key not in LATER_FIELDS}
    newer = recipe | dict.fromkeys(LATER_FIELDS, 0.0) | {"latent": 0.03, "crops": 1}
    runs = [Run("r", Path(), parse_record(make_record(recipe=some))) for some in (older, newer)]
    assert runs[0].identity == runs[1].identity
    strange = Run("r", Path("runs/r"), parse_record(make_record(recipe=recipe | {"rotation": 5})))
    with pytest.raises(DataError, match=r"runs/r: expected a recipe .* found also rotation"):
        strange.describe()


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"color_jitter": 0.25}, "meliusnet13, colour jitter 0.25"),
        ({"blur": 0.5}, "meliusnet13, blur 0.5"),
        ({"blur": 1.0, "color_jitter": 1.0}, "meliusnet13, colour jitter 1, blur 1"),
        ({"blur": 0.0, "color_jitter": 0.0}, "meliusnet13"),
        ({"cutmix": 0.5, "ema": 0.9}, "meliusnet13, CutMix 0.5, EMA 0.9"),
        ({"noise": 0.2}, "meliusnet13, noise 0.2"),
        ({"other_share": 0.25}, "meliusnet13, share of other 0.25"),
        ({"crops": 2}, "meliusnet13, crops 2"),
        ({"latent": 0.003}, "meliusnet13, latent weights of 0.003"),
        # The last layer is fitted to images as they are, whatever the recipe says.
        ({"blur": 0.5, "color_jitter": 0.25, "epochs": 0}, "meliusnet13"),
    ],
)
def test_how_images_were_changed_is_told(fields: dict[str, float], expected: str) -> None:
    run = Run("r", Path(), parse_record(make_record(recipe=make_record()["recipe"] | fields)))
    assert run.describe() == expected


def test_what_a_run_began_with(tmp_path: Path) -> None:
    record = make_record(start="meliusnet13 on tiny (pt 0123)")
    write_run(tmp_path / "begun", record, [[1, 0], [0, 1]])
    assert read_runs(tmp_path)[0].describe() == "meliusnet13, initialised from meliusnet13 on tiny"


def test_no_runs_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected folders of runs"):
        read_runs(tmp_path)
