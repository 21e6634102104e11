"""The service built up step by step: its parts add up, and the slim one stays slim."""

import sys
from pathlib import Path

import pytest

from loadtests.errors import ServerFault
from loadtests.memory.photos import generate_photos
from loadtests.servers.smaps import Memory
from loadtests.servers.steps import (
    APPLICATION,
    ARENA,
    INTERPRETER,
    LIBRARY,
    MODEL,
    Breakdown,
    Step,
    break_down,
    list_steps,
)

pytestmark = pytest.mark.anyio
MIB = 2**20


async def test_parts_of_the_slim_service(repository: Path, tmp_path: Path) -> None:
    (image,) = generate_photos(1, ((640, 480),), ("WEBP",))
    photo = tmp_path / image.name
    photo.write_bytes(image.data)
    environment = {"BNN_PORT": "{port}", "BNN_BUNDLE": "service/bundles/default"}
    found = await break_down(sys.executable, repository, "native", environment, files=[photo])
    assert [step.name for step in found.steps][-3:] == [APPLICATION, MODEL, ARENA]
    assert found.engine.startswith("native/")
    assert found.heavy == [], "the slim service imports neither torch nor ONNX Runtime"
    # Each is one and a half times of what it takes, or nearly: a part that has grown so far is new.
    assert found.total.rss <= 120 * MIB
    assert found.add_up(MODEL, ARENA).rss <= 15 * MIB
    # Every page is of one kind, and every part but for a little that was given back adds to it.
    total = found.total
    kinds = total.private_dirty + total.private_clean + total.shared_clean + total.shared_dirty
    assert abs(total.rss - kinds) <= MIB // 4
    assert all(step.added.rss > -MIB for step in found.steps)
    assert found.workspace_bytes > 0
    weights = repository / environment["BNN_BUNDLE"] / "packed.safetensors"
    assert found.weights_bytes == weights.stat().st_size
    # A WebP takes four bytes a pixel three times; less, and what is measured is not the decoding.
    assert 640 * 480 * 8 <= found.decoding[photo.name] <= 640 * 480 * 24


async def test_without_a_model_nothing_of_it_is_there(repository: Path) -> None:
    found = await break_down(sys.executable, repository, "native", with_model=False)
    assert found.steps[-1].name == APPLICATION
    assert found.without_model == found.total
    assert (found.weights_bytes, found.workspace_bytes, found.decoding) == (0, 0, {})


def test_only_other_engines_have_a_library() -> None:
    assert LIBRARY not in dict(list_steps("native"))
    assert dict(list_steps("onnx"))[LIBRARY] == "import onnxruntime"
    assert list_steps("native")[0][0] == INTERPRETER


async def test_step_that_fails_is_a_fault(tmp_path: Path) -> None:
    # Without our environment there is no service to import.
    base = str(Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}")
    with pytest.raises(ServerFault, match="ended with status 1"):
        await break_down(base, tmp_path, "native")
    with pytest.raises(ServerFault, match="does not start"):
        await break_down("/nowhere/python", tmp_path, "native")


def test_parts_are_added_up_by_name() -> None:
    steps = [Step("a", Memory(rss=5)), Step(MODEL, Memory(rss=2)), Step(ARENA, Memory(rss=1))]
    found = Breakdown("native/generic", steps, {}, [])
    assert found.total.rss == 8
    assert found.without_model.rss == 5
    assert found.add_up(MODEL, "none").rss == 2
