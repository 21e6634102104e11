"""What a comparison sends, and what its report says of it."""

import argparse
from pathlib import Path

import pytest

from loadtests.clients.images import SIZES, generate_jpegs
from loadtests.comparison.material import (
    PHONES,
    PHOTOS,
    Material,
    describe_material,
    make_material,
)
from loadtests.errors import WrongUsage

OPTIONS = argparse.Namespace(photos=None, data=None, seed=1, repeats=2, seconds=1.0, warm_up=0.5)


def test_material_is_bare_files() -> None:
    photos = generate_jpegs(1, 2, (40, 30))
    material = Material(photos, photos[:1])
    assert len(material.bodies) == 2
    assert material.bodies[0].endswith(photos[0].data)
    assert material.phone_bodies == material.bodies[:1]


def test_generated_photos_unless_a_folder_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SIZES, "phone", (64, 48))  # 12 megapixels take seconds to make
    made = make_material(OPTIONS, with_phone=False)
    assert (len(made.photos), len(made.phone), len(made.labelled)) == (PHOTOS, 0, 0)
    assert "generated photos of 512x384 pixels; the same" in describe_material(OPTIONS, made)
    (tmp_path / "cat").mkdir()
    for path in (tmp_path / "a.jpg", tmp_path / "cat" / "b.jpg"):
        path.write_bytes(made.photos[0].data)
    options = argparse.Namespace(**{**vars(OPTIONS), "photos": tmp_path, "data": tmp_path})
    given = make_material(options, with_phone=True)
    assert [image.name for image in given.photos] == ["a.jpg"]
    assert len(given.phone) == PHONES
    text = describe_material(options, given)
    assert f"the photos in {tmp_path.name}/, and generated ones of 12 megapixels" in text
    assert text.endswith(f" Labelled images in {tmp_path.name}/: 1 (1 cat).")


def test_data_without_labels(tmp_path: Path) -> None:
    options = argparse.Namespace(**{**vars(OPTIONS), "data": tmp_path})
    with pytest.raises(WrongUsage, match="expected images in"):
        make_material(options, with_phone=False)
