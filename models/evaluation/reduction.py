"""How decoding at reduced scale changes a bundle's answers, photo by photo."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from models.data.image_files import ImageFiles
from models.data.packs import LIMITS
from models.errors import DataError
from models.evaluation.accuracy import find_columns
from runtime import (
    Bundle,
    Engine,
    ImageReader,
    InvalidImage,
    Preprocessing,
)
from runtime.bundle import check_replaceable, write_bundle

MARGIN = 1.0  # between the best and the second logit; above it answers should stay
_DIGITS = 4


def measure_reduction(
    engine: Engine,
    files: ImageFiles,
    reduce: float,
    labels: Sequence[str] | None = None,
    progress: bool = True,
) -> dict[str, Any]:
    """How the answers to photos differ from those of the bundle's own decoding.

    "top1" and "top1_reduced" in percent; "gained" and "lost" right answers; "same" answers in
    percent; those whose "margin" was above MARGIN, and how many of them stayed; the root mean
    square of the logits' "movement", and of their "deviation" from their mean, to compare it with.
    Raises DataError: a class that the bundle lacks, a file that cannot be read.
    """
    spec = engine.bundle.manifest.preprocessing
    columns = find_columns(engine.bundle.manifest, files.classes, labels)
    truth = np.array(columns)[np.array(files.labels)]
    full, reduced = ImageReader(spec, LIMITS), ImageReader(replace(spec, reduce=reduce), LIMITS)
    before, after, shorter, scaled = [], [], [], 0
    for i in tqdm(range(len(files)), "comparing", disable=None if progress else True, unit="img"):
        data = files.read(i)
        try:
            plan = reduced.plan(data)
            tensors = np.stack([full.read_tensor(data), reduced.read_tensor(data)])
        except InvalidImage as fault:
            raise DataError(f"{files.names[i]}: {fault}") from fault
        logits = engine.predict(tensors)
        before.append(logits[0])
        after.append(logits[1])
        shorter.append(min(plan.width, plan.height))
        scaled += plan.scale > 1
    labelled = slice(engine.bundle.manifest.classes)
    old, new = (np.array(logits, np.float64)[:, labelled] for logits in (before, after))
    ordered = np.sort(old, axis=1)
    sure = ordered[:, -1] - ordered[:, -2] > MARGIN
    stays = old.argmax(1) == new.argmax(1)
    was_right, is_right = old.argmax(1) == truth, new.argmax(1) == truth
    spread = old - old.mean(axis=1, keepdims=True)
    return {
        "images": len(files),
        "sha256": files.sha256(),
        "median_shorter_side": float(np.median(shorter)),
        "scaled": int(scaled),
        "top1": round(100 * float(was_right.mean()), _DIGITS),
        "top1_reduced": round(100 * float(is_right.mean()), _DIGITS),
        "gained": int((is_right & ~was_right).sum()),
        "lost": int((was_right & ~is_right).sum()),
        "same": round(100 * float(stays.mean()), _DIGITS),
        "margin": {"above": MARGIN, "images": int(sure.sum()), "same": int(stays[sure].sum())},
        "movement": round(float(np.sqrt(((new - old) ** 2).mean())), _DIGITS),
        "deviation": round(float(np.sqrt((spread**2).mean())), _DIGITS),
        "engine": f"{engine.name}/{engine.implementation}",
    }


def reduce_bundle(bundle: Bundle, reduce: float, record: dict[str, Any], out: Path) -> Bundle:
    """Writes the bundle again with preprocessing.reduce and the record of measure_reduction.

    Raises FileExistsError, InvalidManifest.
    """
    check_replaceable(out)
    spec: Preprocessing = replace(bundle.manifest.preprocessing, reduce=reduce)
    manifest = replace(bundle.manifest, preprocessing=spec, reduction=record)
    return write_bundle(out, manifest, {name: bundle.path / name for name in manifest.files})
