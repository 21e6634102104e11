"""The accuracy of a bundle, measured through an engine, as the service would answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import torch

from models.data.augmentation import AT_A_TIME, COLOR_DRAWS, draw, jitter_colors, view_centre
from models.data.decoded import LabelledImages, decode_images
from models.data.image_files import ImageFiles
from models.errors import DataError
from models.evaluation.metrics import (
    calibration_error,
    measure,
    measure_classes,
    predict_logits,
    write_confusion,
)
from models.records.evaluation import Among, BundleAccuracy
from runtime import Engine, Manifest, Preprocessing

BATCH = 50  # images at a time
CHANGED = 0.01  # of an image's values, by one level of 256, to measure how stable answers are


def find_classes(manifest: Manifest) -> tuple[str, ...]:
    """The labels as the training data calls them; those of the manifest may be for people."""
    training = manifest.training or {}
    return tuple(training.get("classes", manifest.labels))[: manifest.classes]


def find_data_name(manifest: Manifest) -> str:
    """The name of the data that the network was trained on."""
    return str((manifest.training or {}).get("data", "unknown"))


def find_columns(
    manifest: Manifest, classes: Sequence[str], labels: Sequence[str] | None = None
) -> list[int]:
    """The bundle's column of each class of the data, by class or by the label's first name.

    Raises DataError if it lacks one.
    """
    names = [label.split(",")[0] for label in manifest.labels]  # of "tench, Tinca tinca"
    for wanted, known in ((classes, find_classes(manifest)), (labels or (), names)):
        if wanted and all(known.count(name) == 1 for name in wanted):
            return [known.index(name) for name in wanted]
    lacking = [name for name in labels or classes if names.count(name) != 1]
    raise DataError(
        f"expected data whose classes the bundle knows; it lacks {', '.join(lacking[:5])}. Give "
        f"the data that the network was trained on ({find_data_name(manifest)})."
    )


def measure_accuracy(
    engine: Engine,
    images: LabelledImages,
    batch: int = BATCH,
    progress: bool = True,
    confusion: Path | None = None,
    labels: Sequence[str] | None = None,
    preprocessing: Preprocessing | None = None,
) -> BundleAccuracy:
    """How a bundle answers. Writes the confusion table, if a path is given.

    labels: the data's names for people; preprocessing: if not the bundle's. Raises DataError if the
    bundle lacks a class.
    """
    manifest = engine.bundle.manifest
    columns = find_columns(manifest, images.classes, labels)

    spec = preprocessing or manifest.preprocessing
    logits = predict_by_engine(engine, images, spec, batch, progress)[:, : manifest.classes]
    truth = torch.tensor(columns)[images.labels]
    among = logits[:, columns]
    if confusion is not None:
        names = [manifest.labels[column] for column in columns]
        write_confusion(confusion, among, images.labels, names)
    few: Among | None = None
    if len(columns) < manifest.classes:
        best = measure(among, images.labels)
        few = Among(len(columns), best.top1, best.top5)
    temperature = manifest.temperature
    return BundleAccuracy(
        **asdict(measure(logits, truth)),
        balanced_top1=measure_classes(logits, truth),
        calibration_error=calibration_error(logits, truth),
        temperature=temperature,
        calibration_error_with_temperature=calibration_error(logits, truth, temperature),
        engine=f"{engine.name}/{engine.implementation}",
        among=few,
    )


def measure_stability(
    engine: Engine, images: LabelledImages, preprocessing: Preprocessing, progress: bool = True
) -> float:
    """Percent of the images with the same best label after a change that no eye sees."""
    labels = slice(engine.bundle.manifest.classes)  # without a logit for none of them
    before, after = (
        predict_by_engine(engine, seen, preprocessing, progress=progress)[:, labels].argmax(1)
        for seen in (images, change_levels(images))
    )
    return round(100 * (before == after).double().mean().item(), 2)


def predict_by_engine(
    engine: Engine,
    images: LabelledImages,
    preprocessing: Preprocessing,
    batch: int = BATCH,
    progress: bool = True,
) -> torch.Tensor:
    """All logits [N, manifest.logits] by an engine."""

    def predict(inputs: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(engine.predict(inputs.numpy()))

    return predict_logits(predict, images, preprocessing, batch=batch, progress=progress)


def change_levels(images: LabelledImages, share: float = CHANGED) -> LabelledImages:
    """The images with a `share` of their values one level up or down, the same at each call."""
    generator = torch.Generator().manual_seed(0)
    changed = []
    for pixels in images.pixels.split(AT_A_TIME):
        chance = torch.rand(pixels.shape, generator=generator)
        step = (chance < share / 2).short() - (chance > 1 - share / 2).short()
        changed.append((pixels.short() + step).clamp_(0, 255).to(torch.uint8))
    return replace(images, pixels=torch.cat(changed))


def decode_reduced(
    files: ImageFiles, spec: Preprocessing, side: int, progress: bool = False
) -> LabelledImages:
    """Images for `spec`; before, the centre square is reduced to `side` x `side` pixels."""
    small = replace(spec, resize=side, crop=side)
    images = decode_images(files, small, progress=progress)
    return replace(images, pixels=view_centre(images.pixels, spec))


def change_colors(images: LabelledImages, strength: float) -> LabelledImages:
    """The images with colour jitter (augmentation.jitter_colors), the same at each call."""
    draws = draw(len(images), torch.Generator().manual_seed(0), COLOR_DRAWS)
    parts = zip(images.pixels.split(AT_A_TIME), draws.split(AT_A_TIME), strict=True)
    return replace(images, pixels=torch.cat([jitter_colors(*part, strength) for part in parts]))
