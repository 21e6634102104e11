"""models.tflite.convert: bundles that answer as TensorFlow Lite does, errors that leave nothing."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from models.data.augmentation import normalize
from models.data.decoded import decode_images
from models.data.image_files import ImageFiles
from models.evaluation.accuracy import decode_reduced, measure_accuracy
from models.tflite.convert import import_tflite
from models.tflite.network import join_parts
from models.tflite.reader import read_tflite
from runtime import (
    Bundle,
    EngineUnavailable,
    decode_image,
    load_engine,
    preprocess,
    resize_and_crop,
)
from tests.models.images import open_real_copy
from tests.models.tflite_files import CLASSES, LABELS, SIDE, cut, make_file
from tests.models.tflite_reference import compute_logits

WHOLE = 224  # the images are squashed to it: no margin to crop
# What TensorFlow Lite answers with mobilenet_v1_1.0_224: index, label, score.
ANSWERS = {
    "cat": (285, "Egyptian cat", 0.95),
    "parrot": (88, "macaw", 1.0),
    "hot_dog": (934, "hotdog, hot dog, red hot", 0.99),
    "bird": (19, "chickadee", 0.99),
    "dragonfly": (319, "dragonfly, ", 0.9),
    "sunflower": (985, "daisy", 0.88),
    "pets": (195, "Boston bull, ", 0.62),
    "owl": (83, "prairie chicken, ", 0.36),
}
NETWORKS = {
    "1.0_224": (
        "mobilenet_v1_1.0_224_quant_embedding_extractor.tflite",
        "mobilenet_quant_v1_224_head_layers.tflite",
    ),
    "0.75_192": ("mobilenet_v1_0.75_192_quant.tflite",),
    "0.5_160": ("mobilenet_v1_0.5_160_quant.tflite",),
    "0.25_128": ("mobilenet_v1_0.25_128_quant.tflite",),
}
# The photos that smaller networks answer otherwise.
MISTAKES = {
    "1.0_224": set(),
    "0.75_192": {"owl"},
    "0.5_160": {"owl"},
    "0.25_128": {"dragonfly", "hot_dog", "owl", "pets"},
}

BIRDS = {*range(7, 25), *range(80, 101), *range(127, 147)}
# The classes of ImageNet that are of the kind of thing on a photo.
KINDS = {
    "bird": BIRDS,
    "cat": set(range(281, 286)),
    "dragonfly": set(range(300, 327)),  # insects
    "hot_dog": set(range(924, 970)),  # food and fruit
    "owl": BIRDS,
    "parrot": BIRDS,
    "pets": set(range(151, 269)),  # dogs
    "sunflower": {985, 986},  # flowers
}


def write_network(rng: np.random.Generator, folder: Path) -> list[Path]:
    """A tiny network in two files, and its labels beside them."""
    (folder / "imagenet_labels.txt").write_text("\n".join(LABELS) + "\n")
    halves = cut(make_file(rng), after=3)
    names = ("tiny_quant_features.tflite", "head.tflite")
    return [half.write(folder / name) for half, name in zip(halves, names, strict=True)]


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    exponentials = np.exp(logits.astype(np.float64) - logits.max())
    return np.asarray(exponentials / exponentials.sum())


def test_background_is_dropped_and_the_rest_keeps_its_order(
    rng: np.random.Generator, tmp_path: Path
) -> None:
    files = write_network(rng, tmp_path)
    pixels = rng.integers(0, 256, (8, 3, SIDE, SIDE), np.uint8)
    expected = compute_logits(join_parts([read_tflite(file) for file in files]), pixels)
    _, int8 = import_tflite(files, tmp_path / "out")
    logits = load_engine(int8).predict((pixels.astype(np.float32) - 128) / 128)
    assert logits.shape == (8, CLASSES - 1)
    units = np.rint(logits / 0.05) + 100
    assert np.abs(units - expected[:, 1:]).max() <= 1


def test_labels_without_background_are_all_kept(rng: np.random.Generator, tmp_path: Path) -> None:
    files = write_network(rng, tmp_path)
    labels = tmp_path / "mine.txt"
    labels.write_text("ä\nb\nc\nd\ne", "utf-8")
    for bundle in import_tflite(files, tmp_path / "out", labels):
        assert bundle.manifest.labels == ("ä", "b", "c", "d", "e")


def test_importing_again_replaces_the_bundles(rng: np.random.Generator, tmp_path: Path) -> None:
    files = write_network(rng, tmp_path)
    one, two = (import_tflite(files, tmp_path / "out") for _ in range(2))
    assert [bundle.manifest for bundle in one] == [bundle.manifest for bundle in two]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["float", "int8"]


def test_network_that_does_not_run_is_not_written(
    rng: np.random.Generator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = write_network(rng, tmp_path)

    def refuse(bundle: Bundle, engine: str) -> Any:
        if bundle.manifest.name.endswith("int8"):
            raise EngineUnavailable("refused")
        return load_engine(bundle, engine)

    monkeypatch.setattr("models.export.stored_answers.load_engine", refuse)
    with pytest.raises(EngineUnavailable):
        import_tflite(files, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def imported(
    mobilenet_v1: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], list[Bundle]]:
    """(float, int8) of one of Google's networks."""
    done: dict[str, list[Bundle]] = {}

    def find(name: str) -> list[Bundle]:
        if name not in done:
            out = tmp_path_factory.mktemp("google") / name
            done[name] = import_tflite([mobilenet_v1 / file for file in NETWORKS[name]], out)
        return done[name]

    return find


