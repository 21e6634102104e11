"""What the program does in the shell, without a server: classify files, print settings, a key."""

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from runtime import InvalidImage, RuntimeFault, load_engine, run_self_test
from service.classifier import DEFAULT_TOP_K, Classifier, Prediction
from service.key_file import make_key
from service.logs import escape_controls
from service.output import print_bytes, print_error, print_json, print_line, print_note
from service.problems import NO_MEMORY, describe_image_fault
from service.settings import InvalidSettings, Settings, read_configuration
from service.toml_file import format_value
from service.versions import DISTRIBUTION, read_versions


class CommandFailed(Exception):
    """A command cannot do what it was asked for; `status` is its exit status."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


def print_version() -> int:
    """Prints name and version of the program; returns 0."""
    print_line(f"{DISTRIBUTION} {read_versions()['service']}")
    return 0


def print_configuration(config: Path | None) -> int:
    """Prints the effective settings as a settings file that says where each one comes from.

    Returns 0. Raises InvalidSettings, also for text that no TOML file can hold.
    """
    configuration = read_configuration(config)
    lines = ["# The effective settings; a file for --config."]
    for field, origin in configuration.origins.items():
        value = getattr(configuration.settings, field)
        try:
            line = f"# {field} is not set" if value is None else f"{field} = {format_value(value)}"
        except ValueError as fault:
            raise InvalidSettings(
                f"{origin.name}: expected Unicode, which TOML can hold; found {str(value)!r}"
            ) from fault
        lines.append(f"{line}  # {escape_controls(str(origin))}")
    print_line("\n".join(lines))
    return 0


def print_new_key(name: str, rate: float | None, burst: float | None) -> int:
    """Prints a new API key to standard error and its lines of the keys file to standard output.

    Returns 0, or 2 if the arguments are not allowed.
    """
    try:
        key, lines = make_key(name, rate, burst)
    except ValueError as fault:
        return _fail(str(fault), 2)
    print_line(lines)
    print_note(f"key for {name}, shown this once: {key}")
    return 0


def print_sample_image() -> int:
    """Writes a drawn image as a JPEG to standard output; returns 0, or 2 if that is a terminal."""
    if sys.stdout is not None and sys.stdout.isatty():
        return _fail(
            "expected a file for the JPEG; found a terminal. Name one: sample-image > sample.jpg", 2
        )
    from service.sample_image import draw_sample_image

    print_bytes(draw_sample_image())
    return 0


def check_engine(settings: Settings, as_json: bool) -> int:
    """Prints how the engine's logits of the bundle's stored images compare with the stored ones.

    Returns 0 if they are as they should be, else 1: also where the bundle stores none.
    """
    try:
        found = run_self_test(load_engine(settings.bundle, settings.engine, settings.threads))
    except RuntimeFault as fault:
        return _fail(str(fault))
    if as_json:
        print_json(asdict(found))
    else:
        print_line(f"{found.engine}/{found.implementation}: {found.verdict}. {found.reason}")
    return 0 if found.verdict in ("exact", "within bound") else 1


def load_classifier(settings: Settings, top_k: int | None) -> tuple[Classifier, int]:
    """The settings' model, ready, and how many classes to show of it: `top_k`, or the default.

    Notes on standard error that the model is untrained. Raises CommandFailed.
    """
    try:
        engine = load_engine(settings.bundle, settings.engine, settings.threads)
    except RuntimeFault as fault:
        raise CommandFailed(str(fault), 1) from fault
    classifier = Classifier(engine, settings.image_limits)
    classes = len(classifier.manifest.labels)
    if top_k is not None and not 1 <= top_k <= classes:
        raise CommandFailed(
            f"--top-k: expected 1 to {classes}, the model's classes; found {top_k}.", 2
        )
    if not classifier.manifest.trained:
        print_note("note: the model is untrained; its labels mean nothing")
    return classifier, top_k or min(DEFAULT_TOP_K, classes)


def classify_files(
    settings: Settings, files: Sequence[Path], top_k: int | None, as_json: bool
) -> int:
    """Prints one line per file; bad files are reported and the others go on.

    Returns 0, or 1 if a file or the model could not be used, or 2 for an impossible `top_k`.
    """
    try:
        classifier, count = load_classifier(settings, top_k)
    except CommandFailed as fault:
        return _fail(str(fault), fault.status)
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
    if as_json:
        print_json(
            {
                "file": str(file),
                "predictions": [asdict(item) for item in predictions],
                "model": classifier.manifest.name,
                "trained": classifier.manifest.trained,
                "engine": classifier.engine_name,
                "infer_ms": round(seconds * 1000, 3),
            }
        )
    else:
        line = f"{file}: {', '.join(_describe(item) for item in predictions)}"
        print_line(escape_controls(line))
    return 0


def _describe(prediction: Prediction) -> str:
    return f"{prediction.label} {prediction.score:.3f}"


def _report_bad_file(file: Path, code: str, detail: str, as_json: bool) -> int:
    if as_json:
        print_json({"file": str(file), "error": {"code": code, "detail": detail}})
    return _fail(f"{file}: {detail}")


def _fail(message: str, status: int = 1) -> int:
    print_error(message)
    return status
