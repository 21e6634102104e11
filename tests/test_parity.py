"""Training graph, torchscript, native and onnx agree: integers bit for bit, logits closely, top-1
always.

The bound. Float parts sum in different orders, so that a float feature that lies within a rounding
error of a threshold can become another bit, which later layers spread. With no such tie the logits
differ by rounding, below ROUNDING; with one, by the effect of a few bits, below A_FEW_BITS of the
logits' range. The answer, the arg-max, may differ in neither case on these inputs.
"""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from safetensors.numpy import save_file
from torch import nn

from models.export.bundle import ExportOptions, Source, export_bundle
from models.export.onnx_graph import build_graph
from models.export.parity import parity_inputs
from models.networks.binary import BinaryActivation
from models.networks.convert import calibrate, convert_network
from models.networks.meliusnet import MeliusNet
from models.networks.specs import SPECS, find_spec
from runtime import ENGINES, Preprocessing, load_engine, read_bundle
from runtime.bundle import WEIGHTS
from runtime.engines.onnx_sessions import open_session
from runtime.engines.ops import load_operators
from runtime.engines.prepare import prepare_parts
from runtime.kernels import library
from runtime.plan import Plan, Step

ROUNDING = 1e-3
A_FEW_BITS = 0.1
DEFAULT = Path(__file__).parent.parent / "service" / "bundles" / "default"
SIDES = {name: 64 if SPECS[name].stem == "grouped" else 32 for name in SPECS}
LARGE = {"meliusnet42", "meliusnet59"}  # their maps stay small enough at 32 pixels
SUPPORTED = [i.name for i in library.implementations() if i.supported]


def make_network(name: str, **changes: Any) -> MeliusNet:
    """Untrained, with batch norms of both signs, some of them zero."""
    network = MeliusNet(find_spec(name, **changes), 10)
    for module in network.modules():
        if isinstance(module, BinaryActivation):
            nn.init.normal_(module.bn.weight)
            module.bn.weight.data[::29] = 0.0
    calibrate(network, side_of(name), images=2)
    return network


def side_of(name: str) -> int:
    return 32 if name in LARGE else SIDES[name]


def worst(found: np.ndarray, expected: np.ndarray) -> str:
    index = np.unravel_index(np.abs(found - expected).argmax(), found.shape)
    return f"worst at {[int(i) for i in index]}: {found[index]}, expected {expected[index]}"


@pytest.mark.parametrize("name", SPECS)
def test_integer_parts_agree_bit_for_bit(name: str, tmp_path: Path) -> None:
    """Each stage gets the training graph's own stage input and must give its exact result."""
    load_operators()
    network = make_network(name)
    converted = convert_network(network, side_of(name))
    save_file(converted.tensors, tmp_path / WEIGHTS)
    x = torch.from_numpy(parity_inputs((3, side_of(name), side_of(name)), 2))
    with torch.no_grad():
        x = network.stem(x)
        for number, stage in enumerate(network.stages, 1):
            x = x.float().contiguous()
            expected = stage.double()(x.double()).numpy()
            step = next(s for s in converted.plan if s.name == f"stage{number}")
            check_stage(step, converted.tensors, tmp_path, x, expected)
            if number <= len(network.transitions):
                x = network.transitions[number - 1](torch.from_numpy(expected).float())


def check_stage(
    step: Step,
    tensors: dict[str, np.ndarray],
    folder: Path,
    x: torch.Tensor,
    expected: np.ndarray,
) -> None:
    own = {name: t for name, t in tensors.items() if name.startswith(f"{step.name}.")}
    for implementation in SUPPORTED:
        library.select(implementation)
        try:
            (part,) = prepare_parts(Plan((step,)), own)
            found = library.run_part(part, x.numpy())
            assert np.array_equal(found, expected), (implementation, worst(found, expected))
            tensor = torch.empty(part.nbytes, dtype=torch.uint8)  # aligned as parts must be
            tensor.numpy()[:] = part
            torched = torch.ops.bnn.run_part(x, tensor, list(step.output)).numpy()
            assert np.array_equal(torched, expected), ("torch", worst(torched, expected))
        finally:
            library.select(None)
    onnx.save(build_graph(Plan((step,)), folder / WEIGHTS, "stage"), folder / "stage.onnx")
    (found,) = open_session(str(folder / "stage.onnx")).run(None, {"images": x.numpy()})
    assert np.array_equal(found, expected), ("onnx", worst(found, expected))


def check_engines(path: Path, network: nn.Module | None, images: np.ndarray) -> None:
    logits = {name: load_engine(path, name).predict(images) for name in ENGINES}
    assert np.array_equal(logits["torchscript"], logits["native"])
    if network is not None:
        with torch.no_grad():
            logits["training graph"] = network(torch.from_numpy(images)).numpy()
    expected = logits["native"]
    scale = float(np.ptp(expected))
    for name, found in logits.items():
        difference = np.abs(found - expected).max(axis=1)
        assert (found.argmax(1) == expected.argmax(1)).all(), (name, worst(found, expected))
        assert difference.max() < A_FEW_BITS * scale, (name, worst(found, expected))
        assert np.median(difference) < ROUNDING, (name, worst(found, expected))


@pytest.mark.parametrize("name", SPECS)
def test_engines_agree_on_every_variant(name: str, tmp_path: Path) -> None:
    network = make_network(name)
    side = side_of(name)
    spec = Preprocessing(side, side, "bilinear", (0.0,) * 3, (1.0,) * 3)
    labels = [str(i) for i in range(10)]
    source, options = Source(network, labels, spec), ExportOptions(parity_inputs=1)
    bundle = export_bundle(source, tmp_path / "bundle", options)
    check_engines(bundle.path, network, parity_inputs(bundle.manifest.input, 5, seed=4))


def test_engines_agree_on_the_trained_default() -> None:
    manifest = read_bundle(DEFAULT).manifest
    assert manifest.trained
    check_engines(DEFAULT, None, parity_inputs(manifest.input, 64, seed=4))
    for name in ENGINES:
        # Of 64 noise images one, whose two best labels are nearly equal, may turn by rounding.
        assert manifest.parity[name]["top1_agreement"] >= 63 / 64
