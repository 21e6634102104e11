"""models.data.wordnet: a small file in the form of data.noun, and the real one where it is."""

from collections import Counter
from pathlib import Path

import pytest

from models.data.wordnet import WordNet, find_leaves, make_draft, read_nouns, write_phrase
from models.errors import DataError
from runtime import Hedger, Hierarchy, Level
from tests.runtime.hierarchies import find_leaves as find_below

REAL = Path("/usr/share/wordnet/data.noun")

# offset: words, synsets above. Invented, but for the root; 30 and 31 have the same words.
SYNSETS = {
    1740: (["entity"], []),
    10: (["thing"], [1740]),
    11: (["useful thing", "utility"], [10]),
    12: (["beast", "animal"], [10]),
    13: (["fur bearer"], [12]),  # covers what the beast does, but for the fish: a node
    14: (["house beast"], [13]),  # covers what the beast above it does: no node of its own
    15: (["swimmer"], [12]),
    20: (["cat", "pussy"], [14]),
    21: (["dog"], [14]),
    22: (["seal"], [15, 13]),
    23: (["goldfish", "Carassius auratus"], [15]),
    30: (["crane"], [12]),
    31: (["crane"], [11]),
    32: (["beast", "tool"], [11]),
    33: (["hammer"], [32]),
    34: (["saw"], [32]),
    35: (["cart"], [11]),
}
LEAVES = [20, 21, 22, 23, 30, 31, 33, 34, 35]
LABELS = ("cat, pussy", "dog", "seal", "goldfish, Carassius auratus", "crane", "crane", "hammer",
          "saw", "cart")  # fmt: skip


def write_nouns(path: Path, synsets: dict[int, tuple[list[str], list[int]]]) -> Path:
    lines = ["  1 A licence,  ", "  2 in two lines.  "]
    for offset, (words, above) in synsets.items():
        texts = [f"{word.replace(' ', '_')} 0" for word in words]
        pointers = [f"@ {up:08d} n 0000" for up in above]
        below = [one for one, (_, others) in synsets.items() if offset in others]
        pointers += [f"~ {one:08d} n 0000" for one in below]
        fields = [f"{offset:08d} 03 n {len(texts):02x}", *texts, f"{len(pointers):03d}", *pointers]
        lines.append(f'{" ".join(fields)} | what it means; "an @ 00000000 n example"  ')
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def nouns(tmp_path: Path) -> WordNet:
    return read_nouns(write_nouns(tmp_path / "data.noun", SYNSETS))


def test_lines_are_read(nouns: WordNet) -> None:
    assert nouns.licence == "A licence,\nin two lines."
    assert nouns.synsets[11].words == ("useful thing", "utility")
    assert nouns.synsets[22].above == (15, 13)
    assert nouns.synsets[1740].above == ()


@pytest.mark.parametrize(
    "line",
    [
        "cat,dog", "00000099 03 v 01 run 0 000 | a verb", "00000099 03 n 01 cat 0 002 @ 10 n 0000",
        "0000009x 03 n 01 cat 0 000 | x", "00000099 03 n 00 000 | nothing",
    ],
)  # fmt: skip
def test_other_files_are_refused(tmp_path: Path, line: str) -> None:
    path = write_nouns(tmp_path / "data.noun", SYNSETS)
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(DataError, match=r"data\.noun:20: expected a line of WordNet's"):
        read_nouns(path)
    path.write_text("")
    with pytest.raises(DataError, match="found none"):
        read_nouns(path)


def test_labels_are_found_by_words_order_and_ids(nouns: WordNet) -> None:
    """Of the cranes the first lies between goldfish and hammer, and so does the second one."""
    ids = [f"n{offset:08d}" for offset in LEAVES]
    assert find_leaves(nouns, LABELS, ids) == LEAVES
    assert find_leaves(nouns, LABELS[:4], ()) == LEAVES[:4]
    one = ("seal", "crane", "hammer")
    assert find_leaves(nouns, one, ["n00000031", "n00000020"]) == [22, 31, 33]
    with pytest.raises(DataError, match="found 1 with none, several or another one's: crane"):
        find_leaves(nouns, one, ())
    with pytest.raises(DataError, match=r"1 with none.*unicorn"):
        find_leaves(nouns, ("cat, pussy", "unicorn"), ())
    with pytest.raises(DataError, match="another one's: cat, pussy"):
        find_leaves(nouns, ("cat, pussy", "cat, pussy"), ())
    with pytest.raises(DataError, match="1 with none"):
        find_leaves(nouns, ("cat, pussy", "x"), ["n00000020", "n99999999"])


