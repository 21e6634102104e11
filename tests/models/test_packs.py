"""models.packs: what was packed comes out again, wrong files are refused."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.errors import DataError
from models.packs import find_packs, read_pack, read_packs, write_packs
from models.picture_files import read_folder
from tests.models.pictures import make_files, write_picture


def test_pack_equals_its_folder(tmp_path: Path) -> None:
    for i in range(7):
        write_picture(tmp_path / "set" / ("cat", "ant")[i % 2] / f"{i}.png", i)
    folder = read_folder(tmp_path / "set")
    (path,) = write_packs(folder, tmp_path / "packs", "train")
    pack = read_packs([path])
    assert (pack.names, pack.labels, pack.classes) == (folder.names, folder.labels, folder.classes)
    assert pack.sha256() == folder.sha256()


def test_parts_are_balanced_and_do_not_show(tmp_path: Path) -> None:
    files = make_files({c: {f"{i}": f"{c}{i}".encode() for i in range(9)} for c in "abc"})
    paths = write_packs(files, tmp_path, "train", parts=3)
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


def test_pictures_may_be_encoded_anew(tmp_path: Path) -> None:
    write_picture(tmp_path / "set" / "a" / "1.png", size=(40, 30))
    write_picture(tmp_path / "set" / "b" / "2.png", size=(30, 60))
    (path,) = write_packs(read_folder(tmp_path / "set"), tmp_path, "train", side=20)
    pack = read_packs([path])
    for i in range(2):
        with Image.open(io.BytesIO(pack.read(i))) as image:
            assert (image.format, image.size) == ("JPEG", (20, 20))


def test_classes_of_a_union_that_a_pack_has_not_do_not_count(tmp_path: Path) -> None:
    files = make_files({"a": {"1": b""}, "b": {"2": b""}, "c": {"3": b""}}).select([0, 2])
    pack = read_packs(write_packs(files, tmp_path, "train"))
    assert pack.classes == ("a", "c")
    assert pack.labels == (0, 1)


def test_pack_and_parts_together_are_refused(tmp_path: Path) -> None:
    files = make_files({"a": {"1": b""}, "b": {"2": b""}})
    write_packs(files, tmp_path, "train")
    write_packs(files, tmp_path, "train", parts=2)
    with pytest.raises(DataError, match="found both"):
        find_packs(tmp_path, "train")
    assert find_packs(tmp_path, "val") == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"offs": [0, 9]}, "do not fit"),
        ({"offs": [1, 3]}, "do not fit"),
        ({"names": []}, "do not fit"),
        ({"label": [2]}, "expected labels below 1, found 2"),
        ({"wnids": ["b", "a"]}, "sorted class names"),
        ({"label": None}, "lacks"),
    ],
)
def test_foreign_and_inconsistent_packs_are_refused(
    tmp_path: Path, change: dict[str, list[object] | None], message: str
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
