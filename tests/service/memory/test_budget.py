"""service.memory.budget: what requests may take together fits beside the process, or nothing
starts.
"""

import logging
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import service.memory.budget
from runtime import describe_full_size_limits
from service.memory.budget import Budget, NoMemory
from service.settings.settings import Settings
from tests.service.servers import make_settings

MIB = 2**20
GIB = 2**30


@pytest.fixture(autouse=True)
def process(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A process of 100 MiB, in no container; the test may change both."""
    numbers: dict[str, Any] = {"rss": 100 * MIB, "container": None}
    monkeypatch.setattr(service.memory.budget, "read_memory", lambda: {"rss": numbers["rss"]})
    monkeypatch.setattr(service.memory.budget, "read_memory_limit", lambda: numbers["container"])
    return numbers


def make_budget(limit: int, **changes: Any) -> Budget:
    """Before the model is loaded."""
    return Budget(make_settings(memory_budget=limit, workers=2, max_connections=512, **changes))


def test_the_smaller_of_container_and_setting_counts(process: dict[str, Any]) -> None:
    assert Budget(Settings(memory_budget=GIB)).limit == GIB
    assert Budget(Settings(memory_budget=GIB)).origin == "BNN_MEMORY_BUDGET"
    assert "half" in Budget(Settings()).origin
    process["container"] = 300 * MIB
    assert Budget(Settings(memory_budget=GIB)).limit == 300 * MIB
    assert "container" in Budget(Settings(memory_budget=GIB)).origin
    process["container"] = 8 * GIB
    assert Budget(Settings(memory_budget=GIB)).limit == GIB


def test_before_the_model_is_loaded_much_is_set_aside_for_it() -> None:
    budget = make_budget(640 * MIB)
    assert budget.base == 400 * MIB
    assert 0 < budget.bodies.capacity + budget.decoding.capacity <= 240 * MIB
    bodies = budget.bodies
    budget.settle(160 * 160)
    assert budget.bodies is bodies, "who holds the account sees the change"
    assert bodies.capacity > 0.3 * 240 * MIB


def test_ample_memory_lowers_no_limit(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    budget = make_budget(4 * GIB)
    budget.settle(160 * 160)
    assert budget.limits.max_body_bytes == 32 * MIB
    assert [record.levelname for record in caplog.records] == ["INFO"]
    assert caplog.records[0].limit_mib == 4096
    assert budget.bodies.capacity == 256 * MIB


def test_limits_that_do_not_fit_are_lowered_and_said(caplog: pytest.LogCaptureFixture) -> None:
    budget = make_budget(256 * MIB)
    budget.settle(160 * 160)
    warnings = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert [text.partition(" ")[0] for text in warnings] == ["BNN_MAX_BODY_BYTES", "BNN_MAX_PIXELS"]
    assert MIB <= budget.limits.max_body_bytes < 32 * MIB
    assert budget.limits.images.max_decoding_bytes is not None
    assert budget.limits.images.max_decoding_bytes < budget.decoding.capacity


def test_models_come_and_go() -> None:
    budget = make_budget(GIB)
    budget.settle(160 * 160)
    base, limits = budget.base, budget.limits
    budget.change(50 * MIB, 160 * 160)
    assert budget.base == base + 50 * MIB
    budget.change(0, 224 * 224)  # of the tensors that the workers hold
    assert budget.base == base + 50 * MIB + 2 * 60 * (224 * 224 - 160 * 160)
    budget.change(-50 * MIB, 160 * 160)
    assert (budget.base, budget.limits) == (base, limits)


def test_a_model_that_leaves_no_room_for_images_changes_nothing() -> None:
    budget = make_budget(GIB)
    budget.settle(160 * 160)
    before = budget.base, budget.limits, budget.bodies.capacity, budget.decoding.capacity
    with pytest.raises(NoMemory, match="expected a memory budget of at least"):
        budget.change(GIB, 160 * 160)
    after = budget.base, budget.limits, budget.bodies.capacity, budget.decoding.capacity
    assert after == before


def test_what_would_be_is_asked_without_a_change() -> None:
    budget = make_budget(GIB)
    budget.settle(160 * 160)
    before = budget.base, budget.limits, budget.decoding.capacity
    assert budget.check_change(7 * MIB, 160 * 160) == budget.base + 7 * MIB
    with pytest.raises(NoMemory):
        budget.check_change(GIB, 160 * 160)
    assert (budget.base, budget.limits, budget.decoding.capacity) == before


def test_settling_that_fails_changes_nothing(process: dict[str, Any]) -> None:
    budget = make_budget(GIB)
    budget.settle(160 * 160)
    before = budget.base, budget.limits, budget.decoding.capacity
    process["rss"] = GIB
    with pytest.raises(NoMemory):
        budget.settle(224 * 224)
    assert (budget.base, budget.limits, budget.decoding.capacity) == before


def test_what_is_lowered_is_said_when_all_models_are_there(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    budget = make_budget(GIB)
    budget.settle(160 * 160, is_final=False)
    assert not caplog.records
    budget.settle(160 * 160)
    assert [record.message for record in caplog.records] == ["memory budget"]


def test_too_little_memory_ends_the_start() -> None:
    budget = make_budget(150 * MIB)
    with pytest.raises(NoMemory, match=r"expected a memory budget of at least \d+ MiB") as caught:
        budget.settle(160 * 160)
    assert "found 150 MiB (BNN_MEMORY_BUDGET)" in str(caught.value)
    needed = int(str(caught.value).split("at least ")[1].split(" ")[0])
    make_budget((needed + 1) * MIB).settle(160 * 160)
    with pytest.raises(NoMemory):
        make_budget((needed - 1) * MIB).settle(160 * 160)


@pytest.mark.parametrize("changes", [{}, {"max_body_bytes": 2**30}, {"max_pixels": 1000}])
def test_what_starts_has_room_for_ordinary_images_of_every_format(changes: dict[str, Any]) -> None:
    """The least budget that the message tells is one in which none of them has to be refused."""
    with pytest.raises(NoMemory) as caught:
        make_budget(120 * MIB, **changes).settle(160 * 160)
    budget = make_budget(
        int(str(caught.value).split("at least ")[1].split(" ")[0]) * MIB, **changes
    )
    budget.settle(160 * 160)
    pixels = describe_full_size_limits(budget.limits.images)
    assert pixels.keys() == {"JPEG", "PNG", "WEBP", "AVIF"}
    assert min(pixels.values()) >= min(500_000, changes.get("max_pixels", 500_000))
    assert budget.limits.max_body_bytes >= MIB


@given(limit=st.integers(1, 2**36), rss=st.integers(MIB, 2**34), pixels=st.integers(1, 10**6))
def test_nobody_may_take_more_than_there_is(limit: int, rss: int, pixels: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(service.memory.budget, "read_memory", lambda: {"rss": rss})
        budget = make_budget(limit)
        try:
            budget.settle(pixels)
        except NoMemory:
            return
        bodies, decoding, limits = budget.bodies, budget.decoding, budget.limits
        assert budget.base + bodies.capacity + decoding.capacity <= limit
        assert budget.base > rss
        assert 2 * limits.max_body_bytes <= bodies.capacity
        assert limits.images.max_decoding_bytes is not None
        assert limits.max_body_bytes + limits.images.max_decoding_bytes <= decoding.capacity


_ENFORCE = """
from service.memory.budget import Budget
from service.settings.settings import Settings

budget = Budget(Settings(memory_budget=300 * 2**20))
budget.enforce()
kept = bytearray(50 * 2**20)
try:
    bytearray(800 * 2**20)
except MemoryError:
    print("refused", len(kept))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what a process has allocated")
def test_the_budget_is_enforced_by_the_system() -> None:
    command = [sys.executable, "-c", _ENFORCE]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert answer.stdout == f"refused {50 * MIB}\n"
