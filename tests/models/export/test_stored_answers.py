"""models.export.stored_answers: images that reach the network, hang on no rounding, are small."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.export import stored_answers
from models.export.stored_answers import (
    COUNT,
    ROUNDING,
    SIDE,
    add_self_test,
    make_candidates,
    make_stored_answers,
    write_stored_answers,
)
from runtime import Bundle, WrongAnswer, load_engine, read_bundle, run_self_test
from runtime.bundle import SELF_TEST, WEIGHTS, write_bundle
from runtime.engines.self_test import find_bound, make_inputs, read_stored_answers
from runtime.errors import TruncatedFile
from tests.runtime.bundles import make_bundle

DEFAULT = Path(__file__).parents[3] / "service" / "bundles" / "default"
SMALL = DEFAULT.with_name("small")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_bundle(tmp_path_factory.mktemp("stored") / "bundle", graphs=False)


def test_the_defaults_are_made_again_byte_by_byte(tmp_path: Path) -> None:
    """By the seed; and they are few bytes."""
    manifest = read_bundle(DEFAULT).manifest
    others = {name: DEFAULT / name for name in manifest.files if name != SELF_TEST}
    stored = make_stored_answers(write_bundle(tmp_path / "bundle", manifest, others))
    write_stored_answers(tmp_path / SELF_TEST, stored)
    assert (tmp_path / SELF_TEST).read_bytes() == (DEFAULT / SELF_TEST).read_bytes()
    assert (tmp_path / SELF_TEST).stat().st_size < 12_000


def test_what_is_written_is_read_and_passes(bundle: Bundle, tmp_path: Path) -> None:
    stored = make_stored_answers(bundle)
    assert stored.images.shape == (COUNT, 3, 16, 16)
    assert stored.logits.shape == (COUNT, 7)
    files = add_self_test(bundle.manifest, {WEIGHTS: bundle.path / WEIGHTS}, tmp_path)
    tested = write_bundle(tmp_path / "bundle", bundle.manifest, files)
    again = read_stored_answers(tested)
    assert again is not None
    assert np.array_equal(again.images, stored.images)
    assert np.array_equal(again.logits, stored.logits)
    assert run_self_test(load_engine(tested, "native")).verdict == "exact"


def test_an_older_self_test_is_made_anew(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "old").write_bytes(b"old")
    files = {WEIGHTS: bundle.path / WEIGHTS, SELF_TEST: tmp_path / "old"}
    made = add_self_test(bundle.manifest, files, tmp_path)
    assert made[SELF_TEST] != files[SELF_TEST]
    assert made[SELF_TEST].stat().st_size > 3


def test_chosen_images_drive_nearly_all_channels_that_any_candidate_drives(bundle: Bundle) -> None:
    images = make_candidates(bundle.manifest, np.random.default_rng(stored_answers.SEED))
    chosen = make_stored_answers(bundle).images

    def reached(some: np.ndarray) -> int:
        return int((stored_answers._find_reach(bundle, some) > 0).any(axis=0).sum())

    assert reached(chosen) >= 0.98 * reached(images)
    assert reached(images[:1]) < reached(chosen)


def test_chosen_images_hang_on_no_rounding_and_their_labels_are_clear() -> None:
    bundle = read_bundle(SMALL)
    stored = read_stored_answers(bundle)
    assert stored is not None
    assert stored.spread < ROUNDING
    margins = np.diff(np.sort(stored.logits, axis=1)[:, -2:])
    assert margins.min() > 2 * find_bound(bundle.manifest, "onnx", stored)
    inputs = make_inputs(stored.images, bundle.manifest)
    nudged = (inputs * np.float32(1 + 1e-6)).astype(np.float32)
    moved = np.abs(load_engine(bundle, "native").predict(nudged) - stored.logits)
    assert np.median(moved) < ROUNDING


def test_candidates_are_no_larger_than_the_input(bundle: Bundle) -> None:
    random = np.random.default_rng(0)
    for side in (4, SIDE, 5 * SIDE):
        manifest = replace(bundle.manifest, input=(3, side, side))
        images = make_candidates(manifest, random)
        assert images.shape[2:] == (min(side, SIDE),) * 2
        assert images.dtype == np.uint8
        assert 20 < images.std() < 120


def test_where_no_image_is_clear_and_steady_the_best_ones_are_taken(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored_answers, "CANDIDATES", COUNT + 2)
    monkeypatch.setattr(stored_answers, "_is_clear", lambda *_: False)
    spreads = iter(range(100))
    monkeypatch.setattr(stored_answers, "_find_spread", lambda *_: float(next(spreads)))
    stored = make_stored_answers(bundle)
    assert len(stored.images) == COUNT
    assert stored.spread == COUNT - 1


def test_engine_that_does_not_pass_is_named(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from runtime.engines.native_engine import NativeEngine

    predict = NativeEngine.predict
    calls: list[int] = []

    def drift(self: NativeEngine, images: np.ndarray) -> Any:
        calls.append(len(images))
        return predict(self, images) + np.float32(1e-6 * len(calls))

    monkeypatch.setattr(NativeEngine, "predict", drift)
    with pytest.raises(WrongAnswer, match=r"native/.*: expected the stored bits"):
        add_self_test(bundle.manifest, {WEIGHTS: bundle.path / WEIGHTS}, tmp_path)


def test_bundle_that_is_damaged_meanwhile_is_refused(tmp_path: Path) -> None:
    damaged = make_bundle(tmp_path / "bundle", graphs=False)
    (damaged.path / WEIGHTS).write_bytes(b"")
    with pytest.raises(TruncatedFile):
        make_stored_answers(damaged)
