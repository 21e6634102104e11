"""A bundle of a network that tells blue from red, and images on both sides, for attacks."""

from pathlib import Path

import numpy as np
import onnx
import torch
from PIL import Image
from torch import Tensor, nn

from models.attacks.measure import Images, choose_images
from models.attacks.target import Target, open_target
from models.data.datasets import open_data_set
from models.export.onnx_graph import GraphBuilder
from runtime import Manifest, Preprocessing
from runtime.bundle import ONNX_GRAPH, write_bundle
from runtime.plan import Plan

SIDE = 16
CLASSES = ("blue", "red")
PREPROCESSING = Preprocessing(SIDE + 4, SIDE, "bilinear", (100, 100, 100), (50, 50, 50))


def write_small_bundle(folder: Path, classes: tuple[str, ...] = CLASSES) -> Path:
    """Convolution, ReLU, mean, dense: the logit of blue is 10 times the mean of blue, so for red.

    More classes than two have a logit that no image reaches.
    """
    graph = GraphBuilder(None)
    identity = np.eye(3).reshape(3, 3, 1, 1)
    x = graph.node(
        "Conv", "images", graph.constant(identity, np.float32), graph.constant([9] * 3, np.float32)
    )
    x = graph.node("Flatten", graph.node("GlobalAveragePool", graph.node("Relu", x)))
    weight = np.zeros((len(classes), 3))
    weight[0, 2] = weight[1, 0] = 10
    bias = np.array([0, 0, *[-1000] * (len(classes) - 2)])
    logits = graph.node(
        "Gemm", x, graph.constant(weight, np.float32), graph.constant(bias, np.float32), transB=1
    )
    model = graph.model("small", logits, (3, SIDE, SIDE), [len(classes)])
    folder.mkdir(parents=True)
    onnx.save(model, folder / ONNX_GRAPH)
    manifest = Manifest(
        name="small",
        architecture={},
        input=(3, SIDE, SIDE),
        preprocessing=PREPROCESSING,
        labels=classes,
        plan=Plan(),
        files={},
        trained=False,
        training=None,
    )
    return write_bundle(folder / "bundle", manifest, {ONNX_GRAPH: folder / ONNX_GRAPH}).path


def write_close_colours(folder: Path, count: int = 60) -> Path:
    """test/ with blue and red: noise with 2 to 12 levels more of the one than of the other."""
    random = np.random.default_rng(0)
    for i in range(count):
        pixels = random.integers(100, 110, (SIDE + 4, SIDE + 4, 3), np.uint8)
        pixels[..., 2 if i % 2 == 0 else 0] += np.uint8(2 + i % 11)
        path = folder / "test" / CLASSES[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    return folder


def open_small(folder: Path) -> tuple[Target, Images]:
    """A target with gradients, rebuilt from the bundle, and the images that it is right on."""
    data = open_data_set(write_close_colours(folder / "data"), needs_train=False)
    with open_target(write_small_bundle(folder / "small")) as target:
        assert data.test is not None
        images = choose_images(target, data.test, data.labels, 55, seed=1)
        target.add_gradients(images.shown.pixels)
        return target, images


class ByMeans(nn.Module):
    """The same network without a bundle, for pixels of 0..255."""

    def forward(self, pixels: Tensor) -> Tensor:
        means = pixels.mean((2, 3)) / 5
        return torch.stack((means[:, 2], means[:, 0]), 1)


class Masked(ByMeans):
    """Answers alike, but its gradients are 0: an attack by gradients learns nothing."""

    def forward(self, pixels: Tensor) -> Tensor:
        return super().forward(pixels).detach() + 0 * pixels.sum((1, 2, 3))[:, None]