def test_synsets_over_the_same_labels_are_one_node(nouns: WordNet) -> None:
    draft = make_draft(nouns, LABELS, LEAVES)
    hierarchy = Hierarchy(draft.nodes, draft.parents, (Level(0.5, 0.0),), 1, draft.notice)
    covered = {n.name: {LABELS[i] for i in find_below(hierarchy, n.name)} for n in draft.nodes}
    assert (
        covered
        == {
            "thing": set(LABELS),  # and entity
            "beast": {*LABELS[:4], "crane"},
            "fur bearer": {"cat, pussy", "dog", "seal"},
            "house beast": {"cat, pussy", "dog"},
            "swimmer": {"seal", "goldfish, Carassius auratus"},
            "useful thing": {"crane", "hammer", "saw", "cart"},
            "tool": {"hammer", "saw"},  # its first word is taken
        }
    )
    assert draft.parents[2] == ("swimmer", "fur bearer")  # the more special one is first
    assert draft.parents[4] == ("beast",)
    assert draft.notice == nouns.licence
    Hedger(hierarchy, LABELS)


def test_a_label_above_others_is_a_node_and_below_it(nouns: WordNet) -> None:
    draft = make_draft(nouns, ("beast, tool", "saw", "cart"), [32, 34, 35])
    assert {node.name: node.parents for node in draft.nodes} == {
        "useful thing": (), "beast": ("useful thing",)
    }  # fmt: skip
    assert draft.parents == (("beast",), ("beast",), ("useful thing",))


def test_names_that_labels_have_are_told_apart(nouns: WordNet) -> None:
    draft = make_draft(nouns, ("house beast", "swimmer", "beast"), [20, 21, 22])
    assert [node.name for node in draft.nodes] == ["fur bearer", "house beast (fur bearer)"]


def test_circles_and_synsets_out_of_reach_are_refused(tmp_path: Path) -> None:
    circle = {**SYNSETS, 13: (["fur bearer"], [12, 14])}
    nouns = read_nouns(write_nouns(tmp_path / "circle", circle))
    with pytest.raises(DataError, match="without a circle"):
        make_draft(nouns, LABELS, LEAVES)
    alone = {**SYNSETS, 12: (["beast"], [])}
    with pytest.raises(DataError, match="a synset 00000012 below entity; found none"):
        make_draft(read_nouns(write_nouns(tmp_path / "alone", alone)), LABELS, LEAVES)


@pytest.mark.parametrize(
    "phrase",
    [
        "an animal", "a dog", "an ungulate", "a unit", "a utensil", "a ewe", "an hourglass",
        "an electronic device", "furniture", "electronic equipment", "consumer goods",
        "a white wolf", "a European", "a uniform", "an uninvited guest", "an unimportant thing",
        "an X-ray tube", "a one-piece suit", "an umbrella", "a cap (headdress)", "an oven",
        "a urinal", "an F", "matter", "an heirloom", "a house", "a one",
    ],
)  # fmt: skip
def test_articles(phrase: str) -> None:
    name = phrase.removeprefix("an ").removeprefix("a ")
    assert write_phrase(name) == phrase


def test_the_real_file_covers_the_labels_of_imagenet_that_are_one_synset(
    mobilenet_v1: Path,
) -> None:
    if not REAL.is_file():
        pytest.skip(f"WordNet is missing: {REAL} (apt-get install wordnet-base)")
    labels = tuple((mobilenet_v1 / "imagenet_labels.txt").read_text().splitlines()[1:])
    nouns = read_nouns(REAL)
    assert "WordNet 3.0 Copyright 2006 by Princeton University" in nouns.licence
    with pytest.raises(DataError, match="several or another one's: echidna, spiny anteater"):
        find_leaves(nouns, labels, ())
    texts = [", ".join(synset.words) for synset in nouns.synsets.values()]
    names = [label for label, count in zip(labels, map(Counter(texts).get, labels), strict=True)
             if count == 1]  # fmt: skip
    draft = make_draft(nouns, names, find_leaves(nouns, names, ()))
    hedger = Hedger(Hierarchy(draft.nodes, draft.parents, (Level(0.5, 0.0),), 1), names)
    counts = dict(zip([node.name for node in hedger.nodes], hedger.counts.tolist(), strict=True))
    assert (counts["dog"], counts["bird"], counts["snake"]) == (117, 53, 17)
    assert draft.nodes[0].phrase == "an entity"
