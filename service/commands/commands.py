"""The shell commands without a server: load a model, print settings, make a key."""

import sys
from dataclasses import asdict
from pathlib import Path

from runtime import Level, RuntimeFault, load_engine, run_self_test
from service.access.key_file import make_key
from service.classification.classifier import (
    Classifier,
    InvalidCertainty,
    InvalidTopK,
    NoHierarchy,
)
from service.messages.logs import escape_controls
from service.messages.output import print_bytes, print_error, print_json, print_line, print_note
from service.settings.settings import InvalidSettings, Settings, read_configuration
from service.settings.toml_file import format_value
from service.system.versions import DISTRIBUTION, read_versions


class CommandFailed(Exception):
    """A command failed; `status` is its exit status."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


def print_version() -> int:
    """Prints name and version of the program; returns 0."""
    print_line(f"{DISTRIBUTION} {read_versions()['service']}")
    return 0


def print_configuration(config: Path | None) -> int:
    """Prints the effective settings as a settings file, with the origin of each one. Returns 0.

    Raises InvalidSettings, also for text that a TOML file cannot hold.
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


def print_new_key(
    name: str, rate: float | None, burst: float | None, change_models: bool = False
) -> int:
    """Prints a new API key to standard error and its lines of the keys file to standard output.

    Returns 0, or 2 if the arguments are not allowed.
    """
    try:
        key, lines = make_key(name, rate, burst, change_models)
    except ValueError as fault:
        return _fail(str(fault), 2)
    print_line(lines)
    print_note(f"key for {name}, shown only once: {key}")
    return 0


def print_sample_image() -> int:
    """Writes a drawn image as a JPEG to standard output; returns 0, or 2 if that is a terminal."""
    if sys.stdout is not None and sys.stdout.isatty():
        return _fail(
            "expected a file for the JPEG; found a terminal. Name one: sample-image > sample.jpg", 2
        )
    from service.commands.sample_image import draw_sample_image

    print_bytes(draw_sample_image())
    return 0


def check_engine(settings: Settings, as_json: bool) -> int:
    """Prints how the engine's logits of the bundle's stored images compare with the stored ones.

    Returns 0 if they are right, else 1, also if the bundle stores none.
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
    """Loads the settings' model; and the number of classes to show: `top_k`, or the default.

    A note on standard error tells that the model is untrained. Raises CommandFailed.
    """
    try:
        engine = load_engine(settings.bundle, settings.engine, settings.threads)
    except RuntimeFault as fault:
        raise CommandFailed(str(fault), 1) from fault
    classifier = Classifier(engine, settings.image_limits)
    try:
        count = classifier.resolve_top_k(top_k)
    except InvalidTopK as fault:
        raise CommandFailed(f"--top-k: {fault}", 2) from fault
    if not classifier.manifest.trained:
        print_note("note: the model is untrained; its labels mean nothing")
    return classifier, count


def find_level(classifier: Classifier, certainty: float | None) -> Level | None:
    """The level of --certainty; None: there is none. Raises CommandFailed."""
    try:
        return None if certainty is None else classifier.find_level(certainty)
    except NoHierarchy as fault:
        raise CommandFailed(str(fault), 2) from fault
    except InvalidCertainty as fault:
        raise CommandFailed(f"--certainty: {fault}", 2) from fault


def _fail(message: str, status: int = 1) -> int:
    print_error(message)
    return status
