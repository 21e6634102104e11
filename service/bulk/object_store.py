"""Images behind URLs, through fsspec: object stores, web servers and others."""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

EXTRA = "pip install 'bnn-service[bulk]'"
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(?:://|::)")
_PLACE = re.compile(r"://.*?(?=::|\Z)", re.DOTALL)  # what is not protocol in a URL, or in several
_PAGE = 1000  # objects that S3 lists at a time


class StoreUnusable(Exception):
    """A URL's file system cannot be used: a package or the URL's kind is missing."""


class Entry(NamedTuple):
    """An entry below a prefix: its URL, and whether more lies below it."""

    url: str
    is_folder: bool


def is_url(name: str) -> bool:
    """Whether a name is for fsspec, not for the local file system."""
    return _URL.match(name) is not None


def open_store(url: str) -> tuple[Any, str]:
    """fsspec's file system of a URL, and the path in it. Raises StoreUnusable."""
    try:
        from fsspec.core import url_to_fs
    except ImportError as fault:
        raise StoreUnusable(
            f"expected the extra bulk, for URLs such as {url[:60]}; found no fsspec. {EXTRA}"
        ) from fault
    try:
        store, path = url_to_fs(url, use_listings_cache=False)
    except ImportError as fault:  # fsspec names the package
        raise StoreUnusable(
            f"expected the package that {url[:60]} takes; found: {fault}. For s3: {EXTRA}"
        ) from fault
    except ValueError as fault:
        raise StoreUnusable(f"expected a URL that fsspec knows; found: {fault}") from fault
    return store, path


def check_store(url: str, known: set[str]) -> None:
    """Checks, once for each kind of URL, whether it can be used. Raises StoreUnusable."""
    kind = _PLACE.sub("", url)
    if kind not in known:
        known.add(kind)
        try:
            open_store(url)
        except StoreUnusable:
            raise
        except Exception:  # of the library, about this URL: reading it says so in its row
            return


def read_url(url: str, limit: int) -> bytes:
    """At most `limit` bytes of a URL. Raises StoreUnusable, OSError, and what its store raises."""
    store, path = open_store(url)
    try:
        return bytes(store.cat_file(path, start=0, end=limit))
    except Exception:
        # An empty object has no such range: S3 and most web servers refuse to give it.
        if store.size(path) == 0:
            return b""
        raise


def is_prefix(url: str) -> bool:
    """Whether more lies below a URL. Raises StoreUnusable, and what its store raises."""
    store, path = open_store(url)
    return bool(store.isdir(path))


def list_prefix(url: str) -> Iterator[Entry]:
    """The entries directly below a URL; S3's page by page, those of other stores at once.

    Raises StoreUnusable, OSError, and what its store raises.
    """
    store, path = open_store(url)
    if hasattr(store, "call_s3"):
        yield from _list_s3(store, url)
        return
    for info in store.ls(path, detail=True):
        name = store.unstrip_protocol(info["name"])
        is_folder = info["type"] == "directory"
        if name.rstrip("/") != url.rstrip("/"):  # some list a prefix's own marker in it
            yield Entry(name.rstrip("/") + "/" if is_folder else name, is_folder)


def _list_s3(store: Any, url: str) -> Iterator[Entry]:
    """Lists S3 by pages: s3fs holds a whole prefix, a kilobyte or more for each object.

    The prefix is used as it is in the URL: in S3 `a//` differs from `a/`, for fsspec it does not.
    """
    protocol, _, place = url.partition("://")
    bucket, _, key = place.partition("/")
    prefix = f"{key}/" if key and not key.endswith("/") else key
    where: dict[str, str] = {}
    while True:
        page = store.call_s3(
            "list_objects_v2", Bucket=bucket, Prefix=prefix, Delimiter="/", MaxKeys=_PAGE, **where
        )
        for item in page.get("Contents", ()):
            if not item["Key"].endswith("/"):  # a marker that stands for a folder
                yield Entry(f"{protocol}://{bucket}/{item['Key']}", False)
        for item in page.get("CommonPrefixes", ()):
            yield Entry(f"{protocol}://{bucket}/{item['Prefix']}", True)
        if not page.get("IsTruncated"):
            return
        where = {"ContinuationToken": page["NextContinuationToken"]}
