"""service.bulk.sources: names of all kinds, and shards that are the same wherever a folder lies."""

import os
from pathlib import Path

import pytest

from service.bulk.name_lists import InvalidList
from service.bulk.object_store import StoreUnusable
from service.bulk.shards import Shard
from service.bulk.sources import Sources

FILES = ("a.jpg", "b.txt", "sub/c.png", "sub/d.jpg", "sub/.e/f.jpg")


def fail(name: str, fault: Exception) -> None:
    raise AssertionError(name) from fault


def list_names(*names: str, **options: object) -> list[str]:
    return list(Sources(names, **options).list_names(fail))  # type: ignore[arg-type]


@pytest.fixture(params=["folder", "store"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A folder or a prefix with the same files, with a slash at its end."""
    if request.param == "folder":
        for name in FILES:
            (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "photos" / name).touch()
        return f"{tmp_path}/photos/"
    fsspec = pytest.importorskip("fsspec", reason="the extra bulk is not installed")
    for name in FILES:
        fsspec.filesystem("memory").pipe_file(f"/photos/{name}", b"")
    return "memory:///photos/"


def test_folders_and_prefixes(root: str) -> None:
    for given in (root, root.rstrip("/")):
        sources = Sources((given,))
        assert list(sources.list_names(fail)) == [f"{root}a.jpg"]
        assert (sources.seen, sources.passed.folders, sources.passed.other) == (1, 1, 1)
        found = list_names(given, is_recursive=True)
        assert found == [f"{root}a.jpg", f"{root}sub/c.png", f"{root}sub/d.jpg"]


def test_shards_are_the_same_wherever_the_folder_lies(root: str, tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere"
    for name in FILES:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).touch()
    for index in range(1, 4):
        shard = Shard(index, 3)
        here = list_names(root, is_recursive=True, shard=shard)
        there = list_names(str(copy), is_recursive=True, shard=shard)
        assert [name.removeprefix(root) for name in here] == [
            os.path.relpath(name, copy) for name in there
        ]


@pytest.mark.parametrize(
    ("names", "is_recursive", "expected"),
    [
        (("photos", "photos/sub"), True, ("photos", "photos/sub")),
        (("photos/sub/../sub", "./photos/"), True, ("./photos/", "photos/sub/../sub")),
        ((".", "photos/sub"), True, (".", "photos/sub")),
        (("/", "photos/a.jpg"), True, ("/", "photos/a.jpg")),
        (("photos", "photos/sub"), False, None),
        (("photos", "photos/a.jpg"), False, ("photos", "photos/a.jpg")),
        (("photos", "photos/sub/c.png"), False, None),
        (("photos", "photos/b.txt"), True, None),  # is not listed
        (("photos", "photos2/a.jpg"), True, None),
        (("photos", "photos/"), True, None),  # the same keys
        (("s3://b/a", "s3://b/a/c"), True, ("s3://b/a", "s3://b/a/c")),
        (("s3://b/a/", "s3://b/a/c.jpg"), False, ("s3://b/a/", "s3://b/a/c.jpg")),
        (("s3://b", "s3://bb/c.jpg"), True, None),
    ],
)
def test_what_would_be_listed_twice(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    names: tuple[str, ...],
    is_recursive: bool,
    expected: tuple[str, str] | None,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("photos/sub").mkdir(parents=True)
    assert Sources(names, is_recursive=is_recursive).find_overlap() == expected


def test_one_name_for_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A later run finds the names of an earlier one, however the folder is written."""
    monkeypatch.chdir(tmp_path)
    for name in FILES:
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "photos" / name).touch()
    expected = ["photos/a.jpg", "photos/sub/c.png", "photos/sub/d.jpg"]
    for given in ("photos", "./photos", "photos/", ".//photos//", "."):
        assert list_names(given, is_recursive=True) == expected
    Path("list").write_text("./photos/a.jpg\nphotos//./sub/c.png\n")
    assert list_names("./photos/sub/d.jpg", lists=("list",)) == [expected[2], *expected[:2]]
    for name in ("link/../a.jpg", "./x::y.jpg", "s3://b//c.jpg", "", "-"):
        assert list_names(name) == [name]


def test_files_are_taken_by_any_name_and_need_not_be_there(tmp_path: Path) -> None:
    names = [str(tmp_path / "none"), ".hidden", "Thumbs.db", "memory://x/one.jpg"]
    assert list_names(*names) == names


def test_lists(tmp_path: Path) -> None:
    (tmp_path / "list").write_bytes(b"a.jpg\nb c.jpg\n")
    (tmp_path / "nul").write_bytes(b"a\n.jpg\0b.jpg")
    assert list_names("x", lists=(str(tmp_path / "list"),)) == ["x", "a.jpg", "b c.jpg"]
    assert list_names(lists=(str(tmp_path / "nul"),), by_nul=True) == ["a\n.jpg", "b.jpg"]
    with pytest.raises(InvalidList, match="No such file"):
        list_names(lists=(str(tmp_path / "none"),))


def test_a_list_that_is_a_folder_is_told(tmp_path: Path) -> None:
    told: list[str] = []
    sources = Sources(lists=(str(tmp_path),))
    assert not list(sources.list_names(lambda name, _: told.append(name)))
    assert told == [f"--from-file {tmp_path}"]


def test_urls_that_nobody_knows_end_the_run() -> None:
    pytest.importorskip("fsspec", reason="the extra bulk is not installed")
    for url in ("nonsense://x", "nonsense://x/"):
        with pytest.raises(StoreUnusable):
            list_names(url)


def test_a_store_that_fails_is_told_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(url: str) -> object:
        raise RuntimeError(f"no credentials for {url}")

    told: list[str] = []
    for function in ("list_prefix", "is_prefix"):
        monkeypatch.setattr(f"service.bulk.sources.{function}", refuse)
    sources = Sources(("s3://a/", "s3://b", "c.jpg"))
    assert list(sources.list_names(lambda name, _: told.append(name))) == ["c.jpg"]
    assert told == ["s3://a/", "s3://b"]
