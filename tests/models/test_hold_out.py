"""models.hold_out: the list it writes makes the set with models.gather, apart from other sets."""

from pathlib import Path

import pytest

from models.data.datasets import open_data_set
from models.data.held_out import read_list
from models.hold_out import main
from tests.models.places import Places


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places(tmp_path)


def hold_out(places: Places, *options: str) -> int:
    where = ["--clones", str(places.clones), "--list", str(places.out.with_name("list.csv"))]
    return main([str(places.sources), *where, "--quiet", *options])


def test_a_list_makes_a_set_in_two_halves(
    places: Places, capsys: pytest.CaptureFixture[str]
) -> None:
    assert hold_out(places) == 0
    out, err = capsys.readouterr()
    reasons = "1 no image, 1 too large, 1 too small, 1 copy"
    assert out.splitlines() == [
        "cat: 3 of anna/animals",
        "dog: 3 of anna/animals",
        "sea: 2 of ben/scenes",
        f"8 images; left out: {reasons}; of the others: none",
    ]
    assert not err
    path = places.out.with_name("list.csv")
    rows = read_list(path)
    assert places.gather("--list", str(path)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" images")[0] for line in lines] == ["validation: 5", "figures: 3"]
    opened = open_data_set(places.out, needs_train=False)
    assert opened.validation is not None
    assert opened.test is not None
    assert len(opened.train) == 0
    assert len(opened.validation) == sum(row.half == "validation" for row in rows)
    assert len(opened.test) == sum(row.half == "figures" for row in rows)


def test_images_of_a_set_that_is_trained_on_are_left_out(
    places: Places, capsys: pytest.CaptureFixture[str]
) -> None:
    assert places.gather("--quiet") == 0
    for place in (places.out, places.out / "train.npz"):
        places.out.with_name("list.csv").unlink(missing_ok=True)
        capsys.readouterr()
        assert hold_out(places, "--apart-from", str(place)) == 0
        assert "of the others: 8 near copy of another set's image" in capsys.readouterr().out
        assert read_list(places.out.with_name("list.csv")) == []


def test_a_list_is_made_once(places: Places, capsys: pytest.CaptureFixture[str]) -> None:
    places.out.with_name("list.csv").write_text("")
    assert hold_out(places) == 2
    assert "list.csv: expected no such file; found one" in capsys.readouterr().err


def test_a_set_without_train_images_is_named(
    places: Places, capsys: pytest.CaptureFixture[str]
) -> None:
    assert hold_out(places, "--apart-from", str(places.clones)) == 2
    assert "expected a pack, or a folder with train.npz" in capsys.readouterr().err
    assert not places.out.with_name("list.csv").exists()
