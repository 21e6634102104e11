"""models.albums.session_figures: ways beside each other, records, and the table of them."""

import numpy as np
import pytest

from models.albums.session_figures import (
    Scores,
    measure_scale,
    measure_simulated,
    measure_strangers,
    measure_videos,
)
from models.albums.simulation import REGIMES
from tests.models.albums.albums import LABELS


def make(random: np.random.Generator, photos: int = 120) -> Scores:
    truth = random.integers(0, 5, photos)
    return Scores(random.normal(0, 1, (photos, 5)) + 1.5 * np.eye(5)[truth], truth, 1.0)


def test_reasoning_helps_where_sessions_are_pure(rng: np.random.Generator) -> None:
    record = measure_simulated(make(rng), make(rng), LABELS, 2, 1)
    assert list(record["regimes"]) == [regime.name for regime in REGIMES]
    alone = {figures["alone"]["top1"]["mean"] for figures in record["regimes"].values()}
    assert len(alone) == 1  # each photo is in each album once
    for name in ("means", "chain", "session", "default"):
        pure = record["regimes"]["pure, of 6"][name]["top1"]
        assert pure["mean"] > min(alone) + 0.1
        assert pure["deviation"] >= 0
    weights = [record["regimes"][r.name]["fitted"]["session"]["weight"] for r in REGIMES]
    assert weights[1] > weights[2] > weights[3] > 0  # the purer, the larger
    assert weights[3] < record["session_fitted_on_all_regimes"]["weight"] < weights[1]


def test_photos_of_nothing_known_are_put_into_sessions(rng: np.random.Generator) -> None:
    truth = np.concatenate([rng.integers(0, 5, 80), np.full(20, 5)])
    logits = rng.normal(0, 1, (100, 6)) + 2 * np.eye(6)[truth]

    def score(temperature: float) -> np.ndarray:
        values = logits / temperature
        return np.asarray(values - np.logaddexp.reduce(values, axis=1, keepdims=True))

    found = measure_strangers(score, truth, LABELS, 3, 1)
    assert (found["images"], found["strangers"]) == (100, 20)
    right = logits.argmax(axis=1) == truth
    assert found["alone"]["top1"]["mean"] == pytest.approx(right.mean())
    assert found["alone"]["top1_of_strangers"]["mean"] == pytest.approx(right[80:].mean())
    assert found["default"] != found["default_without_none"]


def test_videos_are_sessions_whatever_the_order_of_frames(rng: np.random.Generator) -> None:
    fitting, frames = make(rng), make(rng, 30)
    sessions = [f"{LABELS[kind]}/{i % 2}" for i, kind in enumerate(frames.truth)]
    found = measure_videos(fitting, frames, sessions, LABELS, 1)
    order = rng.permutation(30)
    moved = Scores(frames.logits[order], frames.truth[order], 1.0)
    other = measure_videos(fitting, moved, [sessions[i] for i in order], LABELS, 1)
    for way in ("alone", "means", "session", "default"):
        assert found[way] == other[way]
    assert (found["frames"], found["videos"]) == (30, len(set(sessions)))
    assert sum(row["frames"] for row in found["by_video"].values()) == 30


def test_scale_is_measured() -> None:
    found = measure_scale(40, 1)
    assert found["photos"] == 40
    assert 0 < found["seconds"]["min"] <= found["seconds"]["median"] <= found["seconds"]["max"]
    assert found["peak_mib"] > 0
