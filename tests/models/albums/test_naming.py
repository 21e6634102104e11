"""models.albums.naming: from photos that were read to rows, and weights from folders by kind."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.albums.cache import Kept
from models.albums.exif import Taken
from models.albums.naming import RuleText, Spans, learn_rules, name_photos, read_rules
from models.albums.photos import Album, Photo
from models.albums.rule_file import NONE, parse_rules
from models.errors import DataError
from runtime import Known, Manifest
from tests.models.albums.albums import LABELS, NOON
from tests.runtime.bundles import make_bundle

TEXT = f'3 kind(session(a)) = kind(a)\n1 kind(a) = "{NONE}"\n'


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """Of a network that knows LABELS, and by their energy whether an image shows one."""
    path = tmp_path_factory.mktemp("naming") / "bundle"
    found = make_bundle(path, graphs=False).manifest
    return replace(found, labels=LABELS, known=Known("energy", 1.0, 0.0, 0.5))


def make_photo(name: str, seconds: float | None, *logits: float) -> Photo:
    taken = Taken(None if seconds is None else NOON + seconds, None, "C")
    return Photo(name, f"sha of {name}", Kept(np.array(logits, np.float32), taken, b"jpeg"))


def test_rows_say_before_after_and_why(manifest: Manifest) -> None:
    dog, cat, none = (0, 0, 0, 9, 0), (0, 3, 0, 2.5, 0), (-9.0,) * 5
    photos = [
        make_photo("a.jpg", 0, *dog),
        make_photo("b.jpg", 1, *cat),
        make_photo("c.jpg", 1.5, *dog),
        make_photo("d.jpg", None, *none),
    ]
    album = Album(tuple(photos), (("x.jpg", "cut"),), 4)
    rules = RuleText(parse_rules(TEXT, LABELS), TEXT)
    result = name_photos(album, manifest, rules, Spans())
    rows = [(row.photo, row.session, row.before, row.after, row.changed) for row in result.rows]
    assert rows == [
        ("a.jpg", 1, "dog", "dog", False),
        ("b.jpg", 1, "cat", "dog", True),
        ("c.jpg", 1, "dog", "dog", False),
        ("d.jpg", 2, NONE, NONE, False),
    ]
    assert result.rows[1].why == "2 of 3 photos within 2 seconds say dog"
    assert result.rows[1].time == NOON + 1
    assert result.rows[3].time is None
    assert result.unreadable == album.unreadable
    assert result.notes[0] == "1 photo has no EXIF time; each is a session of its own"
    assert result.rules == TEXT


def test_a_gap_of_the_users_divides_sessions(manifest: Manifest) -> None:
    photos = tuple(make_photo(f"{i}.jpg", 10.0 * i, 0, 0, 0, 5, 0) for i in range(3))
    rules = RuleText(parse_rules(TEXT, LABELS), TEXT)
    result = name_photos(Album(photos, (), 0), manifest, rules, Spans(gap=9, burst=1))
    assert [row.session for row in result.rows] == [1, 2, 3]


def test_no_photos_are_named_without_fault(manifest: Manifest) -> None:
    rules = RuleText(parse_rules(TEXT, LABELS), TEXT)
    assert name_photos(Album((), (), 0), manifest, rules, Spans()).rows == ()


def test_weights_are_learned_from_the_innermost_folder_of_a_kind(manifest: Manifest) -> None:
    photos = []
    for i in range(40):
        kind = "dog" if i < 20 else "cat"
        logits = [0.0] * 5
        logits[3 if kind == "dog" else 1] = 4.0 if i % 4 else -1.0
        photos.append(make_photo(f"bird/{kind}/new/{i}.jpg", 500.0 * (i // 4) + i, *logits))
    photos.append(make_photo("loose.jpg", 1e6, 0, 0, 0, 0, 0))
    photos.append(make_photo(f"{NONE}/none.jpg", 2e6, *(-9,) * 5))
    rules = RuleText(parse_rules(TEXT, LABELS), TEXT)
    fitted, learned = learn_rules(Album(tuple(photos), (), 0), manifest, rules, Spans())
    assert learned.photos == 41
    assert learned.loss < learned.loss_before
    assert fitted.rules.rules[0].weight > 3
    again = parse_rules(fitted.text, LABELS)
    for one, other in zip(again.rules, fitted.rules.rules, strict=True):
        assert one.weight == pytest.approx(other.weight, rel=1e-3)
    assert again.temperature == pytest.approx(fitted.rules.temperature, rel=1e-3)


def test_rules_that_are_no_text_are_refused(manifest: Manifest, tmp_path: Path) -> None:
    path = tmp_path / "my.rules"
    path.write_bytes(b"\xff\xfe1\x00")
    with pytest.raises(DataError, match="expected rules in UTF-8"):
        read_rules(path, manifest)
    path.write_text(TEXT)
    assert len(read_rules(path, manifest).rules.rules) == 2
    assert len(read_rules(path, replace(manifest, known=None)).rules.rules) == 1
