"""The report as a page that loads nothing, and a table between marks of another document."""

from pathlib import Path

import pytest

from loadtests.comparison.page import MARKS, split_at_marks, write_between_marks, write_page
from loadtests.errors import WrongUsage

REPORT = (
    "# Title\n\n## One & two\n\n![One & two](c-1.svg)\n\n| a | b |\n| --- | --- |\n| <1> | 2 |\n"
)


def test_page_has_tables_and_plots_in_it(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    write_page("A <title>", REPORT, {"c-1.svg": "<svg/>"}, page)
    text = page.read_text()
    assert "<title>A &lt;title&gt;</title>" in text
    assert "<td>&lt;1&gt;</td>" in text
    assert 'src="data:image/svg+xml;base64,PHN2Zy8+"' in text
    assert "c-1.svg" not in text
    assert "http" not in text.replace("http-equiv", "")


def test_table_between_marks_is_replaced_alone(tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    page.write_text(f"before\n{MARKS[0]}\nold\n{MARKS[1]}\nafter\n")
    for _ in range(2):
        write_between_marks(page, "| new |")
        assert page.read_text() == f"before\n{MARKS[0]}\n\n| new |\n\n{MARKS[1]}\nafter\n"


@pytest.mark.parametrize("text", ["", MARKS[0], MARKS[1], f"{MARKS[1]} {MARKS[0]}"])
def test_a_document_without_marks_is_left_alone(tmp_path: Path, text: str) -> None:
    page = tmp_path / "README.md"
    page.write_text(text)
    with pytest.raises(WrongUsage, match="expected the lines"):
        write_between_marks(page, "new")
    assert page.read_text() == text


def test_a_document_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(WrongUsage, match="expected a document with marks, found: No such file"):
        split_at_marks(tmp_path / "none.md")
