"""Reports of a board's speed: whole, valid, and without a word about whose board it is."""

import getpass
import json
import platform
import socket
from pathlib import Path
from typing import Any

import pytest
import torch

from runtime.bench.__main__ import main
from runtime.bench.contribution import SCHEMA, describe_board, describe_heat


@pytest.fixture(autouse=True)
def _restore_threads() -> Any:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def list_texts(value: Any) -> list[str]:
    """Every text in it, names included."""
    if isinstance(value, dict):
        return [*value, *(text for item in value.values() for text in list_texts(item))]
    if isinstance(value, list):
        return [text for item in value for text in list_texts(item)]
    return [value] if isinstance(value, str) else []


@pytest.mark.slow
def test_a_report_is_whole_and_names_nobody(
    repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "report.json"
    bundles = sorted((repository / "service" / "bundles").iterdir())
    options = ["--report", str(file), "--runs", "2", "--no-memory", "--bundle"]
    assert main([*options, *map(str, bundles)]) == 0
    report = json.loads(file.read_text())
    assert report["schema"] == SCHEMA
    assert report.keys() == {
        *("schema", "board", "machine", "heat", "seconds", "left_out", "settings", "figures")
    }
    assert {"kernels", "layers", "networks", "engines", "limits"} == report["figures"].keys()
    assert [result["network"] for result in report["figures"]["engines"]] == [
        json.loads((bundle / "manifest.json").read_text())["name"] for bundle in bundles
    ]
    for result in report["figures"]["engines"]:
        for row in result["engines"]:
            assert 0 < row["p10_ms"] <= row["median_ms"] <= row["p90_ms"]
    assert "peers" in report["left_out"]
    assert report["machine"]["implementation"]
    personal = {socket.gethostname(), str(Path.home()), str(bundles[0]), str(tmp_path)}
    for text in list_texts(report):
        assert not [word for word in personal if len(word) > 3 and word in text], text
        assert text != getpass.getuser()
        assert not text.startswith(("/", "~")), text
    printed = capsys.readouterr().out
    assert "report.json is written. To contribute it, open a pull request" in printed


def test_a_raspberry_pi_is_described(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {
        "proc/device-tree/model": "Raspberry Pi 4 Model B Rev 1.4\0",
        "proc/device-tree/serial-number": "10000000abcdef01\0",
        "proc/meminfo": "MemTotal:        3884288 kB\nMemFree: 1 kB\n",
        "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "ondemand\n",
        "sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq": "1800000\n",
        "sys/class/thermal/thermal_zone0/temp": "48686\n",
        "etc/os-release": 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\n',
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    program = tmp_path / "vcgencmd"
    program.write_text("#!/bin/sh\necho throttled=0x50005\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(platform, "release", lambda: "6.6.20+rpt-of-jane")
    board = describe_board(tmp_path)
    assert board.pop("page_bytes") in (4096, 16384, 65536)
    assert board == {
        "model": "Raspberry Pi 4 Model B Rev 1.4",
        "governor": "ondemand",
        "most_mhz": 1800,
        "memory_mib": 3793,
        "kernel": "6.6.20",
        "os": "Debian GNU/Linux 12 (bookworm)",
    }
    assert describe_heat(tmp_path) == {"celsius": 48.686, "throttled": "0x50005"}
    program.write_text("#!/bin/sh\necho VCHI initialization failed; exit 255\n")
    assert describe_heat(tmp_path)["throttled"] is None


def test_a_system_that_tells_nothing_is_no_error(tmp_path: Path) -> None:
    board = describe_board(tmp_path)
    assert [name for name, value in board.items() if value is None] == [
        *("model", "governor", "most_mhz", "memory_mib", "os")
    ]
    assert describe_heat(tmp_path)["celsius"] is None
