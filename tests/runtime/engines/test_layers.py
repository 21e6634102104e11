"""The scriptable modules: script, save, load, fill and export give what the C ABI gives."""

import json
import subprocess
import sys
import warnings
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import pytest
import torch

import runtime
from runtime.engines.layers import (
    PackedNetwork,
    fill_parts,
    load_network,
    save_network,
    script_network,
)
from runtime.engines.prepare import prepare_parts
from runtime.errors import InvalidRecord
from runtime.kernels import library
from runtime.plan import Plan
from tests.runtime.bundles import Tensors, make_images, make_network


@pytest.fixture(scope="module")
def network() -> tuple[Plan, Tensors]:
    return make_network(pairs=(2, 1))


def names_of(plan: Plan) -> list[str]:
    return [step.name for step in plan]


def run_parts(plan: Plan, tensors: Tensors, images: np.ndarray) -> np.ndarray:
    x = images
    for part in prepare_parts(plan, tensors):
        x = library.run_part(part, x)
    return x


def test_scripted_saved_and_loaded_network_equals_the_c_abi(
    network: tuple[Plan, Tensors], tmp_path: Path
) -> None:
    plan, tensors = network
    images = make_images(plan, 3)
    save_network(script_network(plan), tmp_path / "model.ts")
    loaded = load_network(tmp_path / "model.ts")
    fill_parts(loaded, names_of(plan), prepare_parts(plan, tensors))
    expected = run_parts(plan, tensors, images)
    for _ in range(3):  # TorchScript rewrites its graph in the first calls
        assert np.array_equal(loaded(torch.from_numpy(images)).numpy(), expected)


def test_saved_graph_holds_no_weights(network: tuple[Plan, Tensors], tmp_path: Path) -> None:
    plan, tensors = network
    save_network(script_network(plan), tmp_path / "model.ts")
    assert (tmp_path / "model.ts").stat().st_size < 10_000
    assert sum(tensor.nbytes for tensor in tensors.values()) > 200_000
    for part in load_network(tmp_path / "model.ts").buffers():
        assert part.numel() == 0


def test_a_graph_does_not_say_where_ours_lies(
    network: tuple[Plan, Tensors], tmp_path: Path
) -> None:
    """Else each move of the module would change the graphs of new bundles.

    In processes of their own: torch numbers the names of types that it has met before.
    """
    plan, ours = json.dumps(network[0].as_json()), Path(runtime.__file__).parents[1]
    program = (
        "import json, sys\n"
        "from pathlib import Path\n"
        "from runtime.engines.layers import save_network, script_network\n"
        "from runtime.plan import parse_plan\n"
        "save_network(script_network(parse_plan(json.loads(sys.argv[1]))), Path(sys.argv[2]))\n"
    )
    for place in ("first", "second"):
        (tmp_path / place).mkdir()
        subprocess.run(
            [sys.executable, "-c", program, plan, tmp_path / place / "model.ts"],
            cwd=ours,
            check=True,
        )
    with ZipFile(tmp_path / "first" / "model.ts") as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    assert [name for name in contents if "code/" in name] == [
        "model/code/__torch__/runtime/layers.py"
    ]
    assert not [name for name, content in contents.items() if str(ours).encode() in content]
    first, second = ((tmp_path / place / "model.ts").read_bytes() for place in ("first", "second"))
    assert first == second


def test_parts_are_not_copied(network: tuple[Plan, Tensors]) -> None:
    plan, tensors = network
    prepared = prepare_parts(plan, tensors)
    scripted = script_network(plan)
    fill_parts(scripted, names_of(plan), prepared)
    addresses = [buffer.data_ptr() for buffer in scripted.buffers()]
    assert addresses == [part.ctypes.data for part in prepared]
    assert not any(part.flags.writeable for part in prepared)


def test_empty_part_says_that_it_must_be_filled(network: tuple[Plan, Tensors]) -> None:
    plan, _ = network
    images = torch.from_numpy(make_images(plan))
    with pytest.raises(RuntimeError, match="expected a prepared part, found an empty one"):
        PackedNetwork(plan)(images)


