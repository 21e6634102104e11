"""service.bulk.object_store: fsspec's memory, and S3 as a server on this machine speaks it."""

import sys
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from service.__main__ import main
from service.bulk import object_store
from service.bulk.object_store import Entry, StoreUnusable, is_prefix, is_url, list_prefix, read_url
from service.bulk.sources import Sources
from tests.service.bulk.object_stores import serve_s3

fsspec = pytest.importorskip("fsspec", reason="the extra bulk is not installed")
FILES = {"a.jpg": b"one", "b.png": b"", "sub/c.jpg": b"three", "sub/deep/d.jpg": b"4"}


def fail(name: str, fault: Exception) -> None:
    raise AssertionError(name) from fault


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("s3://bucket/a", True),
        ("memory://a", True),
        ("zip://a.jpg::s3://bucket/b.zip", True),
        ("simplecache::s3://bucket/a", True),
        ("a.jpg", False),
        ("/a/b", False),
        ("a:b.jpg", False),
        ("C:/a.jpg", False),
        ("://a", False),
        ("", False),
    ],
)
def test_names_that_are_urls(name: str, expected: bool) -> None:
    assert is_url(name) is expected


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a bucket."""
    s3fs = pytest.importorskip("s3fs", reason="the extra bulk is not installed")
    pytest.importorskip("moto", reason="the extra dev is not installed")
    with (
        serve_s3(tmp_path_factory.mktemp("s3") / "log") as environment,
        pytest.MonkeyPatch.context() as patch,
    ):
        for name, value in environment.items():
            patch.setenv(name, value)
        store = s3fs.S3FileSystem()
        store.mkdir("bucket")
        for name, data in FILES.items():
            store.pipe_file(f"bucket/in/{name}", data)
        store.pipe_file("bucket/in/sub/", b"")  # as consoles make folders
        yield "s3://bucket/in"


@pytest.fixture(params=["memory", "s3"])
def root(request: pytest.FixtureRequest) -> str:
    """A prefix with the files, without a slash at its end."""
    if request.param == "s3":
        found: str = request.getfixturevalue("s3")
        return found
    store = fsspec.filesystem("memory")
    for name, data in FILES.items():
        store.pipe_file(f"/in/{name}", data)
    return "memory://in"


def test_bytes_up_to_a_limit(root: str) -> None:
    assert read_url(f"{root}/a.jpg", 10) == b"one"
    assert read_url(f"{root}/a.jpg", 2) == b"on"
    assert read_url(f"{root}/b.png", 10) == b""
    with pytest.raises(FileNotFoundError):
        read_url(f"{root}/none.jpg", 10)


@pytest.mark.parametrize("page", [1, 1000])
def test_what_lies_below(root: str, monkeypatch: pytest.MonkeyPatch, page: int) -> None:
    monkeypatch.setattr(object_store, "_PAGE", page)
    start = "memory:///in" if root.startswith("memory") else root
    for url in (root, f"{root}/"):
        assert sorted(list_prefix(url)) == [
            Entry(f"{start}/a.jpg", False),
            Entry(f"{start}/b.png", False),
            Entry(f"{start}/sub/", True),
        ]
    assert sorted(list_prefix(f"{root}/sub/")) == [
        Entry(f"{start}/sub/c.jpg", False),
        Entry(f"{start}/sub/deep/", True),
    ]


def test_prefixes_and_objects(root: str) -> None:
    assert is_prefix(root)
    assert is_prefix(f"{root}/sub")
    assert not is_prefix(f"{root}/a.jpg")
    assert not is_prefix(f"{root}/none")


@pytest.mark.parametrize("page", [1, 1000])
def test_keys_with_empty_parts(s3: str, monkeypatch: pytest.MonkeyPatch, page: int) -> None:
    """In S3 a key is any text: `a//b` is another than `a/b`."""
    monkeypatch.setattr(object_store, "_PAGE", page)
    keys = ["/first.jpg", "//second.jpg", "photos/a.jpg", "photos//a.jpg", "photos///x/c.jpg"]
    store, _ = object_store.open_store(s3)
    with suppress(FileExistsError):
        store.mkdir("odd")
    for key in keys:
        store.call_s3("put_object", Bucket="odd", Key=key, Body=key.encode())

    def find(url: str) -> list[str]:
        names = Sources((url,), is_recursive=True).list_names(fail)
        return sorted(islice(names, 2 * len(keys)))  # one that comes again has no end

    every = sorted(f"s3://odd/{key}" for key in keys)
    assert find("s3://odd") == find("s3://odd/") == every
    assert find("s3://odd//") == every[:2]
    assert find("s3://odd/photos") == find("s3://odd/photos/") == every[2:]
    assert find("s3://odd/photos//") == [name for name in every if "photos//" in name]
    for name in every:
        assert read_url(name, 100).decode() == name.removeprefix("s3://odd/")


def test_a_store_that_gives_a_prefix_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def list_again(url: str) -> Iterator[Entry]:
        yield Entry(f"{url}a.jpg", False)
        yield Entry("x://b/c/", True)

    monkeypatch.setattr("service.bulk.sources.list_prefix", list_again)
    names = Sources(("x://b/",), is_recursive=True).list_names(fail)
    assert list(islice(names, 10)) == ["x://b/a.jpg", "x://b/c/a.jpg"]


def test_a_bucket_that_is_not_there_is_told(s3: str) -> None:
    with pytest.raises(OSError, match="bucket does not exist"):
        list(list_prefix("s3://nowhere/"))


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StoreUnusable, match="nonsense"):
        list(list_prefix("nonsense://a/"))
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(StoreUnusable, match="gcsfs"):
        read_url("gs://bucket/a.jpg", 1)
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(StoreUnusable, match=r"bnn-service\[bulk\]"):
        read_url("s3://bucket/a.jpg", 1)


def test_each_kind_of_url_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []
    monkeypatch.setattr(object_store, "open_store", looked.append)
    known: set[str] = set()
    urls = ["s3://a/b", "s3://c/d", "zip://a::s3://b/c", "zip://b::s3://b/c", "zip://a::gs://b/c"]
    for url in urls:
        object_store.check_store(url, known)
    assert looked == [urls[0], urls[2], urls[4]]


def test_processes_read_from_a_bucket(
    s3: str, bundle: Path, make_image: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of them finds the server by the environment, as at a cloud."""
    monkeypatch.setattr("service.command_line.configure_logging", lambda *_: None)
    store, _ = object_store.open_store("s3://bucket/photos/")
    for number in range(20):
        data = make_image(("red", "blue")[number % 2], kind="PNG")
        store.pipe_file(f"bucket/photos/{number % 3}/{number:02}.png", data)
    rows = tmp_path / "rows.csv"
    words = ["classify", "--bundle", str(bundle), "--engine", "onnx", "--top-k", "1"]
    words += ["-r", "s3://bucket/photos", "--workers", "2", "-o", str(rows)]
    assert main(words) == 0
    _, *found = (line.split(",")[:2] for line in rows.read_text().splitlines())
    assert sorted(found) == sorted(
        [f"s3://bucket/photos/{n % 3}/{n:02}.png", ("red", "blue")[n % 2]] for n in range(20)
    )
