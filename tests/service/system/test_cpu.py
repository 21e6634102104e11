"""service.system.cpu: the count under a quota, and the features Linux lists."""

from pathlib import Path

from service.system.cpu import count_cpus, read_cpu_features, read_cpu_model


def test_a_quota_cuts_the_count_to_at_least_one(tmp_path: Path) -> None:
    unlimited = count_cpus(tmp_path)  # no /proc files, no quota
    assert unlimited >= 1
    (tmp_path / "cgroup").write_text("0::/\n")
    (tmp_path / "mountinfo").write_text(f"31 23 0:28 / {tmp_path} rw - cgroup2 cgroup2 rw\n")
    (tmp_path / "cpu.max").write_text("50000 100000")
    assert count_cpus(tmp_path) == 1
    (tmp_path / "cpu.max").write_text("99900000 100000")
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
