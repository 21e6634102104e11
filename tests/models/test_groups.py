"""models.groups: packs out of sets, by the command line."""

from pathlib import Path

import pytest

from models import groups as module
from models.data.catalog import KNOWN, KnownSet
from models.data.datasets import DataSet, open_data_set
from models.data.image_files import ImageFiles
from models.groups import main
from tests.models.images import make_files


def make_set(name: str, classes: dict[str, int]) -> DataSet:
    """So many training images of each class, half as many to test, none to validate by."""

    def make(counts: dict[str, int], part: str = "") -> ImageFiles:
        return make_files(
            {
                c: {f"{i:02}.jpg": f"{name} {c} {i}{part}".encode() for i in range(count)}
                for c, count in counts.items()
            }
        )

    train, test = make(classes), make({c: k // 2 for c, k in classes.items()}, " test")
    return DataSet(name, train, None, test, train.classes)


def test_sets_to_test_on_alone_become_packs_to_test_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(KNOWN, "imagenet-samples", KnownSet("nobody/nothing", 3, {"test": 1}))
    for name in ("n1", "n2", "n3"):
        (tmp_path / "set" / "test" / name).mkdir(parents=True)
        (tmp_path / "set" / "test" / name / "a.JPEG").write_bytes(name.encode())
    file, out = tmp_path / "groups.toml", tmp_path / "out"
    file.write_text(
        "max_images = 1\nmax_test_images = 9\n[groups]\npet = ['n1', 'n3']\nbird = ['n2']\n"
    )
    arguments = ["--from", f"imagenet-samples={tmp_path / 'set'}", "--out", str(out)]
    assert main([str(file), *arguments]) == 0
    assert [path.name for path in out.iterdir()] == ["test.npz"]
    opened = open_data_set(out, needs_train=False)
    assert opened.test is not None
    assert opened.test.counts() == {"bird": 1, "pet": 2}


def test_command_line_writes_packs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = make_set("cifar10", {"cat": 4, "dog": 4, "owl": 4})
    monkeypatch.setattr(module, "open_data_set", lambda folder, name, needs_train: data)
    file = tmp_path / "groups.toml"
    file.write_text(
        "max_images = 5\nmax_test_images = 3\n[groups]\npet = ['cat', 'dog']\nbird = ['owl']\n"
    )
    out = tmp_path / "out"
    assert main([str(file), "--from", "cifar10=DIR", "--out", str(out)]) == 0
    assert "train: 9 images (bird 4, pet 5)" in capsys.readouterr().out
    opened = open_data_set(out)
    assert opened.train.counts() == {"bird": 4, "pet": 5}
    assert opened.test is not None
    assert opened.test.counts() == {"bird": 2, "pet": 3}
    before = (out / "train.npz").read_bytes()
    assert main([str(file), "--from", "cifar10=DIR", "--out", str(out)]) == 2
    assert "expected a folder without train images" in capsys.readouterr().err
    assert (out / "train.npz").read_bytes() == before
    other = str(tmp_path / "other")
    assert main([str(file), "--from", "nothing", "--out", other]) == 2
    assert "expected --from SET=DIR with SET of" in capsys.readouterr().err
    assert main([str(file), "--from", "cifar10=A", "--from", "cifar10=B", "--out", other]) == 2
    assert "found --from cifar10= twice" in capsys.readouterr().err
