"""Whatever reads a plan reads every plan: kernels, graphs and full-precision reference take the
same ones, and agree.

Each step alone gets the same input everywhere: a stage's integers are equal, what float layers give
is equal but for rounding. The whole network by its engines: ours have the same bits, ONNX Runtime's
logits lie within rounding.
"""

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from hypothesis import given, settings
from safetensors.numpy import save_file

from models.export.onnx_graph import build_graph
from runtime import ENGINES, Bundle, load_engine, read_bundle
from runtime.bundle import WEIGHTS
from runtime.engines.onnx_sessions import open_session
from runtime.engines.prepare import prepare_parts
from runtime.engines.reference import EagerNetwork, FloatNetwork
from runtime.kernels import library
from runtime.kernels.parts import Floats, Window
from runtime.plan import Plan, StageStep, StemStep, TransitionStep
from tests.runtime.bundles import make_network, write_network
from tests.runtime.plan.networks import Tensors, make_images, networks

ROUNDING = 1e-5  # of the largest value
SUPPORTED = [i.name for i in library.implementations() if i.supported]


def run_graph(plan: Plan, folder: Path, x: Floats, integer: bool) -> Floats:
    path = folder / "model.onnx"
    path.write_bytes(build_graph(plan, folder / WEIGHTS, "test", integer).SerializeToString())
    return np.asarray(open_session(str(path)).run(["logits"], {"images": x})[0])


def run_everywhere(plan: Plan, tensors: Tensors, folder: Path, x: Floats) -> dict[str, Floats]:
    """What each reader makes of a plan, whole or a step of one."""
    found: dict[str, Floats] = {}
    try:
        for name in SUPPORTED:
            library.select(name)
            found[name] = x
            for part in prepare_parts(plan, tensors):
                found[name] = library.run_part(part, found[name])
    finally:
        library.select(None)
    for integer in (False, True):
        found[f"onnx, integer {integer}"] = run_graph(plan, folder, x, integer)
    with torch.inference_mode():
        found["full-precision reference"] = FloatNetwork(plan, tensors)(torch.from_numpy(x)).numpy()
    return found


@settings(max_examples=40)
@given(networks())
def test_every_step_is_the_same_to_all(network: tuple[Plan, Tensors]) -> None:
    plan, tensors = network
    x = make_images(plan)
    with tempfile.TemporaryDirectory() as folder:
        save_file(tensors, Path(folder, WEIGHTS))
        for step in plan:
            own = {name: tensors[name] for name in step.tensors()}
            found = run_everywhere(Plan((step,)), own, Path(folder), x)
            expected = found["generic"]
            assert expected.shape[1:] == step.output
            for reader, y in found.items():
                if isinstance(step, StageStep) or reader in SUPPORTED:
                    assert np.array_equal(y, expected), (reader, step)
                else:
                    worst = np.abs(y - expected).max()
                    assert worst <= ROUNDING * np.abs(expected).max(), (reader, step, worst)
            x = expected


def check_engines(bundle: Bundle, images: Floats) -> None:
    """Which read the plan from the bundle's file."""
    bundle = read_bundle(bundle.path)
    logits = {name: load_engine(bundle, name).predict(images) for name in ENGINES}
    expected = logits["native"]
    assert expected.shape == (len(images), bundle.manifest.classes)
    assert np.array_equal(logits["torchscript"], expected)
    logits["full-precision reference"] = EagerNetwork(bundle).predict(images)
    for name, found in logits.items():
        worst = np.abs(found - expected).max()
        assert worst <= ROUNDING * np.abs(expected).max(), (name, worst, bundle.manifest.plan)
    maps = [load_engine(bundle, name).explain(images, 0) for name in ("native", "torchscript")]
    assert np.array_equal(*maps)


@settings(max_examples=30)
@given(networks())
def test_every_plan_runs_in_every_engine(network: tuple[Plan, Tensors]) -> None:
    plan, tensors = network
    with tempfile.TemporaryDirectory() as folder:
        check_engines(write_network(Path(folder, "bundle"), plan, tensors), make_images(plan))


def test_a_stem_of_any_name_and_a_transition_without_pool_run_everywhere(tmp_path: Path) -> None:
    plan, tensors = make_network()
    stem, stage, transition, *_ = plan
    assert isinstance(stem, StemStep)
    assert isinstance(transition, TransitionStep)
    trunk = replace(stem, name="trunk")
    bare = replace(transition, pool=None)
    stage2 = replace(plan[3], input=bare.output)
    head = replace(plan[4], input=stage2.output)
    changed = Plan((trunk, stage, bare, stage2, head))
    renamed = {name.replace("stem.", "trunk."): tensor for name, tensor in tensors.items()}
    assert Window(2, 2) == transition.pool
    images = np.random.default_rng(1).integers(-4, 5, (2, *plan.input)).astype(np.float32)
    check_engines(write_network(tmp_path / "bundle", changed, renamed), images)
