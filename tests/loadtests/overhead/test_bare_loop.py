"""The bare loop: by a stand-in for the service's `runtime`, and what it says when it fails."""

import os
import sys
from pathlib import Path

import pytest

from loadtests.errors import ServerFault
from loadtests.overhead.bare_loop import BareLoop, BareTurn

pytestmark = pytest.mark.anyio
RUNTIME = """
from types import SimpleNamespace
class Engine:
    name, implementation = "native", "generic"
    bundle = SimpleNamespace(manifest=SimpleNamespace(preprocessing="spec"))
    def predict(self, images):
        assert images == "tensor"
def load_engine(bundle, engine, threads):
    assert (bundle, engine, threads) == ("some/bundle", "native", 1)
    return Engine()
class Tensor:
    def __getitem__(self, key):
        assert key is None
        return "tensor"
def decode_image(data):
    assert data == b"image"
    return "decoded"
def preprocess(image, spec):
    assert (image, spec) == ("decoded", "spec")
    return Tensor()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A source tree whose `runtime` is a stand-in."""
    (tmp_path / "runtime.py").write_text(RUNTIME)
    (tmp_path / "a.jpg").write_bytes(b"image")
    return tmp_path


def start(folder: Path) -> BareLoop:
    """In the interpreter without our environment, whose editable install would come first."""
    environment = {"BNN_BUNDLE": "some/bundle", "BNN_ENGINE": "native"}
    return BareLoop("service", os.path.realpath(sys.executable), folder, environment)


async def test_turns_are_measured(folder: Path) -> None:
    with start(folder) as bare:
        assert await bare.wait_until_ready() == "native/generic"
        for _ in range(2):
            turn = await bare.run([folder / "a.jpg"], 0.02)
            assert turn.images >= 1
            assert turn.wall >= 0.02
            assert turn.cpu > 0


async def test_loop_that_fails_is_a_fault(folder: Path) -> None:
    (folder / "b.jpg").write_bytes(b"something else")
    with start(folder) as bare:
        await bare.wait_until_ready()
        with pytest.raises(ServerFault, match="ended with status 1"):
            await bare.run([folder / "b.jpg"], 0.02)


def test_interpreter_that_is_missing_is_a_fault(folder: Path) -> None:
    with pytest.raises(ServerFault, match="does not start"):
        BareLoop("service", "/nowhere/python", folder, {})


def test_figures_are_per_image() -> None:
    turn = BareTurn(images=4, cpu=0.02, wall=0.04)
    assert (turn.cpu_ms, turn.rate) == (5.0, 100.0)