def predict_photos(bundle: Bundle, photos: Path, names: Sequence[str]) -> NDArray[np.float32]:
    engine = load_engine(bundle, "onnx")
    images = [decode_image((photos / f"{name}.jpg").read_bytes()) for name in names]
    return engine.predict(np.stack([preprocess(i, bundle.manifest.preprocessing) for i in images]))


@pytest.mark.parametrize("name", NETWORKS)
def test_photos_are_recognised(
    imported: Callable[[str], list[Bundle]], photos: Path, name: str
) -> None:
    """By float and by int8."""
    names = list(ANSWERS)
    for bundle in imported(name):
        best = predict_photos(bundle, photos, names).argmax(1)
        right = {n for n, i in zip(names, best, strict=True) if i == ANSWERS[n][0]}
        assert right == ANSWERS.keys() - MISTAKES[name]
        for photo in right:
            index, label, _ = ANSWERS[photo]
            assert bundle.manifest.labels[index].startswith(label)


@pytest.mark.parametrize(
    ("name", "side", "mistakes"),
    [
        ("1.0_224", 256, set()),
        ("1.0_224", 128, set()),
        ("1.0_224", 64, {"dragonfly", "hot_dog", "owl"}),
        ("0.25_128", 64, {"dragonfly", "hot_dog", "owl", "sunflower"}),
    ],
)
def test_kinds_of_things_on_reduced_photos(
    imported: Callable[[str], list[Bundle]], photos: Path, name: str, side: int, mistakes: set[str]
) -> None:
    """What a model that sees 64 pixels can be asked for; from 128 on 1.0 has all (NOTES.md)."""
    names = tuple(KINDS)
    files = ImageFiles(
        names, tuple(range(len(names))), names, lambda i: (photos / f"{names[i]}.jpg").read_bytes()
    )
    _, int8 = imported(name)
    engine, spec = load_engine(int8, "onnx"), int8.manifest.preprocessing
    inputs = normalize(decode_reduced(files, spec, side).pixels, spec)
    answers = engine.predict(inputs.numpy()).argmax(1)
    assert {n for n, i in zip(names, answers, strict=True) if i not in KINDS[n]} == mistakes


def test_scores_are_those_of_tensorflow_lite(
    imported: Callable[[str], list[Bundle]], photos: Path
) -> None:
    names = list(ANSWERS)
    for bundle, tolerance in zip(imported("1.0_224"), (0.05, 0.006), strict=True):
        for photo, logits in zip(names, predict_photos(bundle, photos, names), strict=True):
            index, _, score = ANSWERS[photo]
            assert abs(softmax(logits)[index] - score) < tolerance, photo


def test_int8_bundle_computes_googles_integers(
    imported: Callable[[str], list[Bundle]], mobilenet_v1: Path, photos: Path
) -> None:
    """One unit of the logits' scale is the most that rounding changes."""
    names = list(ANSWERS)
    _, int8 = imported("0.25_128")
    layers = read_tflite(mobilenet_v1 / NETWORKS["0.25_128"][0]).layers
    spec = int8.manifest.preprocessing
    images = [decode_image((photos / f"{name}.jpg").read_bytes()) for name in names]
    pixels = np.stack([np.asarray(resize_and_crop(image, spec)) for image in images])
    expected = compute_logits(layers, pixels.transpose(0, 3, 1, 2))[:, 1:]
    quantization = layers[-1].output.quantization
    logits = predict_photos(int8, photos, names)
    units = np.rint(logits / quantization.scale) + quantization.zero_point
    assert np.abs(units - expected).max() <= 1
    assert (units == expected).mean() > 0.9


def test_preprocessing_is_scaled_to_the_input(imported: Callable[[str], list[Bundle]]) -> None:
    for name, resize in (("1.0_224", 256), ("0.75_192", 219), ("0.25_128", 146)):
        for bundle in imported(name):
            spec = bundle.manifest.preprocessing
            assert (spec.resize, spec.crop) == (resize, int(name[-3:]))
            assert spec.mean == spec.std == (128, 128, 128)
            assert len(bundle.manifest.labels) == 1000


def test_parameters_are_those_of_the_paper(imported: Callable[[str], list[Bundle]]) -> None:
    """4,222,057 weights and biases, less those of the background class."""
    for bundle in imported("1.0_224"):
        assert bundle.manifest.architecture["parameters"] == 4_222_057 - 1025
        assert bundle.manifest.architecture["convolutions"] == 28


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "right", "right_among"),
    [("imagenette", 342, 485), ("imagenette+imagewoof", 669, 938)],
)
def test_accuracy_on_images_it_has_not_seen(
    imported: Callable[[str], list[Bundle]], name: str, right: int, right_among: int
) -> None:
    """Of the ImageNet validation images in $BNN_DATA, as TensorFlow Lite answers them."""
    opened = open_real_copy(name)
    assert opened.test is not None
    engine = load_engine(imported("1.0_224")[1], "onnx")
    spec = replace(engine.bundle.manifest.preprocessing, resize=WHOLE)
    images = decode_images(opened.test, spec)
    figures = measure_accuracy(
        engine, images, labels=opened.labels, preprocessing=spec, progress=False
    )
    count = figures["images"] / 100
    assert abs(figures["top1"] * count - right) <= 2
    assert abs(figures["among"]["top1"] * count - right_among) <= 2
