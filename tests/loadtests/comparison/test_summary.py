"""The short table for another document."""

from loadtests.comparison.summary import summarize
from loadtests.output.report import Report
from tests.loadtests.comparison.made_up import make_run


def test_one_table_a_case_and_the_machine() -> None:
    report = Report("t", {}, machine={"cpu": "Some CPU", "features": ["avx2", "fma"]})
    text = summarize(report, [make_run(), make_run(whole=False, title="second")])
    assert text.startswith("Some CPU (avx2, fma), one core for the service")
    assert "Ours & theirs:" in text
    assert "second:" in text
    assert (
        "| mobilenet_v1, 160x160 | `onnx/cpu` | 2.00 | 0.50 | 100 | 29.8 / 39.6 | 85.0 | 1.00 | "
        "86.0 % of its own |"
    ) in text
    assert "| 100 |  | 85.0 |" in text  # a brief case has no open loop
