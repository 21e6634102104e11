"""A Markdown table of rows of cells."""

from runtime.measurement.tables import make_table


def test_rows_follow_the_head_and_its_line() -> None:
    lines = ["| a | b |", "| --- | --- |", "| 1 | 2 |"]
    assert make_table(["a", "b"], [["1", "2"]]) == "\n".join(lines)
