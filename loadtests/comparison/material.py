"""What a comparison sends, made before any clock is started, and what a report says about it."""

import argparse
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from loadtests.clients.images import SIZES, EncodedImage, generate_jpegs, read_photos
from loadtests.clients.requests import build_classify
from loadtests.comparison.accuracy import Labelled, list_labelled

PHOTOS, PHONES = 8, 2


@dataclass
class Material:
    """What is sent, made before any clock is started."""

    photos: Sequence[EncodedImage]
    phone: Sequence[EncodedImage]
    labelled: Sequence[Labelled] = ()

    @property
    def bodies(self) -> list[bytes]:
        """The requests of the photos."""
        return [build_classify(image, form=False).data for image in self.photos]

    @property
    def phone_bodies(self) -> list[bytes]:
        """The requests of the phone's photos."""
        return [build_classify(image, form=False).data for image in self.phone]


def make_material(options: argparse.Namespace, with_phone: bool) -> Material:
    """By the command line. Raises WrongUsage, FileNotFoundError."""
    labelled = list_labelled(options.data) if options.data else ()
    photos = (
        read_photos(options.photos)
        if options.photos
        else generate_jpegs(options.seed, PHOTOS, SIZES["photo"])
    )
    phone = generate_jpegs(options.seed, PHONES, SIZES["phone"]) if with_phone else ()
    return Material(photos, phone, labelled)


def describe_material(options: argparse.Namespace, material: Material) -> str:
    """A paragraph: what is the same for all sides, and what they are sent."""
    photos = f"the photos in {options.photos.name}/" if options.photos else "generated photos"
    width, height = SIZES["photo"]
    size = "" if options.photos else f" of {width}x{height} pixels"
    phone = ", and generated ones of 12 megapixels" if material.phone else ""
    return (
        "All sides are the same code with the same settings, on the same CPU; only the bundle and "
        "its engine differ. libjpeg-turbo is kept to SSE2: with AVX2 its time hangs on where a "
        "process happens to have its buffers. So decoding, which is the same for all, is a little "
        f"slower than it can be. Images: {photos}{size}{phone}; the same "
        f"requests for all. Of each side {options.repeats} turns of {options.seconds:g} s in the "
        f"order A B B A, each after {options.warm_up:g} s that do not count: medians [lowest, "
        f"highest].{_describe_labelled(options, material)}"
    )


def _describe_labelled(options: argparse.Namespace, material: Material) -> str:
    if not material.labelled:
        return ""
    counts = Counter(file.label for file in material.labelled)
    shown = ", ".join(f"{count} {label}" for label, count in sorted(counts.items()))
    return f" Labelled images in {options.data.name}/: {len(material.labelled)} ({shown})."
