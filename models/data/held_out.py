"""Lists of held-out images: which file of which repository is in which half, and its sha256.

One half, `validation`, serves to choose and fit a model, the other one, `figures`, to measure it.
The list is made before any training, and then says what the set is: a file that differs from it
is an error, not another set.
"""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from models.data.collect import QUALITY, Taken, list_clones, make_files
from models.data.git_files import open_reader
from models.data.image_files import ImageFiles
from models.data.near_copies import find_near_copies, find_repeats, hash_files
from models.data.packs import encode_anew
from models.data.sources import Sources
from models.errors import DataError, IncompleteData

HALVES = {"validation": "val", "figures": "test"}  # half -> the part of a set that holds it
SHOWN = 5  # differences that an error lists


@dataclass(frozen=True)
class HeldOut:
    """One image: `path` in the repository, hex sha256 of the file there."""

    repository: str
    path: str
    sha256: str
    class_name: str
    half: str


COLUMNS = tuple(field.name for field in fields(HeldOut))


def drop_near_copies(
    images: Sequence[Taken], others: Sequence[ImageFiles]
) -> tuple[list[Taken], Counter[str]]:
    """Those that nearly repeat neither an earlier one nor an image of the others; why others went.

    Raises DamagedImages.
    """
    hashes = hash_files(
        ImageFiles(
            tuple(image.name for image in images),
            (0,) * len(images),
            ("",),
            lambda i: images[i].data,
        )
    )
    repeats = find_repeats(hashes)
    copies = {i for files in others for i in find_near_copies(hashes, files)}
    why: Counter[str] = Counter()
    kept = []
    for i, image in enumerate(images):
        if i in copies:
            why["near copy of another set's image"] += 1
        elif i in repeats:
            why["near copy within the set"] += 1
        else:
            kept.append(image)
    return kept, why


def halve(images: Sequence[Taken]) -> list[HeldOut]:
    """The list: of each class and repository every other image, by digest, in either half."""
    rows = []
    for class_name in sorted({image.class_name for image in images}):
        mine = [image for image in images if image.class_name == class_name]
        mine.sort(key=lambda image: (image.repository, image.sha256))
        for i, image in enumerate(mine):
            half = list(HALVES)[i % 2]
            rows.append(HeldOut(image.repository, image.path, image.sha256.hex(), class_name, half))
    return sorted(rows, key=lambda row: (row.class_name, row.repository, row.path))


def write_list(rows: Sequence[HeldOut], path: Path) -> None:
    """As CSV with a head."""
    with path.open("x", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(astuple(row) for row in rows)


def read_list(path: Path) -> list[HeldOut]:
    """Raises DataError if it is none, or names a file or a sum twice."""
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            head, *lines = list(csv.reader(stream)) or [[]]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: expected a list of held-out images; found {error}") from error
    if tuple(head) != COLUMNS:
        raise DataError(f"{path}: expected the head {','.join(COLUMNS)}; found {','.join(head)}")
    rows = []
    for number, line in enumerate(lines, 2):
        if len(line) != len(COLUMNS) or line[-1] not in HALVES:
            raise DataError(
                f"{path}, line {number}: expected {', '.join(COLUMNS)} with a half "
                f"{' or '.join(HALVES)}; found {','.join(line)[:80]}"
            )
        rows.append(HeldOut(*line))
    for what, keys in (
        ("file", [(row.repository, row.path) for row in rows]),
        ("sha256", [row.sha256 for row in rows]),
    ):
        if twice := [key for key, count in Counter(keys).items() if count > 1]:
            raise DataError(f"{path}: expected each {what} once; found {twice[0]} twice")
    return rows


def gather_listed(rows: Sequence[HeldOut], sources: Sources, clones: Path) -> dict[str, ImageFiles]:
    """The images of a list, by half, reduced as `sources` says, which also gives the commits.

    Raises DataError for a repository that the sources lack; IncompleteData naming the files that
    the clones lack, or that differ from the list.
    """
    if strange := {row.repository for row in rows} - {r.name for r in sources.repositories}:
        raise DataError(
            f"expected repositories of the file of sources alone; the list has also "
            f"{', '.join(sorted(strange)[:SHOWN])}. Give the file it was made with."
        )
    taken: dict[str, list[Taken]] = {half: [] for half in HALVES}
    faults: list[str] = []
    for repository, blobs in zip(sources.repositories, list_clones(sources, clones), strict=True):
        with open_reader(repository.clone_in(clones)) as reader:
            for row in (row for row in rows if row.repository == repository.name):
                name = f"{row.repository}/{row.path}"
                data = reader.read(blobs[row.path]) if row.path in blobs else None
                if data is None:
                    faults.append(f"{name}: not in the clone")
                    continue
                digest = hashlib.sha256(data).digest()
                if digest.hex() != row.sha256:
                    faults.append(f"{name}: sha256 {digest.hex()}, not {row.sha256}")
                    continue
                kept = encode_anew(data, sources.side, QUALITY)
                image = Taken(row.class_name, row.repository, row.path, digest, kept)
                taken[row.half].append(image)
    if faults:
        more = len(faults) - SHOWN
        raise IncompleteData(
            f"expected the {len(rows)} files of the list; {len(faults)} differ:\n  "
            + "\n  ".join(faults[:SHOWN])
            + (f"\n  and {more} more" if more > 0 else "")
            + "\nClone these repositories again."
        )
    return {half: make_files(images) for half, images in taken.items()}
