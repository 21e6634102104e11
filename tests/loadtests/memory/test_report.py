"""Tables and thresholds of the memory test, by hand-made measurements."""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from loadtests.memory.measured import Load, Measured
from loadtests.memory.photos import generate_photos
from loadtests.memory.report import add_results
from loadtests.memory.sides import SLIM, Side
from loadtests.output.report import Report
from loadtests.servers.processes import MIB, Usage
from loadtests.servers.server import ServerSpec
from loadtests.servers.smaps import Memory
from loadtests.servers.steps import ARENA, MODEL, Breakdown, Step

IMAGES = generate_photos(1, ((64, 48),))


def make_memory(mib: float) -> Memory:
    size = round(mib * MIB)
    return Memory(rss=size, pss=size, private_dirty=size // 2, private_clean=size - size // 2)


def make_measured(name: str = SLIM, **changes: Any) -> Measured:
    """A service of 60 MiB before its model of 10, 72 when it is idle, 85 at its peak."""
    spec = ServerSpec(name, ("python",), Path.cwd())
    steps = [Step("interpreter", make_memory(60)), Step(MODEL, make_memory(6))]
    steps.append(Step(ARENA, make_memory(4)))
    decoding = {image.name: 5 * MIB for image in IMAGES}
    fields: dict[str, Any] = {
        "side": Side(name, spec, Path("bundle"), engine="native"),
        "breakdown": Breakdown("native/generic", steps, decoding, []),
        "no_model": 60 * MIB,
        "idle": make_memory(72),
        "usage": Usage(72 * MIB, 80 * MIB, 4, 9),
        "heavy": [],
        "mapped_weights": 0,
        "loads": [Load(8, [80 * MIB] * 3, 100, 10.0), Load(16, [85 * MIB] * 3, 100, 10.0)],
        "after": 74 * MIB,
    }
    return Measured(**{**fields, **changes})


def judge(*found: Measured) -> Report:
    """The report of these, with the default limits."""
    options = argparse.Namespace(
        **{"clients": [8, 16], "seconds": 10.0, "network": Path("net"), "mobilenet": Path("mob")},
        **{"max_rise": 0.01, "max_mib": 90.0, "max_model_mib": 15.0, "max_gap": 0.1, "plot": None},
    )
    report = Report("t", {}, machine={})
    add_results(report, found, IMAGES, options)
    return report


def test_all_held() -> None:
    report = judge(make_measured(), make_measured("onnx", idle=make_memory(200)))
    assert report.exit_status == 0
    assert len(report.checks) == 4, "others have no thresholds"
    text = "\n".join(report.paragraphs)
    assert "| native | native/generic | 1 | 60.0 | 72.0 | 72.0 | 80.0 | 85.0 | 74.0 |" in text
    assert "| **peak** | 85.0 |" in text
    assert [side["side"] for side in report.data["sides"]] == [SLIM, "onnx"]


BREAKDOWN = make_measured().breakdown
assert BREAKDOWN is not None


@pytest.mark.parametrize(
    ("changes", "missed"),
    [
        ({"loads": [Load(8, [91 * MIB] * 3, 1, 1.0)]}, "peak RSS of the native service"),
        (
            {"breakdown": replace(BREAKDOWN, steps=[Step(MODEL, make_memory(70))])},
            "model, arena and workspace",
        ),
        ({"idle": make_memory(84)}, "parts together, away from the idle service"),
        ({"heavy": ["libtorch"]}, "torch or ONNX Runtime in it"),
        ({"breakdown": replace(BREAKDOWN, heavy=["torch"])}, "torch or ONNX Runtime in it"),
    ],
)
def test_each_threshold_can_be_missed(changes: dict[str, Any], missed: str) -> None:
    report = judge(make_measured(**changes))
    assert [check.name for check in report.checks if not check.held] == [missed]
    assert report.exit_status == 1


def test_rising_peak_is_no_measurement() -> None:
    rising = [Load(8, [80 * MIB, 82 * MIB, 85 * MIB], 1, 1.0)]
    report = judge(make_measured(loads=rising))
    assert report.exit_status == 3
    assert "still rises after 3 slices" in report.unfit[0]
    assert not Load(8, [80 * MIB, 80 * MIB]).is_level(0.01), "two say nothing yet"
