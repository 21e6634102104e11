"""The comparison of implementations with generic, and what it prints."""

import pytest

from runtime.bench import selftest
from runtime.bench.selftest import compare_implementations, run_selftest
from runtime.bundle import Bundle
from runtime.kernels import library
from runtime.kernels.parts import Floats, Part
from tests.runtime.bundles import make_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_bundle(tmp_path_factory.mktemp("bench") / "bundle", graphs=False)


def test_implementations_are_compared_with_generic(bundle: Bundle) -> None:
    before = library.active()
    outcome = compare_implementations(bundle)
    assert library.active() == before
    supported = {item.name for item in library.implementations() if item.supported}
    assert {item["implementation"] for item in outcome} == supported
    assert len(outcome) == len(supported) * len(bundle.manifest.plan)
    assert sum(item["different"] for item in outcome) == 0


def test_comparison_finds_a_difference(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    run, calls = library.run_part, [0]

    def run_wrongly(part: Part, x: Floats) -> Floats:
        y = run(part, x)
        calls[0] += 1
        if calls[0] == len(bundle.manifest.plan) + 2:  # the second part of what is compared first
            y[0, 3, 0, 0] += 2
        return y

    monkeypatch.setattr(library, "run_part", run_wrongly)
    wrong = [item for item in compare_implementations(bundle) if item["different"]]
    assert [(item["part"], item["different"], item["worst"]) for item in wrong] == [
        ("stage1", 1, 2.0)
    ]


def test_each_implementation_is_named(bundle: Bundle, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_selftest(bundle)
    printed = capsys.readouterr().out
    for item in library.implementations():
        if item.supported:
            assert f"  {item.name:<10}5 layer groups, " in printed
    assert "identical to generic" in printed
    assert "DIFFERENT" not in printed


def test_a_difference_is_printed(
    bundle: Bundle, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    item = {"implementation": "neon", "part": "stage2", "values": 9, "different": 3, "worst": 4.0}
    monkeypatch.setattr(selftest, "compare_implementations", lambda bundle: [item])
    assert not run_selftest(bundle)
    printed = capsys.readouterr().out
    assert "DIFFERENT from generic" in printed
    assert "stage2: 3 of 9 values differ, the worst by 4" in printed