class PartByPart(torch.nn.Module):
    """A step of the graphs that bundles had before there was run_network."""

    part: torch.Tensor
    output: list[int]

    def __init__(self, output: list[int]) -> None:
        super().__init__()
        self.output = output
        self.register_buffer("part", torch.empty(0, dtype=torch.uint8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.ops.bnn.run_part(x, self.part, self.output)


def test_older_graphs_run_part_by_part(network: tuple[Plan, Tensors], tmp_path: Path) -> None:
    plan, tensors = network
    images = make_images(plan, 2)
    steps = OrderedDict((step.name, PartByPart(list(step.output))) for step in plan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(torch.jit.script(torch.nn.Sequential(steps)), str(tmp_path / "model.ts"))
    loaded = load_network(tmp_path / "model.ts")
    fill_parts(loaded, names_of(plan), prepare_parts(plan, tensors))
    assert np.array_equal(
        loaded(torch.from_numpy(images)).numpy(), run_parts(plan, tensors, images)
    )


@pytest.mark.parametrize("wrong", [["stem"], ["a", "b", "c", "d", "e"], []])
def test_parts_of_another_plan_are_refused(network: tuple[Plan, Tensors], wrong: list[str]) -> None:
    plan, tensors = network
    with pytest.raises(InvalidRecord, match=r"the graph has the layer groups stem, .*expected"):
        fill_parts(script_network(plan), wrong, prepare_parts(plan, tensors))


@pytest.mark.parametrize(
    "names",
    [
        ["forward", "output", "class", "train", "\u00e9"],
        ["stem", "transition1", "stage1", "stage2", "head"],
        ["head", "stage1", "transition1", "stage2", "stem"],
    ],
)
def test_steps_may_have_any_name_in_any_order(
    network: tuple[Plan, Tensors], names: list[str], tmp_path: Path
) -> None:
    """Also after a plan that has the same names in another order."""
    plan, tensors = network
    renamed = Plan(tuple(replace(step, name=n) for step, n in zip(plan, names, strict=True)))
    for one in (plan, renamed):
        save_network(script_network(one), tmp_path / "model.ts")
        loaded = load_network(tmp_path / "model.ts")
        fill_parts(loaded, names_of(one), prepare_parts(plan, tensors))
        images = make_images(plan, 2)
        found = loaded(torch.from_numpy(images)).numpy()
        assert np.array_equal(found, run_parts(plan, tensors, images))


def test_exported_program_runs_the_operators(network: tuple[Plan, Tensors]) -> None:
    plan, tensors = network
    eager = PackedNetwork(plan).eval()
    fill_parts(eager, names_of(plan), prepare_parts(plan, tensors))
    images = torch.from_numpy(make_images(plan, 3))
    batch: Any = torch.export.Dim("batch", min=1, max=64)
    program = torch.export.export(eager, (images,), dynamic_shapes=({0: batch},))
    called = [str(node.target) for node in program.graph.nodes if node.op == "call_function"]
    assert called.count("bnn.run_network.default") == 1
    expected = run_parts(plan, tensors, images.numpy())
    assert np.array_equal(program.module()(images).numpy(), expected)
    assert np.array_equal(program.module()(images[:2]).numpy(), expected[:2])


def test_scripting_is_silent_and_leaves_other_warnings_alone(
    network: tuple[Plan, Tensors], tmp_path: Path
) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        save_network(script_network(network[0]), tmp_path / "model.ts")
        load_network(tmp_path / "model.ts")
        warnings.warn("torch is not to blame", DeprecationWarning, stacklevel=1)
    assert [str(warning.message) for warning in caught] == ["torch is not to blame"]


class Writes(torch.nn.Module):
    """A graph that does something else than run parts."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + 1


def test_a_graph_that_does_more_than_run_parts_is_refused(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(torch.jit.script(Writes()), str(tmp_path / "model.ts"))
    with pytest.raises(InvalidRecord, match=r"only runs layer groups, found aten::add"):
        load_network(tmp_path / "model.ts")
