"""models.data: folders, packs, splits, augmentations."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from models.data import (
    MEAN,
    STD,
    DataError,
    LabelledImages,
    augment_crop,
    augment_resized_crop,
    find_split,
    load_images,
    main,
    normalize,
    split_off,
    write_pack,
)
from runtime import Preprocessing, preprocess

SPEC = Preprocessing(10, 8, "bilinear", MEAN, STD)


def write_picture(path: Path, seed: int, size: tuple[int, int] = (16, 12)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for i in range(6):
        write_picture(tmp_path / "train" / ("cat", "ant")[i % 2] / f"{i}.png", i)
    return tmp_path / "train"


def test_folder_gives_sorted_classes_and_the_pixels_of_the_service(folder: Path) -> None:
    images = load_images(folder, SPEC, progress=False)
    assert images.classes == ("ant", "cat")
    assert images.labels.tolist() == [0, 0, 0, 1, 1, 1]
    with Image.open(folder / "ant" / "1.png") as image:
        expected = preprocess(image, SPEC)
    assert np.array_equal(normalize(images.pixels[:1], SPEC)[0].numpy(), expected)


def test_pack_equals_its_folder(folder: Path, tmp_path: Path) -> None:
    assert write_pack(folder, tmp_path / "pack.npz") == 6
    packed = load_images(tmp_path / "pack.npz", SPEC, progress=False)
    direct = load_images(folder, SPEC, progress=False)
    assert packed.classes == direct.classes
    assert torch.equal(packed.pixels, direct.pixels)
    assert torch.equal(packed.labels, direct.labels)


def test_imagenet_validation_pictures_are_never_packed(folder: Path, tmp_path: Path) -> None:
    write_picture(folder / "cat" / "ILSVRC2012_val_00000001.JPEG", 9)
    assert write_pack(folder, tmp_path / "pack.npz") == 6
    with np.load(tmp_path / "pack.npz") as pack:
        assert not any("ILSVRC2012_val" in name for name in pack["names"])


def test_imagenet_validation_pictures_are_never_trained_on(folder: Path) -> None:
    write_picture(folder / "cat" / "ILSVRC2012_val_00000001.JPEG", 9)
    assert len(load_images(folder, SPEC, progress=False, training=True)) == 6
    assert len(load_images(folder, SPEC, progress=False)) == 7  # as a test set they are welcome


def test_missing_data_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="found nothing"):
        load_images(tmp_path / "none", SPEC)
    (tmp_path / "file.txt").write_text("x")
    with pytest.raises(DataError, match="another kind of file"):
        load_images(tmp_path / "file.txt", SPEC)


def test_empty_class_and_single_class_are_refused(folder: Path, tmp_path: Path) -> None:
    (folder / "dog").mkdir()
    with pytest.raises(DataError, match="found none"):
        load_images(folder, SPEC)
    write_picture(tmp_path / "one" / "cat" / "0.png", 0)
    with pytest.raises(DataError, match="at least 2; found 1"):
        load_images(tmp_path / "one", SPEC)


def test_foreign_and_inconsistent_packs_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", blob=np.zeros(3, np.uint8))
    with pytest.raises(DataError, match="lacks"):
        load_images(tmp_path / "a.npz", SPEC)
    np.savez(
        tmp_path / "b.npz",
        blob=np.zeros(3, np.uint8),
        offs=np.array([0, 9]),
        label=np.array([0]),
        wnids=np.array(["a"]),
        names=np.array(["a/1"]),
    )
    with pytest.raises(DataError, match="do not fit"):
        load_images(tmp_path / "b.npz", SPEC)
    np.savez(
        tmp_path / "c.npz",
        blob=np.zeros(3, np.uint8),
        offs=np.array([0, 3]),
        label=np.array([2]),
        wnids=np.array(["a"]),
        names=np.array(["a/1"]),
    )
    with pytest.raises(DataError, match="expected labels below 1, found 2"):
        load_images(tmp_path / "c.npz", SPEC)


def test_find_split_takes_the_first_that_exists(folder: Path) -> None:
    assert find_split(folder.parent, ("test", "train")) == folder
    assert find_split(folder.parent, ("test",)) is None


def labelled(count: int, classes: int = 3, side: int = 8) -> LabelledImages:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (count, 3, side, side), generator=generator).to(torch.uint8)
    return LabelledImages(pixels, torch.arange(count) % classes, tuple("abcdefgh"[:classes]))


@given(st.integers(6, 60), st.floats(0.01, 0.9), st.integers(0, 99))
def test_split_is_disjoint_complete_and_has_every_class(n: int, share: float, seed: int) -> None:
    images = labelled(n)
    numbered = LabelledImages(torch.arange(n), images.labels, images.classes)
    rest, held = split_off(numbered, share, seed)
    assert sorted([*rest.pixels.tolist(), *held.pixels.tolist()]) == list(range(n))
    assert set(rest.labels.tolist()) == set(held.labels.tolist()) == {0, 1, 2}
    again = split_off(numbered, share, seed)[1]
    assert torch.equal(held.pixels, again.pixels)


@pytest.mark.parametrize("augment", [augment_crop, augment_resized_crop])
def test_augmentations_keep_shape_and_depend_on_the_seed_alone(augment: object) -> None:
    pixels = labelled(5).pixels
    draws = [augment(pixels, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]  # type: ignore[operator]
    assert draws[0].shape == pixels.shape
    assert draws[0].dtype == torch.uint8
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


def test_crop_without_padding_only_flips() -> None:
    pixels = labelled(20).pixels
    out = augment_crop(pixels, torch.Generator().manual_seed(0), pad=0)
    same = [torch.equal(a, b) for a, b in zip(out, pixels, strict=True)]
    flipped = [torch.equal(a, b.flip(-1)) for a, b in zip(out, pixels, strict=True)]
    assert all(a or b for a, b in zip(same, flipped, strict=True))
    assert any(same)
    assert any(flipped)


def test_whole_area_resized_crop_only_flips() -> None:
    pixels = labelled(20).pixels
    out = augment_resized_crop(pixels, torch.Generator().manual_seed(0), (1.0, 1.0), (1.0, 1.0))
    for a, b in zip(out, pixels, strict=True):
        assert torch.equal(a, b) or torch.equal(a, b.flip(-1))


def test_undecodable_picture_is_an_error(folder: Path) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4)).save(buffer, "JPEG")
    (folder / "cat" / "bad.jpg").write_bytes(buffer.getvalue()[:100])
    with pytest.raises(DataError, match=r"cat/bad\.jpg: .*JPEG"):
        load_images(folder, SPEC, progress=False)


def test_command_line_packs(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "pack.npz"
    assert main([str(folder), "--out", str(out)]) == 0
    assert "6 pictures" in capsys.readouterr().out
    assert len(load_images(out, SPEC, progress=False)) == 6
    assert main([str(folder), "--out", str(tmp_path / "pack.zip")]) == 2
    assert main([str(tmp_path / "none"), "--out", str(out)]) == 2
    assert "expected a folder" in capsys.readouterr().err
