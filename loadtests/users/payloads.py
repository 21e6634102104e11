"""What users send: images of several sizes in proportions, or raw tensors, made before a test."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from loadtests.clients.images import (
    CONTENT_TYPE,
    SIZES,
    EncodedImage,
    generate_images,
    generate_jpegs,
    read_photos,
)
from loadtests.errors import WrongUsage

MIXED = "mixed"  # small ones in three formats
MIXED_COUNT, SIZE_COUNT = 9, 3


@dataclass(frozen=True)
class Payload:
    """A request that is sent again and again; `name` is its row in Locust's statistics."""

    name: str
    path: str
    body: bytes
    headers: Mapping[str, str]


def parse_sizes(text: str) -> dict[str, int]:
    """`web=3,phone`: three of the one to one of the other. Raises WrongUsage."""
    weights: dict[str, int] = {}
    for item in text.split(","):
        size, equals, weight = item.strip().partition("=")
        known = size in SIZES or size == MIXED
        if not known or size in weights or (equals and (not weight.isdecimal() or weight == "0")):
            raise WrongUsage(
                f"expected --sizes as web=3,phone with sizes of {', '.join([*SIZES, MIXED])}, each "
                f"once, with whole weights; found {item!r}"
            )
        weights[size] = int(weight) if equals else 1
    return weights


def build_payload(image: EncodedImage, form: bool, top_k: int, name: str = "/classify") -> Payload:
    """POST /classify as a form, or with the bare file."""
    body = image.body if form else image.data
    kind = CONTENT_TYPE if form else "application/octet-stream"
    return Payload(name, f"/classify?top_k={top_k}", body, {"Content-Type": kind})


def make_payloads(
    sizes: str, count: int | None, seed: int, photos: str, form: bool, top_k: int
) -> list[Payload]:
    """Those of a folder, or generated ones: a pass over the list has every weight exactly.

    Raises WrongUsage for sizes that are none, FileNotFoundError for a folder without images.
    """
    if photos:
        return [build_payload(image, form, top_k) for image in read_photos(Path(photos))]
    weights = parse_sizes(sizes)
    groups = {size: _make_group(size, count, seed) for size in weights}
    named = len(weights) > 1
    payloads = {
        size: [
            build_payload(image, form, top_k, f"/classify {size}" if named else "/classify")
            for image in group
        ]
        for size, group in groups.items()
    }
    return _mix(payloads, weights, seed)


def _make_group(size: str, count: int | None, seed: int) -> Sequence[EncodedImage]:
    if count is not None and count < 1:
        raise WrongUsage(f"expected at least 1 for --image-count, found {count}")
    if size == MIXED:
        return generate_images(seed, count or MIXED_COUNT)
    return generate_jpegs(seed, count or SIZE_COUNT, SIZES[size])


def _mix(
    payloads: Mapping[str, Sequence[Payload]], weights: Mapping[str, int], seed: int
) -> list[Payload]:
    """Rounds in which every size comes as often as it weighs; one size keeps its order."""
    rounds = max(len(group) for group in payloads.values())
    if len(payloads) == 1:
        return list(next(iter(payloads.values())))
    shuffle, deck = random.Random(seed).shuffle, []
    for number in range(rounds):
        part = [
            group[(number * weights[size] + index) % len(group)]
            for size, group in payloads.items()
            for index in range(weights[size])
        ]
        shuffle(part)
        deck += part
    return deck
