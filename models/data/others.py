"""Classes whose images show none of a network's labels, by their names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from models.data.datasets import DataSet
from models.data.image_files import ImageFiles, relabel

OTHER = "other"  # of a training: the network's last logit is for it
FAR = ("far", OTHER)  # kinds of things that no label resembles
NEAR = ("near",)  # such as a wolf where a dog is a label
OTHERS = (*FAR, *NEAR)


def leave_out_others(data: DataSet, labels: Sequence[str]) -> DataSet:
    """The set without the classes of OTHERS, but for those that a network has as `labels`."""
    classes = data.train.classes
    kept = [i for i, name in enumerate(classes) if name in labels or name not in OTHERS]
    names = tuple(classes[i] for i in kept)
    return replace(
        data,
        train=keep_classes(data.train, names),
        validation=None if data.validation is None else keep_classes(data.validation, names),
        test=None if data.test is None else keep_classes(data.test, names),
        labels=tuple(data.labels[i] for i in kept),
    )


def keep_classes(files: ImageFiles, names: tuple[str, ...]) -> ImageFiles:
    """The images of these classes alone, their labels counted in them."""
    chosen = [i for i, label in enumerate(files.labels) if files.classes[label] in names]
    return relabel(files.select(chosen), names, "")
