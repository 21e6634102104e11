"""The alert rules: promtool accepts them, each fires on what it is for and on nothing near it."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from service.settings.settings import Settings
from tests.exposed import list_families, list_samples
from tests.promql import list_metrics

FOLDER = Path("k8s", "components", "monitoring", "rules")
ME = 'job="bnn-service",instance="a:8000"'
CLASSIFY = f'{ME},route="/classify",method="POST"'
INFER = f'{ME},route="/v2/models/{{model}}/versions/{{version}}/infer",method="POST"'
SEVERITIES = {"critical", "warning", "info"}


class Case(NamedTuple):
    """Series as promtool writes them, name{labels} -> values a minute; when the alert is asked."""

    series: dict[str, str]
    minute: int = 30


def requests(labels: str = CLASSIFY, **per_minute: int) -> dict[str, str]:
    """Counters of a route, /classify, by status: `s429=60` is one a second."""
    return {
        f'bnn_requests_total{{{labels},status="{status[1:]}"}}': f"0+{count}x60"
        for status, count in per_minute.items()
    }


def queue_times(below_1s: int, below_5s: int) -> dict[str, str]:
    """A queue stage of which so many images a minute waited less than 1 s and less than 5 s."""
    name = f'bnn_stage_duration_seconds_bucket{{{ME},stage="queue",le='
    return {
        f'{name}"1.0"}}': f"0+{below_1s}x60",
        f'{name}"5.0"}}': f"0+{below_5s}x60",
        f'{name}"+Inf"}}': f"0+{below_5s}x60",
    }


def lags(below_100ms: int, all_of_them: int) -> dict[str, str]:
    name = f"bnn_event_loop_lag_seconds_bucket{{{ME},le="
    return {
        f'{name}"0.1"}}': f"0+{below_100ms}x60",
        f'{name}"1.0"}}': f"0+{all_of_them}x60",
        f'{name}"+Inf"}}': f"0+{all_of_them}x60",
    }


def phases(**values: str) -> dict[str, str]:
    return {f'bnn_phase{{{ME},phase="{name}"}}': text for name, text in values.items()}


def ratio(over: str, under: str, part: float, labels: str = "") -> dict[str, str]:
    """Two gauges, one a part of the other."""
    return {
        f"{over}{{{ME}{labels}}}": f"{part * 1000}x60",
        f"{under}{{{ME}}}": "1000x60",
        f"bnn_ready{{{ME}}}": "1x60",
    }


def throttled(part: float) -> dict[str, str]:
    return {
        f"bnn_cgroup_cpu_periods_total{{{ME}}}": "0+600x60",
        f"bnn_cgroup_cpu_throttled_periods_total{{{ME}}}": f"0+{600 * part}x60",
    }


def images(bad: int, good: int) -> dict[str, str]:
    return {
        f'bnn_decode_failures_total{{{ME},code="invalid_image"}}': f"0+{bad}x60",
        f'bnn_stage_duration_seconds_count{{{ME},stage="decode"}}': f"0+{good}x60",
    }


def counter(name: str, label: str, per_minute: int) -> dict[str, str]:
    return {f"{name}{{{ME},{label}}}": f"0+{per_minute}x60"}


def skipped(cause: str) -> dict[str, str]:
    labels = f'{ME},engine="native",cause="{cause}",reason="broken"'
    return {f"bnn_engine_skipped{{{labels}}}": "1x60"}


#: Alert -> when it fires, when it does not.
CASES: dict[str, tuple[list[Case], list[Case]]] = {
    "BnnAbsent": (
        [Case({'up{job="other"}': "1x60"})],
        [Case({f"bnn_ready{{{ME}}}": "0x60"}), Case({f"bnn_ready{{{ME}}}": "1x60"})],
    ),
    "BnnInstanceDown": (
        [Case({f"up{{{ME}}}": "0x60"})],
        [
            Case({f"up{{{ME}}}": "1x60"}),
            Case({f"up{{{ME}}}": "1x28 0 0"}, minute=30),
            Case({'up{job="other"}': "0x60"}),
        ],
    ),
    "BnnNotReady": (
        [
            Case({f"bnn_ready{{{ME}}}": "0x60", **phases(starting="1x60", draining="0x60")}),
            Case({f"bnn_ready{{{ME}}}": "0x60", **phases(failed="1x60", draining="0x60")}),
        ],
        [
            Case({f"bnn_ready{{{ME}}}": "0x60", **phases(draining="1x60")}),
            Case({f"bnn_ready{{{ME}}}": "1x60", **phases(ready="1x60", draining="0x60")}),
            Case({f"bnn_ready{{{ME}}}": "0x2 1x60"}, minute=2),
        ],
    ),
    "BnnDrainStuck": (
        [
            Case(phases(ready="1x9 0x60", draining="0x9 1x60", stopping="0x60")),
            Case(phases(draining="0x20 1x5 0x60", stopping="0x25 0 1x60")),
        ],
        [
            Case(phases(ready="1x60", draining="0x60", stopping="0x60")),
            Case(phases(ready="1x28 0x60", draining="0x28 1x60", stopping="0x60"), minute=29),
        ],
    ),
    "BnnRestarts": (
        [
            Case(
                {f"bnn_event_loop_lag_seconds_count{{{ME}}}": "0+600x20 0+600x3 0+600x3 0+600x9"},
                minute=31,
            )
        ],
        [Case({f"bnn_event_loop_lag_seconds_count{{{ME}}}": "0+600x20 0+600x40"})],
    ),
    "BnnErrorRate": (
        [
            Case(requests(s200=950, s500=50)),
            Case(requests(s200=900, s503=30, s422=70)),
            Case(requests(INFER, s200=950, s500=50)),
        ],
        [
            Case(requests(s200=995, s500=5)),
            Case(requests(s200=500, s429=300, s422=100, s504=100)),
            Case(requests(s200=0, s500=0)),
            Case(
                {
                    **requests(s200=1000),
                    f'bnn_requests_total{{{ME},route="/readyz",method="GET",status="503"}}': (
                        "0+100x60"
                    ),
                }
            ),
        ],
    ),
    "BnnOverloaded": (
        [Case(requests(s200=900, s429=100))],
        [Case(requests(s200=980, s429=20)), Case(requests(s200=900, s429=100), minute=9)],
    ),
    "BnnDeadlinesMissed": (
        [Case(requests(s200=950, s504=50))],
        [Case(requests(s200=995, s504=5)), Case(requests(s200=900, s429=100))],
    ),
    "BnnLatencyHigh": (
        [
            Case(queue_times(900, 1000)),
            Case(  # of stages in which nothing is, as decode where all requests are tensors
                queue_times(900, 1000)
                | {
                    name.replace('"queue"', f'"{stage}"'): "0x60"
                    for name in queue_times(0, 0)
                    for stage in ("decode", "explain")
                }
            ),
        ],
        [
            Case(queue_times(1000, 1000)),
            Case(
                {
                    name.replace("queue", "receive"): text
                    for name, text in queue_times(500, 1000).items()
                }
            ),
        ],
    ),
    "BnnBadImages": (
        [Case(images(bad=600, good=100), minute=50)],
        [
            Case(images(bad=100, good=600), minute=50),
            Case(images(bad=0, good=0), minute=50),
            Case(images(bad=600, good=100), minute=20),
        ],
    ),
    "BnnMalformedRequests": (
        [Case(counter("bnn_malformed_requests_total", 'code="malformed_request"', 300))],
        [Case(counter("bnn_malformed_requests_total", 'code="malformed_request"', 30))],
    ),
    "BnnWorkerHangs": (
        [Case(ratio("bnn_worker_longest_run_seconds", "bnn_worker_run_limit_seconds", 0.6))],
        [Case(ratio("bnn_worker_longest_run_seconds", "bnn_worker_run_limit_seconds", 0.4))],
    ),
    "BnnEventLoopLag": (
        [Case(lags(below_100ms=500, all_of_them=600))],
        [Case(lags(below_100ms=600, all_of_them=600))],
    ),
    "BnnCpuThrottled": ([Case(throttled(0.5))], [Case(throttled(0.1)), Case(throttled(0))]),
    "BnnEngineFellBack": (
        [Case(skipped("failed"))],
        [Case(skipped("not_installed")), Case(skipped("not_in_bundle"))],
    ),
    "BnnMemoryNearLimit": (
        [Case(ratio("bnn_cgroup_memory_working_set_bytes", "bnn_cgroup_memory_limit_bytes", 0.95))],
        [
            Case(
                ratio("bnn_cgroup_memory_working_set_bytes", "bnn_cgroup_memory_limit_bytes", 0.8)
            ),
            Case({f"bnn_cgroup_memory_working_set_bytes{{{ME}}}": "1e12x60"}),
        ],
    ),
    "BnnOutOfMemory": (
        [Case(counter("bnn_decode_failures_total", 'code="out_of_memory"', 1))],
        [
            Case(counter("bnn_decode_failures_total", 'code="out_of_memory"', 0)),
            Case(counter("bnn_decode_failures_total", 'code="invalid_image"', 100)),
        ],
    ),
    "BnnDescriptorsNearLimit": (
        [Case(ratio("process_open_fds", "process_max_fds", 0.95))],
        [
            Case(ratio("process_open_fds", "process_max_fds", 0.5)),
            Case(
                {
                    'process_open_fds{job="other",instance="b"}': "99x60",
                    'process_max_fds{job="other",instance="b"}': "100x60",
                    f"bnn_ready{{{ME}}}": "1x60",
                }
            ),
        ],
    ),
    "BnnConnectionsNearLimit": (
        [Case(ratio("bnn_connections", "bnn_connections_limit", 0.95, ',state="working"'))],
        [
            Case(ratio("bnn_connections", "bnn_connections_limit", 0.95, ',state="idle"')),
            Case(ratio("bnn_connections", "bnn_connections_limit", 0.5, ',state="working"')),
        ],
    ),
}


@pytest.fixture(scope="module")
def files(repository: Path) -> list[Path]:
    found = sorted((repository / FOLDER).glob("*.yaml"))
    assert found
    return found


@pytest.fixture(scope="module")
def alerts(files: list[Path]) -> list[dict[str, Any]]:
    groups = [group for file in files for group in yaml.safe_load(file.read_text())["groups"]]
    return [rule for group in groups for rule in group["rules"]]


def run_promtool(*arguments: str | Path) -> str:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is missing: install the package prometheus (make system-test-tools)")
    answer = subprocess.run(
        [promtool, *arguments], capture_output=True, text=True, timeout=120, check=False
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer.stdout


def test_promtool_accepts_the_rules(files: list[Path]) -> None:
    output = run_promtool("check", "rules", *files)
    assert output.count("SUCCESS") == len(files)


def test_each_alert_has_its_cases(alerts: list[dict[str, Any]]) -> None:
    assert sorted(alert["alert"] for alert in alerts) == sorted(CASES)


def test_each_alert_fires_and_keeps_still(files: list[Path], tmp_path: Path) -> None:
    tests = []
    for name, (firing, quiet) in CASES.items():
        tests += [describe_case(name, case, fires=True) for case in firing]
        tests += [describe_case(name, case, fires=False) for case in quiet]
    plan = {"rule_files": [str(file) for file in files], "tests": tests}
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump(plan))
    run_promtool("test", "rules", tmp_path / "plan.yaml")


def test_no_alert_fires_before_its_time(
    files: list[Path], alerts: list[dict[str, Any]], tmp_path: Path
) -> None:
    """Whatever makes it fire is there from the first minute on."""
    tests = []
    for alert in alerts:
        minutes = int(alert.get("for", "0m").removesuffix("m"))
        for case in CASES[alert["alert"]][0] if minutes else []:
            early = Case(case.series, minute=minutes - 1)
            tests.append(describe_case(alert["alert"], early, fires=False))
    assert len(tests) > len(alerts) / 2
    plan = {"rule_files": [str(file) for file in files], "tests": tests}
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump(plan))
    run_promtool("test", "rules", tmp_path / "plan.yaml")


def describe_case(name: str, case: Case, fires: bool) -> dict[str, Any]:
    """A case by a query of what Prometheus makes of a firing alert: labels are not repeated."""
    samples = [{"labels": "{}", "value": 1}] if fires else []
    firing = f'count(count by (alertname) (ALERTS{{alertname="{name}",alertstate="firing"}}))'
    return {
        "name": f"{name} {'fires' if fires else 'keeps still'}",
        "interval": "1m",
        "input_series": [{"series": key, "values": text} for key, text in case.series.items()],
        "promql_expr_test": [
            {"expr": firing, "eval_time": f"{case.minute}m", "exp_samples": samples}
        ],
    }


def test_each_alert_says_what_it_means_and_what_to_do(alerts: list[dict[str, Any]]) -> None:
    for alert in alerts:
        assert re.fullmatch(r"Bnn([A-Z][a-z]+)+", alert["alert"])
        assert alert["labels"]["severity"] in SEVERITIES
        texts = alert["annotations"]
        assert texts.keys() == {"summary", "description", "runbook"}, alert["alert"]
        assert all(len(text) > 20 for text in texts.values())
        assert texts["runbook"].startswith(("Look at", "Answers")), alert["alert"]


def test_runbooks_name_only_what_there_is(alerts: list[dict[str, Any]]) -> None:
    texts = " ".join(text for alert in alerts for text in alert["annotations"].values())
    settings = {f"BNN_{field.upper()}" for field in Settings.model_fields}
    assert set(re.findall(r"BNN_[A-Z_]+", texts)) <= settings
    assert set(re.findall(r"\b(?:bnn|process)_[a-z_]+", texts)) <= list_families() | list_samples()
    names = {alert["alert"] for alert in alerts}
    assert set(re.findall(r"\bBnn\w+", texts)) <= names


def test_alerts_ask_for_metrics_that_exist(alerts: list[dict[str, Any]]) -> None:
    for alert in alerts:
        asked = list_metrics(alert["expr"])
        assert asked, alert["alert"]
        assert asked <= list_samples() | {"up"}, alert["alert"]


def test_the_table_of_severities_is_true(repository: Path, alerts: list[dict[str, Any]]) -> None:
    text = (repository / FOLDER.parent / "README.md").read_text()
    rows = re.findall(r"^\| (critical|warning|info) \|.*\| (Bnn.*) \|$", text, re.MULTILINE)
    table = {name: severity for severity, names in rows for name in names.split(", ")}
    assert table == {alert["alert"]: alert["labels"]["severity"] for alert in alerts}
