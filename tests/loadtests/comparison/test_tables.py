"""Tables and JSON of a comparison: every figure is where it belongs."""

import json
from dataclasses import replace

import pytest

from loadtests.comparison.tables import Names, add_case, compare_cpu, make_rows
from loadtests.output.report import HELD, UNFIT, Report
from tests.loadtests.comparison.made_up import OPTIONS, make_result, make_run


def test_names_tell_equal_titles_apart() -> None:
    one, two = make_result("net", "native/avx2", 1), make_result("net", "onnx/cpu", 1)
    two.facts = replace(two.facts, folder="other")
    assert Names([one, two]).of == ["net, 160x160 (folder-of-net)", "net, 160x160 (other)"]
    assert Names([one, one]).of == [f"net, 160x160 (folder-of-net) #{n}" for n in (1, 2)]
    assert Names([one]).of == ["net, 160x160"]


def test_ratio_is_of_cpu_time_within_rounds() -> None:
    ratio = compare_cpu(make_run().results, 1)
    assert ratio.value == pytest.approx(0.5)
    assert ratio.low == pytest.approx(0.5)
    assert ratio.high == pytest.approx(0.5)


def test_rows_have_memory_above_the_process_without_a_model() -> None:
    ours, theirs = make_rows(make_run(measured=True), {"native": 75 * 2**20})
    assert ours == [
        *("meliusnet13, 160x160", "native/avx2", "4.00 [3.60, 4.40]", "1", "100 [100, 100]"),
        *("70.0 / 85.0", "10.0", "1.00", "0.60", "85.0% / 95.0% of 200"),
    ]
    assert theirs[3] == "0.50 (0.50 to 0.50)"
    assert theirs[6] == ""  # nobody measured that engine's process
    assert theirs[-1] == "86.0 % of its own"


def test_a_whole_case() -> None:
    report = Report("t", {})
    add_case(report, make_run(), OPTIONS, {})
    text = report.format_markdown([0.0])
    assert "![Ours & theirs](comparison-1.svg)" in text
    assert "| meliusnet13, 160x160 | 65.0 | 65% | 65.0 (p99 59.4), 82.5 missed (p99 594) |" in text
    assert "50.0 requests a second" in text
    assert "| wrk | 101.0 | 20.0 | 30.0 |" in text
    assert "| meliusnet13, 160x160 | 100 / 100 | 0.36 / 0.36 | 29.90 / 29.00 |" in text
    assert "records" not in text or "do not compare" in text
    assert len(report.checks) == 2 * 3 + 2
    assert report.exit_status == HELD
    (case,) = json.loads(json.dumps(report.data))["cases"]
    ours, theirs = case["sides"]
    assert ours["cpu_ms"]["median"] == 4
    assert theirs["cpu_of_first"]["value"] == 0.5
    assert ours["open_loop"]["ms"]["0.5"] < ours["open_loop"]["ms"]["0.999"]
    assert [step["holds"] for step in ours["slo"]] == [True, False]


def test_a_brief_case_and_the_plots_numbers() -> None:
    report = Report("t", {})
    add_case(report, make_run(), OPTIONS, {})
    add_case(report, make_run(whole=False, title="second"), OPTIONS, {})
    assert [case["plot"] for case in report.data["cases"]] == [
        *("comparison-1.svg", "comparison-2.svg"),
    ]
    assert "slo" not in report.data["cases"][1]["sides"][0]


def test_without_the_other_generator_the_report_says_so() -> None:
    report, run = Report("t", {}), make_run()
    run.results[0].generator = None
    add_case(report, run, OPTIONS, {})
    assert any("wrk is not installed" in paragraph for paragraph in report.paragraphs)


def test_a_limit_of_the_generator_is_no_measurement() -> None:
    report, run = Report("t", {}), make_run()
    run.unfit = ["the generator used 90% of its CPU"]
    add_case(report, run, OPTIONS, {})
    assert report.exit_status == UNFIT
