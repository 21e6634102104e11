"""models.albums.page: one page that loads nothing, in which no file name is markup."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

from models.albums.outputs import Result
from models.albums.page import write_page
from tests.models.albums.test_outputs import make_row

ODD = [
    "<script>alert(1)</script>.jpg",
    '"><img src=x onerror=alert(1)>.jpg',
    "a&amp;b.jpg",
    "\udce9.jpg",
]


class Reader(HTMLParser):
    """Collects tags, attributes and text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


def test_names_are_text_and_images_are_inside(tmp_path: Path) -> None:
    rows = tuple(make_row(name) for name in ODD)
    result = Result(
        "net<", '1 camera(a, "<b>") => kind(a) = cat', rows, ((ODD[0], "<i>"),), ("<n>",)
    )
    write_page(tmp_path / "album.html", result, lambda i: bytes([i]))
    page = (tmp_path / "album.html").read_text(encoding="utf-8")
    reader = Reader()
    reader.feed(page)
    assert reader.tags.count("img") == len(ODD)
    assert "script" not in reader.tags
    assert "i" not in reader.tags
    assert not [name for name, _ in reader.attributes if name.startswith("on")]
    sources = [value or "" for name, value in reader.attributes if name in ("src", "href")]
    assert all(source.startswith("data:image/jpeg;base64,") for source in sources)
    assert not re.search(r"https?://", page)
    for text in (
        *ODD[:3],
        "\\udce9.jpg".replace("udc", "x"),
        "<n>",
        "net<",
        "dog",
        "was cat 50%",
        "why",
    ):
        assert text in reader.text
    assert reader.text.count("Session 1") == 1


def test_sessions_and_their_photos_are_in_the_order_of_time(tmp_path: Path) -> None:
    row = make_row("")
    rows = [
        replace(row, photo="a", session=2, time=5.0), replace(row, photo="b", session=1, time=2.0),
        replace(row, photo="c", session=1, time=1.5), replace(row, photo="d", session=3, time=None),
    ]  # fmt: skip
    write_page(tmp_path / "album.html", Result("n", "", tuple(rows), (), ()), lambda i: b"")
    page = (tmp_path / "album.html").read_text(encoding="utf-8")
    assert re.findall(r"<bdi>(.)</bdi>", page) == ["c", "b", "a", "d"]
    titles = re.findall(r"<h2>(Session .*?) · ", page)
    assert titles == ["Session 1", "Session 2", "Session 3"]
    assert "Session 1 · 1970-01-01 00:00:01 UTC · " in page
