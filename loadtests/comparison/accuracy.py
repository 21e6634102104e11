"""Accuracy through HTTP: the same labelled files to every service, folders named like labels."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from loadtests.clients.http_client import build_request
from loadtests.clients.images import is_image_file
from loadtests.command_line.progress import Progress
from loadtests.comparison.sides import Side
from loadtests.errors import ServerFault, WrongUsage

_ANSWER_SECONDS = 60.0
_SPLITS = ("test", "val")  # of a data set, the first one that is there


@dataclass(frozen=True)
class Labelled:
    """One file and the label it should get."""

    path: Path
    label: str


@dataclass(frozen=True)
class Accuracy:
    """How many of the files one service got right; `refused`: those it could not read."""

    images: int
    top1: int
    top5: int
    refused: int

    def format(self) -> str:
        """As tables have it."""
        return f"{self.top1 / self.images:.1%} / {self.top5 / self.images:.1%} of {self.images}"


def list_labelled(folder: Path) -> list[Labelled]:
    """DIR/test/LABEL/*, DIR/val/LABEL/* or DIR/LABEL/*; raises WrongUsage if there is none."""
    root = next((folder / split for split in _SPLITS if (folder / split).is_dir()), folder)
    found = [
        Labelled(path, path.parent.name) for path in sorted(root.glob("*/*")) if is_image_file(path)
    ]
    if not found:
        raise WrongUsage(
            f"--data: expected images in {root}/LABEL/, found none; name the folder above test/ "
            "or above the labels"
        )
    return found


async def measure_accuracy(
    side: Side, files: Sequence[Labelled], progress: Progress
) -> Accuracy | None:
    """Asks for every file once; None if the model does not know all the labels.

    Raises ServerFault for an answer that is neither a classification nor a refusal of the file.
    """
    if not {file.label for file in files} <= set(side.facts.labels):
        return None
    top1 = top5 = refused = 0
    side.pool.close()  # it has been idle: the server may be about to close what is open
    for number, file in enumerate(files, 1):
        if number % 50 == 0:
            progress.show(f"{side.name}: accuracy, {number}/{len(files)}")
        request = build_request("POST", "/classify?top_k=5", file.path.read_bytes())
        connection = await side.pool.take(_ANSWER_SECONDS)
        answer = await connection.exchange(request.data, _ANSWER_SECONDS)
        side.pool.give_back(connection)
        if answer.status in (413, 415, 422):
            refused += 1
            continue
        if answer.status != 200:
            raise ServerFault(
                f"{side.name}: expected 200 for {file.path.name}, found {answer.status}"
            )
        labels = [item["label"] for item in json.loads(answer.body)["predictions"]]
        top1 += labels[0] == file.label
        top5 += file.label in labels
    return Accuracy(len(files), top1, top5, refused)
