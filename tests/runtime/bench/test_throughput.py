"""Batches, threads and calls at once of the native engine: all in turns, or the reason why not."""

import os
import threading
from typing import Any

import pytest

from runtime.bench import throughput
from runtime.bench.throughput import SETTINGS, format_throughput, measure_throughput
from runtime.bundle import Bundle
from runtime.errors import RuntimeFault
from runtime.measurement.machine import allowed_cpus
from tests.runtime.bundles import make_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_bundle(tmp_path_factory.mktemp("bench") / "bundle", image=32, graphs=False)


def silent(text: str) -> None:
    assert text


def measure(bundle: Bundle, **changes: Any) -> dict[str, Any]:
    options: dict[str, Any] = {"runs": 2, "cpus": [], "progress": silent} | changes
    return measure_throughput(bundle, **options)


def settings(result: dict[str, Any]) -> list[tuple[int, int, int]]:
    return [(row["calls"], row["threads"], row["batch"]) for row in result["rows"]]


def test_settings_take_turns(bundle: Bundle) -> None:
    result = measure(bundle)
    one = [s for s in SETTINGS if s[0] * s[1] == 1]
    assert settings(result) == (list(SETTINGS) if len(allowed_cpus()) != 1 else one)
    for row in result["rows"]:
        assert row["image_ms"] * row["calls"] * row["batch"] == pytest.approx(row["median_ms"])
        assert row["speed"] * row["image_ms"] == pytest.approx(result["rows"][0]["image_ms"])
    assert result["rows"][0]["speed"] == 1.0
    assert any("2 calls at once" in line for line in format_throughput(result))


def test_settings_without_cpus_are_not_measured(bundle: Bundle) -> None:
    cpus = allowed_cpus()[:1]
    if not cpus:
        pytest.skip("this system cannot keep a thread on a CPU")
    result = measure(bundle, cpus=cpus)
    assert settings(result) == [(1, 1, 1), (1, 1, 8)]
    printed = "\n".join(format_throughput(result))
    assert "threads 2, batch 1 not measured: expected at least 2 CPUs" in printed
    assert "2 calls at once, threads 1, batch 8 not measured" in printed


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="two calls at once need two CPUs")
def test_calls_at_once_are_at_once(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    together = threading.Barrier(2, timeout=10)

    class Engine:
        def predict(self, images: object) -> None:
            together.wait()  # breaks if the two calls come one after the other

    monkeypatch.setattr(throughput, "load_engine", lambda *_: Engine())
    monkeypatch.setattr(throughput, "SETTINGS", ((2, 1, 1),))
    assert measure(bundle)["rows"][0]["calls"] == 2


def test_engine_that_fails_is_an_error(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    class Engine:
        def predict(self, images: object) -> None:
            raise RuntimeFault("out of order")

    monkeypatch.setattr(throughput, "load_engine", lambda *_: Engine())
    with pytest.raises(RuntimeFault, match="out of order"):
        measure(bundle)
