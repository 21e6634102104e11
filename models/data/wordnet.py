"""A hierarchy over the labels of ImageNet from WordNet's data.noun.

The file is part of Debian's package wordnet-base (/usr/share/wordnet/data.noun); wndb(5WN)
describes its lines. Its licence, at the head of the file, goes along with the names. Synsets that
cover the same labels are one node, called like the most specific of them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from itertools import accumulate
from pathlib import Path

from models.data.hierarchies import Draft
from models.errors import DataError
from runtime import Node

ENTITY = 1740  # the synset above all others
_WNID = re.compile(r"n([0-9]{8})")
_MAX_BYTES = 2**26

#: Last words of names that stand without an article: what is not counted, and plurals.
UNCOUNTED = re.compile(
    "alcohol|apparel|armor|attire|bread|cloth|clothing|cookware|cutlery|equipment|fabric|food|"
    "foodstuff|footwear|furniture|gear|glassware|goods|hosiery|ironware|jewelry|kitchenware|lumber|"
    "makeup|matter|outerwear|produce|Sennenhunde|software|starches|tableware|textile|transport|"
    "underwear|wear"
)


@dataclass(frozen=True)
class Synset:
    """A meaning of its words, and the offsets of the synsets above it."""

    words: tuple[str, ...]
    above: tuple[int, ...]


@dataclass(frozen=True)
class WordNet:
    """Nouns by their offset, and the licence."""

    synsets: dict[int, Synset]
    licence: str


def read_nouns(path: Path) -> WordNet:
    """Reads data.noun. Raises DataError for another file, OSError."""
    with path.open("rb") as stream:
        data = stream.read(_MAX_BYTES + 1)
    synsets: dict[int, Synset] = {}
    licence: list[str] = []
    lines = data.decode("utf-8", "replace").splitlines()
    for number, line in enumerate(lines, 1):
        if line.startswith("  "):
            licence.append(line.split(maxsplit=1)[1].rstrip() if len(line.split()) > 1 else "")
        elif line.strip():
            try:
                offset, synset = _parse(line)
            except (ValueError, IndexError) as error:
                raise DataError(
                    f"{path}:{number}: expected a line of WordNet's data.noun; found another one. "
                    "Give /usr/share/wordnet/data.noun of Debian's package wordnet-base."
                ) from error
            synsets[offset] = synset
    if not synsets or len(data) > _MAX_BYTES:
        raise DataError(f"{path}: expected up to {_MAX_BYTES} bytes of nouns; found none, or more")
    return WordNet(synsets, "\n".join(licence).strip())


def make_draft(wordnet: WordNet, labels: Sequence[str], leaves: Sequence[int]) -> Draft:
    """The hierarchy over labels by their synsets. Raises DataError."""
    above = _climb(wordnet, leaves)
    order = _sort_downwards(above)
    covered: dict[int, int] = dict.fromkeys(above, 0)  # a bit for each label
    for label, offset in enumerate(leaves):
        covered[offset] |= 1 << label
    for offset in reversed(order):
        for parent in above[offset]:
            covered[parent] |= covered[offset]
    chosen: dict[int, int] = {}  # by labels: the last of the order, the most specific
    for offset in order:
        if covered[offset].bit_count() > 1:
            chosen[covered[offset]] = offset
    kept = [offset for offset in order if chosen.get(covered[offset]) == offset]
    names = _choose_names(wordnet, kept, labels)

    def list_parents(start: Iterable[int], own: int) -> tuple[str, ...]:
        """The nearest kept nodes above, those with fewest labels first."""
        found, seen, stack = set(), set(), list(start)
        while stack:
            offset = stack.pop()
            if offset in seen:
                continue
            seen.add(offset)
            node = chosen.get(covered[offset])
            if node is None or covered[offset] == own:
                stack.extend(above[offset])
            else:
                found.add(node)
        nearest = sorted(found, key=lambda node: (covered[node].bit_count(), node))
        return tuple(names[node] for node in nearest)

    same: dict[int, list[int]] = {}
    for offset in order:
        same.setdefault(covered[offset], []).append(offset)
    nodes = tuple(
        Node(
            names[offset],
            write_phrase(names[offset]),
            list_parents(
                [up for one in same[covered[offset]] for up in above[one]], covered[offset]
            ),
        )
        for offset in kept
    )
    parents = tuple(list_parents([offset], 1 << label) for label, offset in enumerate(leaves))
    return Draft(nodes, parents, wordnet.licence)


def find_leaves(wordnet: WordNet, labels: Sequence[str], ids: Collection[str]) -> list[int]:
    """The synset of each label: that of `ids` in their order if there are as many, else the one of
    all the label's words.

    Of several with the same words that one is taken which is among `ids`, or lies between the
    synsets around it: ImageNet's labels are in the order of their ids. Raises DataError.
    """
    given = [int(match[1]) for match in map(_WNID.fullmatch, ids) if match]
    if len(given) == len(labels) == len(ids):
        candidates = [[offset] for offset in given]
    else:
        by_words: dict[str, list[int]] = {}
        for offset, synset in wordnet.synsets.items():
            by_words.setdefault(", ".join(synset.words), []).append(offset)
        candidates = [by_words.get(label, []) for label in labels]
        among = set(given)
        candidates = [[one for one in found if one in among] or found for found in candidates]
        candidates = _keep_between(candidates)
    offsets = [found[0] for found in candidates if found]
    counts = Counter(offsets)
    unclear = [
        label
        for label, found in zip(labels, candidates, strict=True)
        if len(found) != 1 or found[0] not in wordnet.synsets or counts[found[0]] > 1
    ]
    if unclear:
        raise DataError(
            f"expected labels with one synset each, by all its words; found {len(unclear)} with "
            f"none, several or another one's: {'; '.join(unclear[:3])}. Give the WordNet ids of "
            "all labels, as the names of the data's folders or with --ids."
        )
    return offsets


def _keep_between(candidates: Sequence[list[int]]) -> list[list[int]]:
    """Of the synsets of each label those between the nearest that are certain."""
    certain = [found[0] if len(found) == 1 else None for found in candidates]
    lowest = list(accumulate((one or 0 for one in certain), max))
    highest = list(accumulate((one or 10**9 for one in reversed(certain)), min))[::-1]
    return [
        [one for one in found if low <= one <= high] if len(found) > 1 else found
        for found, low, high in zip(candidates, lowest, highest, strict=True)
    ]


def write_phrase(name: str) -> str:
    """How a sentence names one of a node: "an ape", "a unit", "kitchen furniture"."""
    words = name.partition(" (")[0].split(" ")
    if UNCOUNTED.fullmatch(words[-1]):
        return name
    first = words[0].lower()
    if re.match(r"uni(?![nm])|u[st][aeiou]|ur[aeiou]|eu|ewe|once|one\b", first):
        return f"a {name}"
    is_vowel = re.match(r"[aeiou]|hour|honou?r|honest|heir|[fhlmnrsx](-|$)", first)
    return f"{'an' if is_vowel else 'a'} {name}"


def _parse(line: str) -> tuple[int, Synset]:
    fields = line.partition(" | ")[0].split()
    count = int(fields[3], 16)
    words = tuple(word.replace("_", " ") for word in fields[4 : 4 + 2 * count : 2])
    pointers = fields[5 + 2 * count :]
    if fields[2] != "n" or not words or len(pointers) != 4 * int(fields[4 + 2 * count]):
        raise ValueError(line)
    above = [int(pointers[i + 1]) for i in range(0, len(pointers), 4) if pointers[i] in ("@", "@i")]
    return int(fields[0]), Synset(words, tuple(above))


def _climb(wordnet: WordNet, leaves: Sequence[int]) -> dict[int, tuple[int, ...]]:
    """The synsets of labels and all above them, each with those directly above it."""
    above: dict[int, tuple[int, ...]] = {}
    stack = list(leaves)
    while stack:
        offset = stack.pop()
        if offset in above:
            continue
        synset = wordnet.synsets.get(offset)
        if synset is None or not (synset.above or offset == ENTITY):
            raise DataError(f"expected a synset {offset:08d} below entity; found none")
        above[offset] = synset.above
        stack.extend(synset.above)
    return above


def _sort_downwards(above: dict[int, tuple[int, ...]]) -> list[int]:
    """Offsets, all after those above them. Raises DataError."""
    try:
        return list(TopologicalSorter({one: above[one] for one in sorted(above)}).static_order())
    except CycleError as error:
        raise DataError(
            f"expected synsets without a circle; found one of {error.args[1][:5]}. Get the file "
            "again."
        ) from error


def _choose_names(wordnet: WordNet, kept: Sequence[int], labels: Sequence[str]) -> dict[int, str]:
    """A name for each node: the first word that no label and no other node has."""
    taken, names = set(labels), {}
    for offset in kept:
        words = wordnet.synsets[offset].words
        above = [wordnet.synsets[up].words[0] for up in wordnet.synsets[offset].above]
        more = [f"{words[0]} ({word})" for word in (*words[1:], *above, f"{offset:08d}")]
        free = [word for word in (*words, *more) if word not in taken]
        names[offset] = free[0]
        taken.add(free[0])
    return names


def read_ids(path: Path) -> list[str]:
    """The ids of a file, one a line or with spaces between them. Raises DataError."""
    try:
        return path.read_text("utf-8").split()
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: expected WordNet ids in UTF-8, one a line; found {error}. Correct the file, "
            "or name another with --ids."
        ) from error
