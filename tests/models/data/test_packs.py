"""models.data.packs: what was packed comes out again, wrong files are refused."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.data.image_files import read_folder
from models.data.packs import encode_anew, find_packs, read_pack, read_packs, write_packs
from models.errors import DamagedImages, DataError
from runtime import InvalidImage
from tests.models.images import make_files, write_image


def test_pack_equals_its_folder(tmp_path: Path) -> None:
    for i in range(7):
        write_image(tmp_path / "set" / ("cat", "ant")[i % 2] / f"{i}.png", i)
    folder = read_folder(tmp_path / "set")
    (path,) = write_packs(folder, tmp_path / "packs", "train")
    pack = read_packs([path])
    assert (pack.names, pack.labels, pack.classes) == (folder.names, folder.labels, folder.classes)
    assert pack.sha256() == folder.sha256()


def test_parts_are_balanced_and_do_not_show(tmp_path: Path) -> None:
    files = make_files({c: {f"{i}": f"{c}{i}".encode() for i in range(9)} for c in "abc"})
    paths = write_packs(files, tmp_path, "train", shards=3)
    assert [path.name for path in paths] == ["train-0.npz", "train-1.npz", "train-2.npz"]
    assert all(set(read_pack(path).counts().values()) == {3} for path in paths)
    assert read_packs(find_packs(tmp_path, "train")).sha256() == files.sha256()


def test_layout_is_as_described(tmp_path: Path) -> None:
    (path,) = write_packs(make_files({"a": {"1": b"xy"}, "b": {"2": b"z"}}), tmp_path, "val")
    with np.load(path, allow_pickle=False) as pack:
        assert set(pack.files) == {"blob", "offs", "label", "wnids", "names"}
        assert pack["blob"].tobytes() == b"xyz"
        assert pack["blob"].dtype == np.uint8
        assert pack["offs"].tolist() == [0, 2, 3]
        assert pack["label"].tolist() == [0, 1]
        assert pack["wnids"].tolist() == ["a", "b"]
        assert pack["names"].tolist() == ["a/1", "b/2"]


def test_images_may_be_encoded_anew(tmp_path: Path) -> None:
    write_image(tmp_path / "set" / "a" / "1.png", size=(40, 30))
    write_image(tmp_path / "set" / "b" / "2.png", size=(30, 60))
    (path,) = write_packs(read_folder(tmp_path / "set"), tmp_path, "train", side=20)
    pack = read_packs([path])
    for i in range(2):
        with Image.open(io.BytesIO(pack.read(i))) as image:
            assert (image.format, image.size) == ("JPEG", (20, 20))


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
@pytest.mark.parametrize("size", [(20, 20), (20, 7), (7, 20), (1, 1)])
def test_small_images_stay_byte_for_byte(
    tmp_path: Path, suffix: str, size: tuple[int, int]
) -> None:
    write_image(tmp_path / f"a.{suffix}", size=size)
    data = (tmp_path / f"a.{suffix}").read_bytes()
    assert encode_anew(data, 20) == data
    (path,) = write_packs(make_files({"a": {"1": data}}), tmp_path, "train", side=20)
    assert read_pack(path).read(0) == data


@pytest.mark.parametrize(
    ("size", "side"),
    [((21, 20), 20), ((20, 21), 20), ((300, 40), 20), ((40, 10), 10), ((10, 40), 10), ((21, 1), 1)],
)
def test_larger_images_are_reduced_and_never_enlarged(
    tmp_path: Path, size: tuple[int, int], side: int
) -> None:
    write_image(tmp_path / "a.png", size=size)
    with Image.open(io.BytesIO(encode_anew((tmp_path / "a.png").read_bytes(), 20))) as image:
        assert (image.format, image.size) == ("JPEG", (side, side))


def test_the_centre_square_is_kept(tmp_path: Path) -> None:
    pixels = np.zeros((40, 120, 3), np.uint8)
    pixels[:, 40:80] = 180
    Image.fromarray(pixels).save(tmp_path / "a.png")
    with Image.open(io.BytesIO(encode_anew((tmp_path / "a.png").read_bytes(), 20))) as image:
        inside = np.asarray(image)[:, 2:-2].astype(int)  # scaling mixes in what lies beside it
    assert abs(inside - 180).max() <= 6


def test_quality_can_be_chosen_and_damage_is_found_in_small_images_too(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", size=(40, 30))
    data = (tmp_path / "a.png").read_bytes()
    assert len(encode_anew(data, 20, 95)) > len(encode_anew(data, 20))
    for side in (20, 40):
        with pytest.raises(InvalidImage):
            encode_anew(data[:200], side)


def test_classes_of_a_union_that_a_pack_has_not_do_not_count(tmp_path: Path) -> None:
    files = make_files({"a": {"1": b""}, "b": {"2": b""}, "c": {"3": b""}}).select([0, 2])
    pack = read_packs(write_packs(files, tmp_path, "train"))
    assert pack.classes == ("a", "c")
    assert pack.labels == (0, 1)


def test_pack_and_parts_together_are_refused(tmp_path: Path) -> None:
    files = make_files({"a": {"1": b""}, "b": {"2": b""}})
    write_packs(files, tmp_path, "train")
    write_packs(files, tmp_path, "train", shards=2)
    with pytest.raises(DataError, match="found both"):
        find_packs(tmp_path, "train")
    assert find_packs(tmp_path, "val") == []
    (tmp_path / "val-1 (copy).npz").touch()
    with pytest.raises(DataError, match=r"val-0\.npz and so on; found val-1 \(copy\)\.npz"):
        find_packs(tmp_path, "val")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"offs": [0, 9]}, "do not fit"),
        ({"offs": [1, 3]}, "do not fit"),
        ({"names": []}, "do not fit"),
        ({"label": [2]}, "expected labels below 1, found 2"),
        ({"wnids": ["b", "a"]}, "sorted class names"),
        ({"label": None}, "lacks"),
        ({"offs": [0.0, 3.0]}, r"bad\.npz: expected offs as a list of integer; found float64"),
        ({"offs": 3}, r"expected offs as a list of integer; found int64 of shape \(\)"),
        ({"blob": [0.5, 1, 2]}, r"expected blob as a list of uint8; found float64 .* again"),
        ({"names": [7]}, "expected names as a list of str; found int64"),
    ],
)
def test_foreign_and_inconsistent_packs_are_refused(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    arrays: dict[str, object] = {"blob": np.zeros(3, np.uint8), "offs": [0, 3], "label": [0]}
    arrays |= {"wnids": ["a"], "names": ["a/1"], **change}
    kept = {name: np.array(a) for name, a in arrays.items() if a is not None}
    np.savez(tmp_path / "bad.npz", **kept)  # type: ignore[arg-type]
    with pytest.raises(DataError, match=message):
        read_pack(tmp_path / "bad.npz")


def test_other_files_are_no_packs(tmp_path: Path) -> None:
    (tmp_path / "x.npz").write_bytes(b"no zip")
    with pytest.raises(DataError, match=r"x\.npz: expected a \.npz pack"):
        read_pack(tmp_path / "x.npz")
    with (tmp_path / "x.npz").open("wb") as stream:
        np.save(stream, np.zeros(3))
    with pytest.raises(DataError, match="found a single array"):
        read_pack(tmp_path / "x.npz")


def test_damaged_packs_are_named(tmp_path: Path) -> None:
    files = make_files({"a": {"1": b"xy" * 50}, "b": {"2": b"z"}})
    (path,) = write_packs(files, tmp_path, "train")
    whole = path.read_bytes()
    at = whole.index(b"xyxy") + 9
    changed = whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]
    for damaged in (b"", *(whole[:length] for length in range(1, len(whole), 97)), changed):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=r"train\.npz: expected .*pack the images again"):
            read_pack(path)


def test_unsigned_offsets_may_not_fall(tmp_path: Path) -> None:
    arrays = {"blob": np.zeros(3, np.uint8), "offs": np.array([0, 3, 1, 3], np.uint64)}
    more = {"label": np.zeros(3, np.uint8), "wnids": np.array(["a"]), "names": np.array([*"xyz"])}
    np.savez(tmp_path / "bad.npz", **arrays, **more)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="do not fit"):
        read_pack(tmp_path / "bad.npz")


def test_images_that_cannot_be_encoded_anew_are_named(tmp_path: Path) -> None:
    write_image(tmp_path / "good.png")
    good = (tmp_path / "good.png").read_bytes()
    files = make_files({"a": {"cut.png": good[:90], "good.png": good}, "b": {"notes": b"no"}})
    with pytest.raises(
        DamagedImages, match=r"2 of 3 files(.|\n)*a/cut\.png: (.|\n)*b/notes: "
    ) as e:
        write_packs(files, tmp_path / "packs", "train", side=8)
    assert "--skip-damaged" not in str(e.value)
    assert not list((tmp_path / "packs").iterdir())


def test_large_images_of_ones_own_are_encoded_anew(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.new("L", (5100, 5000)).save(buffer, "PNG")  # more than the service takes of a stranger
    (path,) = write_packs(make_files({"a": {"1": buffer.getvalue()}}), tmp_path, "train", side=8)
    assert len(read_pack(path)) == 1
