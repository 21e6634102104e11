"""Images that are held back from training: to validate on, or to test on."""

from __future__ import annotations

from dataclasses import replace

from models.data.datasets import DataSet
from models.data.image_files import ImageFiles
from models.errors import DataError


def split_off(files: ImageFiles, share: float) -> tuple[ImageFiles, ImageFiles]:
    """(rest, held-out images, about `share`), per class, chosen by the images' content alone.

    A later training on the same classes, with another seed, other names or a few more images,
    holds the same ones back: its initial weights have not learned them. Copies of an image stay
    together. Both have an image of every class; a class with a single image stays in the rest.
    """
    members: dict[int, dict[bytes, list[int]]] = {}
    for i, label in enumerate(files.labels):
        members.setdefault(label, {}).setdefault(files.digest(i), []).append(i)
    out: set[int] = set()
    for images in members.values():
        wanted = max(1, round(share * sum(map(len, images.values()))))
        held: list[bytes] = []
        for digest in sorted(images):
            if len(images[digest]) <= wanted and len(held) < len(images) - 1:
                held.append(digest)
                wanted -= len(images[digest])
        if not held and len(images) > 1:  # of nothing but many copies
            held.append(min(images, key=lambda digest: (len(images[digest]), digest)))
        out.update(i for digest in held for i in images[digest])
    return files.select([i for i in range(len(files)) if i not in out]), files.select(sorted(out))


def hold_back(data: DataSet, share: float) -> DataSet:
    """The set with a validation split, which is a `share` of train if there was none.

    Copies of validation and test images are left out of train, copies of test images out of
    validation. Raises DataError if nothing of a class is left to train on.
    """
    test = [data.test] if data.test is not None else []
    if data.validation is not None and len(data.validation):
        validation = data.validation.without(*test)
        train = data.train.without(validation, *test)
    else:
        train, validation = split_off(data.train.without(*test), share)
    if empty := [name for name, count in train.counts().items() if not count]:
        raise DataError(
            f"{data.name}: expected, for every class, training images that are not also "
            f"validation or test images; found none for: {', '.join(empty[:5])}. Add images to "
            "these classes, or remove their folders."
        )
    return replace(data, train=train, validation=validation)
