"""Random but valid networks and bundles for the tests of the runtime: plan, tensors, graphs."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from runtime import ENGINES, Known, Manifest
from runtime.bundle import ONNX_GRAPH, TORCHSCRIPT_GRAPH, WEIGHTS, Bundle, write_bundle
from runtime.images import Preprocessing
from runtime.kernels.bitpack import GROWTH, pack_bits
from runtime.plan import Plan, parse_plan

PARITY = {"max_abs_logit_difference": 0.005}
Tensors = dict[str, NDArray[Any]]

# (channels_in, channels_out, kernel, stride, padding, groups, relu) of each convolution; pool
STEMS: dict[str, tuple[list[tuple[int, int, int, int, int, int, bool]], dict[str, Any] | None]] = {
    "grouped": (
        [(3, 32, 3, 2, 1, 1, True), (32, 32, 3, 1, 1, 4, True), (32, 64, 3, 1, 1, 8, True)],
        {"kernel": 3, "stride": 2, "padding": [1, 1]},
    ),
    "thumbnail": ([(3, 64, 3, 1, 1, 1, False)], None),
    "small": ([(3, 32, 3, 1, 1, 1, True), (32, 64, 3, 2, 1, 1, True)], None),
}


def _side(side: int, window: dict[str, Any]) -> int:
    return (side + sum(window["padding"]) - window["kernel"]) // window["stride"] + 1


class _Maker:
    """Collects plan and tensors while the shape moves through the network."""

    def __init__(self, seed: int, image: int) -> None:
        self.random = np.random.default_rng(seed)
        self.plan: list[dict[str, Any]] = []
        self.tensors: Tensors = {}
        self.shape = [3, image, image]

    def floats(self, name: str, *shape: int, scale: float = 1.0) -> None:
        values = self.random.standard_normal(shape) * scale
        self.tensors[name] = values.astype(np.float32)

    def step(self, name: str, part: str, output: list[int], **fields: Any) -> None:
        self.plan.append(
            {"name": name, "part": part, "input": self.shape, "output": output, **fields}
        )
        self.shape = output

    def stem(self, kind: str) -> None:
        convolutions, pool = STEMS[kind]
        steps = []
        _, height, width = self.shape
        channels = 3
        for i, (c_in, channels, kernel, stride, padding, groups, relu) in enumerate(convolutions):
            window = {"kernel": kernel, "stride": stride, "padding": [padding, padding]}
            steps.append(
                {"channels_in": c_in, "channels_out": channels, **window, "groups": groups}
                | {"relu": relu}
            )
            self.floats(f"stem.conv{i}.weight", channels, c_in // groups, kernel, kernel, scale=0.3)
            self.floats(f"stem.conv{i}.bias", channels, scale=0.3)
            height, width = _side(height, window), _side(width, window)
        if pool:
            height, width = _side(height, pool), _side(width, pool)
        self.step("stem", "stem", [channels, height, width], convolutions=steps, pool=pool)

    def stage(self, number: int, pairs: int, padding: int, improvement: bool) -> None:
        channels, height, width = self.shape
        layers = ["dense", "improvement"] * pairs if improvement else ["dense"] * pairs
        for i, kind in enumerate(layers):
            name = f"stage{number}.layer{i}"
            bits = self.random.random((GROWTH, 3, 3, channels)) < 0.5
            threshold = self.random.standard_normal(channels).astype(np.float32)
            threshold[64:] = np.rint(threshold[64:] * 8) * 2  # ties with produced integers
            threshold[[3, channels - 2]] = -np.inf, np.inf  # constant channels
            self.tensors[f"{name}.weight"] = pack_bits(bits)
            self.tensors[f"{name}.threshold"] = threshold
            self.tensors[f"{name}.flip"] = pack_bits(self.random.random(channels) < 0.3)
            channels += GROWTH if kind == "dense" else 0
        output = [channels, height, width]
        self.step(f"stage{number}", "stage", output, growth=GROWTH, padding=padding, layers=layers)

    def transition(self, number: int, channels_out: int, groups: int, shuffle: int) -> None:
        channels, height, width = self.shape
        pool = {"kernel": 2, "stride": 2, "padding": [0, 0]}
        name = f"transition{number}"
        self.floats(f"{name}.scale", channels, scale=0.1)
        self.floats(f"{name}.shift", channels, scale=0.3)
        self.floats(f"{name}.weight", channels_out, channels // groups, 1, 1, scale=0.2)
        output = [channels_out, _side(height, pool), _side(width, pool)]
        self.step(name, "transition", output, pool=pool, shuffle_groups=shuffle, groups=groups)

    def use_int8(self) -> None:
        """8-bit arithmetic in every float layer that may have it."""
        for step in self.plan:
            if step["part"] == "stem":
                for i, conv in enumerate(step["convolutions"][1:], 1):
                    self.layer_in_int8(conv, f"stem.conv{i}")
            elif step["part"] != "stage":
                self.layer_in_int8(step, step["name"])

    def layer_in_int8(self, layer: dict[str, Any], name: str) -> None:
        layer["arithmetic"] = "int8"
        weight = self.tensors[f"{name}.weight"]
        step = np.float32(np.abs(weight).max() / 127)
        self.tensors[f"{name}.weight"] = np.rint(weight / step).astype(np.int8)
        self.tensors[f"{name}.inverse_step"] = np.array([30], np.float32)
        self.tensors[f"{name}.sum_scale"] = np.full(len(weight), step / np.float32(30))

    def head(self, classes: int) -> None:
        channels = self.shape[0]
        self.floats("head.scale", channels, scale=0.1)
        self.floats("head.shift", channels, scale=0.3)
        self.floats("head.weight", classes, channels, scale=0.2)
        self.floats("head.bias", classes)
        self.step("head", "head", [classes])


def make_network(
    seed: int = 0,
    *,
    image: int = 16,
    stem: str = "small",
    pairs: tuple[int, ...] = (1, 1),
    transitions: tuple[int, ...] = (96,),
    groups: int = 1,
    shuffle: int = 1,
    padding: int = -1,
    improvement: bool = True,
    classes: int = 7,
    int8: bool = False,
) -> tuple[Plan, Tensors]:
    """Plan and tensors of a random network; every field of the format has a parameter."""
    maker = _Maker(seed, image)
    maker.stem(stem)
    for number, count in enumerate(pairs, 1):
        maker.stage(number, count, padding, improvement)
        if number <= len(transitions):
            maker.transition(number, transitions[number - 1], groups, shuffle)
    maker.head(classes)
    if int8:
        maker.use_int8()
    return parse_plan(maker.plan), maker.tensors


def make_images(plan: Plan, count: int = 2, seed: int = 1) -> NDArray[np.float32]:
    """Random images that fit a plan, float32 [count, 3, H, W]."""
    random = np.random.default_rng(seed)
    return random.standard_normal((count, *plan.input)).astype(np.float32)


def make_manifest(plan: Plan, known: Known | None = None) -> Manifest:
    """A manifest for a plan; write_bundle fills in the files."""
    (classes,), image = plan.output, plan.input[1]
    classes -= known.extra_logits if known else 0
    return Manifest(
        name="random",
        architecture={},
        input=(3, image, image),
        preprocessing=Preprocessing(image, image, "bilinear", (127.5,) * 3, (127.5,) * 3),
        labels=tuple(f"label {i}" for i in range(classes)),
        plan=plan,
        files={},
        trained=False,
        training=None,
        known=known,
    )


def make_bundle(
    path: Path,
    seed: int = 0,
    *,
    graphs: bool = True,
    self_test: bool = False,
    known: Known | None = None,
    **options: Any,
) -> Bundle:
    """Writes a bundle of make_network(seed, **options); without its graphs if `graphs` is false."""
    plan, tensors = make_network(seed, **options)
    return write_network(path, plan, tensors, graphs=graphs, self_test=self_test, known=known)


def write_network(
    path: Path,
    plan: Plan,
    tensors: Tensors,
    *,
    graphs: bool = True,
    self_test: bool = False,
    known: Known | None = None,
) -> Bundle:
    """Writes a bundle of a plan and its tensors, whose last logit may be no label's."""
    manifest = make_manifest(plan, known)
    with tempfile.TemporaryDirectory() as temporary:
        files = {WEIGHTS: Path(temporary, WEIGHTS)}
        save_file(tensors, files[WEIGHTS])
        if graphs:
            from models.export.onnx_graph import build_graph
            from runtime.engines.layers import save_network, script_network

            files[TORCHSCRIPT_GRAPH] = Path(temporary, TORCHSCRIPT_GRAPH)
            save_network(script_network(plan), files[TORCHSCRIPT_GRAPH])
            files[ONNX_GRAPH] = Path(temporary, ONNX_GRAPH)
            graph = build_graph(plan, files[WEIGHTS], "random")
            files[ONNX_GRAPH].write_bytes(graph.SerializeToString())
        if self_test:
            from models.export.stored_answers import add_self_test

            manifest = replace(manifest, parity=dict.fromkeys(ENGINES, PARITY))
            files = add_self_test(manifest, files, Path(temporary))
        return write_bundle(path, manifest, files)
