"""runtime.engines.class_activation: a map's mean and its class's bias are the logit."""

import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtime import ENGINES, Bundle, InvalidInput, NotExplainable, load_engine
from runtime.engines.prepare import prepare_bundle
from runtime.kernels import library
from tests.runtime.bundles import make_bundle, make_images

VARIANTS: list[dict[str, Any]] = [
    {"pairs": (2, 1)},
    {"stem": "grouped", "image": 64, "pairs": (1, 1, 1, 1), "transitions": (160, 96, 128)},
    {"stem": "thumbnail", "padding": 0, "improvement": False, "pairs": (1,), "transitions": ()},
    {"padding": 1, "transitions": (160,), "groups": 4, "shuffle": 16},
]


def read_head(bundle: Bundle, name: str) -> np.ndarray:
    return np.array(bundle.tensors()[f"head.{name}"])


def make_inputs(bundle: Bundle, count: int, seed: int = 1) -> np.ndarray:
    return make_images(bundle.manifest.plan, count, seed)


def measure_means(bundle: Bundle, images: np.ndarray) -> np.ndarray:
    """What the head's dense layer reads, float32 [N, channels]."""
    x = images
    for part in prepare_bundle(bundle)[:-1]:
        x = library.run_part(part, x)
    scale, shift = (read_head(bundle, name)[:, None, None] for name in ("scale", "shift"))
    means: np.ndarray = np.maximum(x * scale + shift, 0).mean(axis=(2, 3))
    return means


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_bundle(tmp_path_factory.mktemp("activation") / "bundle")


@pytest.mark.parametrize("options", VARIANTS)
def test_the_mean_of_a_map_and_the_bias_are_the_logit(
    options: dict[str, Any], tmp_path: Path
) -> None:
    bundle = make_bundle(tmp_path / "bundle", graphs=False, **options)
    images = make_inputs(bundle, 3)
    engine = load_engine(bundle, "native")
    logits, bias = engine.predict(images), read_head(bundle, "bias")
    _, height, width = bundle.manifest.plan[-1].input
    for index in range(bundle.manifest.classes):
        maps = engine.explain(images, index)
        assert (maps.shape, maps.dtype) == ((3, height, width), np.float32)
        assert np.ptp(maps) > 0
        found = maps.mean(axis=(1, 2)) + bias[index]
        assert np.allclose(found, logits[:, index], rtol=1e-5, atol=1e-4)


def test_of_an_8_bit_head_the_logit_differs_by_what_its_levels_lose(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "bundle", graphs=False, int8=True)
    images = make_inputs(bundle, 3)
    engine = load_engine(bundle, "native")
    logits = engine.predict(images)
    means = measure_means(bundle, images) * read_head(bundle, "inverse_step")
    lost = np.abs(means - np.rint(means.clip(0, 255)))  # rounded, and those above 255 cut off
    weight, scale = read_head(bundle, "weight"), read_head(bundle, "sum_scale")
    bound = lost @ np.abs(weight.astype(np.float32)).T * scale + 1e-4
    for index in range(bundle.manifest.classes):
        found = engine.explain(images, index).mean(axis=(1, 2)) + read_head(bundle, "bias")[index]
        assert (np.abs(found - logits[:, index]) < bound[:, index]).all()


def test_the_torchscript_engine_has_the_same_maps(bundle: Bundle) -> None:
    images = make_inputs(bundle, 2)
    native, torchscript = (load_engine(bundle, name) for name in ("native", "torchscript"))
    for index in (0, bundle.manifest.classes - 1):
        assert np.array_equal(native.explain(images, index), torchscript.explain(images, index))


def test_concurrent_calls_do_not_disturb_each_other(bundle: Bundle) -> None:
    engine = load_engine(bundle, "native", threads=2)
    images = [make_inputs(bundle, 1, seed) for seed in range(8)]
    expected = [engine.explain(image, 2) for image in images]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda image: engine.explain(image, 2), images))
    assert all(np.array_equal(*pair) for pair in zip(found, expected, strict=True))


@pytest.mark.parametrize("options", VARIANTS)
def test_takes_no_more_memory_than_it_says(options: dict[str, Any], tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "bundle", graphs=False, **{**options, "image": 96})
    engine = load_engine(bundle, "native")
    images = make_inputs(bundle, 1)
    engine.explain(images, 0)
    tracemalloc.start()
    try:
        engine.explain(images, 0)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert engine.explain_bytes / 4 < peak < engine.explain_bytes + 65536  # Python's own


@pytest.mark.parametrize("index", [-1, 7, 10**9])
def test_a_class_that_is_not_there_is_refused(bundle: Bundle, index: int) -> None:
    engine = load_engine(bundle, "native")
    with pytest.raises(InvalidInput, match=f"expected a class from 0 to 6, found {index}"):
        engine.explain(make_inputs(bundle, 1), index)


def test_wrong_images_are_refused_as_by_predict(bundle: Bundle) -> None:
    for name in ("native", "torchscript"):
        with pytest.raises(InvalidInput, match="expected shape"):
            load_engine(bundle, name).explain(make_inputs(bundle, 1)[:, :, :8], 0)


def test_the_onnx_engine_says_that_it_cannot(bundle: Bundle) -> None:
    engines = {name: load_engine(bundle, name) for name in ENGINES}
    explains = {name: engine.explains for name, engine in engines.items()}
    assert explains == {"native": True, "torchscript": True, "onnx": False}
    with pytest.raises(NotExplainable, match=r"found onnx.*Use the native or the torchscript"):
        engines["onnx"].explain(make_inputs(bundle, 1), 0)
