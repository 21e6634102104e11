"""service.cpu: quotas of both cgroup versions, and the features Linux lists."""

from pathlib import Path

import pytest

from service.cpu import count_cpus, read_cpu_features, read_cpu_model, read_cpu_quota


def write(file: Path, text: str) -> None:
    """Writes a file and its directories."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"cpu.max": "150000 100000\n"}, 1.5),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu/cpu.cfs_quota_us": "200000", "cpu/cpu.cfs_period_us": "100000"}, 2.0),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
        ({"cpu.max": "nonsense"}, None),
        ({}, None),
    ],
)
def test_reads_the_quota(tmp_path: Path, files: dict[str, str], expected: float | None) -> None:
    for name, text in files.items():
        write(tmp_path / name, text)
    assert read_cpu_quota(tmp_path) == expected


def test_a_quota_cuts_the_count_to_at_least_one(tmp_path: Path) -> None:
    unlimited = count_cpus(tmp_path)
    assert unlimited >= 1
    write(tmp_path / "cpu.max", "50000 100000")
    assert count_cpus(tmp_path) == 1
    write(tmp_path / "cpu.max", "99900000 100000")
    assert count_cpus(tmp_path) == unlimited


def test_lists_only_features_that_kernels_ask_for(tmp_path: Path) -> None:
    x86, arm = tmp_path / "x86", tmp_path / "arm"
    x86.write_text("model name\t: A CPU\nflags\t\t: fpu avx2 sse avx512_vpopcntdq\n")
    arm.write_text("processor : 0\nFeatures\t: fp asimd evtstrm\n")
    assert read_cpu_features(x86) == ["avx2", "avx512_vpopcntdq"]
    assert read_cpu_model(x86) == "A CPU"
    assert read_cpu_features(arm) == ["asimd"]
    assert read_cpu_model(arm) is None


def test_other_systems_have_neither(tmp_path: Path) -> None:
    assert read_cpu_features(tmp_path / "absent") == []
    assert read_cpu_model(tmp_path / "absent") is None
    empty = tmp_path / "empty"
    empty.write_text("")
    assert read_cpu_features(empty) == []
