"""`python -m service classify`: labels and scores of files, without a server."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from runtime import InvalidImage, RuntimeFault, load_engine
from service.classifier import DEFAULT_TOP_K, Classifier, Prediction
from service.inference import NO_MEMORY
from service.logs import escape_controls
from service.problems import describe_image_fault
from service.settings import Settings


def classify_files(
    settings: Settings, files: Sequence[Path], top_k: int | None, as_json: bool
) -> int:
    """Prints one line per file; bad files are reported and the others go on.

    Returns 0, or 1 if a file or the model could not be used, or 2 for an impossible `top_k`.
    """
    try:
        engine = load_engine(settings.bundle, settings.engine, settings.threads)
    except RuntimeFault as fault:
        return _fail(str(fault))
    classifier = Classifier(engine, settings.image_limits)
    classes = len(classifier.manifest.labels)
    if top_k is not None and not 1 <= top_k <= classes:
        return _fail(f"--top-k: expected 1 to {classes}, the model's classes; found {top_k}.", 2)
    if not classifier.manifest.trained:
        print("note: the model is untrained; its labels mean nothing", file=sys.stderr)
    count = top_k or min(DEFAULT_TOP_K, classes)
    statuses = [_classify_file(classifier, settings, file, count, as_json) for file in files]
    return max(statuses)


def _classify_file(
    classifier: Classifier, settings: Settings, file: Path, top_k: int, as_json: bool
) -> int:
    try:
        with file.open("rb") as stream:
            data = stream.read(settings.max_body_bytes + 1)
        picture = classifier.prepare(data)
    except OSError as fault:
        return _report_bad_file(file, "unreadable", fault.strerror or str(fault), as_json)
    except MemoryError:
        return _report_bad_file(file, "out_of_memory", NO_MEMORY, as_json)
    except InvalidImage as fault:
        return _report_bad_file(file, describe_image_fault(fault).code, str(fault), as_json)
    logits, seconds = classifier.infer(picture.tensor[np.newaxis], settings.threads)
    predictions = classifier.rank(logits[0], top_k)
    engine = classifier.engine
    if as_json:
        _print_json(
            {
                "file": str(file),
                "predictions": [asdict(item) for item in predictions],
                "model": classifier.manifest.name,
                "trained": classifier.manifest.trained,
                "engine": f"{engine.name}/{engine.implementation}",
                "infer_ms": round(seconds * 1000, 3),
            }
        )
    else:
        line = f"{file}: {', '.join(_describe(item) for item in predictions)}"
        print(escape_controls(line))
    return 0


def _describe(prediction: Prediction) -> str:
    return f"{prediction.label} {prediction.score:.3f}"


def _report_bad_file(file: Path, code: str, detail: str, as_json: bool) -> int:
    if as_json:
        _print_json({"file": str(file), "error": {"code": code, "detail": detail}})
    return _fail(f"{file}: {detail}")


def _print_json(content: dict[str, Any]) -> None:
    print(json.dumps(content, ensure_ascii=False))


def _fail(message: str, status: int = 1) -> int:
    print(f"error: {escape_controls(message)}", file=sys.stderr)
    return status
